"""Files: what may be read, and writes after which a path holds either the old or the new file, never part of one."""

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path

from seriatim.core.errors import FileReadError, FileWriteError

_TEMPORARY = re.compile(r"\.seriatim-[0-9a-f]{16}\.part")


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside `path`, flush it to the disk, rename it, and flush the folder.

    The name of the temporary file cannot be guessed, and no link is followed: a link at `path` is replaced, not what it points to.

    Raises:
        FileWriteError: naming the path and the number of bytes; an older file at `path` is unchanged, and no temporary file remains.
    """
    beside = path.with_name(f".seriatim-{secrets.token_hex(8)}.part")
    try:
        with open(beside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        _flush_folder(path.parent)
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        _remove(beside)
        raise FileWriteError(f"{path}: could not write {len(data)} bytes: {_reason(error)}") from error
    except BaseException:
        _remove(beside)
        raise


def append(path: Path, data: bytes) -> int:
    """Add `data` to the end of a file and flush it to the disk; returns the length of the file.

    A process that is killed may leave a part of `data`.

    Raises:
        FileWriteError: naming the path and the number of bytes; the file is then as long as before.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o666)
        try:
            before = os.fstat(handle).st_size
            try:
                if os.write(handle, data) != len(data):
                    raise OSError(None, "the disk took only a part")
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, before)
                raise
        finally:
            os.close(handle)
    except OSError as error:
        raise FileWriteError(f"{path}: could not write {len(data)} bytes: {_reason(error)}") from error
    return before + len(data)


def make_folder(folder: Path) -> None:
    """Make a folder and the folders above it, where they are missing.

    Raises:
        FileWriteError: if that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise FileWriteError(f"{folder}: could not make the folder: {_reason(error)}") from error


def remove_temporary_files(folder: Path) -> None:
    """Remove the temporary files of a `write_atomically` that was killed."""
    for path in folder.glob(".seriatim-*.part"):
        if _TEMPORARY.fullmatch(path.name):
            _remove(path)


def why_unreadable(path: Path) -> str | None:
    """Why a path is no regular file that can be opened without waiting; None if it is one.

    >>> why_unreadable(Path("nowhere.png"))
    'no such file'
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return "no such file"
    except (OSError, ValueError) as error:
        return f"cannot be read: {_reason(error)}"
    if stat.S_ISDIR(mode):
        return "no such file (there is a folder of this name)"
    return None if stat.S_ISREG(mode) else "is no regular file (a pipe, socket or device is never opened)"


def read_small_file(path: Path, max_bytes: int) -> bytes:
    """What a file of settings or text holds.

    Args:
        path: of the file; what is no regular file is not opened.
        max_bytes: a longer file is not read.

    Raises:
        FileReadError: naming the file and the reason.
    """
    reason = why_unreadable(path)
    if reason is not None:
        raise FileReadError(f"{path}: {reason}")
    try:
        with open(path, "rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise FileReadError(f"{path}: cannot be read: {_reason(error)}") from None
    if len(data) > max_bytes:
        raise FileReadError(f"{path}: is longer than {max_bytes} bytes")
    return data


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        path.unlink()


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
