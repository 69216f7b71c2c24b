"""Rows of the tables that are written: CSV in UTF-8, a line a row, whatever the cells hold."""

import csv
import io
from collections.abc import Sequence

from seriatim.core.text import table_cell


def table_line(cells: Sequence[object]) -> bytes:
    """A row with its line end, each cell as `core.text.table_cell` has it; bytes of file names that are no UTF-8 stay as they are.

    >>> table_line(("two, with comma.png", 3))
    b'"two, with comma.png",3\\n'
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow([table_cell(cell) for cell in cells])
    return text.getvalue().encode("utf-8", "surrogateescape")
