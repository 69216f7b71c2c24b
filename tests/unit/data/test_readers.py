"""Kinds folder, cvppp and rosettes, the catalogue of kinds, subsets, and the writer of folders."""

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import ConfigError, DataError
from seriatim.data import catalogue
from seriatim.data.readers.cvppp import CvpppSource
from seriatim.data.readers.folder import FolderSource, write_folder
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.data.subsets import Subset, split
from seriatim.data.synthetic.sources import RosetteSource

from .memory_source import MemorySource


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels)).save(path)


def grey(value=100, size=(4, 5)):
    return np.full(size, value, dtype=np.uint8)


LABELS = np.array([[0, 7, 7, 0, 0], [0, 7, 0, 3, 3], [0, 0, 0, 3, 3], [9, 0, 0, 0, 0]], dtype=np.uint16)
WITHOUT_GAPS = [[0, 2, 2, 0, 0], [0, 2, 0, 1, 1], [0, 0, 0, 1, 1], [3, 0, 0, 0, 0]]


@pytest.fixture
def folder(tmp_path):
    for name in ("b", "a"):
        save(tmp_path / "images" / f"{name}.png", grey())
        save(tmp_path / "labels" / f"{name}.png", LABELS)
    return tmp_path


# --- folder: ---------------------------------------------------------------------------------------------------------------------


def test_a_folder_gives_images_in_order_with_labels_without_gaps(folder):
    source = FolderSource(folder)
    assert [source.name(index) for index in range(len(source))] == ["a", "b"]
    sample = source.read(0)
    assert sample.name == "a"
    assert sample.image.shape == (1, 4, 5)
    assert sample.image.dtype == np.float32
    assert sample.image[0, 0, 0] == np.float32(100 / 255)
    assert sample.labels.tolist() == WITHOUT_GAPS
    assert sample.labels.dtype == np.int32
    assert sample.classes.tolist() == [1, 1, 1]


def test_image_and_label_map_may_be_of_different_formats(folder):
    save(folder / "images" / "c.jpg", grey())
    save(folder / "labels" / "c.tif", LABELS)
    (folder / "images" / "notes.txt").write_text("no image")
    (folder / "labels" / "unused.png").write_bytes(b"never read")
    assert FolderSource(folder).read(2).labels.tolist() == WITHOUT_GAPS
    assert len(FolderSource(folder)) == 3


@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_folder_without_its_parts_is_refused(folder, part):
    (folder / part).rename(folder / "elsewhere")
    with pytest.raises(DataError, match=f"expected a folder with images/ and labels/, found no {part}/"):
        FolderSource(folder)


def test_missing_label_maps_are_named_and_counted(folder):
    for number in range(7):
        save(folder / "images" / f"c{number}.png", grey())
    with pytest.raises(DataError, match=r"no label map for c0\.png, c1\.png, c2\.png, c3\.png, c4\.png and 2 more"):
        FolderSource(folder)


def test_two_label_maps_of_one_stem_are_refused(folder):
    save(folder / "labels" / "a.tif", LABELS)
    with pytest.raises(DataError, match=r"a\.tif: a second label map of the stem 'a' beside a\.png"):
        FolderSource(folder)


def test_a_folder_without_images_is_refused(folder):
    for path in (folder / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="holds no images"):
        FolderSource(folder)


def test_sizes_that_differ_are_named(folder):
    save(folder / "images" / "b.png", grey(size=(5, 4)))
    with pytest.raises(DataError, match=r"b\.png: is 4 x 5 pixels, b.png 5 x 4"):
        FolderSource(folder).read(1)


@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_damaged_file_is_named(folder, part):
    path = folder / part / "b.png"
    path.write_bytes(path.read_bytes()[:50])
    source = FolderSource(folder)
    source.read(0)
    with pytest.raises(DataError, match=rf"{part}/b\.png"):
        source.read(1)


