"""`seriatim analyse`: the states of a network, the failures of its results, and the order in which it emits objects."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from seriatim.cli import options

app = options.new_app(is_group=True)

FewImagesOption = Annotated[int, typer.Option("--limit", min=1, metavar="N", help="Take only the first N images.")]


@app.callback()
def analyse() -> None:
    """Look inside a network, at its failures, and at the order of its objects."""


@app.command()
def states(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="An image.", show_default=False)],
    model: options.RequiredModelOption,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Figure of the steps, .png or .pdf.", show_default=False)],
    features: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Figure of the features, .png or .pdf.", show_default=False),
    ] = None,
    json_file: options.JsonOption = None,
    steps: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Draw at most N steps.")] = 10,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Tile of an image that is cut into tiles, counted row by row; by default the middle one.",
            show_default=False,
        ),
    ] = None,
    device: options.DeviceOption = "auto",
    threads: options.ThreadsOption = None,
) -> None:
    """Draw the states, stages of the mask, masks and scores of a network at every step of an image."""
    from seriatim.core.provenance import Start
    from seriatim.data.images import read_pixels, to_float_image
    from seriatim.plots.canvas import check_figure_path, write_figure

    for path in (out, features):
        if path is not None:
            check_figure_path(path)
    values = to_float_image(read_pixels(image), str(image))

    # these import torch, which takes seconds
    from seriatim.analysis.states import summarise, trace_states
    from seriatim.plots.states import draw_features, draw_states

    started = Start()
    trace = trace_states(options.load_model(model, device, threads), values, None if tile is None else tile - 1, steps)
    place = image.name if trace.num_tiles == 1 else f"{image.name}, tile {trace.tile + 1} of {trace.num_tiles}"
    write_figure(draw_states(trace, f"{model_title(model, trace.model)}: {place}"), out)
    if features is not None:
        title = f"{model_title(model, trace.model)}: features of {place}"
        write_figure(draw_features(trace, title), features)
    numbers = {"image": str(image), **summarise(trace), "model": model, "network": trace.model}
    if options.write_numbers(numbers, json_file, started):
        return
    if trace.num_tiles > 1:
        typer.echo(f"tile {trace.tile + 1} of {trace.num_tiles}; another with --tile N", file=sys.stderr)
    typer.echo(f"{'step':<6}{'score':<8}{'pixels':>8}  what became of it")
    for step in numbers["steps"]:
        typer.echo(f"{step['step']:<6}{step['score']:<8.3f}{step['area']:>8}  {step['fate']}")


@app.command()
def failures(
    data: options.DataOption,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for failures.png and failures.json.", show_default=False)
    ],
    model: options.ModelOption = None,
    predictions: options.PredictionsOption = None,
    recipe: options.RecipeOption = None,
    part: options.PartOption = options.Part.test,
    limit: options.LimitOption = None,
    examples: Annotated[
        int, typer.Option(min=0, max=24, metavar="N", help="Draw at most N examples of each kind.")
    ] = 6,
    device: options.DeviceOption = "auto",
    threads: options.ThreadsOption = None,
) -> None:
    """Sort all predictions and targets into right, joined, split, duplicated, inexact, missed and hallucinated ones.

    Give either --model or --predictions. With --recipe, only the images that a recipe keeps back from the data are used. A table goes to stdout.
    """
    from seriatim.analysis.failure_report import collect_failures
    from seriatim.cli.progress import ProgressBar
    from seriatim.core.provenance import Start
    from seriatim.plots.canvas import write_figure
    from seriatim.plots.failures import draw_failures
    from seriatim.results.folder import make_result_folder

    options.check_one_origin("analyse failures", model, predictions)
    make_result_folder(out)
    started = Start()
    source = options.open_images(data, recipe, part, limit)
    found = options.open_prediction_source(model, predictions, source, device, threads)
    with ProgressBar(len(source)) as progress:
        report = collect_failures(found, source, examples, progress.images)
    facts = options.what_is_judged(data, recipe, part, model, predictions)
    options.write_numbers({**facts, **report.as_json()}, out / "failures.json", started)
    images = f"{len(source)} image{'' if len(source) == 1 else 's'} of {data}"
    if recipe is not None:
        images += f" ({part.value} part of {recipe})"
    title = f"Failures of {model or predictions}: {images}"
    targets, preds = report.target_counts(), report.pred_counts()
    write_figure(draw_failures(title, targets, preds, report.case_counts(), report.examples), out / "failures.png")
    _show_counts(images, targets, preds)


@app.command()
def order(
    data: options.DataOption,
    model: options.ModelOption = None,
    predictions: options.PredictionsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for order.png, pairs.png, .csv and .json.", show_default=False),
    ] = None,
    recipe: options.RecipeOption = None,
    part: options.PartOption = options.Part.test,
    limit: options.LimitOption = None,
    examples: Annotated[int, typer.Option(min=1, max=12, metavar="N", help="Draw N images of each order.")] = 4,
    json_file: options.JsonOption = None,
    device: options.DeviceOption = "auto",
    threads: options.ThreadsOption = None,
) -> None:
    """Compare the order in which objects are emitted with right to left, bottom to top, and large to small.

    Give either --model or --predictions. The numbers are Kendall's tau-a: 1 is exactly that order, -1 its reverse. A table goes to stdout.
    With --out, also the images that follow each order best, and the patterns of consecutive objects by their classes.
    """
    from seriatim.analysis.order import ORDERS, collect_orders
    from seriatim.analysis.pairs import PATTERNS
    from seriatim.cli.progress import ProgressBar
    from seriatim.core.provenance import Start
    from seriatim.evaluation.predictions import ModelPredictions, open_predictions

    options.check_one_origin("analyse order", model, predictions)
    if out is not None:
        _check_drawing(out)
    started = Start()
    source = options.open_images(data, recipe, part, limit)
    if model is None:
        assert predictions is not None, "check_one_origin refuses this"
        found = open_predictions(predictions, source)
    else:
        predictor = options.load_model(model, device, threads)

        from seriatim.analysis.emitted import as_emitted  # imports torch, which predictions of others do not need

        found = ModelPredictions(as_emitted(predictor))
    with ProgressBar(len(source)) as progress:
        report = collect_orders(found, source, 0 if out is None else examples, progress.images)
    numbers = {**options.what_is_judged(data, recipe, part, model, predictions), **report.as_json()}
    taus = report.summarise()
    rows = [(name.replace("_", " "), _number(taus[name].mean), _interval(taus[name].interval)) for name in ORDERS]
    table = _Table(("order", "tau", "95 % interval"), rows)
    if out is not None:
        from seriatim.plots.canvas import write_figure
        from seriatim.plots.order import draw_pairs, draw_sequences

        of_what = f"{model or predictions} on {data}"
        groups = report.pairs.groups(report.class_names)
        shares = [
            (group.name, str(group.num_pairs), *(f"{100 * group.share(pattern):.1f}" for pattern in PATTERNS))
            for group in groups
        ]
        options.write_numbers(numbers, out / "order.json", started)
        table.write(out / "order.csv")
        _Table(("pairs", "number", *PATTERNS), shares).write(out / "pairs.csv")
        write_figure(draw_sequences(report, f"Order of objects: {of_what}"), out / "order.png")
        write_figure(draw_pairs(groups, f"Consecutive objects: {of_what}"), out / "pairs.png")
    if options.write_numbers(numbers, json_file, started):
        return
    typer.echo(
        f"{numbers['num_images']} images of {data}; left out, with fewer than two objects: {numbers['num_left_out']}"
    )
    table.show()


@app.command()
def activations(
    data: options.DataOption,
    model: options.RequiredModelOption,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for activations.png, .csv and .json.", show_default=False)
    ],
    recipe: options.RecipeOption = None,
    part: options.PartOption = options.Part.test,
    limit: FewImagesOption = 24,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Seed of the weights before training; by default that of the run's recipe, or 0 where the model has none.",
            show_default=False,
        ),
    ] = None,
    absolute: Annotated[bool, typer.Option("--absolute", help="Take the mean of the absolute activations.")] = False,
    device: options.DeviceOption = "auto",
    threads: options.ThreadsOption = None,
) -> None:
    """Compare the order in which objects are emitted with their activations in the encoder, before and after training.

    The numbers are Kendall's tau-a: 1 where the most active object comes first. A table goes to stdout.
    """
    from seriatim.cli.progress import ProgressBar
    from seriatim.core.provenance import Start

    _check_drawing(out)
    started = Start()
    source = options.open_images(data, recipe, part, limit)
    predictor = options.load_model(model, device, threads)

    # these import torch, which takes seconds
    from seriatim.analysis.activations import collect_activations
    from seriatim.cli.untrained import untrained_network
    from seriatim.plots.activations import draw_activations
    from seriatim.plots.canvas import write_figure

    initial, before = untrained_network(model, predictor.description, seed)
    with ProgressBar(len(source)) as progress:
        report = collect_activations(predictor, initial, source, absolute=absolute, progress=progress.images)
    mean_of = "absolute activations" if absolute else "activations"
    facts = {**options.what_is_judged(data, recipe, part, model, None), "before": before, "mean_of": mean_of}
    numbers = {**facts, **report.as_json()}
    options.write_numbers(numbers, out / "activations.json", started)
    rows = [
        (one.level, *_with_interval(one.before, one.before_interval), *_with_interval(one.after, one.after_interval))
        for one in report.summarise()
    ]
    table = _Table(("level", "before", "95 % interval", "after", "95 % interval"), rows)
    table.write(out / "activations.csv")
    title = f"Order and {mean_of}: {model} on {data}, {numbers['num_images']} images"
    write_figure(draw_activations(report, title, f"before training: {before}"), out / "activations.png")
    typer.echo(f"{numbers['num_images']} images of {data}; left out, with fewer than two objects: {report.num_left_out}")
    typer.echo(f"before training: {before}")
    table.show()


class _Table(NamedTuple):
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
        import csv
        import io

        from seriatim.core.files import write_atomically

        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows((self.header, *self.rows))
        write_atomically(path, text.getvalue().encode())


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def _with_interval(value: float | None, interval: tuple[float, float] | None) -> tuple[str, str]:
    return _number(value), _interval(interval)


def _check_drawing(out: Path) -> None:
    """Make the folder, and refuse at once where figures cannot be drawn."""
    from seriatim.plots import canvas
    from seriatim.results.folder import make_result_folder

    del canvas  # imported to find out whether matplotlib is installed
    make_result_folder(out)


def model_title(given: str, network: str) -> str:
    """The name of a model in a figure: its folder or its name in the zoo, and its architecture.

    >>> model_title("runs/mine/", "ris")
    'mine (RIS)'
    """
    return f"{Path(given).name} ({network.upper()})"


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
