"""COCO results: bare lists with the ids of the truth, and what `segment` writes with ids of its own."""

import json

import numpy as np
import pytest
from PIL import Image

from seriatim.core import rle
from seriatim.core.errors import DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.readers.coco import CocoSource
from seriatim.data.readers.coco_results import CocoResults
from seriatim.data.subsets import OfClasses, Subset

SIZE = (6, 8)


def code(y0, x0, y1, x1, size=SIZE):
    return rle.encode((y0, x0, y1, x1), np.ones((y1 - y0, x1 - x0), dtype=bool), size)


def result(image_id, category_id, segmentation, score):
    return {"image_id": image_id, "category_id": category_id, "segmentation": segmentation, "score": score}


def truth(folder, names=("a.png", "b.png"), categories=("cat", "dog")):
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number, name in enumerate(names):
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", SIZE[::-1]).save(path)
        images.append({"id": 10 + number, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
    data = {
        "images": images,
        "annotations": [],
        "categories": [{"id": 7 * number, "name": name} for number, name in enumerate(categories, start=1)],
    }
    (folder / "truth.json").write_text(json.dumps(data))
    return CocoSource(folder / "truth.json")


@pytest.fixture
def source(tmp_path):
    return truth(tmp_path / "truth")


def opened(tmp_path, source, data, **more):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(data))
    return CocoResults(path, source, **more)


def find(results, index):
    return results.find(index, results.source.read(index))


def test_a_bare_list_is_read_by_the_ids_of_the_truth(tmp_path, source):
    results = opened(
        tmp_path,
        source,
        [
            result(11, 14, code(0, 0, 2, 2), 0.25),
            result(11, 7, [[2, 1, 6, 1, 6, 5, 2, 5]], 1),
            result(11, 7, {"size": list(SIZE), "counts": [0, 48]}, 0),
        ],
    )
    assert results.problems == []
    found = find(results, 1)
    assert found.size == SIZE
    assert found.areas.tolist() == [4, 16, 48]
    assert found.scores.tolist() == [0.25, 1.0, 0.0]
    assert found.class_ids.tolist() == [2, 1, 1]
    assert [instance.step for instance in found] == [0, 1, 2]
    assert len(find(results, 0)) == 0
    assert find(results, 0).size == SIZE


def test_what_segment_writes_is_matched_by_names(tmp_path, source):
    instances = Instances(SIZE, [Instance((1, 1, 3, 3), np.ones((2, 2), dtype=bool), score=0.5, class_id=1)])
    results = opened(
        tmp_path,
        source,
        {
            "images": [
                {"id": 1, "file_name": "/somewhere/images/b.jpg", "height": 6, "width": 8},
                {"id": 2, "file_name": "a.png", "height": 6, "width": 8},
            ],
            "annotations": instances.to_coco(image_id=1) + instances.to_coco(image_id=2, first_annotation_id=2),
            "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "horse"}],
        },
    )
    assert results.problems == []
    for index in (0, 1):
        assert find(results, index).scores.tolist() == [0.5]
        assert find(results, index).class_ids.tolist() == [2]


def test_annotations_without_images_have_the_ids_of_the_truth(tmp_path, source):
    results = opened(tmp_path, source, {"annotations": [result(10, 7, code(0, 0, 1, 1), 0.5)]})
    assert len(find(results, 0)) == 1


def test_the_one_class_of_a_model_is_the_one_class_of_the_truth_whatever_they_are_called(tmp_path):
    source = truth(tmp_path, categories=("cell",))
    data = {"annotations": [result(10, 1, code(0, 0, 1, 1), 0.5)], "categories": [{"id": 1, "name": "nucleus"}]}
    assert find(opened(tmp_path, source, data), 0).class_ids.tolist() == [1]


def test_classes_none_of_which_is_known_are_refused(tmp_path, source):
    data = {"annotations": [], "categories": [{"id": 1, "name": "nucleus"}]}
    with pytest.raises(DataError, match=r"none of its categories \(nucleus \.\.\.\) is one of .*\(cat, dog \.\.\.\)"):
        opened(tmp_path, source, data)


def test_images_none_of_which_is_known_are_refused(tmp_path, source):
    data = {"annotations": [], "images": [{"id": 1, "file_name": "z.png"}]}
    with pytest.raises(DataError, match="none of its 1 images is an image of"):
        opened(tmp_path, source, data)


def test_images_of_one_stem_are_told_apart_by_their_folders(tmp_path):
    source = truth(tmp_path, names=("x/1.png", "y/1.png"))
    data = {
        "images": [
            {"id": 5, "file_name": "/data/y/1.png"},
            {"id": 6, "file_name": "1.png"},
            {"id": 7, "file_name": "q/y/1.png"},
        ],
        "annotations": [result(5, 7, code(0, 0, 1, 1), 0.5), result(6, 7, code(0, 0, 1, 1), 0.5)],
    }
    results = opened(tmp_path, source, data)
    assert [len(find(results, index)) for index in (0, 1)] == [0, 1]
    assert [problem.item for problem in results.problems] == ["image 6", "image 7"]
    assert "or may be several" in results.problems[0].reason
    assert "is a second one of image" in results.problems[1].reason


BAD = [
    (None, "expected an object"),
    (result(99, 7, code(0, 0, 1, 1), 0.5), "image_id 99"),
    (result("10", 7, code(0, 0, 1, 1), 0.5), "image_id '10'"),
    (result(10, 1, code(0, 0, 1, 1), 0.5), "category_id 1 "),
    (result(10, 7, code(0, 0, 1, 1), "0.5"), "score '0.5'"),
    (result(10, 7, code(0, 0, 1, 1), float("nan")), "score nan"),
    (result(10, 7, code(0, 0, 1, 1), 1.5), "score 1.5"),
    (result(10, 7, code(0, 0, 1, 1), True), "score True"),
    ({"image_id": 10, "category_id": 7, "segmentation": code(0, 0, 1, 1)}, "score None"),
    ({"image_id": 10, "category_id": 7, "bbox": [0, 0, 1, 1], "score": 0.5}, "segmentation"),
    (result(10, 7, code(0, 0, 1, 1, size=(6, 9)), 0.5), "is of 6 x 9 pixels, its image 6 x 8"),
    (result(10, 7, {"size": [6, 8], "counts": "5"}, 0.5), "add up to 5"),
    (result(10, 7, [[1, 1, 2]], 0.5), "has 3 numbers"),
]


def test_bad_results_are_left_out_and_listed_by_their_place(tmp_path, source):
    good = result(10, 7, code(0, 0, 1, 1), 0.5)
    data = [one for bad, _ in BAD for one in (bad, good)]
    results = opened(tmp_path, source, data)
    assert [problem.item for problem in results.problems] == [f"annotations[{2 * place}]" for place in range(len(BAD))]
    for problem, (_, reason) in zip(results.problems, BAD, strict=True):
        assert reason in problem.reason
    assert len(find(results, 0)) == len(BAD)
    with pytest.raises(DataError, match=r"results\.json: annotations\[0\]"):
        opened(tmp_path, source, data, strict=True)


def test_a_polygon_that_covers_no_pixel_is_listed_when_it_is_read(tmp_path, source):
    results = opened(tmp_path, source, [result(10, 7, [[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]], 0.5)])
    assert results.problems == []
    assert len(find(results, 0)) == 0
    assert [problem.reason for problem in results.problems] == ["covers no pixel; left out"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no JSON"),
        ("3", "expected an object"),
        ("{}", "holds no 'annotations'"),
        ('{"annotations": 3}', "expected a list under 'annotations'"),
        ('{"annotations": [], "images": 3}', "expected a list under 'images'"),
        ('{"annotations": [], "categories": {}}', "expected a list under 'categories'"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_damaged_files_are_one_error(tmp_path, source, text, reason):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(DataError, match=reason):
        CocoResults(tmp_path / "results.json", source)


def test_results_for_a_part_and_a_choice_of_classes_are_those_of_its_images_and_classes_without_a_word_of_the_rest(
    tmp_path, source
):
    part = OfClasses(Subset(source, [1]), ["dog"])
    data = [result(image, category, code(0, 0, 1, 1), 0.5) for image in (10, 11) for category in (7, 14)]
    results = opened(tmp_path, part, data)
    assert results.problems == []
    assert find(results, 0).class_ids.tolist() == [1]
    named = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [result(image, category, code(0, 0, 1, 1), 0.5) for image in (1, 2) for category in (1, 2)],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
    }
    results = opened(tmp_path, part, named)
    assert results.problems == []
    assert find(results, 0).class_ids.tolist() == [1]
