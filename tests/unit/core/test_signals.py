"""Signals that ask a process to end."""

import os
import signal
import time

import pytest

from seriatim.core.signals import ending_signals, kept_from_children


@pytest.fixture
def kept():
    numbers = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    yield numbers
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_hangup_counts_unless_nohup_has_it_ignored(kept):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    assert ending_signals() == (signal.SIGTERM, signal.SIGHUP)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert ending_signals() == (signal.SIGTERM,)


def test_a_child_lives_on_when_its_group_is_asked_to_end_and_the_parent_hears_it(kept):
    heard = []
    for number in kept:
        signal.signal(number, lambda number, _: heard.append(number))
    with kept_from_children():
        child = os.fork()
        if not child:
            time.sleep(0.5)
            os._exit(7)
        signal.raise_signal(signal.SIGTERM)
        assert not heard
    assert heard == [signal.SIGTERM]
    for number in kept:
        os.kill(child, number)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
