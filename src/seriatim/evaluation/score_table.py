"""The numbers of an evaluation as rows, for the table on the terminal and for the report: headline numbers with intervals, and classes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seriatim.core.instances import class_name

APART = ("per_image", "per_class", "interval", "thresholds")
"""Keys of a result that are no headline numbers."""


class Row(NamedTuple):
    """A headline number.

    Attributes:
        name: keys of the result, joined by spaces.
        value: None where the protocol leaves it open.
        spread: standard deviation over the images, where the protocol gives it.
        interval: [low, high], where it was asked for and is known.
    """

    name: str
    value: float | None
    spread: float | None = None
    interval: tuple[float, float] | None = None

    def value_text(self) -> str:
        """The value as it is shown."""
        return show_number(self.value) + ("" if self.spread is None else f" (std {self.spread:.4f})")

    def interval_text(self) -> str:
        """The interval as it is shown; empty without one."""
        return "" if self.interval is None else f"[{self.interval[0]:.4f}, {self.interval[1]:.4f}]"


def show_number(value: float | None) -> str:
    """Four digits, or a dash for what is not known.

    >>> show_number(0.5), show_number(None)
    ('0.5000', '-')
    """
    return "-" if value is None else f"{value:.4f}"


def headline_rows(result: Mapping[str, Any]) -> list[Row]:
    """The single numbers of a result with their intervals, in its order.

    >>> headline_rows({"AP": {0.5: 1.0}, "PQ": None, "per_image": [], "interval": {"AP": {0.5: [0.9, 1.0]}}})
    [Row(name='AP 0.5', value=1.0, spread=None, interval=(0.9, 1.0)), Row(name='PQ', value=None, spread=None, interval=None)]
    >>> [row.value for row in headline_rows({"AP_large": -1.0, "DiC": -1.0})]
    [None, -1.0]
    """
    headline = {key: value for key, value in result.items() if key not in APART}
    return list(_rows(headline, result.get("interval", {}), result.get("thresholds", ()), ""))


def _rows(values: Mapping[Any, Any], intervals: Any, thresholds: Sequence[float], prefix: str) -> Iterator[Row]:
    for key, value in values.items():
        name = f"{prefix} {key}".strip()
        interval = intervals.get(key) if isinstance(intervals, Mapping) else None
        match value:
            case {"mean": mean, "std": std}:
                yield Row(name, mean, std, _pair(interval))
            case Mapping():
                yield from _rows(value, interval, thresholds, name)
            case list():
                bounds = interval or [None] * len(value)
                for threshold, number, bound in zip(thresholds, value, bounds, strict=True):
                    yield Row(f"{name} {threshold:g}", number, None, _pair(bound))
            case int() | float() | None:
                yield Row(name, _known(str(key), value), None, _pair(interval))
            case _:
                pass


def _known(key: str, value: float | None) -> float | None:
    """The number, or None for the -1 that `coco` gives where no target bears on it; differences in count may be -1."""
    return None if value == -1 and key.startswith(("AP", "AR")) else value


def _pair(interval: Any) -> tuple[float, float] | None:
    return None if interval is None else (interval[0], interval[1])


class ClassTable(NamedTuple):
    """Numbers of every class.

    Attributes:
        columns: what the numbers are.
        rows: name of each class with its numbers, None where a class has no target.
    """

    columns: tuple[str, ...]
    rows: list[tuple[str, tuple[float | None, ...]]]


def class_table(result: Mapping[str, Any], class_names: Sequence[str]) -> ClassTable | None:
    """The numbers of every class, or None where the protocol gives none, or only those of a single class.

    Args:
        result: of a protocol.
        class_names: from class 1.

    >>> class_table({"per_class": {0: 1.0, 1: 0.5, 2: None}}, ["leaf"])
    ClassTable(columns=('IoU',), rows=[('background', (1.0,)), ('leaf', (0.5,)), ('class 2', (None,))])
    """
    per_class = result.get("per_class", {})
    if sum(class_id != 0 for class_id in per_class) < 2:
        return None
    numbers = {class_id: _class_numbers(value, "thresholds" in result) for class_id, value in per_class.items()}
    columns = next((tuple(of_class) for of_class in numbers.values() if of_class), ())
    rows = [
        (
            class_name(class_id, class_names) if class_id else "background",
            tuple(of_class.get(column) for column in columns),
        )
        for class_id, of_class in numbers.items()
    ]
    return ClassTable(columns, rows)


def _class_numbers(value: Any, has_thresholds: bool) -> dict[str, float | None]:
    """Column -> number of one class; empty where the class has none."""
    if value is None:
        return {}
    if has_thresholds:
        return {"AP 0.5": value[4], "AP 0.7": value[6], "AP_vol": float(np.mean(value))}
    if isinstance(value, Mapping):
        return {row.name: row.value for row in headline_rows(value)}
    return {"IoU": value}
