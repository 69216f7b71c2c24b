"""Format `counts`: one table a call with the number of objects of every image."""

import csv
import io
from collections.abc import Iterator

from seriatim.results.interface import Call, File, Format


def encode_counts(call: Call) -> Iterator[File]:
    """The table: file, count, seconds."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "count", "seconds"))
    table.writerows((result.file, result.count, f"{result.seconds:.3f}") for result in call.results)
    yield "counts.csv", text.getvalue().encode("utf-8", "surrogateescape")


FORMAT = Format(call=encode_counts)
