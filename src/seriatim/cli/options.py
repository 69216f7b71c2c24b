"""The options that several verbs share, and what they open: images, models, and whatever finds the objects that are judged.

An option stands here once, so that it has one name, one help text and one meaning in every verb. What is heavy is imported when a verb runs,
so that `--help` answers at once.
"""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seriatim.core.errors import ConfigError

if TYPE_CHECKING:
    from seriatim.data.source import Source
    from seriatim.evaluation.predictions import PredictionSource
    from seriatim.inference.predictor import Predictor


class Part(StrEnum):
    """Of the data of a recipe."""

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
        help="Label maps NAME.png, NAME.labels.png or the same with .tif in a folder; or COCO results, FILE.json.",
        show_default=False,
    ),
]

RecipeOption = Annotated[
    str | None,
    typer.Option(
        metavar="RECIPE", help="Take only the part of the data that this recipe keeps back.", show_default=False
    ),
]

PartOption = Annotated[Part, typer.Option(help="With --recipe: which part.")]

LimitOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Take the first N images only.", show_default=False)
]

DeviceOption = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where the network runs.")]

ThreadsOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Threads of arithmetic.", show_default=False)
]

CrfOption = Annotated[bool, typer.Option("--crf", help="Refine the model's outlines by a dense CRF.")]

JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write all numbers here; - for stdout.", show_default=False),
]


def open_images(data: str, recipe: str | None, part: Part, limit: int | None) -> "Source":
    """The images that --data, --recipe, --part and --limit name.

    Args:
        data: KIND:PATH.
        recipe: take only a part of the data, as this recipe splits them; None takes all.
        part: which part.
        limit: take the first images only; None takes all.

    Raises:
        ConfigError: if there is no such kind or recipe.
        DataError: if the data cannot be read.
    """
    from seriatim.data.catalogue import open_source
    from seriatim.data.subsets import Subset

    source = open_source(data) if recipe is None else _open_part(data, recipe, part)
    return source if limit is None else Subset(source, range(min(limit, len(source))))


def _open_part(data: str, recipe: str, part: Part) -> "Source":
    """The part of the data that the recipe's split makes of them."""
    from seriatim.training.recipe import load_recipe
    from seriatim.training.splits import open_splits

    return getattr(open_splits(load_recipe(recipe).data.model_copy(update={"source": data})), part.value)


def load_model(model: str | Path, device: str, threads: int | None, crf: bool = False) -> "Predictor":
    """The model that --model names, ready for use.

    Args:
        model: a model that ships, a run folder or a model folder.
        device: auto, cpu or cuda.
        threads: of arithmetic, from now on; None leaves them as they are.
        crf: refine the outlines by a dense CRF.

    Raises:
        ConfigError: if there is no such model or device.
        CheckpointError: if the model is damaged.
    """
    import torch

    from seriatim.inference.predictor import load

    if threads is not None:
        torch.set_num_threads(threads)
    return load(model, device, crf)


def check_one_origin(verb: str, model: str | None, predictions: Path | None) -> None:
    """Refuse to judge both a model and predictions, or neither.

    Raises:
        ConfigError: naming the verb and the options.
    """
    if (model is None) == (predictions is None):
        raise ConfigError(f"{verb}: give one of --model and --predictions")


def open_finder(
    model: str | None, predictions: Path | None, source: "Source", device: str, threads: int | None, crf: bool = False
) -> "PredictionSource":
    """What finds the objects that are judged: the model, or the predictions that are there already; torch is imported only for a model.

    Args:
        model: see `load_model`; None where there are predictions.
        predictions: a folder of label maps or a file of COCO results; None where there is a model.
        source: the images.
        device: see `load_model`.
        threads: see `load_model`.
        crf: see `load_model`.

    Raises:
        ConfigError: if there is no such model or device.
        CheckpointError: if the model is damaged.
        DataError: if there are no such predictions, or they do not fit the images.
    """
    from seriatim.evaluation.predictions import ModelFinder, open_predictions

    if predictions is not None:
        return open_predictions(predictions, source)
    assert model is not None, "check_one_origin has seen to that"
    return ModelFinder(load_model(model, device, threads, crf))


def what_is_judged(
    data: str, recipe: str | None, part: Part, model: str | None, predictions: Path | None
) -> dict[str, str]:
    """The options that say what was judged on which images, for JSON.

    >>> what_is_judged("folder:plants", None, Part.test, "leaves", None)
    {'data': 'folder:plants', 'model': 'leaves'}
    """
    kept_back = {} if recipe is None else {"recipe": recipe, "part": part.value}
    judged = {"predictions": str(predictions)} if model is None else {"model": model}
    return {"data": data, **kept_back, **judged}
