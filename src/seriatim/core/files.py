"""Files that are either the old or the new one, never half of each."""

import os
from pathlib import Path

from seriatim.core.errors import SeriatimError


class FileWriteError(SeriatimError, OSError):
    """A file that could not be written; what was there before is intact."""


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` at `path`: written beside it, flushed to the disk, renamed, and the folder flushed.

    Raises:
        FileWriteError: naming the path and the number of bytes; an older file at `path` is then unchanged and no litter is left.
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
        beside.unlink(missing_ok=True)
        raise FileWriteError(f"{path}: could not write {len(data)} bytes: {error.strerror or error}") from error
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def remove_litter(folder: Path) -> None:
    """Remove what a killed `write_atomically` may have left in `folder`."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
