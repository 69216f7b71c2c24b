"""`seriatim evaluate`: a model, or label maps that any program wrote, under the official protocols."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

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
            metavar="DIR", help="Label maps: NAME.png, NAME.labels.png or the same with .tif.", show_default=False
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write all numbers here; - for stdout.", show_default=False),
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
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of arithmetic.", show_default=False)] = None,
) -> None:
    """Score a model, or label maps, under official protocols.

    Give one of --model and --predictions. With --recipe, only the pictures that a recipe keeps back from the data are taken. A table goes to stdout, unless the numbers go there with --json -.
    """
    from seriatim.cli.progress import Progress
    from seriatim.core.errors import ConfigError
    from seriatim.core.files import write_atomically
    from seriatim.data.catalogue import open_source
    from seriatim.data.subsets import Subset
    from seriatim.inference.evaluate import check_protocols, evaluate_label_maps, evaluate_model

    if (model is None) == (predictions is None):
        raise ConfigError("evaluate: give one of --model and --predictions")
    protocols = list(
        dict.fromkeys(name for word in [*protocol, *(more_protocols or [])] for name in word.split(",") if name)
    )
    check_protocols(protocols)
    source = open_source(data) if recipe is None else _part(data, recipe, part)
    if limit is not None:
        source = Subset(source, range(min(limit, len(source))))
    started = time.perf_counter()
    with Progress(len(source)) as progress:
        if model is not None:
            scores = evaluate_model(_load(model, device, threads), source, protocols, progress.pictures)
        else:
            assert predictions is not None
            scores = evaluate_label_maps(predictions, source, protocols, progress.pictures)
    judged = {"model": model} if model is not None else {"predictions": str(predictions)}
    kept_back = {} if recipe is None else {"recipe": recipe, "part": part.value}
    facts = {
        "data": data,
        **kept_back,
        **judged,
        "pictures": len(source),
        "seconds": round(time.perf_counter() - started, 3),
    }
    text = json.dumps({**facts, **scores}, indent=1) + "\n"
    if json_file == Path("-"):
        sys.stdout.write(text)
        return
    if json_file is not None:
        write_atomically(json_file, text.encode())
    for name, result in scores.items():
        typer.echo(f"{name}: {len(source)} pictures of {data}")
        for key, value in _rows(result):
            typer.echo(f"  {key:<28} {value}")


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


def _rows(result: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The single numbers of a result, nested keys joined by spaces; what is a list or belongs to one picture is left to --json."""
    for key, value in result.items():
        name = f"{prefix} {key}".strip()
        match value:
            case {"mean": mean, "std": std}:
                yield name, f"{mean:.4f} (std {std:.4f})"
            case Mapping():
                yield from _rows(value, name)
            case bool() | int() | float():
                yield name, f"{value:.4f}" if isinstance(value, float) else str(value)
            case None:
                yield name, "-"
            case _:
                pass
