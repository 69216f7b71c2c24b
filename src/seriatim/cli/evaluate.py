"""`seriatim evaluate`: a model, or label maps and COCO results that any program wrote, under the official protocols."""

import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seriatim.cli.options import (
    CrfOption,
    DataOption,
    DeviceOption,
    JsonOption,
    LimitOption,
    ModelOption,
    Part,
    PartOption,
    PredictionsOption,
    RecipeOption,
    ThreadsOption,
    check_one_origin,
    open_finder,
    open_images,
    what_is_judged,
)
from seriatim.version import __version__

if TYPE_CHECKING:
    from seriatim.evaluation.evaluate import Evaluation

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


@app.command()
def evaluate(
    data: DataOption,
    protocol: Annotated[
        list[str], typer.Option(metavar="NAME...", help="Protocols, such as nuclei or cvppp.", show_default=False)
    ],
    more_protocols: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="NAME", show_default=False)] = None,
    model: ModelOption = None,
    predictions: PredictionsOption = None,
    json_file: JsonOption = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a report with images here, one HTML file.", show_default=False),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=0, metavar="N", help="Resamples of the images for the 95 % intervals; 0 for none.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
    recipe: RecipeOption = None,
    part: PartOption = Part.test,
    limit: LimitOption = None,
    device: DeviceOption = "auto",
    crf: CrfOption = False,
    threads: ThreadsOption = None,
) -> None:
    """Score a model, or anybody's predictions, under official protocols.

    Give one of --model and --predictions. With --recipe, only the images that a recipe keeps back from the data are taken. A table goes to stdout, unless the numbers go there with --json -.
    """
    from seriatim.cli.progress import Progress
    from seriatim.core.errors import ConfigError
    from seriatim.core.files import write_atomically
    from seriatim.core.provenance import Start, result_text, with_provenance
    from seriatim.evaluation.evaluate import check_protocols, evaluate_found

    check_one_origin("evaluate", model, predictions)
    if crf and model is None:
        raise ConfigError("evaluate: --crf refines what a model finds; it needs --model")
    protocols = list(
        dict.fromkeys(name for word in [*protocol, *(more_protocols or [])] for name in word.split(",") if name)
    )
    check_protocols(protocols)
    source = open_images(data, recipe, part, limit)
    started = Start()
    finder = open_finder(model, predictions, source, device, threads, crf)
    with Progress(len(source)) as progress:
        found = evaluate_found(finder, source, protocols, bootstrap, seed, html is not None, progress.images)
    facts = {
        **what_is_judged(data, recipe, part, model, predictions),
        **({"crf": True} if crf else {}),
        "images": len(source),
        "seconds": round(time.perf_counter() - started.clock, 3),
        "version": __version__,
        "class_names": list(found.class_names),
        "classes_judged": found.judges_classes,
        **({"bootstrap": {"resamples": bootstrap, "seed": seed, "confidence": 0.95}} if bootstrap else {}),
    }
    if not found.judges_classes and len(found.class_names) > 1:
        typer.echo(
            "the predictions have no classes of the data: all objects are judged as of one class", file=sys.stderr
        )
    text = result_text(with_provenance({**facts, **found.scores}, started))
    if json_file is not None and json_file != Path("-"):
        write_atomically(json_file, text.encode())
    if html is not None:
        command = {
            "data": data,
            "protocol": protocols,
            "model": model,
            "predictions": predictions,
            "recipe": recipe,
            "part": None if recipe is None else part.value,
            "limit": limit,
            "bootstrap": bootstrap,
            "seed": seed,
            "crf": crf,
            "device": None if model is None else device,
            "html": html,
        }
        _write_report(html, found, source, facts, command)
    if json_file == Path("-"):
        sys.stdout.write(text)
        return
    for name, result in found.scores.items():
        typer.echo(f"{name}: {len(source)} images of {data}")
        for line in _table(result, found.class_names):
            typer.echo(f"  {line}".rstrip())


def _write_report(
    file: Path, found: "Evaluation", source: Any, facts: Mapping[str, Any], command: Mapping[str, Any]
) -> None:
    from seriatim.core.files import write_atomically
    from seriatim.evaluation.report import render_report, show_images

    left_out = ("class_names", "bootstrap", "classes_judged")
    shown = {key: str(value) for key, value in facts.items() if key not in left_out}
    shown["classes"] = ", ".join(found.class_names) + ("" if found.judges_classes else " (judged as one)")
    if "bootstrap" in facts:
        shown["intervals"] = (
            f"95 %, {facts['bootstrap']['resamples']} resamples of the images, seed {facts['bootstrap']['seed']}"
        )
    shown["date"] = datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
    shown["command"] = _command_line(command)
    write_atomically(file, render_report(found, shown, show_images(found, source)))


def _command_line(options: Mapping[str, Any]) -> str:
    """The command that gives the same evaluation; options that are None or False are left out."""
    words = ["seriatim", "evaluate"]
    for name, value in options.items():
        if value is not None and value is not False:
            values = value if isinstance(value, list) else [] if value is True else [value]
            words += [f"--{name}", *map(str, values)]
    return shlex.join(words)


def _table(result: Mapping[str, Any], class_names: Sequence[str]) -> Iterator[str]:
    """The headline numbers, one a line, and the classes if there are several."""
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
