"""A zoo model from a finished run: the weights that the recipe's own rule picked, and a card that says how they were made and how good they are."""

import hashlib
import json
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from seriatim.core.config import read_toml
from seriatim.core.errors import CheckpointError, ConfigError
from seriatim.core.files import make_folder, write_atomically
from seriatim.core.provenance import Start, with_provenance, without_machine_paths
from seriatim.data.source import Source
from seriatim.evaluation.evaluate import evaluate_predictions
from seriatim.evaluation.predictions import ModelPredictions
from seriatim.evaluation.score_table import headline_rows
from seriatim.inference.model_folder import (
    ModelDescription,
    change_settings,
    read_description,
    read_model_folder,
    write_model_folder,
)
from seriatim.inference.predictor import load
from seriatim.inference.zoo import CARD_NAME, WEIGHTS_NAME, ZOO, find_model_folder
from seriatim.training.recipe import Recipe
from seriatim.training.run_folder import RunFolder
from seriatim.training.splits import Splits, open_splits

MAX_MEGABYTES = 25
"""Of the weights of a zoo model."""

IMAGES_NAME = "images.json"
"""The file beside a card that names the images of each part of the data."""


def add_model(
    run: Path,
    name: str,
    to: Path | None = None,
    *,
    class_names: Sequence[str] = (),
    settings: Sequence[str] = (),
    half: bool = True,
    score_files: Sequence[Path] = (),
    measure: bool = False,
    force: bool = False,
) -> Path:
    """Make a zoo model from a run: weights, settings, card and the names of the images.

    Args:
        run: folder of the run; `run/model` holds the weights that the recipe's rule picked.
        name: of the model: lower-case letters, digits and hyphens.
        to: gets the model as a folder of this name; None: the zoo of this package.
        class_names: from class 1; empty keeps those of the run.
        settings: such as `inference.solid=true`, see `change_settings`.
        half: store the weights in 16 bits.
        score_files: results of `seriatim evaluate --json` for the card.
        measure: score the model on the recipe's test images under its validation protocol, for the card.
        force: replace a model of this name.

    Returns:
        The folder of the model.

    Raises:
        ConfigError: if the name, a setting or the class names cannot be used, or the name is taken.
        CheckpointError: if the run has no model or its weights are too large.
        DataError: if the data of the recipe or a result file cannot be read.
        FileWriteError: if the disk does not take it.
    """
    zoo = ZOO if to is None else to
    folder = zoo / name
    shown = name if to is None else shlex.quote(without_machine_paths(str(folder)))
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise ConfigError(f"models add: {name!r}: expected lower-case letters, digits and hyphens, such as my-nuclei")
    if folder.exists() and not force:
        raise ConfigError(f"models add: {folder} exists already; choose another name, or replace it with --force")
    if not (run / "config.toml").is_file():
        raise ConfigError(f"models add: {run}: is no run folder; name the folder that `seriatim train` wrote")
    recipe = Recipe.parse(read_toml(run / "config.toml"), str(run / "config.toml"))
    score_texts = [_score_lines(path) for path in score_files]
    network, description = read_model_folder(find_model_folder(run))
    description = change_settings(description, settings)
    if class_names:
        description = _name_classes(description, class_names)
    splits = RunFolder(run).usable_images(open_splits(recipe.data))
    make_folder(zoo)
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=zoo) as temporary:
        made = Path(temporary) / name
        write_model_folder(made, network, description, half=half, card="")
        read_model_folder(made)  # the changed settings still fit the network
        megabytes = (made / WEIGHTS_NAME).stat().st_size / 1e6
        if megabytes > MAX_MEGABYTES:
            hint = "" if half else "; store them in 16 bits (--half)"
            raise CheckpointError(
                f"models add: the weights take {megabytes:.1f} MB, at most {MAX_MEGABYTES} are allowed{hint}"
            )
        if measure:
            score_texts.append(_measured_lines(made, name, recipe, splits.test))
        card = make_card(
            name, shown, run, recipe, read_description(made), splits, score_texts, sum_of_parameters(network)
        )
        write_atomically(made / IMAGES_NAME, (json.dumps(image_lists(splits), indent=1) + "\n").encode())
        write_atomically(made / CARD_NAME, card.encode())
        if folder.exists():
            shutil.rmtree(folder)
        made.rename(folder)
    return folder


