"""The images of a run: their classes fit the network, and images that cannot be used are left out, which is remembered."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import ConfigError, DataError
from seriatim.data.readers.voc import CLASS_NAMES
from seriatim.data.synthetic.sources import RosetteSource
from seriatim.training.loop import train
from seriatim.training.recipe import DataConfig, Recipe
from seriatim.training.run_folder import RunFolder
from seriatim.training.splits import Splits, check_classes, check_images, open_splits, training_masks

PERSON, CAR = CLASS_NAMES.index("person") + 1, CLASS_NAMES.index("car") + 1


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def voc(tmp_path):
    """Images a to d: a person and a car, a car, two people, a car."""
    folder = tmp_path / "VOC2012"
    objects = np.zeros((20, 24), dtype=np.uint8)
    objects[2:9, 2:9], objects[11:18, 12:22] = 1, 2
    for name, classes in zip("abcd", ([PERSON, CAR], [CAR, CAR], [PERSON, PERSON], [CAR, CAR]), strict=True):
        save(folder / "JPEGImages" / f"{name}.jpg", np.full((20, 24, 3), 90, dtype=np.uint8))
        save(folder / "SegmentationObject" / f"{name}.png", objects)
        save(folder / "SegmentationClass" / f"{name}.png", np.array([0, *classes], dtype=np.uint8)[objects])
    lists = folder / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nb\nc\nd\n")
    (lists / "val.txt").write_text("b\nc\n")
    return folder


def splits_of(voc, *classes, **parts):
    return open_splits(DataConfig(source=f"voc:{voc}@train", classes=list(classes), **parts))


class TwentyClasses(RosetteSource):
    """As VOC has them."""

    class_names = tuple(f"class {number}" for number in range(1, 21))


class TwentyOthers(RosetteSource):
    """As many, other ones."""

    class_names = tuple(f"kind {number}" for number in range(1, 21))


def test_a_network_with_the_classes_of_the_images_is_taken():
    check_classes(Splits(RosetteSource(2), RosetteSource(0), RosetteSource(1)), 1)
    check_classes(Splits(TwentyClasses(2), TwentyClasses(1), TwentyClasses(1)), 20)


def test_a_network_without_classes_takes_images_of_any():
    check_classes(Splits(TwentyClasses(2), RosetteSource(1), RosetteSource(0)), 0)


def test_a_part_without_images_has_no_say():
    check_classes(Splits(TwentyClasses(2), RosetteSource(0), RosetteSource(0)), 20)


def test_a_network_with_other_classes_is_refused_with_both_numbers():
    message = r"num_classes: is 1, but the training images have 20 \(class 1, .*class 5, \.\.\.\); set it to 20"
    with pytest.raises(ConfigError, match=message):
        check_classes(Splits(TwentyClasses(2), RosetteSource(2), RosetteSource(2)), 1)


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("other", [RosetteSource, TwentyOthers])
def test_images_of_other_classes_beside_those_of_the_training_are_refused(part, other):
    splits = Splits(TwentyClasses(2), TwentyClasses(2), TwentyClasses(2))._replace(**{part: other(2)})
    with pytest.raises(
        ConfigError, match=rf"^data\.{part}: its {len(other.class_names)} classes .* --set data\.{part}="
    ):
        check_classes(splits, 20)


def test_a_single_class_may_have_any_name():
    renamed = RosetteSource(1)
    renamed.class_names = ("plant part",)
    check_classes(Splits(RosetteSource(1), renamed, RosetteSource(1)), 1)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_part_from_the_source_and_of_its_own_is_refused(part):
    data = {"source": "rosettes:9", f"num_{part}": 2, part: "rosettes:2"}
    with pytest.raises(
        ConfigError, match=rf"{part} images come from the source .*--set data\.num_{part}= or --set data\.{part}="
    ):
        DataConfig.parse(data)


def test_a_run_over_images_of_other_classes_is_refused_before_anything_is_written(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
        for name in "ab":
            Image.fromarray(np.ones((32, 32), dtype=np.uint8)).save(tmp_path / "data" / part / f"{name}.png")
    recipe = Recipe.parse(
        {
            "data": {"source": f"folder:{tmp_path / 'data'}"},
            "model": {"name": "rsis", "config": {"num_classes": 20, "encoder": "no such encoder"}},
            "stages": [{"name": "masks", "iterations": 1}],
        }
    )
    message = r"model\.config\.num_classes: is 20, but the training images have 1 \(object\); set it to 1"
    with pytest.raises(ConfigError, match=message):
        train(recipe, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_images_without_a_person_are_left_out_of_training_and_validation_and_stay_in_the_test(voc, tmp_path, caplog):
    splits = splits_of(voc, "person", validation=f"voc:{voc}@val", test=f"voc:{voc}@val")
    run = RunFolder(tmp_path)
    with caplog.at_level(logging.WARNING):
        used = run.usable_images(splits)
    assert [[part.name(index) for index in range(len(part))] for part in used] == [["a", "c"], ["c"], ["b", "c"]]
    assert [len(used.training.read(index).classes) for index in range(2)] == [1, 2]
    assert used.training.class_names == used.test.class_names == ("person",)
    assert caplog.text == ""
    listed = json.loads((tmp_path / "images.json").read_text())["left_out"]
    assert [(one["part"], one["name"], one["reason"]) for one in listed] == [
        ("training", "b", "holds no person"),
        ("training", "d", "holds no person"),
        ("validation", "b", "holds no person"),
    ]
    again = run.usable_images(splits)  # from the list
    assert [len(part) for part in again] == [2, 1, 2]


def test_without_a_choice_of_classes_images_without_objects_stay(voc):
    splits = open_splits(DataConfig(source=f"voc:{voc}@train"))
    assert check_images(splits) == []
    assert not splits.training.is_of_some_classes


def test_damaged_images_are_counted_apart(voc):
    (voc / "SegmentationObject" / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="1 of 4 images cannot be read"):
        check_images(splits_of(voc, "person"))


def test_a_class_that_no_image_holds_is_refused_before_the_first_iteration(voc):
    with pytest.raises(DataError, match="none of the 4 training images holds an object"):
        check_images(splits_of(voc, "sheep"))
    with pytest.raises(ConfigError, match="no class 'shep'; did you mean 'sheep'"):
        splits_of(voc, "shep")


def test_validation_images_that_all_lack_the_class_are_refused(voc):
    (voc / "ImageSets" / "Segmentation" / "val.txt").write_text("b\nd\n")
    with pytest.raises(DataError, match="each of the 2 validation images holds no person; keep more back"):
        check_images(splits_of(voc, "person", validation=f"voc:{voc}@val"))


@pytest.mark.parametrize(("classes", "num_read"), [(None, 0), (["leaf"], 3)])
def test_generated_images_are_read_only_where_classes_are_chosen(classes, num_read, monkeypatch):
    read, indices = RosetteSource.read, []
    monkeypatch.setattr(RosetteSource, "read", lambda self, index: indices.append(index) or read(self, index))
    assert check_images(open_splits(DataConfig(source="rosettes:3", classes=classes))) == []
    assert len(indices) == num_read


def test_a_choice_of_no_class_is_refused():
    with pytest.raises(ConfigError, match=r"data: classes: .*at least 1 item"):
        DataConfig.parse({"source": "rosettes:3", "classes": []}, "data")


@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_every_part_has_the_boxes_of_its_own_source(part, voc, tmp_path):
    def box_file(name, score):
        box = {"image_id": name, "category_id": CAR, "bbox": [1, 2, 10, 10], "score": score}
        (tmp_path / f"{name}.json").write_text(json.dumps([box]))
        return str(tmp_path / f"{name}.json")

    parts = {"validation": f"voc:{voc}@val", "validation_boxes": box_file("c", 0.25)}
    parts |= {"test": f"voc:{voc}@train", "test_boxes": box_file("d", 0.75)}
    splits = open_splits(DataConfig(source=f"voc:{voc}@train", boxes=box_file("a", 0.5), classes=["car"], **parts))
    source = getattr(splits, part)
    boxes = {source.name(index): source.read(index).boxes for index in range(len(source))}
    name, score = {"training": ("a", 0.5), "validation": ("c", 0.25), "test": ("d", 0.75)}[part]
    assert boxes[name].edges.tolist() == [[2, 1, 12, 11]]
    assert (boxes[name].scores.tolist(), boxes[name].class_ids.tolist()) == ([score], [1])
    assert all(len(others) == 0 for other, others in boxes.items() if other != name)


@pytest.mark.parametrize("part", ["source", "validation", "test"])
def test_data_that_are_missing_name_the_setting_to_change(tmp_path, part):
    config = DataConfig(**{"source": "rosettes:4", part: f"folder:{tmp_path / 'nowhere'}"})
    with pytest.raises(DataError, match=rf"found no images/.*set data\.{part}"):
        open_splits(config)


def test_masks_are_those_of_training_objects_alone_in_an_order_drawn_from_the_seed():
    class Unreadable(RosetteSource):
        def read(self, index):
            raise AssertionError("an image that is kept back was read")

    splits = Splits(RosetteSource(3), Unreadable(2), Unreadable(2))
    first, again, other = (list(training_masks(splits, 8, seed)) for seed in (0, 0, 1))
    assert len(first) == len(again) == 8
    assert all(np.array_equal(*pair) for pair in zip(first, again, strict=True))
    assert [mask.shape for mask in first] != [mask.shape for mask in other]
    assert all(edge.any() for mask in first for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
    objects = sum(len(splits.training.read(index).classes) for index in range(3))
    assert len(list(training_masks(splits, 10_000, 0))) == objects
