"""One process at a time in a folder: a lock that the system takes back from a process that dies, however it dies."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from seriatim.core.errors import ConfigError, FileWriteError
from seriatim.core.files import make_folder

LOCK_NAME = ".seriatim.lock"
"""The file that is locked; removed when its holder ends in order."""


@contextlib.contextmanager
def locked(folder: Path, use: str) -> Iterator[None]:
    """Keep every other process out of a folder within the `with` block.

    A lock file that a killed process left is no hindrance, since the lock itself died with the process. Processes forked within the block do not
    hold the lock.

    Args:
        folder: made if missing, and then removed at the end if it is still empty.
        use: what holds the folder, for the message.

    Raises:
        ConfigError: if another process holds the folder.
        FileWriteError: if the folder or the lock file cannot be made.
    """
    is_new = not folder.exists()
    make_folder(folder)
    path = folder / LOCK_NAME
    file = _hold(path, use)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        file.close()
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _hold(path: Path, use: str) -> IO[bytes]:
    """The lock file, open and locked; closing it gives the lock back."""
    while True:
        try:
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666), "r+b")
        except OSError as error:
            raise FileWriteError(f"{path}: could not be made: {error.strerror or error}") from error
        try:
            _lock(file)
        except OSError:
            holder = file.read(32).decode("ascii", "replace").strip()
            file.close()
            number = f" (process {holder})" if holder.isdigit() else ""
            raise ConfigError(
                f"{path.parent}: is in use by {use}{number}; wait until it ends, or choose another folder with --out"
            ) from None
        if _is_at(file, path):
            file.truncate(0)
            file.write(f"{os.getpid()}\n".encode())
            file.flush()
            return file
        file.close()  # the holder before us removed it between our two steps


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _lock(file: IO[bytes]) -> None:
    """Lock without waiting; OSError if another process has it."""
    if os.name == "nt":
        import msvcrt

        file.seek(2**30)  # a locked byte cannot be read, and the number of the process shall be
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # pyright: ignore
        file.seek(0)
    else:
        import fcntl

        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
