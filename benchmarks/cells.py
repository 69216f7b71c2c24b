"""What the functions that write tables share: the lines of a table, and numbers as text."""

from collections.abc import Mapping, Sequence
from typing import Any

Numbers = Mapping[str, Any]
"""The content of a result file."""


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table.

    >>> markdown(["a", "|b|"], [["1", "2"]])
    ['| a | \\\\|b\\\\| |', '|---|---|', '| 1 | 2 |']
    """
    lines = [columns, *rows]
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    head, *rest = (f"| {' | '.join(line)} |" for line in cells)
    return [head, "|" + "---|" * len(columns), *rest]


def fixed(value: float | None, digits: int) -> str:
    """The number with this many digits behind the point, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"