@pytest.mark.parametrize("labels", [np.zeros((4, 5, 3), dtype=np.uint8)])
def test_a_colour_image_is_no_label_map(folder, labels):
    save(folder / "labels" / "a.png", labels)
    with pytest.raises(DataError, match=r"a\.png: expected a label map height x width"):
        FolderSource(folder).read(0)


# --- cvppp: ----------------------------------------------------------------------------------------------------------------------


def save_plant(folder, name, leaves):
    """An image and its palette label map, as the challenge ships them; the index is the leaf, colours are for the eye."""
    rgb = np.zeros((*np.shape(leaves), 3), dtype=np.uint8)
    rgb[..., 1] = np.asarray(leaves) * 20
    save(folder / f"{name}_rgb.png", rgb)
    palette = Image.fromarray(np.asarray(leaves, dtype=np.uint8), mode=None)
    palette = palette.convert("P") if palette.mode != "P" else palette
    palette.putdata(np.asarray(leaves, dtype=np.uint8).ravel().tolist())
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255] + [128] * (3 * 252))
    palette.save(folder / f"{name}_label.png")


@pytest.fixture
def plants(tmp_path):
    save_plant_in = {"A1": ["plant001", "plant002"], "A4": ["plant0001"]}
    for part, names in save_plant_in.items():
        for name in names:
            (tmp_path / part).mkdir(exist_ok=True)
            save_plant(tmp_path / part, name, [[0, 1, 1], [5, 0, 2]])
            save(tmp_path / part / f"{name}_fg.png", grey())  # lies beside them in the true sets
    return tmp_path


def test_all_sets_of_cvppp_are_read_in_order_and_gaps_of_labels_closed(plants):
    source = CvpppSource(plants)
    assert [source.name(index) for index in range(3)] == ["A1-plant001", "A1-plant002", "A4-plant0001"]
    sample = source.read(0)
    assert sample.image.shape == (3, 2, 3)
    assert sample.labels.tolist() == [[0, 1, 1], [3, 0, 2]]
    assert sample.classes.tolist() == [1, 1, 1]
    assert source.class_names == ("leaf",)


def test_one_set_of_cvppp_is_read_alone(plants):
    source = CvpppSource(plants / "A4")
    assert len(source) == 1
    assert source.name(0) == "plant0001"


def test_a_test_set_of_cvppp_without_labels_is_refused(plants):
    (plants / "A1" / "plant002_label.png").unlink()
    with pytest.raises(DataError, match=r"plant002_label\.png: no such file; is .* a test set without labels"):
        CvpppSource(plants)


def test_a_folder_that_is_none_of_cvppps_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"holds no \*_rgb\.png"):
        CvpppSource(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        CvpppSource(tmp_path / "nothing")


def test_a_damaged_plant_and_labels_of_another_size_are_named(plants):
    save_plant(plants / "A4", "plant0002", [[1, 2]])
    save(plants / "A4" / "plant0002_rgb.png", np.zeros((3, 2, 3), dtype=np.uint8))
    with pytest.raises(DataError, match=r"plant0002_label\.png: is 1 x 2 pixels, plant0002_rgb\.png 3 x 2"):
        CvpppSource(plants).read(3)
    (plants / "A4" / "plant0002_rgb.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match=r"plant0002_rgb\.png"):
        CvpppSource(plants).read(3)


# --- rosettes: and the catalogue -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("spec", "count", "seed"), [("1", 1, 0), ("64", 64, 0), ("8@1000", 8, 1000), ("3@0", 3, 0)])
def test_a_number_of_rosettes_and_their_first_seed_are_read(spec, count, seed):
    source = RosetteSource.parse(spec)
    assert (len(source), source.seed) == (count, seed)
    assert source.name(0) == f"rosette-{seed:06d}"


@pytest.mark.parametrize("spec", ["", "0", "-1", "a", "5@", "5@a", "5@-1", "@5", "5@1@2", "1.5", "5 "])
def test_anything_else_is_refused(spec):
    with pytest.raises(ConfigError, match="expected rosettes:N or rosettes:N@SEED"):
        RosetteSource.parse(spec)


def test_rosettes_overlap_by_their_seeds():
    first, second = RosetteSource.parse("2@7"), RosetteSource.parse("1@8")
    assert first.name(1) == second.name(0)
    assert (first.read(1).labels == second.read(0).labels).all()


def test_a_kind_and_its_path_open_a_source(folder):
    assert isinstance(catalogue.open_source(f"folder:{folder}"), FolderSource)
    assert len(catalogue.open_source("rosettes:5")) == 5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("plants", "expected KIND:PATH, with a kind of"),
        ("folder:", "expected KIND:PATH"),
        ("foldr:x", "unknown kind of data 'foldr'; did you mean 'folder'"),
        ("C:/x", "unknown kind of data 'C'"),
    ],
)
def test_a_specification_that_cannot_be_used_says_why(spec, message):
    with pytest.raises(ConfigError, match=message):
        catalogue.open_source(spec)


