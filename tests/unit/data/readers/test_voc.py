"""Kind voc: on a small folder of the true layout."""

import logging

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import ConfigError, DataError
from seriatim.data import catalogue
from seriatim.data.problems import Problem
from seriatim.data.readers.voc import CLASS_NAMES, VocSource
from seriatim.data.source import Source

OBJECTS = np.array([[0, 1, 1, 255, 0, 0], [255, 1, 1, 255, 4, 4], [0, 255, 255, 0, 4, 4]], dtype=np.uint8)
CLASSES = np.array([[0, 15, 15, 255, 0, 0], [255, 15, 15, 255, 2, 2], [0, 255, 255, 0, 2, 9]], dtype=np.uint8)
NAMES = {"train": ["2007_000032", "2007_000039"], "val": ["2007_000033"]}


def save_palette(path, indices):
    """A palette image whose colours differ from its indices, as VOC's do."""
    picture = Image.fromarray(np.asarray(indices, dtype=np.uint8), mode=None).convert("P")
    picture.putpalette([(17 * index + part) % 256 for index in range(256) for part in range(3)])
    picture.putdata(np.asarray(indices, dtype=np.uint8).ravel().tolist())
    picture.save(path)


def make_voc(folder, names=NAMES):
    """`VOC2012` as the organisers pack it, in small."""
    for part in ("JPEGImages", "SegmentationObject", "SegmentationClass", "ImageSets/Segmentation", "Annotations"):
        (folder / part).mkdir(parents=True)
    for part in ("train", "val"):
        (folder / "ImageSets" / "Segmentation" / f"{part}.txt").write_text("".join(f"{one}\n" for one in names[part]))
    (folder / "ImageSets" / "Segmentation" / "trainval.txt").write_text("\n".join(names["train"] + names["val"]) + "\n")
    for one in names["train"] + names["val"]:
        Image.fromarray(np.full((3, 6, 3), 90, dtype=np.uint8)).save(folder / "JPEGImages" / f"{one}.jpg")
        save_palette(folder / "SegmentationObject" / f"{one}.png", OBJECTS)
        save_palette(folder / "SegmentationClass" / f"{one}.png", CLASSES)
    Image.fromarray(np.zeros((3, 6, 3), dtype=np.uint8)).save(folder / "JPEGImages" / "2008_000001.jpg")  # boxes alone
    return folder


@pytest.fixture
def voc(tmp_path):
    return make_voc(tmp_path / "VOCdevkit" / "VOC2012")


def test_objects_have_the_index_of_the_palette_their_class_and_an_ignored_border(voc):
    source = VocSource(voc)
    assert isinstance(source, Source)
    assert [source.name(index) for index in range(len(source))] == ["2007_000032", "2007_000039", "2007_000033"]
    sample = source.read(0)
    assert sample.name == "2007_000032"
    assert sample.image.shape == (3, 3, 6)
    assert sample.image.dtype == np.float32
    assert sample.labels.tolist() == [[0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 2, 2], [0, 0, 0, 0, 2, 2]]
    assert sample.labels.dtype == np.int32
    assert [source.class_names[one - 1] for one in sample.classes] == ["person", "bicycle"]  # by most pixels
    assert (sample.ignore == (OBJECTS == 255)).all()
    assert sample.objects is None
    assert source.problems == []


def test_there_are_twenty_classes_in_the_order_of_their_indices():
    assert len(CLASS_NAMES) == 20
    assert list(CLASS_NAMES) == sorted(CLASS_NAMES)


@pytest.mark.parametrize(("part", "names"), [*NAMES.items(), ("trainval", NAMES["train"] + NAMES["val"])])
def test_a_part_is_chosen_behind_an_at_sign(voc, part, names):
    source = catalogue.open_source(f"voc:{voc}@{part}")
    assert [source.name(index) for index in range(len(source))] == names


def test_the_folder_may_be_the_one_that_holds_it(voc):
    assert len(VocSource(voc.parent)) == len(VocSource(voc.parent.parent)) == 3


def test_a_path_that_holds_an_at_sign_is_a_path_where_it_exists(tmp_path):
    folder = make_voc(tmp_path / "voc@val")
    assert len(catalogue.open_source(f"voc:{folder}")) == 3
    assert len(catalogue.open_source(f"voc:{folder}@train")) == 2
    inner = make_voc(tmp_path / "me@home" / "VOC2012")
    assert len(catalogue.open_source(f"voc:{inner}")) == 3
    with pytest.raises(DataError, match="me@home/VOC2013: no such folder"):
        catalogue.open_source(f"voc:{inner.with_name('VOC2013')}")


