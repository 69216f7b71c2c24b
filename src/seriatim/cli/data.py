"""`seriatim data`: make synthetic data sets, inspect data sets of any kind, and convert one kind into another."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from seriatim.cli.options import new_app

app = new_app(is_group=True)


class Generator(StrEnum):
    """What can be made."""

    rosettes = "rosettes"
    scenes = "scenes"


@app.callback()
def data() -> None:
    """Make, inspect and convert data sets."""


@app.command()
def make(
    kind: Annotated[
        Generator,
        typer.Argument(
            help="rosettes: plants seen from above, with their leaves. scenes: people, cars, animals and more, 3 to 8 classes.",
            show_default=False,
        ),
    ],
    count: Annotated[int, typer.Option(min=1, help="Number of images.", show_default=False)],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Gets images/ and labels/, of scenes also instances.json.", show_default=False
        ),
    ],
    seed: Annotated[int, typer.Option(min=0, help="Of the first image; the next have the next seeds.")] = 0,
    classes: Annotated[
        int | None, typer.Option(min=3, max=8, help="Scenes: number of classes (5).", show_default=False)
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="H,W", help="Scenes: size in pixels (256,256).", show_default=False)
    ] = None,
) -> None:
    """Make synthetic images with their label maps; the same seed makes the same files."""
    from seriatim.cli.progress import ProgressBar
    from seriatim.data.catalogue import open_source
    from seriatim.data.readers.coco_writer import write_coco
    from seriatim.data.readers.folder import write_folder

    if kind is Generator.rosettes and (classes is not None or size is not None):
        raise typer.BadParameter("--classes and --size are for scenes")
    settings = "" if classes is None else f",classes={classes}"
    settings += "" if size is None else f",size={_height_and_width(size)}"
    source = open_source(f"{kind}:{count}@{seed}{settings}")
    with ProgressBar(count) as progress:
        if kind is Generator.scenes:
            write_coco(source, out, progress.images, with_labels=True)
        else:
            write_folder(source, out, progress.images)
    typer.echo(str(out))


@app.command()
def inspect(
    data: Annotated[
        str, typer.Argument(metavar="KIND:PATH", help="The data set, such as coco:plants.json.", show_default=False)
    ],
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="The contact sheet (KIND-NAME.sheet.png).", show_default=False),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all numbers and problems here; - for stdout."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first problem.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Look at the first N images only.", show_default=False)
    ] = None,
    max_problems: Annotated[int, typer.Option("--problems", min=0, help="Print at most this many problems.")] = 20,
) -> None:
    """Print what a data set holds and what is wrong with it, and draw a contact sheet.

    Exit code 3: the data can be used, but have problems.
    """
    import json
    from dataclasses import asdict

    from seriatim.cli.progress import ProgressBar
    from seriatim.core.errors import DataError
    from seriatim.core.files import write_atomically
    from seriatim.data.catalogue import open_source
    from seriatim.data.inspect import as_rows
    from seriatim.data.inspect import inspect as inspect_source
    from seriatim.data.subsets import Subset
    from seriatim.evaluation.contact_sheet import ContactSheet

    source = open_source(data, strict)
    part = source if limit is None else Subset(source, range(min(limit, len(source))))
    images = ContactSheet(len(part))
    with ProgressBar(len(part)) as progress:
        found = inspect_source(part, images.add, progress.images)
    if strict and found.problems:
        raise DataError(str(found.problems[0]))
    place = sheet or Path(f"{_file_name(data)}.sheet.png")
    write_atomically(place, images.encode())
    if json_file is not None:
        text = json.dumps({"data": data, **asdict(found), "sheet": str(place)}, indent=1) + "\n"
        if json_file == Path("-"):
            typer.echo(text, nl=False)
        else:
            write_atomically(json_file, text.encode())
    if json_file != Path("-"):
        for name, value in as_rows(found):
            typer.echo(f"{name:<20} {value}")
        for problem in found.problems[:max_problems]:
            typer.echo(f"  {problem}")
        if len(found.problems) > max_problems:
            typer.echo(f"  and {len(found.problems) - max_problems} more (--problems, --json)")
    typer.echo(f"contact sheet: {place}", err=True)
    if found.problems:
        raise typer.Exit(3)


@app.command()
def convert(
    data: Annotated[str, typer.Argument(metavar="KIND:PATH", help="The data set.", show_default=False)],
    target: Annotated[
        str,
        typer.Argument(metavar="KIND:PATH", help="What it becomes: a new path.", show_default=False),
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first problem.")] = False,
) -> None:
    """Write a data set as another kind: cellpose, coco, folder, labelme or yolo.

    Exit code 3: done, but parts of the data had problems and were left out.
    """
    from seriatim.cli.progress import ProgressBar
    from seriatim.data.catalogue import open_source
    from seriatim.data.convert import LOSES
    from seriatim.data.convert import convert as convert_source

    source = open_source(data, strict)
    with ProgressBar(len(source)) as progress:
        place = convert_source(source, target, progress.images)
    typer.echo(str(place))
    kind = target.partition(":")[0]
    typer.echo(f"where the data have them, not kept by {kind}: {LOSES[kind]}", err=True)
    for problem in source.problems:
        typer.echo(str(problem), err=True)
    if source.problems:
        raise typer.Exit(3)


def _file_name(data: str) -> str:
    """A name for files about a data set.

    >>> _file_name("coco:plants/instances.json")
    'coco-instances'
    """
    kind, _, path = data.partition(":")
    return f"{kind}-{Path(path).stem or 'data'}"


def _height_and_width(size: str) -> str:
    parts = size.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise typer.BadParameter(f"--size: expected H,W such as 256,256, got {size!r}")
    return "x".join(part.strip() for part in parts)
