"""A model that is not sequential goes through `segment` and `evaluate`, which know nothing of it (see `tests/box_masks.py`)."""

import json

import numpy as np
import pytest

from seriatim.core.errors import ConfigError, ShapeError
from seriatim.core.instances import Instances
from seriatim.inference.model_folder import ModelDescription, write_model_folder
from seriatim.inference.predictor import load
from tests import box_masks


@pytest.fixture
def boxed(tmp_path, monkeypatch):
    """Model folder, data set and boxes; the mask of a box is the box, and overlaps are kept."""
    box_masks.in_catalogue(monkeypatch)
    data, boxes = box_masks.write_data(tmp_path / "data")
    description = ModelDescription.parse({"model": {"name": box_masks.NAME}, "inference": {"overlaps": "keep"}})
    write_model_folder(tmp_path / "model", box_masks.BoxMasks(box_masks.BoxMasksConfig()), description)
    return tmp_path / "model", data, boxes


def test_segment_gives_the_boxes_of_each_image_to_the_model_and_keeps_overlaps(run, boxed, tmp_path):
    model, data, boxes = boxed
    images = data.removeprefix("folder:") + "/images"
    code, _, stderr = run("segment", images, "--model", model, "--boxes", boxes, "--out", tmp_path / "out")
    assert code == 0, stderr
    written = json.loads((tmp_path / "out" / "instances.json").read_text())
    given = json.loads(boxes.read_text())
    assert sorted(one["bbox"] for one in written["annotations"]) == sorted(one["bbox"] for one in given)
    first = [one for one in written["annotations"] if one["image_id"] == written["images"][0]["id"]]
    masks = Instances.from_coco(first, (48, 64)).masks()
    assert (masks[0] & masks[1]).any(), "overlaps are kept"
    labels = Instances.from_coco(first, (48, 64)).label_map()
    assert (labels[masks[0]] == 1).all(), "in the label map the earlier one wins"


def test_evaluate_gives_the_boxes_of_each_image_to_the_model(run, boxed, tmp_path):
    model, data, boxes = boxed
    words = ("--model", model, "--boxes", boxes, "--protocol", "nuclei", "--json", tmp_path / "scores.json")
    code, _, stderr = run("evaluate", "--data", data, *words)
    assert code == 0, stderr
    scores = json.loads((tmp_path / "scores.json").read_text())["nuclei"]
    assert scores["AP"]["0.5"] == 1.0
    assert scores["absDiC"] == 0


def test_without_boxes_the_model_says_that_it_needs_them(run, boxed, tmp_path):
    model, data, _ = boxed
    code, _, stderr = run("evaluate", "--data", data, "--model", model, "--protocol", "nuclei")
    assert code == 2
    assert "needs boxes" in stderr


@pytest.mark.parametrize(
    "given", ["[]", '[{"image_id": "other", "category_id": 1, "bbox": [1, 1, 4, 4], "score": 1.0}]']
)
def test_boxes_for_a_model_that_takes_none_are_refused_before_any_image(run, model, images, data, tmp_path, given):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(given)
    code, _, stderr = run("segment", images, "--model", model, "--boxes", boxes, "--out", tmp_path / "out")
    assert code == 2
    assert "takes none" in stderr
    assert not (tmp_path / "out").exists()
    code, _, stderr = run(
        "evaluate", "--data", f"folder:{data}", "--model", model, "--boxes", boxes, "--protocol", "nuclei"
    )
    assert code == 2
    assert "takes none" in stderr
    with pytest.raises(ConfigError, match="takes none"):
        load(model, "cpu").predict(np.zeros((40, 50), dtype=np.uint8), boxes=[])


def test_points_outside_the_image_are_refused(boxed):
    with pytest.raises(ShapeError, match=r"point 1, \[99.0, 3.0\], lies outside the image of 40 x 50 pixels"):
        load(boxed[0], "cpu").predict(np.zeros((40, 50, 3), dtype=np.uint8), points=[(1, 2), (99, 3)])


def test_python_gives_boxes_with_scores_and_classes(boxed, tmp_path):
    image = np.zeros((40, 50, 3), dtype=np.uint8)
    predictor = load(boxed[0], "cpu")
    edges = [(2, 3, 20, 30), (10, 10, 30, 45), (100, 100, 110, 110)]
    found = predictor.predict(image, boxes=edges, box_scores=[0.25, 1.0, 1.0], box_classes=[1, 2, 1])
    assert [one.box for one in found] == edges[:2], "the third lies outside the image"
    assert [one.class_id for one in found] == [1, 2]
    assert found[0].score == pytest.approx(found[1].score / 4)
    assert [one.box for one in predictor.stream(image, boxes=edges[:1])] == edges[:1]
    assert len(predictor.predict(image, boxes=[])) == 0


def test_boxes_of_a_large_image_are_cut_into_its_tiles_and_joined_again(boxed):
    predictor = load(boxed[0], "cpu")
    predictor.description = predictor.description.model_copy(
        update={"inference": predictor.description.inference.model_copy(update={"tile_size": 64, "overlap": 32})}
    )
    found = predictor.predict(np.zeros((64, 200, 3), dtype=np.uint8), boxes=[(5, 10, 50, 150), (8, 160, 30, 180)])
    assert sorted(one.box for one in found) == [(5, 10, 50, 150), (8, 160, 30, 180)]
