"""Kind dsb2018: on a small folder of the true layout."""

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import DataError
from seriatim.data import catalogue
from seriatim.data.readers.dsb2018 import Dsb2018Source
from seriatim.data.source import Source

FIRST, SECOND = np.zeros((4, 5), dtype=bool), np.zeros((4, 5), dtype=bool)
FIRST[0:2, 0:3], SECOND[2:4, 2:5] = True, True


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)


def make_image(folder, name, *masks):
    """A folder ID as the competition has it: an RGBA image, and a mask of 0 and 255 an object."""
    rgba = np.full((4, 5, 4), 255, dtype=np.uint8)
    rgba[..., 0] = 51
    save(folder / name / "images" / f"{name}.png", rgba)
    (folder / name / "masks").mkdir()
    for number, mask in enumerate(masks):
        save(folder / name / "masks" / f"{number:02d}c0ffee.png", np.where(mask, 255, 0).astype(np.uint8))


@pytest.fixture
def bowl(tmp_path):
    folder = tmp_path / "stage1_train"
    make_image(folder, "b1", FIRST, SECOND)
    make_image(folder, "a2", SECOND)
    (tmp_path / "stage1_train_labels.csv").write_text("ImageId,EncodedPixels\n")
    (folder / ".DS_Store").write_text("temporary file")
    (folder / "__MACOSX").mkdir()
    return folder


def test_every_mask_is_an_object_of_an_rgb_image(bowl):
    source = Dsb2018Source(bowl)
    assert isinstance(source, Source)
    assert [source.name(index) for index in range(len(source))] == ["a2", "b1"]
    sample = source.read(1)
    assert sample.name == "b1"
    assert sample.image.shape == (3, 4, 5)
    assert sample.image[:, 0, 0].tolist() == [np.float32(0.2), 1.0, 1.0]
    assert (sample.labels == FIRST + 2 * SECOND.astype(int)).all()
    assert sample.labels.dtype == np.int32
    assert sample.classes.tolist() == [1, 1]
    assert sample.objects is sample.ignore is None
    assert source.problems == []
    assert source.class_names == ("nucleus",)


def test_the_folder_may_be_the_one_that_holds_it(bowl):
    assert len(catalogue.open_source(f"dsb2018:{bowl.parent}")) == 2


def test_a_contested_pixel_is_left_to_the_smaller_object_and_both_stay_whole(bowl):
    wider = SECOND.copy()
    wider[1, 2] = True
    make_image(bowl, "c3", wider, FIRST)
    sample = Dsb2018Source(bowl).read(2)
    assert (sample.labels == SECOND + 2 * FIRST.astype(int)).all()
    assert sample.objects is not None
    assert (sample.objects.masks() == np.stack([wider, FIRST])).all()
    assert sample.objects.class_ids.tolist() == sample.classes.tolist() == [1, 1]


def test_masks_that_are_empty_or_wholly_covered_are_left_out_and_listed_once(bowl):
    part = FIRST.copy()
    part[0] = False
    make_image(bowl, "c3", FIRST, np.zeros((4, 5)), part, FIRST & ~part, SECOND)
    source = Dsb2018Source(bowl)
    for _ in range(2):
        sample = source.read(2)
    assert (sample.labels == part + 2 * (FIRST & ~part).astype(int) + 3 * SECOND.astype(int)).all()
    assert len(sample.classes) == 3
    assert [str(problem).rpartition("/")[2] for problem in source.problems] == [
        "01c0ffee.png: the mask is empty; left out",
        "00c0ffee.png: smaller masks cover all its pixels; left out",
    ]
    with pytest.raises(DataError, match=r"c3/masks/01c0ffee\.png: the mask is empty"):
        catalogue.open_source(f"dsb2018:{bowl}", strict=True).read(2)


def test_an_image_without_masks_has_no_objects(bowl):
    make_image(bowl, "c3")
    sample = Dsb2018Source(bowl).read(2)
    assert sample.labels.max() == 0
    assert len(sample.classes) == 0


def test_masks_in_colour_and_of_one_bit_are_read(bowl):
    make_image(bowl, "c3", FIRST, SECOND)
    colour = np.zeros((4, 5, 4), dtype=np.uint8)
    colour[..., 3] = 255
    colour[FIRST, :3] = 255
    save(bowl / "c3" / "masks" / "00c0ffee.png", colour)
    save(bowl / "c3" / "masks" / "01c0ffee.png", SECOND)
    assert (Dsb2018Source(bowl).read(2).labels == FIRST + 2 * SECOND.astype(int)).all()


def test_a_folder_without_image_or_masks_is_left_out_and_listed(bowl):
    (bowl / "c3").mkdir()
    make_image(bowl, "d4", FIRST)
    save(bowl / "d4" / "images" / "second.png", np.zeros((4, 5), dtype=np.uint8))
    make_image(bowl, "e5")
    (bowl / "e5" / "masks").rmdir()
    source = Dsb2018Source(bowl)
    assert len(source) == 2
    assert [str(problem) for problem in source.problems] == [
        f"{bowl / 'c3'}: expected one image in images/, found 0; left out",
        f"{bowl / 'd4'}: expected one image in images/, found 2; left out",
        f"{bowl / 'e5'}: has no masks/; left out",
    ]
    with pytest.raises(DataError, match="c3: expected one image"):
        Dsb2018Source(bowl, strict=True)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        Dsb2018Source(tmp_path / "nowhere")
    with pytest.raises(DataError, match="as in stage1_train: it holds no folders"):
        Dsb2018Source(tmp_path)
    make_image(tmp_path, "a1")
    (tmp_path / "a1" / "masks").rmdir()
    with pytest.raises(DataError, match=r"as in stage1_train: .*a1: has no masks/"):
        Dsb2018Source(tmp_path)


@pytest.mark.parametrize("file", ["images/b1.png", "masks/01c0ffee.png"])
def test_a_damaged_file_is_named(bowl, file):
    path = bowl / "b1" / file
    path.write_bytes(path.read_bytes()[:50])
    source = Dsb2018Source(bowl)
    source.read(0)
    with pytest.raises(DataError, match=f"b1/{file}"):
        source.read(1)


def test_a_mask_of_another_size_is_named(bowl):
    save(bowl / "b1" / "masks" / "01c0ffee.png", np.zeros((5, 4), dtype=np.uint8))
    with pytest.raises(DataError, match=r"masks/01c0ffee\.png: is 5 x 4 pixels, b1\.png 4 x 5"):
        Dsb2018Source(bowl).read(1)
