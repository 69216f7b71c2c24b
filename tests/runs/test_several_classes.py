"""The recipe of several classes runs on drawn scenes and on real photographs with COCO annotations, and its model is scored class by class.

Everything is made smaller, so that nothing is learnt: what is shown is that all parts fit together.
"""

import json
from pathlib import Path

import pytest

from seriatim.data.catalogue import open_source
from seriatim.evaluation.evaluate import evaluate_predictions
from seriatim.evaluation.predictions import ModelPredictions
from seriatim.inference.predictor import load
from seriatim.training.loop import train
from seriatim.training.recipe import load_recipe

REAL = Path(__file__).parents[3] / "shared" / "data" / "coco-subset" / "instances.json"


def made_small(source, num_classes):
    return load_recipe(
        "scenes",
        [
            f"data.source={source}",
            "data.num_validation=2",
            "data.num_test=2",
            "data.validation=",
            "data.test=",
            f"model.config.num_classes={num_classes}",
            'model.config.encoder="test_resnet"',
            "model.config.encoder_depth=3",
            "model.config.levels=3",
            "model.config.width=8",
            "model.config.extensions.pyramid_channels=8",
            "model.config.max_steps=4",
            "model.config.stop_threshold=0.0",
            "model.config.guidance.seed_threshold=0.0",
            "augmentation.crop_size=[48, 64]",
            "preparation.longest_side=96",
            "runtime.batch_size=2",
            "stages.0.iterations=2",
            "optimizer.warmup=0",
            "validation.num_batches=1",
            "validation.num_images=2",
        ],
    )


@pytest.mark.parametrize(
    ("spec", "num_classes"),
    [("scenes:8@40", 5), pytest.param(f"coco:{REAL}", 80, marks=pytest.mark.data)],
    ids=["scenes", "photographs"],
)
def test_a_network_of_several_classes_trains_and_is_scored_class_by_class(spec, num_classes, tmp_path):
    if spec.startswith("coco") and not REAL.is_file():
        pytest.skip(f"the COCO images are not at {REAL.parent}")
    train(made_small(spec, num_classes), tmp_path / "run", device="cpu")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line for line in lines if "classification" in line]
    assert len(losses) == 2
    assert all(line["classification"] > 0 for line in losses)
    source = open_source(spec)
    predictor = load(tmp_path / "run", device="cpu")
    assert predictor.class_names == source.class_names
    found = evaluate_predictions(ModelPredictions(predictor), source, ["coco", "sds"], num_resamples=5)
    assert found.judges_classes
    assert sum(found.num_preds) > 0
    assert len(found.names) == len(source)
    with_targets = {int(class_id) for index in range(len(source)) for class_id in source.read(index).classes}
    per_class = found.scores["sds"]["per_class"]
    assert {class_id for class_id, values in per_class.items() if values is not None} == with_targets
    assert 0 <= found.scores["coco"]["AP50"] <= 1
