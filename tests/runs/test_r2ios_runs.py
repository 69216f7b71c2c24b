"""R2-IOS in whole runs on proposals made of the true boxes: its small recipes in a few iterations, and a resumed run bit for bit."""

import json
import math
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from seriatim.core.errors import StoppedBySignal
from seriatim.core.tensor_files import load_tensors
from seriatim.inference.predictor import load
from seriatim.training.checkpoint import checkpoints
from seriatim.training.loop import train
from seriatim.training.recipe import Recipe, load_recipe

TINY = {
    "trunk": "pyramid",
    "encoder": "test_resnet",
    "encoder_depth": 3,
    "strides": [4, 8],
    "pyramid_channels": 4,
    "fc_channels": 8,
    "mask_side": 6,
    "mask_channels": 4,
    "hidden": 4,
    "box_side": 3,
    "num_refinements": 3,
    "dropout": 0.2,
}
WEIGHTS = {"boxes": "truth", "box_copies": 2, "false_boxes": 3.0, "proposals": 8}


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def squares(tmp_path_factory):
    """Four images of two rectangles."""
    folder = tmp_path_factory.mktemp("squares")
    for seed in range(4):
        labels = np.zeros((32, 32), dtype=np.uint8)
        labels[2 : 12 + seed, 3:14], labels[16:28, 12 : 28 - 2 * seed] = 1, 2
        noise = np.random.default_rng(seed).integers(0, 80, size=(32, 32, 3))
        save(folder / "images" / f"{seed}.png", (noise + 80 * (labels > 0)[..., None]).astype(np.uint8))
        save(folder / "labels" / f"{seed}.png", labels)
    return folder


def recipe_of(squares):
    return Recipe.parse(
        {
            "data": {"source": f"folder:{squares}", "num_validation": 1},
            "augmentation": {"crop_size": [32, 32]},
            "model": {"name": "r2ios", "config": TINY},
            "optimizer": {"name": "sgd", "learning_rate": 0.01, "momentum": 0.9, "clip_norm": 5.0},
            "stages": [
                {"name": "without the gate", "iterations": 3, "weights": {**WEIGHTS, "gate": False}},
                {"name": "with the gate", "iterations": 3, "weights": WEIGHTS},
            ],
            "validation": {"every": 10, "num_batches": 1, "num_images": 1},
            "runtime": {"batch_size": 2},
            "inference": {"overlaps": "keep", "max_hidden": 1.0},
        }
    )


@pytest.fixture(scope="module")
def whole(squares, tmp_path_factory):
    """The run without interruption."""
    return train(recipe_of(squares), tmp_path_factory.mktemp("whole") / "run", device="cpu")


def test_the_log_has_the_histogram_of_the_gate_and_a_collapse_is_reported(whole):
    log = [json.loads(line) for line in whole.log_path.read_text().splitlines()]
    names = ["optimal_1", "optimal_2", "optimal_3"]
    for line in log:
        origin = "validation_" if "validation_loss" in line else ""
        assert sum(line[origin + name] for name in names) == pytest.approx(1)
        if "validation_loss" in line:
            shares = [line[f"validation_{name}"] for name in names]
            assert ("remark" in line) == (max(shares) >= 0.98)
        else:
            assert line["total"] == pytest.approx(line["classification"] + line["location"] + line["segmentation"])


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_a_run_with_drawn_proposals_and_dropout_resumes_bit_for_bit(squares, whole, tmp_path, stop_at):
    recipe = recipe_of(squares)

    def stop(state, _):
        if state.iteration == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedBySignal):
        train(recipe, tmp_path / "parts", watch=stop, device="cpu")
    parts = train(recipe, tmp_path / "parts", resume=True, device="cpu")
    assert parts.log_path.read_bytes() == whole.log_path.read_bytes()
    ours, theirs = (load_tensors(checkpoints(one.checkpoints)[-1])[0] for one in (parts, whole))
    assert any(key.startswith("optimizer.momentum_buffer") for key in ours)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("name", ["scenes-r2ios", "nuclei-r2ios"])
def test_the_small_recipes_run_through_their_stages_and_their_models_are_scored(name, squares, tmp_path):
    data = {
        "scenes-r2ios": {"source": "scenes:4@1000", "validation": "scenes:1@900", "test": "scenes:1"},
        "nuclei-r2ios": {"source": f"folder:{squares}", "num_validation": 1, "num_test": 1},
    }[name]
    recipe = load_recipe(
        name,
        [
            *(f"data.{key}={value}" for key, value in data.items()),
            *(f"stages.{number}.iterations=1" for number in range(2)),
            "augmentation.crop_size=[64, 64]",
            "model.config.encoder=test_resnet",
            "validation.num_batches=1",
            "validation.num_images=1",
            "runtime.batch_size=1",
        ],
    )
    folder = train(recipe, tmp_path / "run", device="cpu")
    log = [json.loads(line) for line in folder.log_path.read_text().splitlines()]
    losses = [line for line in log if "total" in line]
    assert [line["stage"] for line in losses] == ["without the gate", "with the gate"]
    assert all(math.isfinite(line["total"]) and line["location"] > 0 for line in losses)
    assert all(line["boxes"] == "true" for line in log if "score" in line)
    protocol = recipe.validation.protocol
    boxes = {"boxes": [(4.0, 4.0, 24.0, 24.0)]}
    predictor = load(tmp_path / "run", "cpu")
    assert all(0 <= one.score <= 1 for one in predictor.predict(np.zeros((48, 64, 3), dtype=np.uint8), **boxes))
    assert recipe.inference.overlaps == "keep"
    assert protocol == {"scenes-r2ios": "sds", "nuclei-r2ios": "nuclei"}[name]
