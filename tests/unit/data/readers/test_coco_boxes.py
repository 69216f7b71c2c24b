"""Boxes of anybody: both layouts, images by name or id, classes by name, and every fault listed with its place."""

import json

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.box_origins import WithBoxes
from seriatim.data.catalogue import open_source
from seriatim.data.readers.coco_boxes import BoxFile
from seriatim.data.samples import Sample
from seriatim.data.subsets import OfClasses, Subset

from ..memory_source import MemorySource


def entry(image_id, bbox=(2, 1, 4, 3), category_id=1, **more):
    return {"image_id": image_id, "category_id": category_id, "bbox": list(bbox), "score": 0.5, **more}


def box_file(folder, content, *args, **more):
    (folder / "boxes.json").write_text(json.dumps(content))
    return BoxFile(folder / "boxes.json", *args, **more)


@pytest.fixture
def truth(tmp_path):
    images = []
    for number, name in ((10, "x/1.png"), (11, "y/1.png")):
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        Image.new("L", (8, 6)).save(tmp_path / "images" / name)
        images.append({"id": number, "file_name": name, "height": 6, "width": 8})
    categories = [{"id": 7, "name": "cat"}, {"id": 14, "name": "dog"}]
    content = {"images": images, "annotations": [], "categories": categories}
    (tmp_path / "truth.json").write_text(json.dumps(content))
    return open_source(f"coco:{tmp_path / 'truth.json'}")


def test_a_list_names_its_images_and_its_boxes_become_edges(tmp_path):
    file = box_file(tmp_path, [entry("b.png"), entry("a", (0.5, 1, 2, 2.25), 3, score=1), entry("b.png", score=0)])
    assert file.problems == []
    assert file.for_image("/some/where/b.jpg").edges.tolist() == [[1, 2, 4, 6]] * 2
    assert file.for_image("b").scores.tolist() == [0.5, 0.0]
    found = file.for_image(tmp_path / "a.tif")
    assert (found.edges.tolist(), found.class_ids.tolist()) == ([[1, 0.5, 3.25, 2.5]], [3])
    assert len(file.for_image("c")) == 0


def test_a_list_with_ids_goes_by_the_coco_file_of_the_data(tmp_path, truth):
    file = box_file(
        tmp_path, [entry(11, category_id=14), entry(10, (0, 0, 1, 1), 7), entry(10, (0, 0, 20, 30), 14)], truth
    )
    source = WithBoxes(truth, file)
    first, second = source.read(0).boxes, source.read(1).boxes
    assert first.edges.tolist() == [[0, 0, 1, 1], [0, 0, 6, 8]]  # clipped to the image
    assert first.class_ids.tolist() == [1, 2]
    assert (second.edges.tolist(), second.class_ids.tolist()) == ([[1, 2, 4, 6]], [2])
    assert source.problems is truth.problems
    assert Subset(source, [1]).read(0).boxes.class_ids.tolist() == [2]


def test_a_list_with_ids_needs_the_coco_file_of_the_data(tmp_path):
    file = box_file(tmp_path, [entry(11)], MemorySource())
    assert [(one.item, one.reason.partition(",")[0]) for one in file.problems] == [
        ("annotations[0]", "image_id 11 is a number")
    ]


def test_what_segment_writes_is_matched_by_names_of_images_and_classes(tmp_path):
    found = Instances((6, 8), [Instance((1, 2, 4, 6), np.ones((3, 4), dtype=bool), score=0.25, class_id=2)])
    content = {
        "images": [{"id": 5, "file_name": "in/photo.png", "height": 6, "width": 8}],
        "annotations": found.to_coco(image_id=5),
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
    }
    boxes = box_file(tmp_path, content, class_names=("bird", "cat")).for_image("photo.png")
    assert (boxes.edges.tolist(), boxes.scores.tolist(), boxes.class_ids.tolist()) == ([[1, 2, 4, 6]], [0.25], [2])
    assert box_file(tmp_path, content, class_names=("bird", "cow")).for_image("photo").class_ids.tolist() == [0]
    assert box_file(tmp_path, content).for_image("photo").class_ids.tolist() == [2]


def test_the_one_class_of_a_file_is_the_one_class_of_the_data(tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "a.png"}],
        "annotations": [entry(1, category_id=3)],
        "categories": [{"id": 3, "name": "nucleus"}],
    }
    assert box_file(tmp_path, content, class_names=("cell",)).for_image("a").class_ids.tolist() == [1]


def test_boxes_of_classes_that_are_left_out_are_left_out(tmp_path, truth):
    dogs = OfClasses(truth, ["dog"])
    file = box_file(tmp_path, [entry(10, category_id=7), entry(10, category_id=14)], dogs)
    assert WithBoxes(dogs, file).read(0).boxes.class_ids.tolist() == [1]
    both = WithBoxes(truth, box_file(tmp_path, [entry(10, category_id=7), entry(10, category_id=14)], truth))
    assert OfClasses(both, ["dog"]).read(0).boxes.class_ids.tolist() == [1]


def test_boxes_of_no_known_class_stay_where_classes_are_chosen(tmp_path):
    sample = Sample("a", np.zeros((1, 6, 8), np.float32), np.zeros((6, 8), np.int32), np.zeros(0, np.int64))
    source = MemorySource(sample, class_names=("cat", "dog"))
    file = box_file(tmp_path, [entry("a", category_id=0), entry("a", category_id=2), entry("a", category_id=1)], source)
    assert OfClasses(WithBoxes(source, file), ["dog"]).read(0).boxes.class_ids.tolist() == [0, 1]


BAD = [
    (7, "expected an object"),
    (entry(""), "image_id ''"),
    (entry(None), "image_id None"),
    (entry(True), "image_id True"),
    (entry("a", (1, 2, 3)), "a list of 3"),
    (entry("a", (1, 2, 0, 3)), r"[1, 2, 0, 3]"),
    (entry("a", (1, 2, 3, -4)), "covers something"),
    (entry("a", (1, 2, float("nan"), 3)), "nan"),
    (entry("a", (1, 2, float("inf"), 3)), "inf"),
    (entry("a", ("1", 2, 3, 3)), "'1'"),
    ({"image_id": "a", "category_id": 1, "score": 1}, "got None"),
    (entry("a", score=1.5), "score 1.5"),
    (entry("a", score="high"), "score 'high'"),
    (entry("a", category_id=-1), "category_id -1"),
    (entry("a", category_id=1.5), "category_id 1.5"),
]


def test_broken_entries_are_left_out_and_listed_by_their_place(tmp_path):
    content = [one for bad, _ in BAD for one in (bad, entry("a"))]
    file = box_file(tmp_path, content)
    assert [problem.item for problem in file.problems] == [f"annotations[{2 * place}]" for place in range(len(BAD))]
    for problem, (_, reason) in zip(file.problems, BAD, strict=True):
        assert reason in problem.reason
    assert len(file.for_image("a")) == len(BAD)
    with pytest.raises(DataError, match=r"boxes\.json: annotations\[0\]"):
        box_file(tmp_path, content, strict=True)


def test_unknown_ids_of_images_and_categories_are_listed(tmp_path, truth):
    file = box_file(tmp_path, [entry(99, category_id=7), entry(10, category_id=8)], truth)
    assert [problem.reason.partition(" is")[0] for problem in file.problems] == ["image_id 99", "category_id 8"]


@pytest.mark.parametrize("text", ["", "3", "{}", '{"annotations": []}', '{"annotations": [], "images": 3}'])
def test_damaged_files_are_one_error(tmp_path, text):
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(DataError, match=r"boxes\.json"):
        BoxFile(tmp_path / "boxes.json")
