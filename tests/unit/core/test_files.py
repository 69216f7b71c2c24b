import errno
import os

import pytest

from seriatim.core import files
from seriatim.core.errors import FileWriteError
from seriatim.core.files import make_folder, remove_temporary_files, write_atomically

FULL = OSError(errno.ENOSPC, "No space left on device")


def fail(*_):
    raise FULL


@pytest.fixture
def old(tmp_path):
    path = tmp_path / "weights.bin"
    write_atomically(path, b"old")
    return path


@pytest.mark.parametrize("step", ["write", "flush", "fsync", "replace"])
def test_wherever_writing_fails_the_old_file_is_intact_and_nothing_is_left(old, monkeypatch, step):
    if step in ("fsync", "replace"):
        monkeypatch.setattr(os, step, fail)
    else:
        real = open

        class Full:
            def __init__(self, *args):
                self.file = real(*args)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self.file.close()

            def write(self, data):
                self.file.write(data[:1])
                if step == "write":
                    fail()

            def flush(self):
                fail()

        monkeypatch.setattr(files, "open", Full, raising=False)
    with pytest.raises(FileWriteError) as error:
        write_atomically(old, b"newer")
    monkeypatch.undo()
    assert str(error.value) == f"{old}: could not write 5 bytes: No space left on device"
    assert old.read_bytes() == b"old"
    assert os.listdir(old.parent) == [old.name]


def test_an_interruption_leaves_the_old_file_and_no_temporary_file(old, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(old, b"newer")
    assert old.read_bytes() == b"old"
    assert os.listdir(old.parent) == [old.name]


def test_a_file_is_replaced_whole(old):
    write_atomically(old, b"n")
    assert old.read_bytes() == b"n"
    assert os.listdir(old.parent) == [old.name]


def test_the_data_are_on_the_disk_before_the_name_is(old, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: calls.append("fsync") or fsync(handle))
    monkeypatch.setattr(os, "replace", lambda *paths: calls.append("replace") or replace(*paths))
    write_atomically(old, b"newer")
    assert calls == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("place", ["nowhere/file", "file/below-a-file", "x" * 300])
def test_a_place_that_cannot_be_written_is_one_typed_error(tmp_path, place):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileWriteError, match="could not write 3 bytes"):
        write_atomically(tmp_path / place, b"abc")


def test_temporary_files_are_removed_and_nothing_else(tmp_path):
    keep = ["a.part", ".hidden", ".seriatim-mine.part", "b.safetensors"]
    for name in [*keep, ".seriatim-00112233445566aa.part"]:
        (tmp_path / name).write_bytes(b"")
    remove_temporary_files(tmp_path)
    remove_temporary_files(tmp_path / "nothing")
    assert sorted(os.listdir(tmp_path)) == sorted(keep)


def test_a_folder_is_made_with_those_above_it_or_refused_by_name(tmp_path):
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileWriteError, match="below: could not make the folder: Not a directory"):
        make_folder(tmp_path / "file" / "below")
