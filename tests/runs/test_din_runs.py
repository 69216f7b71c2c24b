"""DIN in whole runs: stages of its own, SGD, shape templates of the training objects, true boxes in validation, and a resumed run bit for bit."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from PIL import Image

from seriatim.core.errors import ConfigError, DataError, StoppedBySignal
from seriatim.core.tensor_files import load_tensors
from seriatim.nn.shape_templates import make_templates
from seriatim.training.checkpoint import checkpoints
from seriatim.training.loop import train
from seriatim.training.recipe import Recipe
from seriatim.training.run import prepare

TINY = {
    "fcn": "pyramid",
    "encoder": "test_resnet",
    "encoder_depth": 2,
    "pyramid_channels": 4,
    "templates_per_bin": 2,
    "template_side": 6,
    "training_iterations": 1,
    "iterations": 1,
    "instance_iterations": 1,
}
SEMANTIC = {"instance": 0.0, "semantic": 1.0, "detections": "truth"}
INSTANCE = {"instance": 1.0, "detections": "truth", "unmatched": "background", "box_jitter": 0.1, "false_boxes": 0.5}


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


def recipe_of(squares, stages=None, **data):
    frozen = {"encoder": 0.0, "head": 0.0, "semantic_crf": 0.0}
    return Recipe.parse(
        {
            "data": {"source": f"folder:{squares}", "num_validation": 1, **data},
            "augmentation": {"crop_size": [32, 32]},
            "model": {"name": "din", "config": TINY},
            "optimizer": {"name": "sgd", "learning_rate": 0.01, "clip_norm": 5.0},
            "stages": stages
            or [
                {"name": "semantic", "iterations": 2, "weights": SEMANTIC},
                {"name": "piecewise", "iterations": 2, "weights": INSTANCE, "group_learning_rates": frozen},
                {"name": "all", "iterations": 2, "weights": INSTANCE},
            ],
            "validation": {"every": 10, "num_batches": 1, "num_images": 1},
            "runtime": {"batch_size": 1},
        }
    )


@pytest.fixture(scope="module")
def whole(squares, tmp_path_factory):
    """The run without interruption."""
    return train(recipe_of(squares), tmp_path_factory.mktemp("whole") / "run", device="cpu")


def log_of(folder):
    return [json.loads(line) for line in folder.log_path.read_text().splitlines()]


@pytest.mark.parametrize("stop_at", [1, 3, 5])
def test_a_run_with_momentum_and_disturbed_boxes_resumes_bit_for_bit(squares, whole, tmp_path, stop_at):
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


def test_images_without_boxes_are_scored_with_true_boxes_and_the_log_says_so(whole):
    validations = [line for line in log_of(whole) if "score" in line]
    assert [line["stage"] for line in validations] == ["semantic", "piecewise", "all"]
    assert all(line["boxes"] == "true" for line in validations)
    assert sorted(path.suffix for path in whole.samples.iterdir()) == [".png"] * 3


def test_the_templates_of_a_new_run_come_from_its_training_objects(squares, tmp_path):
    run, _ = prepare(recipe_of(squares), tmp_path / "run", resume=False, device="cpu")
    masks = [one.mask for index in range(3) for one in run.splits.training.read(index).instances()]
    found = run.network.terms.shape.templates.detach()
    assert (found.flatten(2).sum(dim=2) > 0).sum() == (make_templates(masks, 2, 6).flatten(2).sum(dim=2) > 0).sum()
    assert not (
        (found > 0) & (found < 1)
    ).any()  # rectangles fill their boxes; the ellipse of a network without a run does not
    again, _ = prepare(recipe_of(squares), tmp_path / "again", resume=False, device="cpu")
    assert torch.equal(again.network.terms.shape.templates.detach(), found)


def write_boxes(path, names):
    rows = [
        {"image_id": name, "category_id": 1, "bbox": box, "score": 0.9}
        for name in names
        for box in ([3, 2, 11, 12], [12, 16, 14, 12])
    ]
    path.write_text(json.dumps(rows))
    return str(path)


def test_boxes_of_a_file_go_into_loss_validation_and_score(squares, tmp_path):
    boxes = write_boxes(tmp_path / "boxes.json", [str(number) for number in range(4)])
    stages = [{"name": "all", "iterations": 1, "weights": {"instance": 1.0, "unmatched": "background"}}]
    folder = train(recipe_of(squares, stages, boxes=boxes), tmp_path / "run", device="cpu")
    training, validation = log_of(folder)
    assert training["instance"] > 0
    assert "boxes" not in validation
    assert validation["validation_loss"] > 0


def test_a_loss_on_given_boxes_without_a_file_is_refused(squares, tmp_path):
    stages = [{"name": "all", "iterations": 1, "weights": {"instance": 1.0}}]
    with pytest.raises(ConfigError, match=r"data\.boxes: needed, or objective\.detections = truth"):
        train(recipe_of(squares, stages), tmp_path / "run", device="cpu")


def test_validation_images_of_their_own_need_boxes_of_their_own(squares, tmp_path):
    boxes = write_boxes(tmp_path / "boxes.json", ["0"])
    recipe = recipe_of(squares, boxes=boxes, num_validation=0, validation=f"folder:{squares}")
    with pytest.raises(ConfigError, match=r"data\.validation_boxes: needed"):
        prepare(recipe, tmp_path / "run", resume=False, device="cpu")
    with pytest.raises((ConfigError, DataError), match="nowhere"):
        prepare(recipe_of(squares, boxes=str(tmp_path / "nowhere.json")), tmp_path / "run", resume=False, device="cpu")