def _name_classes(description: ModelDescription, class_names: Sequence[str]) -> ModelDescription:
    known = description.class_names
    if len(class_names) != len(known):
        raise ConfigError(
            f"--class-names: got {len(class_names)} ({', '.join(class_names)}), but the model has {len(known)} ({', '.join(known)})"
        )
    return description.model_copy(update={"class_names": tuple(class_names)})


def sum_of_parameters(network: torch.nn.Module) -> int:
    """The number of the network's parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def image_lists(splits: Splits) -> dict[str, Any]:
    """For each part of the data the number of images, a digest of their names and, of those kept back, the names themselves.

    Names of generated images are their numbers and are not listed.
    """
    lists = {}
    for part, source in splits._asdict().items():
        names = [source.name(index) for index in range(len(source))]
        listed = part != "training" and not source.generated
        lists[part] = {
            "count": len(names),
            "sha256_of_names": hashlib.sha256("\n".join(names).encode()).hexdigest(),
            **({"names": names} if listed else {}),
        }
    return lists


def make_card(
    name: str,
    shown: str,
    run: Path,
    recipe: Recipe,
    description: ModelDescription,
    splits: Splits,
    score_texts: Sequence[str],
    num_parameters: int,
) -> str:
    """The text of the card.

    Args:
        name: of the model.
        shown: what names the model in a command.
        run: folder of the run.
        recipe: of the run.
        description: of the model.
        splits: the images.
        score_texts: a table for each result; empty where nothing was measured.
        num_parameters: of the network.
    """
    validations = _validations(run / "metrics.jsonl")
    picked = _picked(validations)
    facts = _environment(run)
    scores = "\n\n".join(score_texts) if score_texts else "Not measured."
    sources = {"training": recipe.data.source, "validation": recipe.data.validation, "test": recipe.data.test}
    rows = [
        f"| {part} | {len(source)} | {'' if sources[part] is None else f'`{without_machine_paths(str(sources[part]))}`'} |"
        for part, source in splits._asdict().items()
    ]
    return f"""# {name}: {", ".join(description.class_names)}, by {description.model.name.upper()}

A network of {num_parameters / 1e6:.1f} million parameters, made by `seriatim models add`.

    seriatim segment IMAGES --model {shown} --out RESULTS

## Data

| part | images | source |
|---|---|---|
{chr(10).join(rows)}

A part without a source of its own is taken from that of the training images. `{IMAGES_NAME}` beside this card names the images that were kept back, with a digest of the names of
each part.

## Recipe

    {facts.get("command", "seriatim train (the command was not recorded)")}

Seed {recipe.seed}, {_last_iteration(run / "metrics.jsonl")} of at most {recipe.num_iterations} iterations, commit {facts.get("commit") or "not recorded"}{" with changes" if facts.get("tree_differs") else ""}. {_rule(recipe, picked)}

Validations of the run:

{_curve(validations)}

## Scores

{_test_data(recipe)}

{scores}

    seriatim evaluate {_test_words(recipe)} --model {shown} --protocol {recipe.validation.protocol} --json FILE

## Limits

