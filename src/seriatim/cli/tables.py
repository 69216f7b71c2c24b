"""What a verb prints and writes as a table: rows of text, numbers with four digits, and 95 % intervals."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import typer

from seriatim.core.files import write_atomically


class Table(NamedTuple):
    """A table for the terminal and for a file of comma-separated values."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def show(self) -> None:
        """Print it, the first column aligned to the left."""
        widths = [max(map(len, cells)) for cells in zip(self.header, *self.rows, strict=True)]
        for row in (self.header, *self.rows):
            first, *others = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
            typer.echo("  ".join(["", row[0].ljust(len(first)), *others]).rstrip())

    def write(self, path: Path) -> None:
        """Write it as comma-separated values."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows((self.header, *self.rows))
        write_atomically(path, text.getvalue().encode())


def number_text(value: float | None) -> str:
    """Four digits, or a dash for what is not known."""
    return "-" if value is None else f"{value:.4f}"


def interval_text(interval: tuple[float, float] | None) -> str:
    """Both ends, or a dash for what is not known."""
    return "-" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def with_interval(value: float | None, interval: tuple[float, float] | None) -> tuple[str, str]:
    """Two cells of a row.

    >>> with_interval(0.5, (0.25, 0.75)), with_interval(None, None)
    (('0.5000', '0.2500 to 0.7500'), ('-', '-'))
    """
    return number_text(value), interval_text(interval)
