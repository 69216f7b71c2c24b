import json

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import ConfigError, DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.readers.coco import CocoSource
from seriatim.data.readers.coco_results import CocoResults
from seriatim.data.readers.folder import FolderSource
from seriatim.data.subsets import Subset
from seriatim.evaluation.predictions import (
    LabelMapPredictions,
    check_class_ids,
    match_classes,
    open_predictions,
)

SIZE = (12, 16)


def square(y, x, side=4, **fields):
    return Instance((y, x, y + side, x + side), np.ones((side, side), dtype=bool), **fields)


@pytest.fixture
def source(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for name in ("a.b", "c"):
        labels = Instances(SIZE, [square(0, 0), square(6, 6)]).label_map()
        Image.new("L", SIZE[::-1]).save(tmp_path / "data" / "images" / f"{name}.png")
        Image.fromarray(labels.astype(np.uint16)).save(tmp_path / "data" / "labels" / f"{name}.png")
    return FolderSource(tmp_path / "data")


def write(path, names, found, size=SIZE, categories=("object",)):
    images = [{"id": 5 + k, "file_name": name, "height": size[0], "width": size[1]} for k, name in enumerate(names)]
    annotations = [one for k in range(len(names)) for one in found[k].to_coco(image_id=5 + k)]
    named = [{"id": k, "name": name} for k, name in enumerate(categories, start=1)]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": named}))
    return path


def test_results_for_other_data_are_matched_by_name_and_keep_their_overlaps(source, tmp_path):
    found = [Instances(SIZE, [square(0, 0, score=0.5), square(2, 2, score=0.75)]), Instances(SIZE, [square(1, 1)])]
    predictions = open_predictions(write(tmp_path / "found.json", ["elsewhere/c.jpg", "a.b.tif"], found), source)
    assert isinstance(predictions, CocoResults)
    read = {source.name(k): predictions.find(k, source.read(k)) for k in range(2)}
    assert (read["c"].areas.tolist(), read["c"].scores.tolist()) == ([16, 16], [0.5, 0.75])
    assert (read["c"].masks() == found[0].masks()).all()
    assert len(read["a.b"]) == 1
    assert predictions.class_names == ("object",)


def test_an_image_that_the_file_lacks_has_no_predictions(source, tmp_path, caplog):
    predictions = CocoResults(write(tmp_path / "found.json", ["c.png"], [Instances(SIZE, [square(0, 0)])]), source)
    assert [len(predictions.find(k, source.read(k))) for k in range(2)] == [0, 1]
    assert "no image for 1 images, such as a.b" in caplog.text


def test_images_that_are_strange_or_stand_there_twice_are_left_out(source, tmp_path, caplog):
    one = Instances(SIZE, [square(0, 0)])
    path = write(tmp_path / "found.json", ["c.png", "c.jpg", "other.png"], [one, one, one])
    content = json.loads(path.read_text())
    content["images"] += [{"id": "x"}, {"id": 99, "file_name": "a.b.png", "height": 0, "width": 3}]
    path.write_text(json.dumps(content))
    predictions = CocoResults(path, source)
    assert [len(predictions.find(k, source.read(k))) for k in range(2)] == [0, 1]
    for reason in ("second one of image c", "'other.png' is no image", "expected an id", "no height and width"):
        assert reason in caplog.text


def test_what_fits_no_image_is_an_error(source, tmp_path):
    nothing = [Instances(SIZE)]
    with pytest.raises(DataError, match=r"none of its 1 images is an image of the data; .* 'a\.b'"):
        CocoResults(write(tmp_path / "found.json", ["z.png"], nothing), source)
    predictions = CocoResults(write(tmp_path / "found.json", ["c.png"], nothing, size=(3, 4)), source)
    with pytest.raises(DataError, match="says that c is 3 x 4 pixels, the truth 12 x 16"):
        predictions.find(1, source.read(1))
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(DataError, match="bare list of results has no names"):
        open_predictions(tmp_path / "list.json", source)
    with pytest.raises(DataError, match="no such file"):
        open_predictions(tmp_path / "none.json", source)
    with pytest.raises(DataError, match="no such folder"):
        open_predictions(tmp_path / "none", source)


def test_results_for_a_part_of_a_coco_file_go_to_its_images(tmp_path):
    images = []
    for number, name in enumerate(("a", "b", "c")):
        Image.new("L", SIZE[::-1]).save(tmp_path / f"{name}.png")
        images.append({"id": number, "file_name": f"{name}.png", "height": SIZE[0], "width": SIZE[1]})
    truth = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "cat"}]}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    results = [{**square_result(2), "score": 0.5}, {**square_result(1), "score": 0.25}]
    (tmp_path / "found.json").write_text(json.dumps(results))
    part = Subset(Subset(CocoSource(tmp_path / "truth.json"), [2, 1]), [1, 0])
    predictions = open_predictions(tmp_path / "found.json", part)
    assert isinstance(predictions, CocoResults)
    assert [predictions.find(k, part.read(k)).scores.tolist() for k in range(2)] == [[0.25], [0.5]]


def square_result(image_id):
    annotation = Instances(SIZE, [square(0, 0, class_id=1)]).to_coco(image_id)[0]
    return {key: annotation[key] for key in ("image_id", "category_id", "segmentation")}


def test_a_folder_holds_label_maps(source, tmp_path):
    predictions = open_predictions(tmp_path / "data" / "labels", source)
    assert isinstance(predictions, LabelMapPredictions)
    assert (len(predictions.find(0, source.read(0))), predictions.class_names) == (2, ())


@pytest.mark.parametrize(
    ("found", "wanted", "numbers"),
    [
        (("cat", "dog"), ("cat", "dog"), [0, 1, 2]),
        (("leaf",), ("object",), [0, 1]),
        (("dog", "cat", "cow"), ("cat", "dog"), [0, 2, 1, 3]),
        (("leaf",), ("cat", "leaf"), [0, 2]),
        (("cow", "cat", "sheep"), ("cat",), [0, 2, 1, 3]),
        ((), ("object",), None),
        (("leaf",), ("cat", "dog"), None),
    ],
)
def test_classes_agree_by_name_or_not_at_all(found, wanted, numbers):
    matched = match_classes(found, wanted)
    assert (None if matched is None else matched.tolist()) == numbers


def test_a_class_without_a_name_is_refused():
    with pytest.raises(ConfigError, match="one: a prediction of class 3, the predictions have classes 1 to 2"):
        check_class_ids(Instances(SIZE, [square(0, 0, class_id=3)]), 2, "one")