def test_an_unknown_part_is_refused_with_a_near_one(voc):
    with pytest.raises(ConfigError, match=r"VOC2012@trainvl: there is no part 'trainvl'; did you mean 'trainval'"):
        catalogue.open_source(f"voc:{voc}@trainvl")


@pytest.mark.parametrize("part", ["JPEGImages", "SegmentationObject", "SegmentationClass", "ImageSets/Segmentation"])
def test_a_folder_that_is_not_vocs_is_refused(voc, part):
    (voc / part).rename(voc / "elsewhere")
    with pytest.raises(DataError, match=f"expected VOC2012 with .*; found no {part}"):
        VocSource(voc)


def test_a_list_that_is_missing_empty_or_no_text_is_named(voc):
    path = voc / "ImageSets" / "Segmentation" / "val.txt"
    path.write_text("\n\n")
    with pytest.raises(DataError, match=r"val\.txt: names no image"):
        VocSource(voc, "val")
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match=r"val\.txt: cannot be read as a list of images"):
        VocSource(voc, "val")
    path.unlink()
    with pytest.raises(DataError, match=r"val\.txt: no such file"):
        VocSource(voc, "val")


@pytest.mark.parametrize(
    "file", ["JPEGImages/2007_000039.jpg", "SegmentationObject/2007_000039.png", "SegmentationClass/2007_000039.png"]
)
def test_an_image_without_one_of_its_files_is_left_out_and_listed(voc, file, caplog):
    (voc / file).unlink()
    with caplog.at_level(logging.WARNING):
        source = VocSource(voc)
    assert [source.name(index) for index in range(len(source))] == ["2007_000032", "2007_000033"]
    listed_in = str(voc / "ImageSets" / "Segmentation" / "trainval.txt")
    assert source.problems == [Problem(listed_in, "2007_000039", f"there is no {file}; left out")]
    assert str(source.problems[0]) in caplog.text
    with pytest.raises(DataError, match=f"2007_000039: there is no {file}"):
        catalogue.open_source(f"voc:{voc}", strict=True)


def test_names_that_are_none_or_stand_twice_are_listed(voc):
    path = voc / "ImageSets" / "Segmentation" / "train.txt"
    path.write_text("2007_000032\r\n../../etc/passwd\n2007_000032\n2009_999999\n")
    source = VocSource(voc, "train")
    assert len(source) == 1
    assert [problem.item for problem in source.problems] == ["line 2", "line 3", "2009_999999"]
    path.write_text("2009_999999\n")
    with pytest.raises(DataError, match=r"none of its images is there with its annotation; .*2009_999999"):
        VocSource(voc, "train")


def test_an_object_without_a_class_is_ignored_and_listed_once(voc):
    save_palette(voc / "SegmentationClass" / "2007_000032.png", np.where(OBJECTS == 4, 21, CLASSES))
    source = VocSource(voc)
    for _ in range(2):
        sample = source.read(0)
    assert sample.labels.max() == 1
    assert sample.classes.tolist() == [15]
    assert (sample.ignore == ((OBJECTS == 255) | (OBJECTS == 4))).all()
    assert [problem.item for problem in source.problems] == ["object 4"]
    with pytest.raises(DataError, match=r"SegmentationObject/2007_000032\.png: object 4: has none of the 20 classes"):
        VocSource(voc, strict=True).read(0)


def test_an_image_without_objects_and_border_has_nothing_to_ignore(voc):
    for part in ("SegmentationObject", "SegmentationClass"):
        save_palette(voc / part / "2007_000032.png", np.zeros((3, 6)))
    sample = VocSource(voc).read(0)
    assert sample.labels.max() == 0
    assert sample.classes.tolist() == []
    assert sample.ignore is None


@pytest.mark.parametrize("part", ["JPEGImages", "SegmentationObject", "SegmentationClass"])
def test_a_damaged_file_is_named(voc, part):
    [path] = (voc / part).glob("2007_000039.*")
    path.write_bytes(path.read_bytes()[:60])
    source = VocSource(voc)
    source.read(0)
    with pytest.raises(DataError, match=f"{part}/{path.name}"):
        source.read(1)


@pytest.mark.parametrize("part", ["SegmentationObject", "SegmentationClass"])
def test_sizes_that_differ_are_named(voc, part):
    save_palette(voc / part / "2007_000032.png", np.zeros((6, 3)))
    with pytest.raises(DataError, match=rf"{part}/2007_000032\.png: is 6 x 3 pixels, 2007_000032\.jpg 3 x 6"):
        VocSource(voc).read(0)


def test_annotations_turned_into_colours_are_refused(voc):
    path = voc / "SegmentationObject" / "2007_000032.png"
    Image.open(path).convert("RGB").save(path)
    with pytest.raises(DataError, match=r"2007_000032\.png: expected a label map height x width"):
        VocSource(voc).read(0)
