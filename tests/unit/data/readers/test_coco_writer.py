"""Writing COCO files: what is written is read back, by us and by pycocotools."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO

from seriatim.core.errors import DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.readers.coco import CocoSource
from seriatim.data.readers.coco_writer import write_coco
from seriatim.data.samples import Sample

from ..memory_source import MemorySource

SIZE = (6, 8)


def instance(y0, x0, y1, x1, class_id):
    return Instance((y0, x0, y1, x1), np.ones((y1 - y0, x1 - x0), dtype=bool), class_id=class_id)


CLASS_NAMES = ("cat", "dog")


def image(channels):
    return (np.arange(channels * 48, dtype=np.float32).reshape(channels, *SIZE) / 255).astype(np.float32)


def overlapping():
    labels = np.zeros(SIZE, dtype=np.int32)
    labels[0:4, 0:4] = 1
    labels[2:3, 2:3] = 2
    objects = Instances(SIZE, [instance(0, 0, 4, 4, 2), instance(2, 2, 3, 3, 1)])
    crowds = Instances(SIZE, [instance(5, 0, 6, 8, 1)])
    ignore = np.zeros(SIZE, dtype=bool)
    ignore[5] = True
    return Sample("first", image(3), labels, np.array([2, 1]), ignore=ignore, objects=objects, crowds=crowds)


def plain():
    labels = np.zeros(SIZE, dtype=np.int32)
    labels[1, 1:4] = 1
    labels[4:, 6:] = 2
    return Sample("second", image(1), labels, np.array([1, 2]))


def empty():
    return Sample("third", image(4), np.zeros(SIZE, dtype=np.int32), np.zeros(0, dtype=np.int64))


def test_what_is_written_is_read_back(tmp_path):
    done = []
    samples = [overlapping(), plain(), empty()]
    write_coco(
        MemorySource(*samples, class_names=CLASS_NAMES), tmp_path, lambda number, total: done.append((number, total))
    )
    assert done == [(1, 3), (2, 3), (3, 3)]
    source = CocoSource(tmp_path / "instances.json", strict=True)
    assert source.class_names == ("cat", "dog")
    for index, wanted in enumerate(samples):
        found = source.read(index)
        assert found.name == wanted.name
        assert (found.image == wanted.image).all()
        assert (found.labels == wanted.labels).all()
        assert (found.classes == wanted.classes).all()
    first = source.read(0)
    assert first.objects.areas.tolist() == [16, 1]
    assert first.crowds.areas.tolist() == [8]
    assert (first.ignore == samples[0].ignore).all()
    assert source.read(1).objects is None


def test_written_again_it_is_the_same_bytes(tmp_path):
    write_coco(MemorySource(overlapping(), plain(), class_names=CLASS_NAMES), tmp_path / "a")
    write_coco(CocoSource(tmp_path / "a" / "instances.json"), tmp_path / "b")
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert [str(path) for path in files] == ["images/first.png", "images/second.png", "instances.json"]
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_opens_it(tmp_path, capsys):
    write_coco(MemorySource(overlapping(), plain(), empty(), class_names=CLASS_NAMES), tmp_path)
    theirs = COCO(os.fspath(tmp_path / "instances.json"))
    capsys.readouterr()
    assert sorted(theirs.imgs) == [1, 2, 3]
    assert [theirs.anns[number]["iscrowd"] for number in sorted(theirs.anns)] == [0, 0, 1, 0, 0]
    assert [theirs.anns[number]["category_id"] for number in sorted(theirs.anns)] == [2, 1, 1, 1, 2]
    assert [int(theirs.annToMask(theirs.anns[number]).sum()) for number in sorted(theirs.anns)] == [16, 1, 8, 3, 4]
    assert [theirs.anns[number]["area"] for number in sorted(theirs.anns)] == [16, 1, 8, 3, 4]


def test_categories_keep_the_ids_of_a_source_that_has_them(tmp_path):
    source = MemorySource(plain(), class_names=CLASS_NAMES)
    source.category_ids = (7, 90)
    write_coco(source, tmp_path, file_name="other.json")
    written = json.loads((tmp_path / "other.json").read_text())
    assert written["categories"] == [{"id": 7, "name": "cat"}, {"id": 90, "name": "dog"}]
    assert [one["category_id"] for one in written["annotations"]] == [7, 90]
    assert CocoSource(tmp_path / "other.json").category_ids == (7, 90)


@pytest.mark.parametrize(
    ("samples", "class_names", "reason"),
    [
        ([plain(), plain()], ("cat", "dog"), "second: two images of this name"),
        ([replace(plain(), name="../out")], ("cat", "dog"), "is no name for a file"),
        ([plain()], ("cat",), "second: an object of class 2, the source names 1"),
        ([Sample("x", image(1), plain().labels, np.array([1]))], ("cat",), "has 2 objects and 1 classes"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, samples, class_names, reason):
    with pytest.raises(DataError, match=reason):
        write_coco(MemorySource(*samples, class_names=class_names), tmp_path / "out")
    assert not (tmp_path / "out" / "instances.json").exists()
