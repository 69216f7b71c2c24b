"""`seriatim analyse`: what a network holds in its states, how its results fail, and in which order it emits objects."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from seriatim.cli.options import (
    DataOption,
    DeviceOption,
    JsonOption,
    LimitOption,
    ModelOption,
    Part,
    PartOption,
    PredictionsOption,
    RecipeOption,
    RequiredModelOption,
    ThreadsOption,
    check_one_origin,
    load_model,
    open_finder,
    open_images,
    what_is_judged,
)

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def analyse() -> None:
    """Look inside a network, and at its failures."""


@app.command()
def states(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A image.", show_default=False)],
    model: RequiredModelOption,
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The figure of the steps, .png or .pdf.", show_default=False)
    ],
    features: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The figure of the features, .png or .pdf.", show_default=False),
    ] = None,
    json_file: JsonOption = None,
    steps: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Steps at the most.")] = 10,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Of a image that is cut into tiles: which, row by row; the middle one unless given.",
            show_default=False,
        ),
    ] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Draw what a network holds at every step of a image: states, stages of the mask, masks and scores."""
    from seriatim.core.files import write_atomically
    from seriatim.data.images import read_pixels, to_float_image
    from seriatim.plots.canvas import check_figure_path, write_figure
    from seriatim.plots.states import draw_features, draw_states

    for path in (out, features):
        if path is not None:
            check_figure_path(path)
    values = to_float_image(read_pixels(image), str(image))

    from seriatim.analysis.states import summarise, trace_states

    trace = trace_states(load_model(model, device, threads), values, None if tile is None else tile - 1, steps)
    place = image.name if trace.num_tiles == 1 else f"{image.name}, tile {trace.tile + 1} of {trace.num_tiles}"
    write_figure(draw_states(trace, f"{model_title(model, trace.model)}: {place}"), out)
    if features is not None:
        title = f"{model_title(model, trace.model)}: features of {place}"
        write_figure(draw_features(trace, title), features)
    numbers = {"image": str(image), **summarise(trace), "model": model, "network": trace.model}
    if json_file is not None:
        text = json.dumps(numbers, indent=1) + "\n"
        if json_file == Path("-"):
            sys.stdout.write(text)
            return
        write_atomically(json_file, text.encode())
    if trace.num_tiles > 1:
        typer.echo(f"tile {trace.tile + 1} of {trace.num_tiles}; another with --tile N", file=sys.stderr)
    typer.echo(f"{'step':<6}{'score':<8}{'pixels':>8}  what became of it")
    for step in numbers["steps"]:
        typer.echo(f"{step['step']:<6}{step['score']:<8.3f}{step['area']:>8}  {step['fate']}")


@app.command()
def failures(
    data: DataOption,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets failures.png and failures.json.", show_default=False)],
    model: ModelOption = None,
    predictions: PredictionsOption = None,
    recipe: RecipeOption = None,
    part: PartOption = Part.test,
    limit: LimitOption = None,
    examples: Annotated[int, typer.Option(min=0, max=24, metavar="N", help="Examples of each kind drawn.")] = 6,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Sort every prediction and every target: right, joined, split, duplicated, inexact, missed, hallucinated.

    Give one of --model and --predictions. With --recipe, only the images that a recipe keeps back from the data are taken. A table goes to stdout.
    """
    from seriatim.analysis.failure_report import collect_failures
    from seriatim.cli.progress import Progress
    from seriatim.core.files import write_atomically
    from seriatim.plots.canvas import write_figure
    from seriatim.plots.failures import draw_failures

    check_one_origin("analyse failures", model, predictions)
    _make_folder(out)
    source = open_images(data, recipe, part, limit)
    finder = open_finder(model, predictions, source, device, threads)
    with Progress(len(source)) as progress:
        report = collect_failures(finder, source, examples, progress.images)
    facts = what_is_judged(data, recipe, part, model, predictions)
    text = json.dumps({**facts, **report.as_json()}, indent=1) + "\n"
    write_atomically(out / "failures.json", text.encode())
    images = f"{len(source)} image{'' if len(source) == 1 else 's'} of {data}"
    if recipe is not None:
        images += f" ({part.value} part of {recipe})"
    title = f"Failures of {model or predictions}: {images}"
    targets, preds = report.target_counts(), report.pred_counts()
    write_figure(draw_failures(title, targets, preds, report.case_counts(), report.examples), out / "failures.png")
    _show_counts(images, targets, preds)


@app.command()
def order(
    data: DataOption,
    model: ModelOption = None,
    predictions: PredictionsOption = None,
    recipe: RecipeOption = None,
    part: PartOption = Part.test,
    limit: LimitOption = None,
    json_file: JsonOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = None,
) -> None:
    """Compare the order in which objects are emitted with right to left, bottom to top, and large to small.

    Give one of --model and --predictions. The numbers are Kendall's tau-a: 1 is exactly that order, -1 its reverse. A table goes to stdout.
    """
    from seriatim.analysis.order import ORDERS, collect_orders
    from seriatim.cli.progress import Progress
    from seriatim.core.files import write_atomically

    check_one_origin("analyse order", model, predictions)
    source = open_images(data, recipe, part, limit)
    finder = open_finder(model, predictions, source, device, threads)
    with Progress(len(source)) as progress:
        numbers = collect_orders(finder, source, progress.images).as_json()
    if json_file is not None:
        facts = what_is_judged(data, recipe, part, model, predictions)
        text = json.dumps({**facts, **numbers}, indent=1) + "\n"
        if json_file == Path("-"):
            sys.stdout.write(text)
            return
        write_atomically(json_file, text.encode())
    typer.echo(
        f"{numbers['num_images']} images of {data}; left out, with fewer than two objects: {numbers['num_left_out']}"
    )
    for name in ORDERS:
        value = "-" if numbers[name] is None else f"{numbers[name]:.4f}"
        typer.echo(f"  {name.replace('_', ' '):<16}{value:>8}")


def model_title(given: str, network: str) -> str:
    """What a figure calls a model: the name of its folder or in the zoo, and its architecture.

    >>> model_title("runs/mine/", "ris")
    'mine (RIS)'
    """
    return f"{Path(given).name} ({network.upper()})"


def _make_folder(folder: Path) -> None:
    from seriatim.core.errors import ConfigError, FileWriteError

    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; results need a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileWriteError(f"{folder}: could not make the folder: {error.strerror or error}") from error


def _show_counts(images: str, targets: Mapping[str, int], preds: Mapping[str, int]) -> None:
    typer.echo(images)
    typer.echo(f"  {'':<14}{'targets':>18}{'predictions':>18}")
    for kind in dict.fromkeys((*targets, *preds)):
        cells = (_share(counts.get(kind), sum(counts.values())) for counts in (targets, preds))
        typer.echo(f"  {kind:<14}" + "".join(f"{cell:>18}" for cell in cells))
    typer.echo(f"  {'all':<14}{sum(targets.values()):>18}{sum(preds.values()):>18}")


def _share(count: int | None, total: int) -> str:
    if count is None:
        return "-"
    return f"{count} ({100 * count / total:.1f} %)" if total else str(count)
