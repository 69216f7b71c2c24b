"""What the benchmarks share: their options, times taken in turns, and the result file."""

import argparse
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from seriatim.core.provenance import Start, write_result

RESULTS = Path(__file__).parent / "results"
"""Result files, named WHAT_DEVICE_DATE.json; one a measurement."""


def make_parser(description: str | None, data: str | None = None, threads: int | None = 1) -> argparse.ArgumentParser:
    """The options that every benchmark has.

    Args:
        description: the docstring of the script.
        data: help text of the option --data KIND:PATH; None for no such option.
        threads: default of --threads; None for no such option.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if data is not None:
        parser.add_argument("--data", metavar="KIND:PATH", help=data)
    if threads is not None:
        parser.add_argument("--threads", type=int, default=threads, metavar="N", help="of arithmetic (%(default)s)")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="result file; without it benchmarks/results/WHAT_DEVICE_DATE.json, which replaces those of other dates",
    )
    return parser


def parse(parser: argparse.ArgumentParser, words: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a call; sets the threads of arithmetic."""
    options = parser.parse_args(words)
    if hasattr(options, "threads"):
        torch.set_num_threads(options.threads)
    return options


def save(
    what: str,
    numbers: Mapping[str, Any],
    started: Start,
    path: Path | None,
    device: str = "cpu",
    folder: Path = RESULTS,
) -> Path:
    """Write the result file and say where it is.

    Args:
        what: was measured: the first part of the file's name.
        numbers: the result.
        started: before the measurement.
        path: of the file; None for the default, which replaces the files of other dates.
        device: second part of the file's name.
        folder: of the default.
    """
    if path is not None:
        write_result(path, numbers, started)
    else:
        path = folder / f"{what}_{device}_{started.date.date().isoformat()}.json"
        write_result(path, numbers, started)
        for old in results_of(what, device, folder):
            if old != path:
                old.unlink()
    print(path)
    return path


def results_of(what: str, device: str, folder: Path) -> list[Path]:
    """The result files of a measurement, oldest first."""
    name = re.compile(rf"{re.escape(f'{what}_{device}_')}\d{{4}}-\d\d-\d\d\.json")
    return sorted(path for path in folder.glob("*.json") if name.fullmatch(path.name))


class Times(NamedTuple):
    """Of one call, in seconds."""

    wall: float
    processor: float


def in_turns(
    calls: Mapping[str, Callable[[], Any]],
    repeats: int,
    warm_ups: int = 1,
    synchronize: Callable[[], None] = lambda: None,
) -> dict[str, list[Times]]:
    """The times of calls that take turns (A B A B ...), so that a busy machine slows all of them alike.

    Args:
        calls: name -> what is measured.
        repeats: times of each.
        warm_ups: turns before that are not measured.
        synchronize: waits until an accelerator has finished.
    """
    times: dict[str, list[Times]] = {name: [] for name in calls}
    for turn in range(warm_ups + repeats):
        for name, call in calls.items():
            synchronize()
            wall, processor = time.perf_counter(), time.process_time()
            call()
            synchronize()
            if turn >= warm_ups:
                times[name].append(Times(time.perf_counter() - wall, time.process_time() - processor))
    return times


def median_wall(times: Sequence[Times]) -> float:
    """The median of the wall times in seconds."""
    return statistics.median(one.wall for one in times)
