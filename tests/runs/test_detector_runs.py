"""From a detector's training to a model that starts from its boxes: by a file of boxes, and by name."""

import json

import numpy as np
import pytest
from tests.box_masks import write_data

from seriatim.cli.main import main
from seriatim.core.boxes import Boxes
from seriatim.data.box_origins import WithBoxes
from seriatim.data.catalogue import open_source
from seriatim.data.readers.coco_boxes import BoxFile
from seriatim.inference.predictor import load
from seriatim.training.loop import train
from seriatim.training.recipe import Recipe

SHARED = {
    "augmentation": {"crop_size": [32, 32], "focus": 1.0},
    "stages": [{"name": "one", "iterations": 2}],
    "validation": {"every": 2, "num_batches": 1},
    "runtime": {"batch_size": 2},
}
PYRAMID = {"encoder": "test_resnet", "encoder_depth": 3}


def run(recipe, folder):
    train(Recipe.parse({**SHARED, **recipe}), folder, device="cpu")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))[0]


@pytest.fixture(scope="module")
def detector(data, tmp_path_factory):
    config = {**PYRAMID, "channels": 32, "head_convolutions": 1, "finest_size": 16, "max_detections": 6}
    recipe = {
        "data": {"source": data, "num_validation": 1},
        "model": {"name": "detector", "config": config},
        "validation": {"every": 2, "num_batches": 1, "num_images": 1, "protocol": "coco_boxes"},
        "inference": {"overlaps": "keep"},
    }
    return run(recipe, tmp_path_factory.mktemp("runs") / "detector")


def din(source, boxes=None, **parts):
    """A recipe of a small DIN."""
    config = {"fcn": "pyramid", **PYRAMID, "pyramid_channels": 8, "templates_per_bin": 2}
    return {
        "data": {"source": source, "boxes": boxes, "num_validation": 1},
        "model": {"name": "din", "config": config},
        **parts,
    }


def test_a_detector_trains_and_is_scored_by_its_boxes(detector):
    log = [json.loads(line) for line in (detector / "metrics.jsonl").read_text().splitlines()]
    assert {"classification", "box", "centreness"} <= set(log[0])
    assert {"coco_boxes_score", "coco_boxes_AP"} <= set(log[-1])


def test_the_file_of_boxes_that_segment_writes_is_what_the_detector_found_and_trains_din(data, detector, tmp_path):
    source = open_source(data)
    folder = data.split(":", 1)[1]
    code = main(
        ["segment", f"{folder}/images", "--model", str(detector), "--out", str(tmp_path / "out"), "--formats", "coco"]
    )
    assert code == 0
    file = tmp_path / "out" / "instances.json"
    boxes = BoxFile(file, source)
    boxed = WithBoxes(source, boxes)
    assert boxes.problems == []
    predictor = load(detector, device="cpu")
    for index in range(len(source)):
        sample = boxed.read(index)
        found = predictor.predict_values(sample.image)
        assert len(found) > 0, "nothing was found, so nothing was tested"
        expected = Boxes.of([one.box for one in found], found.scores, found.class_ids)
        assert sample.boxes.edges.tolist() == expected.edges.tolist()
        assert np.allclose(sample.boxes.scores, expected.scores, atol=1e-6)
        assert sample.boxes.class_ids.tolist() == expected.class_ids.tolist()
    trained = run(din(data, str(file)), tmp_path / "din")
    log = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert log[0]["instance"] > 0


def test_din_takes_the_boxes_of_the_detector_that_it_names(data, detector, tmp_path):
    recipe = din(
        data,
        stages=[{"name": "one", "iterations": 2, "weights": {"detections": "truth"}}],
        inference={"detector": str(detector), "overlaps": "keep"},
    )
    trained = run(recipe, tmp_path / "din")
    predictor = load(trained, device="cpu")
    image = open_source(data).read(0).image
    boxes = load(detector, device="cpu").predict_values(image)
    named = predictor.predict_values(image)
    given = predictor.predict_values(image, boxes=Boxes.of([one.box for one in boxes], boxes.scores, boxes.class_ids))
    assert len(boxes) > 0
    assert np.array_equal(named.label_map(), given.label_map())
    arguments = ["evaluate", "--data", data, "--model", str(trained), "--protocol", "coco_boxes", "--json", "-"]
    assert main(arguments) == 0
