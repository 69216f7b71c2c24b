"""Numbers out of a Matlab file of version 5 to 7: the numeric fields of one struct, which is all that SBD's annotations need.

`scipy.io.loadmat` reads the files, in a process of its own: on 2 of 60 files with three bytes changed it took its process down (SIGSEGV,
SIGBUS), and a damaged length can ask for any time and memory. So a damaged file is a `DataError`, whatever it does to its reader.
`python -m seriatim.data.readers.matlab` is that process; it is started when it is first needed and serves one file after another.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from seriatim.core.errors import DataError

MAX_BYTES = 2**26
"""Of a file, and of the numbers that are read from it."""

MAX_MEMORY = 2**30
"""Bytes that the reading process may allocate, where the system can limit them."""

MAX_SECONDS = 30.0
"""For one file, the start of the process included."""

HDF_MARK = b"\x89HDF\r\n\x1a\n"
"""At the begin of a file of version 7.3, or behind 512 bytes of Matlab's own."""

COMMAND = (sys.executable, "-m", "seriatim.data.readers.matlab")
"""Starts the reading process."""


def read_struct(path: Path, variable: str, fields: Sequence[str]) -> dict[str, np.ndarray]:
    """The named numeric fields of a 1 x 1 struct in a file.

    Args:
        path: a Matlab file of version 5, 6 or 7.
        variable: the name of the struct.
        fields: those to return.

    Raises:
        DataError: naming the file and what it lacks.
    """
    try:
        num_bytes = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(520)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    expected = f"{path}: expected a Matlab file with the numbers {', '.join(f'{variable}.{field}' for field in fields)}"
    if num_bytes > MAX_BYTES:
        raise DataError(f"{expected}: has {num_bytes} bytes, more than the limit of {MAX_BYTES}")
    if HDF_MARK in (head[:8], head[512:]):
        raise DataError(f"{expected}: is of version 7.3 (HDF5); save it with -v7")
    try:
        return _worker().ask(path, variable, fields)
    except ValueError as error:
        raise DataError(f"{expected}: {error}") from None


class _Worker:
    """The reading process, started with the first question; one question at a time."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.lock = threading.Lock()
        self.process: subprocess.Popen[bytes] | None = None

    def ask(self, path: Path, variable: str, fields: Sequence[str]) -> dict[str, np.ndarray]:
        """
        Raises:
            ValueError: saying what is wrong with the file.
        """
        with self.lock:
            if self.process is None:
                self.process = subprocess.Popen(
                    COMMAND,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # threads take memory
                )
            is_late = threading.Event()
            timer = threading.Timer(MAX_SECONDS, self._give_up, (self.process, is_late))
            timer.start()
            try:
                return self._converse(
                    self.process, {"path": str(path.absolute()), "variable": variable, "fields": [*fields]}
                )
            except (OSError, EOFError):
                self.stop()
                reason = f"takes more than {MAX_SECONDS:g} s to read" if is_late.is_set() else "takes its reader down"
                raise ValueError(f"is damaged: it {reason}") from None
            finally:
                timer.cancel()

    @staticmethod
    def _give_up(process: "subprocess.Popen[bytes]", is_late: threading.Event) -> None:
        is_late.set()
        process.kill()

    @staticmethod
    def _converse(process: "subprocess.Popen[bytes]", question: dict[str, Any]) -> dict[str, np.ndarray]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(question).encode() + b"\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        answer = json.loads(line)
        if "error" in answer:
            raise ValueError(answer["error"])
        found = {}
        for name, dtype, shape in answer["fields"]:
            count = int(np.prod(shape)) * np.dtype(dtype).itemsize
            content = process.stdout.read(count)
            if len(content) < count:
                raise EOFError
            found[name] = np.frombuffer(content, dtype=dtype).reshape(shape)
        return found

    def stop(self) -> None:
        """End the process; the next question starts a new one."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            with contextlib.suppress(OSError):
                process.communicate()


_WORKERS: list[_Worker] = []
"""The worker of this process, if it has one; a forked process finds its parent's here and starts its own."""


def _worker() -> _Worker:
    if not _WORKERS or _WORKERS[0].owner != os.getpid():
        _WORKERS[:] = [_Worker()]
        atexit.register(_WORKERS[0].stop)
    return _WORKERS[0]


def _serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Read file after file until there are no more questions."""
    _limit_memory()
    for line in questions:
        question = json.loads(line)
        arrays: dict[str, np.ndarray] = {}
        try:
            arrays = _load(question["path"], question["variable"], question["fields"])
            answer: dict[str, Any] = {"fields": [(name, one.dtype.str, one.shape) for name, one in arrays.items()]}
        except MemoryError:
            answer = {"error": f"asks for more than {MAX_MEMORY} bytes of memory"}
        except Exception as error:  # loadmat raises nearly anything on damaged files
            answer = {"error": str(error)[:200] or type(error).__name__}
        answers.write(json.dumps(answer).encode() + b"\n")
        for one in arrays.values():
            answers.write(one.tobytes())
        answers.flush()


def _limit_memory() -> None:
    try:
        import resource  # is not there on Windows
    except ImportError:
        return
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (MAX_MEMORY, MAX_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _load(path: str, variable: str, fields: Sequence[str]) -> dict[str, np.ndarray]:
    from scipy.io import loadmat

    found = loadmat(path, variable_names=[variable], appendmat=False)
    if variable not in found:
        raise ValueError(f"holds no variable {variable}")
    struct = found[variable]
    names = struct.dtype.names
    if names is None or struct.shape != (1, 1):
        raise ValueError(f"{variable} is no struct of 1 x 1")
    arrays = {}
    for field in fields:
        if field not in names:
            raise ValueError(f"{variable} has no field {field}; it has {', '.join(names[:8])}")
        value = struct[field][0, 0]
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
            raise ValueError(f"{variable}.{field} holds no numbers")
        if value.nbytes > MAX_BYTES:
            raise ValueError(f"{variable}.{field} has {value.nbytes} bytes, more than the limit of {MAX_BYTES}")
        arrays[field] = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("="))
    return arrays


if __name__ == "__main__":
    _serve(sys.stdin.buffer, sys.stdout.buffer)
