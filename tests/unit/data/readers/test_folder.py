"""Kind folder: read, and written."""

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import DataError
from seriatim.data.readers.folder import FolderSource, write_folder
from seriatim.data.samples import Sample
from seriatim.data.source import Source

from ..memory_source import MemorySource


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


# --- writing -----


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
