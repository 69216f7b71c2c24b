"""Atomic file writes: after a failure a path holds either the old or the new file, never part of one."""

import contextlib
import os
from pathlib import Path

from seriatim.core.errors import FileWriteError


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside `path`, flush it to the disk, rename it, and flush the folder.

    Raises:
        FileWriteError: naming the path and the number of bytes; an older file at `path` is unchanged, and no temporary file remains.
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
    """Remove the temporary files of a `write_atomically` that was killed."""
    for path in folder.glob(".*.part"):
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
