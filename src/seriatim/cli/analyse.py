"""`seriatim analyse`: the states of a network and the failures of its results; `sequences.py` has the verbs about the order of its objects."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from seriatim.cli import options, sequences
from seriatim.cli.tables import Table
from seriatim.core.errors import ConfigError

app = options.new_app(is_group=True)


@app.callback()
def analyse() -> None:
    """Look inside a network, at its failures, and at the order of its objects."""


app.command()(sequences.order)
app.command()(sequences.activations)
app.command()(sequences.recurrence)


@app.command()
def states(
    model: options.RequiredModelOption,
    out: Annotated[Path, typer.Option(metavar="FILE", help="Figure, .png or .pdf.", show_default=False)],
    image: Annotated[
        Path | None, typer.Argument(metavar="IMAGE", help="An image; not with --gallery.", show_default=False)
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Figure of the features, .png or .pdf.", show_default=False),
    ] = None,
    json_file: options.JsonOption = None,
    steps: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="Draw at most N steps, or labels.")] = 10,
    tile: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Tile of an image that is cut into tiles, counted row by row; by default the middle one.",
            show_default=False,
        ),
    ] = None,
    boxes: options.BoxesOption = None,
    gallery: Annotated[
        bool, typer.Option("--gallery", help="Draw images of --data by their number of objects instead.")
    ] = False,
    data: Annotated[
        str | None, typer.Option(metavar="KIND:PATH", help="With --gallery: the data set.", show_default=False)
    ] = None,
    limit: sequences.FewImagesOption = 24,
    examples: Annotated[
        int, typer.Option(min=1, max=12, metavar="N", help="With --gallery: images of each number of objects.")
    ] = 3,
    crf: options.CrfOption = False,
    device: options.DeviceOption = "auto",
    threads: options.ThreadsOption = None,
) -> None:
    """Draw the states, stages of the mask, masks and scores of a network at every step of an image.

    Of a model that takes boxes, draw what the boxes of --boxes become: of DIN the terms, unaries and every mean-field iteration of
    each label, of R2-IOS every look at each proposal.

    With --gallery, draw images by their number of objects with the truth and what is found, and with --crf what is found after the CRF.
    """
    from seriatim.plots.canvas import check_figure_path

    for path in (out, features):
        if path is not None:
            check_figure_path(path)
    if (image is None) != gallery or (data is None) == gallery:
        raise ConfigError("analyse states: give an IMAGE, or --gallery with --data")
    if gallery and (features is not None or tile is not None):
        raise ConfigError("analyse states: --features and --tile are for an IMAGE, not for --gallery")
    if gallery and boxes is not None:
        raise ConfigError("analyse states: --boxes is for an IMAGE, not for --gallery")
    if boxes is not None and features is not None:
        raise ConfigError("analyse states: --features is for models that take no boxes")
    if crf and not gallery:
        raise ConfigError("analyse states: --crf is for --gallery")
    if gallery:
        assert data is not None
        _gallery(data, limit, examples, crf, model, out, json_file, device, threads)
    elif boxes is not None:
        assert image is not None
        _labels(image, boxes, model, out, json_file, steps, tile, device, threads)
    else:
        assert image is not None
        _states(image, model, out, features, json_file, steps, tile, device, threads)


def _states(
    image: Path,
    model: str,
    out: Path,
    features: Path | None,
    json_file: Path | None,
    steps: int,
    tile: int | None,
    device: str,
    threads: int | None,
) -> None:
    """The states of one image."""
    from seriatim.core.provenance import Start
    from seriatim.data.images import read_pixels, to_float_image

    values = to_float_image(read_pixels(image), str(image))

    # these import torch, which takes seconds
    from seriatim.analysis.states import summarise, trace_states
    from seriatim.plots.canvas import write_figure
    from seriatim.plots.states import draw_features, draw_states

    started = Start()
    trace = trace_states(options.load_model(model, device, threads), values, None if tile is None else tile - 1, steps)
    place = image.name if trace.num_tiles == 1 else f"{image.name}, tile {trace.tile + 1} of {trace.num_tiles}"
    write_figure(draw_states(trace, f"{sequences.model_title(model, trace.model)}: {place}"), out)
    if features is not None:
        title = f"{sequences.model_title(model, trace.model)}: features of {place}"
        write_figure(draw_features(trace, title), features)
    numbers = {"image": str(image), **summarise(trace), "model": model, "network": trace.model}
    if options.write_numbers(numbers, json_file, started):
        return
    if trace.num_tiles > 1:
        typer.echo(f"tile {trace.tile + 1} of {trace.num_tiles}; another with --tile N", file=sys.stderr)
    typer.echo(f"{'step':<6}{'score':<8}{'pixels':>8}  what became of it")
    for step in numbers["steps"]:
        typer.echo(f"{step['step']:<6}{step['score']:<8.3f}{step['area']:>8}  {step['fate']}")


def _labels(
    image: Path,
    boxes: str,
    model: str,
    out: Path,
    json_file: Path | None,
    steps: int,
    tile: int | None,
    device: str,
    threads: int | None,
) -> None:
    """What the boxes of one image become."""
    from seriatim.core.provenance import Start
    from seriatim.data.box_origins import open_boxes
    from seriatim.data.images import read_pixels, to_float_image

    values = to_float_image(read_pixels(image), str(image))

    # these import torch, which takes seconds
    from seriatim.analysis.labels import LabelTrace, summarise_labels, trace_labels
    from seriatim.analysis.refinements import summarise_refinements, trace_refinements
    from seriatim.plots.canvas import write_figure
    from seriatim.plots.labels import draw_labels
    from seriatim.plots.refinements import draw_refinements

    started = Start()
    predictor = options.load_model(model, device, threads)
    predictor.check_boxes()
    found = open_boxes(boxes, class_names=predictor.class_names).for_image(image, (values.shape[1], values.shape[2]))
    chosen = None if tile is None else tile - 1
    refines = predictor.description.model.name == "r2ios"
    trace = (trace_refinements if refines else trace_labels)(predictor, values, found, chosen)
    place = image.name if trace.num_tiles == 1 else f"{image.name}, tile {trace.tile + 1} of {trace.num_tiles}"
    title = f"{sequences.model_title(model, trace.model)}: {place}"
    if isinstance(trace, LabelTrace):
        figure, told = draw_labels(trace, title, steps), summarise_labels(trace)
    else:
        figure, told = draw_refinements(trace, title, steps), summarise_refinements(trace)
    write_figure(figure, out)
    numbers = {"image": str(image), **told, "model": model, "network": trace.model}
    if options.write_numbers(numbers, json_file, started):
        return
    if trace.num_tiles > 1:
        typer.echo(f"tile {trace.tile + 1} of {trace.num_tiles}; another with --tile N", file=sys.stderr)
    if refines:
        looks = [(str(number), str(count)) for number, count in enumerate(numbers["taken"], start=1)]
        Table(("look", "proposals that take it"), looks).show()
        return
    rows = [
        (
            str(one["label"]),
            str(one["class"]),
            f"{one['score']:.3f}",
            f"{one['recalibrated']:.3f}",
            str(one["area_of_unary"]),
            str(one["area"]),
        )
        for one in numbers["labels"]
    ]
    Table(("label", "class", "score", "recalibrated", "pixels of unary", "pixels"), rows).show()


def _gallery(
    data: str,
    limit: int,
    examples: int,
    crf: bool,
    model: str,
    out: Path,
    json_file: Path | None,
    device: str,
    threads: int | None,
) -> None:
    """Images by their number of objects."""
    from seriatim.cli.progress import ProgressBar
    from seriatim.core.provenance import Start

    started = Start()
    source = options.open_images(data, None, options.Part.test, limit)
    predictor = options.load_model(model, device, threads)

    # these import torch, which takes seconds
    from seriatim.analysis.gallery import as_json, collect_gallery
    from seriatim.plots.canvas import write_figure
    from seriatim.plots.gallery import draw_gallery

    with ProgressBar(3 * examples) as progress:
        groups = collect_gallery(predictor, source, crf, num_images=examples, progress=progress.images)
    title = f"{sequences.model_title(model, predictor.description.model.name)} on {data}"
    write_figure(draw_gallery(groups, title), out)
    numbers = {"data": data, "model": model, **as_json(groups)}
    if options.write_numbers(numbers, json_file, started):
        return
    images = [image for group in groups for image in group.images]
    rows = [
        (
            image.name,
            str(len(image.truth)),
            *(
                cell
                for found in (image.plain, image.refined)
                if found is not None
                for cell in (str(len(found.instances)), f"{found.sbd:.4f}")
            ),
        )
        for image in images
    ]
    Table(("image", "true", "found", "SBD", *(("with CRF", "SBD") if crf else ())), rows).show()


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
