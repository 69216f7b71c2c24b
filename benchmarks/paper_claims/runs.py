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

from paper_claims.images import NUM_TEST, NUM_TRAINING, fresh_images, training_folder
from paper_claims.measures import measure

from seriatim.core.files import write_atomically
from seriatim.core.provenance import source_tree
from seriatim.inference.predictor import load
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
    """

    base: str
    images: str
    settings: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ("true count",)


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
    """The recipe of a training; its images are drawn where they are missing."""
    folder = training_folder(variant.images, work, size.training)
    overrides = [f"seed={seed}", f"data.source=folder:{folder}", *variant.settings, *size.settings]
    return load_recipe(str(Path(__file__).parent / f"{variant.base}.toml"), overrides)


def key_of(variant: Variant, seed: int, work: Path, size: Size = FULL) -> str:
    """The name of a run: a hash of everything that its numbers depend on.

    Settings at their defaults have no share in it, so that a setting which the library gets later leaves the names as they are; where a default
    changes, `VERSION` has to.
    """
    settings = recipe_of(variant, seed, work, size).model_dump(mode="json", exclude_defaults=True)
    settings["data"]["source"] = variant.images
    facts = {"version": VERSION, "recipe": settings, "training": size.training, "test": size.test}
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
        started, said = time.process_time(), [time.monotonic()]

        def watch(state: Any, losses: dict[str, float]) -> None:
            if time.monotonic() - said[0] > SAVE_SECONDS:
                said[0] = time.monotonic()
                say(f"  iteration {state.iteration}/{recipe.num_iterations}  loss {losses['total']:.3f}")

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
    return measure(predictor, fresh_images(variant.images, size.test), ("undisturbed", *variant.conditions))


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
