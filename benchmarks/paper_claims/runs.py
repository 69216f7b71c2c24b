"""The small trainings: made from a variant and a seed, kept in the work folder under a hash of their settings, and measured once they are done.

A run that was stopped goes on from its newest checkpoint. A run that is done is never made again: `measured.json` holds what was measured of it.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paper_claims import boxes
from paper_claims.images import NUM_TEST, NUM_TRAINING, fresh_images, training_source
from paper_claims.measures import measure

from seriatim.core.files import write_atomically
from seriatim.core.provenance import source_tree
from seriatim.core.tensor_files import load_tensors
from seriatim.inference.model_folder import ModelDescription, ModelSettings, write_model_folder
from seriatim.inference.predictor import load
from seriatim.inference.zoo import WEIGHTS_NAME
from seriatim.models import catalogue
from seriatim.models.din import DIN
from seriatim.training.loop import train
from seriatim.training.recipe import Recipe, load_recipe

VERSION = 1
"""Raised when a change of models, losses, training or data changes what a run learns, so that no older run is taken for a new one."""

SAVE_SECONDS = 60
"""A run says how far it is about this often."""


@dataclass(frozen=True)
class Variant:
    """A training.

    Attributes:
        base: name of a TOML file beside this one.
        images: the set, `few`, `many` or `scenes`.
        settings: laid over the recipe, as `--set` takes them.
        conditions: under which the model is measured beside `undisturbed`.
        begin: a training of the same seed whose weights this one begins with, as far as both networks have them; None draws them from the seed.
    """

    base: str
    images: str
    settings: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ("true count",)
    begin: "Variant | None" = None


@dataclass(frozen=True)
class Size:
    """How large the trainings are; smaller in tests.

    Attributes:
        training: images.
        test: images.
        settings: laid over every recipe, behind those of the variant.
    """

    training: int = NUM_TRAINING
    test: int = NUM_TEST
    settings: tuple[str, ...] = ()


FULL = Size()
"""The size of the trainings that the result file holds."""


def recipe_of(variant: Variant, seed: int, work: Path, size: Size = FULL) -> Recipe:
    """The recipe of a training, but for the weights that it begins with; its images are drawn where they are missing."""
    source = training_source(variant.images, work, size.training)
    overrides = [f"seed={seed}", f"data.source={source}", *variant.settings, *size.settings]
    return load_recipe(str(Path(__file__).parent / f"{variant.base}.toml"), overrides)


def key_of(variant: Variant, seed: int, work: Path, size: Size = FULL) -> str:
    """The name of a run: a hash of everything that its numbers depend on.

    Settings at their defaults have no share in it, so that a setting which the library gets later leaves the names as they are; where a default
    changes, `VERSION` has to.
    """
    settings = recipe_of(variant, seed, work, size).model_dump(mode="json", exclude_defaults=True)
    settings["data"]["source"] = variant.images
    facts: dict[str, Any] = {"version": VERSION, "recipe": settings, "training": size.training, "test": size.test}
    if variant.begin is not None:
        facts["begin"] = key_of(variant.begin, seed, work, size)
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def known(variant: Variant, seed: int, work: Path, size: Size = FULL) -> dict[str, Any] | None:
    """What was measured of a run: `conditions`, `iterations`, `seconds`, `commit`; None if it is not done, or not measured under all conditions."""
    path = work / "runs" / key_of(variant, seed, work, size) / "measured.json"
    if not path.exists():
        return None
    numbers = json.loads(path.read_bytes())
    asked = {"undisturbed", *variant.conditions}
    return numbers if asked <= set(numbers["conditions"]) else None


def carry_out(
    variant: Variant, seed: int, work: Path, size: Size = FULL, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Train and measure, as far as it is not done yet; the result of `known`."""
    done = known(variant, seed, work, size)
    if done is not None:
        return done
    folder = work / "runs" / key_of(variant, seed, work, size)
    recipe = recipe_of(variant, seed, work, size)
    facts_path = folder / "trained.json"
    if not facts_path.exists():
        if variant.begin is not None:
            weights = first_weights(variant.begin, recipe, seed, work, size, say)
            recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"weights": str(weights)})})
        started, said = time.process_time(), [time.monotonic()]

        def watch(state: Any, losses: dict[str, float]) -> None:
            if time.monotonic() - said[0] > SAVE_SECONDS:
                said[0] = time.monotonic()
                terms = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
                say(f"  iteration {state.iteration}/{recipe.num_iterations}  {terms}")

        train(recipe, folder, resume=(folder / "config.toml").exists(), watch=watch, device="cpu")
        facts = {
            "iterations": recipe.num_iterations,
            "seconds": round(time.process_time() - started, 1),
            "commit": source_tree()["commit"],
        }
        write_atomically(facts_path, json.dumps(facts).encode())
        for part in ("checkpoints", "samples"):
            shutil.rmtree(folder / part)
    conditions = measure_run(folder, variant, size)
    numbers = {**json.loads(facts_path.read_bytes()), "conditions": conditions}
    write_atomically(folder / "measured.json", json.dumps(numbers).encode())
    return numbers


def measure_run(folder: Path, variant: Variant, size: Size) -> dict[str, Any]:
    """What is measured of a trained model under every condition of its variant."""
    predictor = load(folder / "model", "cpu")
    images, conditions = fresh_images(variant.images, size.test), ("undisturbed", *variant.conditions)
    if isinstance(predictor.network, DIN):
        return boxes.measure(predictor, images, conditions)
    return measure(predictor, images, conditions)


def first_weights(
    begin: Variant, recipe: Recipe, seed: int, work: Path, size: Size, say: Callable[[str], None]
) -> Path:
    """A model folder with what a finished training and the network of a recipe share; the rest is drawn from the seed. The training is made where it is missing.

    Args:
        begin: the training.
        recipe: of the network.
        seed: of both.
        work: folder of the runs.
        size: of the trainings.
        say: what is going on.
    """
    carry_out(begin, seed, work, size, say)
    learned, _ = load_tensors(work / "runs" / key_of(begin, seed, work, size) / "model" / WEIGHTS_NAME)
    network = catalogue.build(recipe.model.name, recipe.model.config, seed=seed)
    own = network.state_dict()
    shared = {name: tensor for name, tensor in learned.items() if name in own and tensor.shape == own[name].shape}
    network.load_state_dict({**own, **shared})
    content = json.dumps([key_of(begin, seed, work, size), recipe.model.config], sort_keys=True)
    folder = work / "first_weights" / hashlib.sha256(content.encode()).hexdigest()[:16]
    settings = ModelSettings(name=recipe.model.name, config=recipe.model.config)
    names = tuple(f"class {number}" for number in range(1, network.config.num_classes + 1)) or ("object",)
    write_model_folder(folder, network, ModelDescription(model=settings, class_names=names))
    return folder


def pending(
    variants: Sequence[tuple[str, Variant]], seeds: int, work: Path, size: Size = FULL
) -> list[tuple[str, Variant, int]]:
    """Name, variant and seed of the runs that are not done, in the order given; all seeds of a variant before the next variant."""
    return [
        (name, variant, seed)
        for name, variant in variants
        for seed in range(seeds)
        if known(variant, seed, work, size) is None
    ]
