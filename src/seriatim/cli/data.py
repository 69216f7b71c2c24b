"""`seriatim data make`: synthetic data sets, written as kind `folder:`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Generator(StrEnum):
    """What can be made."""

    rosettes = "rosettes"


@app.callback()
def data() -> None:
    """Make data sets."""


@app.command()
def make(
    kind: Annotated[
        Generator, typer.Argument(help="rosettes: plants seen from above, with their leaves.", show_default=False)
    ],
    count: Annotated[int, typer.Option(min=1, help="Number of pictures.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets images/ and labels/.", show_default=False)],
    seed: Annotated[int, typer.Option(min=0, help="Of the first picture; the next have the next seeds.")] = 0,
) -> None:
    """Make synthetic pictures with their label maps; the same seed makes the same files."""
    from seriatim.cli.progress import Progress
    from seriatim.data.catalogue import open_source
    from seriatim.data.writers import write_folder

    with Progress(count) as progress:
        write_folder(open_source(f"{kind}:{count}@{seed}"), out, progress.pictures)
    typer.echo(str(out))
