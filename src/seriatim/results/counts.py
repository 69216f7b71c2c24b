"""Format `counts`: one table a call with the number of objects of every image."""

from collections.abc import Iterator

from seriatim.results.interface import Call, File, Format
from seriatim.results.manifest import Entry
from seriatim.results.tables import table_line

_NAME = "counts.csv"


def encode_counts(call: Call) -> Iterator[File]:
    """The table: file, count, seconds."""
    lines = [table_line(("file", "count", "seconds")), *(grow_counts(result)[1] for result in call.results)]
    yield _NAME, b"".join(lines)


def grow_counts(result: Entry) -> File:
    """The row of one image."""
    return _NAME, table_line((result.file, result.count, f"{result.seconds:.3f}"))


FORMAT = Format(call=encode_counts, grow=grow_counts)
