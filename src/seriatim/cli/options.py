"""What the verbs share: how an app is made, options, what the options open, and how numbers are written.

An option stands here once, so that it has one name, one help text and one meaning in every verb. Typer reads options from
signatures, so the lines that declare an option, and those that take it into a verb, look alike on purpose. Heavy modules are imported when a verb runs,
so that `--help` answers at once.
"""

import sys
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from seriatim.core.errors import ConfigError

if TYPE_CHECKING:
    from seriatim.core.provenance import Start
    from seriatim.data.source import Source
    from seriatim.evaluation.predictions import PredictionSource
    from seriatim.inference.predictor import Predictor


def new_app(is_group: bool = False, cls: type[TyperGroup] | None = None) -> typer.Typer:
    """An app with the settings of every verb.

    Args:
        is_group: the verb has verbs of its own; without one it shows its help.
        cls: class of the group.
    """
    return typer.Typer(
        cls=cls,
        no_args_is_help=is_group,
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


COMMAND: ContextVar[tuple[str, ...]] = ContextVar("command")
"""The command in words, the name of the program first; `main` sets it."""


class Part(StrEnum):
    """Parts of the data of a recipe."""

    training = "training"
    validation = "validation"
    test = "test"


DataOption = Annotated[
    str, typer.Option(metavar="KIND:PATH", help="The data set, such as folder:plants.", show_default=False)
]

_MODEL = typer.Option(
    metavar="NAME|FOLDER", help="A model that ships, a run folder or a model folder.", show_default=False
)
ModelOption = Annotated[str | None, _MODEL]
RequiredModelOption = Annotated[str, _MODEL]

PredictionsOption = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR|FILE",
        help="A folder of label maps NAME.png or NAME.labels.png (or .tif), or a file of COCO results, FILE.json.",
        show_default=False,
    ),
]

RecipeOption = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE", help="Take only the images that this recipe keeps back from the data.", show_default=False
    ),
]

PartOption = Annotated[Part, typer.Option(help="With --recipe: which part.")]

BoxesOption = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Detections or proposals for a model that takes boxes: COCO results, FILE.json; arrays, FILE.npz; or grid:N, N boxes over every image.",
        show_default=False,
    ),
]

LimitOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Take only the first N images.", show_default=False)
]

DeviceOption = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Device of the network.")]

ThreadsOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Number of threads for arithmetic.", show_default=False)
]

SettingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="a.b=value",
        help="Overrides a setting, such as inference.solid=true, or takes it out (a.b=); repeatable.",
        show_default=False,
    ),
]

CrfOption = Annotated[bool, typer.Option("--crf", help="Refine the outlines with a dense CRF.")]

JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write all numbers to this file; - for stdout.", show_default=False),
]


def open_images(data: str, recipe: str | None, part: Part, limit: int | None) -> "Source":
    """The images that --data, --recipe, --part and --limit name.

    Args:
        data: KIND:PATH.
        recipe: take only a part of the data, by the split of this recipe; None takes all.
        part: which part.
        limit: take only the first images; None takes all.

    Raises:
        ConfigError: if there is no such kind or recipe.
        DataError: if the data cannot be read.
    """
    from seriatim.data.catalogue import open_source
    from seriatim.data.subsets import Subset

    source = open_source(data) if recipe is None else _open_part(data, recipe, part)
    return source if limit is None else Subset(source, range(min(limit, len(source))))


def _open_part(data: str, recipe: str, part: Part) -> "Source":
    """A part of the data, by the split of a recipe."""
    from seriatim.training.recipe import load_recipe
    from seriatim.training.splits import open_splits

    return getattr(open_splits(load_recipe(recipe).data.model_copy(update={"source": data})), part.value)


def load_model(
    model: str | Path, device: str, threads: int | None, crf: bool = False, settings: Sequence[str] | None = None
) -> "Predictor":
    """The model that --model names, ready for use.

    Args:
        model: a model that ships, a run folder or a model folder.
        device: auto, cpu or cuda.
        threads: number of threads for arithmetic, from now on; None leaves it as it is.
        crf: refine the outlines with a dense CRF.
        settings: of --set, laid over those of the model.

    Raises:
        ConfigError: if there is no such model or device, or a setting cannot be used.
        CheckpointError: if the model is damaged.
    """
    import torch

    from seriatim.inference.predictor import load

    if threads is not None:
        torch.set_num_threads(threads)
    return load(model, device, crf, settings or ())


def check_one_origin(verb: str, model: str | None, predictions: Path | None) -> None:
    """Refuse both a model and predictions, or neither.

    Raises:
        ConfigError: naming the verb and the options.
    """
    if (model is None) == (predictions is None):
        raise ConfigError(f"{verb}: give one of --model and --predictions")


def open_prediction_source(
    model: str | None,
    predictions: Path | None,
    source: "Source",
    device: str,
    threads: int | None,
    crf: bool = False,
    settings: Sequence[str] | None = None,
) -> "PredictionSource":
    """The predictions to judge: of a model, or read from files; torch is imported only for a model.

    Args:
        model: see `load_model`; None with predictions.
        predictions: a folder of label maps or a file of COCO results; None with a model.
        source: the images.
        device: see `load_model`.
        threads: see `load_model`.
        crf: see `load_model`.
        settings: see `load_model`.

    Raises:
        ConfigError: if there is no such model or device, or a setting cannot be used.
        CheckpointError: if the model is damaged.
        DataError: if the predictions are missing or do not fit the images.
    """
    from seriatim.evaluation.predictions import ModelPredictions, open_predictions

    if predictions is not None:
        return open_predictions(predictions, source)
    assert model is not None, "check_one_origin refuses this"
    return ModelPredictions(load_model(model, device, threads, crf, settings))


def what_is_judged(
    data: str,
    recipe: str | None,
    part: Part,
    model: str | None,
    predictions: Path | None,
    boxes: str | None = None,
) -> dict[str, str]:
    """The options that say what was judged on which images, for JSON and without paths of this machine.

    >>> what_is_judged("folder:plants", None, Part.test, "leaves", None)
    {'data': 'folder:plants', 'model': 'leaves'}
    """
    from seriatim.core.provenance import without_machine_paths

    kept_back = {} if recipe is None else {"recipe": recipe, "part": part.value}
    given = {"model": model, "predictions": predictions, "boxes": boxes}
    judged = {name: str(word) for name, word in given.items() if word is not None}
    return {name: without_machine_paths(word) for name, word in {"data": data, **kept_back, **judged}.items()}


def write_numbers(numbers: Mapping[str, Any], file: Path | None, started: "Start") -> bool:
    """Write numbers with their provenance as --json asks for it; returns whether they went to stdout.

    Args:
        numbers: of the verb.
        file: `-` is stdout; None writes nothing.
        started: made before the work.
    """
    from seriatim.core.files import write_atomically
    from seriatim.core.provenance import result_text, with_provenance

    if file is None:
        return False
    text = result_text(with_provenance(numbers, started, COMMAND.get()))
    if file == Path("-"):
        sys.stdout.write(text)
        return True
    write_atomically(file, text.encode())
    return False
