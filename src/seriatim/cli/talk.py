"""What a verb says to a person, on stderr."""

import sys

import typer

from seriatim.core.text import without_controls


def say(message: str) -> None:
    """Write one line to stderr; control characters in names of files are shown as codes.

    Args:
        message: without a line end.
    """
    typer.echo(without_controls(message), file=sys.stderr)
