"""`seriatim evaluate`: a model, or label maps and COCO results of any program, under the official protocols."""

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seriatim.cli import options
from seriatim.version import __version__

if TYPE_CHECKING:
    from seriatim.data.source import Source
    from seriatim.evaluation.evaluate import Evaluation

app = options.new_app()


@app.command()
def evaluate(
    data: options.DataOption,
    protocol: Annotated[
        list[str], typer.Option(metavar="NAME...", help="Protocols, such as nuclei or cvppp.", show_default=False)
    ],
    more_protocols: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="NAME", show_default=False)] = None,
    model: options.ModelOption = None,
    predictions: options.PredictionsOption = None,
    json_file: options.JsonOption = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a report with images to this HTML file.", show_default=False),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=0, metavar="N", help="Resamples of the images for the 95 % intervals; 0 for none.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the resamples.")] = 0,
    recipe: options.RecipeOption = None,
    part: options.PartOption = options.Part.test,
    boxes: options.BoxesOption = None,
    limit: options.LimitOption = None,
    device: options.DeviceOption = "auto",
    crf: options.CrfOption = False,
    settings: options.SettingsOption = None,
    all_classes: Annotated[
        bool,
        typer.Option(
            "--all-classes", help="Score every mask of a model once for each class, by the probability of the class."
        ),
    ] = False,
    threads: options.ThreadsOption = None,
) -> None:
    """Score a model, or predictions of any program, under official protocols.

    Give either --model or --predictions, or --boxes alone, which judges the boxes themselves. With --recipe, only the images that a recipe keeps back from the data are used. A table goes to stdout,
    or the numbers with --json -.
    """
    from seriatim.cli.progress import ProgressBar
    from seriatim.core.errors import ConfigError
    from seriatim.core.provenance import Start, command_line
    from seriatim.data.box_origins import WithBoxes, open_boxes
    from seriatim.evaluation.evaluate import evaluate_predictions
    from seriatim.evaluation.predictions import BoxPredictions
    from seriatim.metrics.protocols import check_protocol

    judges_boxes = boxes is not None and model is None and predictions is None
    if not judges_boxes:
        options.check_one_origin("evaluate", model, predictions)
    for option, needs, is_given in (
        ("--crf", "refines the objects of a model", crf),
        ("--set", "changes the settings of a model", settings),
        ("--all-classes", "takes the class probabilities of a model", all_classes),
    ):
        if is_given and model is None:
            raise ConfigError(f"evaluate: {option} {needs}; it needs --model")
    protocols = list(
        dict.fromkeys(name for word in [*protocol, *(more_protocols or [])] for name in word.split(",") if name)
    )
    for name in protocols:
        check_protocol(name)
    source = options.open_images(data, recipe, part, limit)
    if boxes is not None:
        source = WithBoxes(source, open_boxes(boxes, source))
    started = Start()
    found = (
        BoxPredictions(source)
        if judges_boxes
        else options.open_prediction_source(model, predictions, source, device, threads, crf, settings)
    )
    with ProgressBar(len(source)) as progress:
        evaluation = evaluate_predictions(
            found, source, protocols, bootstrap, seed, html is not None, progress.images, all_classes
        )
    facts = {
        **options.what_is_judged(data, recipe, part, model, predictions, boxes),
        **({"crf": True} if crf else {}),
        **({"settings": settings} if settings else {}),
        **({"all_classes": True} if all_classes else {}),
        "images": len(source),
        "seconds": round(time.perf_counter() - started.clock, 3),
        "version": __version__,
        "class_names": list(evaluation.class_names),
        "classes_judged": evaluation.judges_classes,
        **({"bootstrap": {"resamples": bootstrap, "seed": seed, "confidence": 0.95}} if bootstrap else {}),
    }
    if not evaluation.judges_classes and len(evaluation.class_names) > 1:
        typer.echo(
            "the predictions have no classes of the data: all objects are judged as of one class", file=sys.stderr
        )
    if html is not None:
        _write_report(html, evaluation, source, facts, str(started.date)[:16], command_line(options.COMMAND.get()))
    if options.write_numbers({**facts, **evaluation.scores}, json_file, started):
        return
    for name, result in evaluation.scores.items():
        typer.echo(f"{name}: {len(source)} images of {data}")
        for line in _table(result, evaluation.class_names):
            typer.echo(f"  {line}".rstrip())


def _write_report(
    file: Path, evaluation: "Evaluation", source: "Source", facts: Mapping[str, Any], date: str, command: str
) -> None:
    from seriatim.core.files import write_atomically
    from seriatim.evaluation.report import render_report, show_images

    left_out = ("class_names", "bootstrap", "classes_judged")
    shown = {key: str(value) for key, value in facts.items() if key not in left_out}
    if "settings" in facts:
        shown["settings"] = ", ".join(facts["settings"])
    shown["classes"] = ", ".join(evaluation.class_names) + ("" if evaluation.judges_classes else " (judged as one)")
    if "bootstrap" in facts:
        shown["intervals"] = (
            f"95 %, {facts['bootstrap']['resamples']} resamples of the images, seed {facts['bootstrap']['seed']}"
        )
    shown |= {"date": f"{date} UTC", "command": command}
    write_atomically(file, render_report(evaluation, shown, show_images(evaluation, source)))


def _table(result: Mapping[str, Any], class_names: Sequence[str]) -> Iterator[str]:
    """The lines of a table: the headline numbers, and the classes if there are several."""
    from seriatim.evaluation.score_table import class_table, headline_rows, show_number

    for row in headline_rows(result):
        yield f"{row.name:<28} {row.value_text():<24} {row.interval_text()}"
    classes = class_table(result, class_names)
    if classes is not None:
        first = max(28, *(len(name) + 2 for name, _ in classes.rows))
        widths = [max(8, len(column)) for column in classes.columns]
        yield f"{'class':<{first}} " + _cells(classes.columns, widths)
        for name, numbers in classes.rows:
            yield f"{'  ' + name:<{first}} " + _cells(map(show_number, numbers), widths)


def _cells(texts: Iterable[str], widths: Sequence[int]) -> str:
    return " ".join(f"{text:>{width}}" for text, width in zip(texts, widths, strict=True))
