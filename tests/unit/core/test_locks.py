"""One process at a time in a folder."""

import os
import signal
import time

import pytest

from seriatim.core.errors import ConfigError
from seriatim.core.locks import LOCK_NAME, locked


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder, and has a child that lives as long."""
    child = os.fork()
    if not child:
        with locked(tmp_path, "a training"):
            if os.fork():
                (tmp_path / "held").touch()
            time.sleep(3)
            os._exit(0)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    yield child
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_folder_that_another_process_holds_is_refused_by_its_number(holder, tmp_path):
    with (
        pytest.raises(ConfigError, match=rf"is in use by a training \(process {holder}\); wait"),
        locked(tmp_path, "a training"),
    ):
        pass


def test_a_lock_dies_with_its_process_even_if_a_child_of_it_lives(tmp_path, holder):
    os.kill(holder, signal.SIGKILL)
    os.waitid(os.P_PID, holder, os.WEXITED | os.WNOWAIT)
    assert (tmp_path / LOCK_NAME).exists()
    with locked(tmp_path, "a training"):
        pass
    assert not (tmp_path / LOCK_NAME).exists()


def test_a_folder_is_made_and_holds_no_lock_afterwards_even_if_the_work_fails(tmp_path):
    def fail():
        with locked(tmp_path / "a" / "b", "a training"):
            assert (tmp_path / "a" / "b" / LOCK_NAME).exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "a" / "b").exists()
    (tmp_path / "a" / "b").mkdir()
    with pytest.raises(ZeroDivisionError):
        fail()
    assert not list((tmp_path / "a" / "b").iterdir())
