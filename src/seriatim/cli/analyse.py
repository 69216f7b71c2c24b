"""`seriatim analyse`: what a network holds in its states, and how its results fail."""

import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Part(StrEnum):
    """Of the data of a recipe."""

    training = "training"
    validation = "validation"
    test = "test"


@app.callback()
def analyse() -> None:
    """Look inside a network, and at its failures."""


@app.command()
def states(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="A picture.", show_default=False)],
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|FOLDER", help="A model that ships, a run folder or a model folder.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="The figure of the steps, .png or .pdf.", show_default=False)
    ],
    features: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The figure of the features, .png or .pdf.", show_default=False),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write the numbers here; - for stdout.", show_default=False),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Steps at the most.")] = 10,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Of a picture that is cut into tiles: which, row by row; the middle one unless given.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of arithmetic.", show_default=False)] = None,
) -> None:
    """Draw what a network holds at every step of a picture: states, stages of the mask, masks and scores."""
    from seriatim.core.files import write_atomically
    from seriatim.data.images import read_pixels, to_float_image
    from seriatim.plots.canvas import check_figure_path, write_figure
    from seriatim.plots.states import draw_features, draw_states

    for path in (out, features):
        if path is not None:
            check_figure_path(path)
    values = to_float_image(read_pixels(image), str(image))

    from seriatim.analysis.states import summarise, trace_states

    trace = trace_states(_load(model, device, threads), values, None if tile is None else tile - 1, steps)
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
    data: Annotated[
        str, typer.Option(metavar="KIND:PATH", help="The data set, such as folder:plants.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Gets failures.png and failures.json.", show_default=False)],
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER", help="A model that ships, a run folder or a model folder.", show_default=False
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Label maps: NAME.png, NAME.labels.png or the same with .tif.", show_default=False
        ),
    ] = None,
    recipe: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE", help="Take only the part of the data that this recipe keeps back.", show_default=False
        ),
    ] = None,
    part: Annotated[Part, typer.Option(help="With --recipe: which part.")] = Part.test,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Take the first N pictures only.", show_default=False)
    ] = None,
    examples: Annotated[int, typer.Option(min=0, max=24, metavar="N", help="Examples of each kind drawn.")] = 6,
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of arithmetic.", show_default=False)] = None,
) -> None:
    """Sort every prediction and every target: right, joined, split, duplicated, inexact, missed, hallucinated.

    Give one of --model and --predictions. With --recipe, only the pictures that a recipe keeps back from the data are taken. A table goes to stdout.
    """
    from seriatim.core.errors import ConfigError
    from seriatim.core.files import write_atomically
    from seriatim.data.catalogue import open_source
    from seriatim.data.subsets import Subset
    from seriatim.plots.canvas import write_figure
    from seriatim.plots.failures import draw_failures

    if (model is None) == (predictions is None):
        raise ConfigError("analyse failures: give one of --model and --predictions")
    _make_folder(out)
    source: Any = open_source(data) if recipe is None else _part(data, recipe, part)
    if limit is not None:
        source = Subset(source, range(min(limit, len(source))))
    report = _collect(source, model, predictions, examples, device, threads)
    judged = {"model": model} if model is not None else {"predictions": str(predictions)}
    kept_back = {} if recipe is None else {"recipe": recipe, "part": part.value}
    text = json.dumps({"data": data, **kept_back, **judged, **report.as_json()}, indent=1) + "\n"
    write_atomically(out / "failures.json", text.encode())
    pictures = f"{len(source)} picture{'' if len(source) == 1 else 's'} of {data}"
    if recipe is not None:
        pictures += f" ({part.value} part of {recipe})"
    title = f"Failures of {model or predictions}: {pictures}"
    targets, preds = report.target_counts(), report.pred_counts()
    write_figure(draw_failures(title, targets, preds, report.case_counts(), report.examples), out / "failures.png")
    _show_counts(pictures, targets, preds)


def model_title(given: str, network: str) -> str:
    """What a figure calls a model: the name of its folder or in the zoo, and its architecture.

    >>> model_title("runs/mine/", "ris")
    'mine (RIS)'
    """
    return f"{Path(given).name} ({network.upper()})"


def _collect(
    source: Any, model: str | None, predictions: Path | None, examples: int, device: str, threads: int | None
) -> Any:
    from seriatim.analysis.failure_report import collect_failures, read_predictions
    from seriatim.cli.progress import Progress

    with Progress(len(source)) as progress:
        if model is not None:
            predictor = _load(model, device, threads)
            return collect_failures(
                lambda sample: predictor.predict_values(sample.image), source, examples, progress.pictures
            )
        assert predictions is not None
        return collect_failures(read_predictions(predictions, source), source, examples, progress.pictures)


def _part(data: str, recipe: str, part: Part) -> Any:
    """The part of the data that the recipe's split makes of them."""
    from seriatim.training.recipe import load_recipe
    from seriatim.training.splits import open_splits

    return getattr(open_splits(load_recipe(recipe).data.model_copy(update={"source": data})), part.value)


def _load(model: str, device: str, threads: int | None) -> Any:
    import torch

    from seriatim.inference.predictor import load

    if threads is not None:
        torch.set_num_threads(threads)
    return load(model, device)


def _make_folder(folder: Path) -> None:
    from seriatim.core.errors import ConfigError
    from seriatim.core.files import FileWriteError

    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; results need a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileWriteError(f"{folder}: could not make the folder: {error.strerror or error}") from error


def _show_counts(pictures: str, targets: Mapping[str, int], preds: Mapping[str, int]) -> None:
    typer.echo(pictures)
    typer.echo(f"  {'':<14}{'targets':>18}{'predictions':>18}")
    for kind in dict.fromkeys((*targets, *preds)):
        cells = (_share(counts.get(kind), sum(counts.values())) for counts in (targets, preds))
        typer.echo(f"  {kind:<14}" + "".join(f"{cell:>18}" for cell in cells))
    typer.echo(f"  {'all':<14}{sum(targets.values()):>18}{sum(preds.values()):>18}")


def _share(count: int | None, total: int) -> str:
    if count is None:
        return "-"
    return f"{count} ({100 * count / total:.1f} %)" if total else str(count)
