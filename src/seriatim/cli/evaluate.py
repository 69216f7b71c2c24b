"""`seriatim evaluate`: a model, or label maps and COCO results that any program wrote, under the official protocols."""

import json
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seriatim.version import __version__

if TYPE_CHECKING:
    from seriatim.inference.evaluate import Evaluation

app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]})


class Part(StrEnum):
    """Of the data of a recipe."""

    training = "training"
    validation = "validation"
    test = "test"


@app.command()
def evaluate(
    data: Annotated[
        str, typer.Option(metavar="KIND:PATH", help="The data set, such as folder:plants.", show_default=False)
    ],
    protocol: Annotated[
        list[str], typer.Option(metavar="NAME...", help="Protocols, such as nuclei or cvppp.", show_default=False)
    ],
    more_protocols: Annotated[list[str] | None, typer.Argument(hidden=True, metavar="NAME", show_default=False)] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FOLDER", help="A model that ships, a run folder or a model folder.", show_default=False
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE",
            help="Label maps NAME.png, NAME.labels.png or the same with .tif in a folder; or COCO results, FILE.json.",
            show_default=False,
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all numbers here; - for stdout.", show_default=False),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a report with pictures here, one HTML file.", show_default=False),
    ] = None,
    bootstrap: Annotated[
        int, typer.Option(min=0, metavar="N", help="Resamples of the pictures for the 95 % intervals; 0 for none.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resamples.")] = 0,
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
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    crf: Annotated[bool, typer.Option("--crf", help="Refine the model's outlines by a dense CRF.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of arithmetic.", show_default=False)] = None,
) -> None:
    """Score a model, or anybody's predictions, under official protocols.

    Give one of --model and --predictions. With --recipe, only the pictures that a recipe keeps back from the data are taken. A table goes to stdout, unless the numbers go there with --json -.
    """
    from seriatim.cli.progress import Progress
    from seriatim.core.errors import ConfigError
    from seriatim.core.files import write_atomically
    from seriatim.data.catalogue import open_source
    from seriatim.data.subsets import Subset
    from seriatim.inference.evaluate import check_protocols, evaluate_found
    from seriatim.inference.predictions import ModelFinder, open_predictions

    if (model is None) == (predictions is None):
        raise ConfigError("evaluate: give one of --model and --predictions")
    if crf and model is None:
        raise ConfigError("evaluate: --crf refines what a model finds; it needs --model")
    protocols = list(
        dict.fromkeys(name for word in [*protocol, *(more_protocols or [])] for name in word.split(",") if name)
    )
    check_protocols(protocols)
    source = open_source(data) if recipe is None else _part(data, recipe, part)
    if limit is not None:
        source = Subset(source, range(min(limit, len(source))))
    started = time.perf_counter()
    finder = (
        ModelFinder(_load(model, device, crf, threads))
        if predictions is None and model is not None
        else open_predictions(predictions or Path(), source)
    )
    with Progress(len(source)) as progress:
        found = evaluate_found(finder, source, protocols, bootstrap, seed, html is not None, progress.pictures)
    facts = {
        "data": data,
        **({} if recipe is None else {"recipe": recipe, "part": part.value}),
        **({"model": model} if model is not None else {"predictions": str(predictions)}),
        **({"crf": True} if crf else {}),
        "pictures": len(source),
        "seconds": round(time.perf_counter() - started, 3),
        "version": __version__,
        "class_names": list(found.class_names),
        "classes_judged": found.judges_classes,
        **({"bootstrap": {"resamples": bootstrap, "seed": seed, "confidence": 0.95}} if bootstrap else {}),
    }
    if not found.judges_classes and len(found.class_names) > 1:
        typer.echo(
            "the predictions have no classes of the data: all objects are judged as of one class", file=sys.stderr
        )
    text = json.dumps({**facts, **found.scores}, indent=1) + "\n"
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
        typer.echo(f"{name}: {len(source)} pictures of {data}")
        for line in _table(result, found.class_names):
            typer.echo(f"  {line}".rstrip())


def _part(data: str, recipe: str, part: Part) -> Any:
    """The part of the data that the recipe's split makes of them."""
    from seriatim.training.recipe import load_recipe
    from seriatim.training.splits import open_splits

    return getattr(open_splits(load_recipe(recipe).data.model_copy(update={"source": data})), part.value)


def _load(model: str, device: str, crf: bool, threads: int | None) -> Any:
    import torch

    from seriatim.inference.predictor import load

    if threads is not None:
        torch.set_num_threads(threads)
    return load(model, device, crf)


def _write_report(
    file: Path, found: "Evaluation", source: Any, facts: Mapping[str, Any], command: Mapping[str, Any]
) -> None:
    from seriatim.core.files import write_atomically
    from seriatim.inference.report import render_report, show_pictures

    left_out = ("class_names", "bootstrap", "classes_judged")
    shown = {key: str(value) for key, value in facts.items() if key not in left_out}
    shown["classes"] = ", ".join(found.class_names) + ("" if found.judges_classes else " (judged as one)")
    if "bootstrap" in facts:
        shown["intervals"] = (
            f"95 %, {facts['bootstrap']['resamples']} resamples of the pictures, seed {facts['bootstrap']['seed']}"
        )
    shown["date"] = datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
    shown["command"] = _command_line(command)
    write_atomically(file, render_report(found, shown, show_pictures(found, source)))


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
    from seriatim.inference.score_table import class_table, headline_rows, show_number

    for row in headline_rows(result):
        yield f"{row.name:<28} {row.value_text():<24} {row.interval_text()}"
    classes = class_table(result, class_names)
    if classes is not None:
        width = max(28, *(len(name) + 2 for name, _ in classes.rows))
        yield f"{'class':<{width}} " + " ".join(f"{column:>8}" for column in classes.columns)
        for name, numbers in classes.rows:
            yield f"{'  ' + name:<{width}} " + " ".join(f"{show_number(number):>8}" for number in numbers)
