"""Files that are either the old or the new one, never half of each."""

import contextlib
import os
from pathlib import Path

from seriatim.core.errors import SeriatimError


class FileWriteError(SeriatimError, OSError):
    """A file that could not be written; what was there before is intact."""


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`: written beside it, flushed to the disk, renamed, and the folder flushed.

    Raises:
        FileWriteError: naming the path and the number of bytes; an older file at `path` is then unchanged and no temporary file is left.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _flush_folder(path.parent)
    except OSError as error:
        _remove(beside)
        raise FileWriteError(f"{path}: could not write {len(data)} bytes: {error.strerror or error}") from error
    except BaseException:
        _remove(beside)
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and the folders above it, where they are missing.

    Raises:
        FileWriteError: if that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileWriteError(f"{folder}: could not make the folder: {error.strerror or error}") from error


def remove_temporary_files(folder: Path) -> None:
    """Remove what a killed `write_atomically` may have left in `folder`."""
    for path in folder.glob(".*.part"):
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows opens no folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