# --- subsets ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_the_parts_of_a_split_share_no_image_and_miss_none(seed):
    source = RosetteSource(23)
    parts = split(source, 5, 4, seed)
    assert [len(part) for part in parts] == [14, 5, 4]
    assert sorted(index for part in parts for index in part.indices) == list(range(23))
    assert all(part.indices == sorted(part.indices) for part in parts)


def test_a_split_depends_on_its_seed_alone():
    def parts(seed):
        return [part.indices for part in split(RosetteSource(40), 5, 5, seed)]

    assert parts(3) == parts(3)
    assert parts(3) != parts(4)


def test_the_test_part_stays_when_the_validation_part_grows():
    source = RosetteSource(40)
    assert split(source, 2, 5, 0)[2].indices == split(source, 9, 5, 0)[2].indices


def test_a_split_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(DataError, match="leave none of 4 to train on"):
        split(RosetteSource(4), 2, 2, 0)


def test_a_subset_knows_names_and_samples_of_its_source(folder):
    subset = Subset(FolderSource(folder), [1])
    assert len(subset) == 1
    assert subset.name(0) == subset.read(0).name == "b"
    assert subset.class_names == ("object",)


# --- the writer ------------------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_again(tmp_path):
    chance = np.random.default_rng(0)

    class Made(Source):
        class_names = ("object",)

        def __len__(self):
            return 2

        def name(self, index):
            return f"made{index}"

        def read(self, index):
            image = (chance.integers(0, 256, size=(1 + 2 * index, 6, 7)) / 255).astype(np.float32)
            labels = np.array(WITHOUT_GAPS, dtype=np.int32)
            labels = np.pad(labels, ((0, 2), (0, 2)))
            made[index] = Sample(self.name(index), image, labels, np.ones(3, dtype=np.int64))
            return made[index]

    made, seen = {}, []
    write_folder(Made(), tmp_path / "out", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    source = FolderSource(tmp_path / "out")
    for index in range(2):
        back = source.read(index)
        assert back.name == f"made{index}"
        np.testing.assert_allclose(back.image, made[index].image, atol=1e-6)
        assert (back.labels == made[index].labels).all()
    again = tmp_path / "again"
    write_folder(source, again)
    for path in (tmp_path / "out").rglob("*.png"):
        assert path.read_bytes() == (again / path.relative_to(tmp_path / "out")).read_bytes()


def test_more_objects_than_16_bits_can_number_are_refused_and_nothing_is_written(tmp_path):
    labels = np.arange(1, 65_537, dtype=np.int32).reshape(256, 256)
    crowd = Sample("crowd", np.zeros((1, 256, 256), dtype=np.float32), labels, np.ones(65_536, dtype=np.int64))
    with pytest.raises(DataError, match="crowd: 65536 objects are more than a 16-bit label map can number"):
        write_folder(MemorySource(crowd), tmp_path)
    assert list(tmp_path.rglob("*.png")) == []
