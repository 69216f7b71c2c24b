"""Where a number comes from: the command, source tree, versions, machine and load behind a result file or a run."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

from seriatim.core.files import write_atomically

RESULT_PACKAGES = (
    "numba",
    "numpy",
    "pillow",
    "pycocotools",
    "safetensors",
    "scikit-image",
    "scipy",
    "seriatim",
    "timm",
    "torch",
    "torchvision",
)
"""Packages whose version can change a number or a time."""

_RESULTS = "benchmarks/results"
"""Result files are not part of the source: writing one changes no number of the next."""

_PATH = re.compile(r"""(?P<before>^|[:=,"'\[])(?P<path>(?:~?/|\.\.(?=/|$))[^"',\]]*)""")


@dataclass(frozen=True)
class Start:
    """The moment when a measurement started; make one before the work and give it to `write_result` afterwards.

    Attributes:
        clock: seconds of `time.perf_counter`.
        load: load average of the last minute; None where the system has none.
        date: in UTC.
    """

    clock: float = field(default_factory=time.perf_counter)
    load: float | None = field(default_factory=lambda: _load_average())
    date: datetime = field(default_factory=lambda: datetime.now(UTC))


def write_result(
    path: Path, numbers: Mapping[str, Any], started: Start, arguments: Sequence[str] | None = None
) -> dict[str, Any]:
    """Write a result file: JSON with the numbers and, under "provenance", how they were made.

    Args:
        path: of the file; its folder is made if it is missing.
        numbers: what was measured; must not have the key "provenance".
        started: made before the measurement.
        arguments: see `command_line`.

    Returns:
        What was written.

    Raises:
        FileWriteError: if the disk does not take it; an older file is then unchanged.
    """
    result = with_provenance(numbers, started, arguments)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, result_text(result).encode())
    return result


def with_provenance(
    numbers: Mapping[str, Any], started: Start, arguments: Sequence[str] | None = None
) -> dict[str, Any]:
    """The numbers with how they were made under "provenance".

    Args:
        numbers: see `write_result`.
        started: see `write_result`.
        arguments: see `command_line`.
    """
    if "provenance" in numbers:
        raise ValueError("numbers: the key 'provenance' is taken")
    return {"provenance": provenance(started, arguments), **numbers}


def result_text(result: Mapping[str, Any]) -> str:
    """The text of a result file.

    >>> print(result_text({"images": 3}), end="")
    {
     "images": 3
    }
    """
    return json.dumps(result, indent=1) + "\n"


def provenance(started: Start, arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """How the numbers of this process were made, from `started` until now.

    Args:
        started: made before the measurement.
        arguments: see `command_line`.
    """
    return {
        "command": command_line(arguments),
        **source_tree(),
        "date": started.date.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - started.clock, 1),
        "python": platform.python_version(),
        "packages": {name: found for name in RESULT_PACKAGES if (found := _version(name)) is not None},
        **_machine(),
        **_torch_facts(),
        "load_before": started.load,
        "load_after": _load_average(),
    }


def command_line(arguments: Sequence[str] | None = None) -> str:
    """A command as a person would type it, without paths of this machine.

    A path within the working folder is shown relative to it, any other one as PATH/TO/ and its name.

    Args:
        arguments: program and arguments; None takes those of the process.

    >>> command_line(["/opt/env/bin/seriatim", "evaluate", "--data", "folder:/data/nuclei"])
    'seriatim evaluate --data folder:PATH/TO/nuclei'
    """
    program, *words = sys.argv if arguments is None else arguments
    return " ".join([_program(program), *(shlex.quote(without_machine_paths(word)) for word in words)])


def without_machine_paths(word: str) -> str:
    """A word of a command with every path of this machine replaced, as `command_line` says.

    >>> without_machine_paths("data.source=folder:../shared/nuclei")
    'data.source=folder:PATH/TO/nuclei'
    """
    return _PATH.sub(lambda found: found["before"] + _shown_path(found["path"]), word)


def _shown_path(path: str) -> str:
    absolute = Path(os.path.abspath(os.path.expanduser(path)))
    here = Path.cwd()
    if absolute.is_relative_to(here):
        return absolute.relative_to(here).as_posix()
    return f"PATH/TO/{absolute.name}"


def _program(path: str) -> str:
    name = Path(path).name
    if name == "__main__.py":  # python -m PACKAGE
        package = Path(path).parent.name
        return package if package == "seriatim" else f"python -m {package}"
    if name.endswith(".py"):
        return f"python {shlex.quote(_shown_path(path))}"
    return "python -c" if name == "-c" else name


def environment() -> dict[str, Any]:
    """Python, machine, source tree and the versions of everything installed."""
    return {
        "python": platform.python_version(),
        **_machine(),
        **source_tree(),
        "packages": {
            one.metadata["Name"]: one.version
            for one in sorted(distributions(), key=lambda one: one.metadata["Name"].lower())
        },
    }


def source_tree() -> dict[str, Any]:
    """The commit of this source tree and the files that differ from it.

    Returns:
        `commit`: 12 digits; None outside of a checkout. `tree_differs`: whether any file, result files aside, differs from the commit;
        `changed_files`: which do.
    """
    here = Path(__file__)
    root = _git("rev-parse", "--show-toplevel", folder=here.parent)
    if root is None or not (own := Path(root.strip()) / "src" / "seriatim" / "core" / here.name).is_file():
        return {"commit": None, "tree_differs": None, "changed_files": []}
    commit = _git("rev-parse", "HEAD", folder=here.parent)
    status = _git("status", "--porcelain", "-z", "--", ":/", f":(top,exclude){_RESULTS}", folder=here.parent)
    if not own.samefile(here) or commit is None or status is None:
        return {"commit": None, "tree_differs": None, "changed_files": []}
    changed = _changed_files(status)
    return {"commit": commit.strip()[:12], "tree_differs": bool(changed), "changed_files": changed}


def _changed_files(status: str) -> list[str]:
    """The paths in the output of `git status --porcelain -z`; of a renamed file the new one.

    >>> _changed_files("R  new.py\\0old.py\\0?? notes.txt\\0")
    ['new.py', 'notes.txt']
    """
    fields = iter(status.split("\0"))
    changed = []
    for one in fields:
        if one:
            changed.append(one[3:])
            if one[0] in "RC":
                next(fields)
    return changed


def _git(*words: str, folder: Path) -> str | None:
    """The output of git; None if there is no git or it fails."""
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout


def _machine() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": processor_name(),
        "cores": os.cpu_count(),
    }


def processor_name() -> str:
    """What the processor calls itself; on systems that do not tell, its kind."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _load_average() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _torch_facts() -> dict[str, Any]:
    """Threads and, where one is in use, the accelerator; torch is not imported for this."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {"torch_threads": None}
    accelerator = {"accelerator": torch.cuda.get_device_name()} if torch.cuda.is_initialized() else {}
    return {"torch_threads": torch.get_num_threads(), **accelerator}
