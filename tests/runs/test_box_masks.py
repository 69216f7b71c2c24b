"""A model that is not sequential goes through the training loop, which knows nothing of it (see `tests/box_masks.py`)."""

import json
import math

import numpy as np
import pytest
import torch
from tests import box_masks

from seriatim.core.errors import ConfigError
from seriatim.core.tensor_files import load_tensors
from seriatim.inference.predictor import load
from seriatim.training.loop import train
from seriatim.training.recipe import Recipe
from seriatim.training.run import prepare


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    box_masks.in_catalogue(monkeypatch)
    source, boxes = box_masks.write_data(tmp_path / "data")
    return Recipe.parse(
        {
            "data": {"source": source, "boxes": str(boxes), "num_validation": 1},
            "augmentation": {"crop_size": [32, 32], "focus": 1.0},
            "model": {"name": "box_masks"},
            "optimizer": {"learning_rate": 0.1, "group_learning_rates": {"encoder": 0.0}},
            "stages": [{"name": "one", "iterations": 2, "weights": {"score": 0.5}}],
            "validation": {"every": 1, "num_batches": 1},
            "runtime": {"batch_size": 2},
        }
    )


def test_it_trains_and_is_loaded_from_its_run_folder(recipe, tmp_path):
    folder = train(recipe, tmp_path / "run", device="cpu")
    log = [json.loads(line) for line in folder.log_path.read_text().splitlines()]
    losses = [line for line in log if "total" in line]
    assert [set(line) for line in losses] == [{"iteration", "num_objects", "stage", "total", "mask", "score"}] * 2
    assert all(math.isfinite(line["total"]) and line["mask"] > 0 and line["score"] > 0 for line in losses)
    assert sum("validation_loss" in line for line in log) == 2
    predictor = load(tmp_path / "run", device="cpu")
    assert isinstance(predictor.network, box_masks.BoxMasks)
    begun = box_masks.BoxMasks(box_masks.BoxMasksConfig())
    stored = load_tensors(folder.model / "model.safetensors")[0]
    assert not torch.equal(stored["head.bias"], begun.head.bias), "the head was trained"
    assert not np.any(stored["encoder.1.running_mean"].numpy()), "the encoder and its batch norm were frozen"


def test_without_boxes_it_says_what_to_set(recipe, tmp_path):
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"boxes": None})})
    with pytest.raises(ConfigError, match=r"needs boxes; set data\.boxes"):
        train(recipe, tmp_path / "run", device="cpu")


def test_boxes_for_a_model_that_takes_none_are_refused_before_anything_is_written(recipe, tmp_path):
    model = recipe.model.model_copy(update={"name": "ris", "config": {"channels": 4}})
    stages = [recipe.stages[0].model_copy(update={"weights": {}})]
    optimizer = recipe.optimizer.model_copy(update={"group_learning_rates": {}})
    other = recipe.model_copy(update={"model": model, "stages": stages, "optimizer": optimizer})
    with pytest.raises(ConfigError, match=r"data\.boxes: the model ris takes no boxes"):
        train(other, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_boxes_travel_through_crops_to_the_batch(recipe, tmp_path):
    run, state = prepare(recipe, tmp_path / "run", resume=False, device="cpu")
    batches = list(run.batches(state))
    assert all(len(batch.prompts) == len(batch.images) for batch in batches)
    boxes = torch.cat([prompts.boxes for batch in batches for prompts in batch.prompts])
    assert len(boxes) > 0
    assert boxes.min() >= 0
    assert boxes.max() <= 32