{_limits(recipe)}
"""


def _test_data(recipe: Recipe) -> str:
    """A sentence that says which data the test images are of."""
    if recipe.data.test is None:
        return "The test images are kept back from the training data."
    test, source = (without_machine_paths(spec) for spec in (recipe.data.test, recipe.data.source))
    return f"The test images are those of `{test}`; the training images are of `{source}`."


def _limits(recipe: Recipe) -> str:
    if recipe.data.test is None:
        return (
            "It is measured on images like those of its training at best; how it does on others has not been measured."
        )
    return (
        "The test images have a source of their own: scores on them tell how the model does on images like those of its training only where "
        "the two sources are alike. How it does on others has not been measured."
    )


def _test_words(recipe: Recipe) -> str:
    """The options of `seriatim evaluate` that choose the test images."""
    if recipe.data.test is not None:
        return f"--data {without_machine_paths(recipe.data.test)}"
    return f"--data {without_machine_paths(recipe.data.source)} --recipe RUN/config.toml --part test"


def _rule(recipe: Recipe, picked: Mapping[str, Any] | None) -> str:
    if picked is None:
        return "The run has no validation in its log."
    by = f"the score of protocol `{recipe.validation.protocol}`" if recipe.validation.num_images else "the loss"
    images = "validation images, with the boxes of their true objects" if "boxes" in picked else "validation images"
    return f"The weights are those of iteration {picked['iteration']}, the best of the last stage by {by} on {images}, as the recipe's rule picks them."


def _environment(run: Path) -> dict[str, Any]:
    try:
        facts = json.loads((run / "environment.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _log(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: the log of the run cannot be read: {error}") from None


def _last_iteration(path: Path) -> int:
    return max((record["iteration"] for record in _log(path)), default=0)


def _validations(path: Path) -> list[dict[str, Any]]:
    return [record for record in _log(path) if "score" in record]


def _picked(validations: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The validation at which the run last wrote its model: the first of those with the highest score in the last stage that has any."""
    last = [record for record in validations if record["stage"] == validations[-1]["stage"]]
    return max(last, key=lambda record: record["score"], default=None)


def _curve(validations: Sequence[Mapping[str, Any]]) -> str:
    """A table of the validations."""
    if not validations:
        return "None."
    columns = [key for key in validations[-1] if key not in ("stage", "num_objects")]
    head = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    rows = [f"| {' | '.join(_number(record.get(column)) for column in columns)} |" for record in validations]
    return "\n".join([*head, *rows])


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _score_lines(path: Path) -> str:
    """The tables of a result file of `seriatim evaluate --json`."""
    try:
        result = json.loads(path.read_bytes())
        return _tables(result)
    except OSError as error:
        raise ConfigError(f"--scores {path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"--scores {path}: is no result of `seriatim evaluate --json`") from None


def _measured_lines(model: Path, name: str, recipe: Recipe, test: Source) -> str:
    if not len(test):
        raise ConfigError("models add: --measure needs test images; the recipe keeps none back (data.num_test)")
    protocol = recipe.validation.protocol
    started = Start()
    found = evaluate_predictions(ModelPredictions(load(str(model))), test, [protocol], num_resamples=1000)
    data = "the test images" if recipe.data.test is None else recipe.data.test
    facts = {"data": data, "model": name, "images": len(test), **found.scores}
    return _tables(with_provenance(facts, started))


def _tables(result: Mapping[str, Any]) -> str:
    facts = result["provenance"]
    protocols = {key: value for key, value in result.items() if isinstance(value, dict) and "per_image" in value}
    if not protocols:
        raise KeyError("no protocol")
    changed = " with changes" if facts["tree_differs"] else ""
    parts = [
        f"{result['images']} images of {without_machine_paths(str(result['data']))}, `{facts['command']}`, commit {facts['commit'] or 'not recorded'}{changed}, {facts['processor']}, "
        f"{facts['torch_threads']} threads, {facts['seconds']} seconds:"
    ]
    for protocol, scores in protocols.items():
        rows = [f"| {row.name} | {row.value_text()} | {row.interval_text()} |" for row in headline_rows(scores)]
        parts.append("\n".join([f"| `{protocol}` | value | 95 % interval |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)
