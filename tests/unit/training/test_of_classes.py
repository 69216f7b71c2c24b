"""Training on the objects of some classes: images without any are left out, and that is remembered."""

import json
import logging

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import ConfigError, DataError
from seriatim.data.catalogue import open_source
from seriatim.data.readers.voc import CLASS_NAMES
from seriatim.data.source import Wrapper
from seriatim.data.subsets import OfClasses, Subset
from seriatim.training.recipe import DataConfig
from seriatim.training.run_folder import RunFolder
from seriatim.training.splits import Splits, check_images, open_splits

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


class Counted(Wrapper):
    """Counts what is read."""

    num_read = 0

    def read(self, index):
        self.num_read += 1
        return super().read(index)


def test_generated_images_are_checked_where_classes_are_chosen_since_some_may_hold_none():
    plants = Counted(open_source("rosettes:3"))
    check_images(Splits(plants, Subset(plants, []), Subset(plants, [])))
    assert plants.num_read == 0
    leaves = OfClasses(plants, ["leaf"])
    check_images(Splits(leaves, Subset(leaves, []), Subset(leaves, [])))
    assert plants.num_read == 3


def test_an_empty_choice_of_classes_is_refused():
    with pytest.raises(ConfigError, match=r"data: classes: .*at least 1 item"):
        DataConfig.parse({"source": "rosettes:3", "classes": []}, "data")
