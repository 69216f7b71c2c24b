import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from seriatim.core.errors import ConfigError, FileWriteError, FormatLimitError
from seriatim.core.instances import Instance, Instances
from seriatim.data.images import read_label_map
from seriatim.results import formats
from seriatim.results.format_names import DEFAULT_FORMATS, FORMAT_SUMMARIES
from seriatim.results.formats import FORMATS, ResultFolder, encode_labels, parse_formats
from seriatim.results.inputs import find_images, output_stems

from ..conftest import segmented


def test_labels_are_a_png_of_16_bits(found, pixels, tmp_path):
    [(name, data)] = encode_labels(segmented(pixels, found))
    assert name == "photo.labels.png"
    (tmp_path / "a.png").write_bytes(data)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode.startswith("I;16")
    assert np.array_equal(read_label_map(tmp_path / "a.png"), found.label_map())


def test_more_than_65535_objects_keep_their_ids_in_a_tiff(pixels, tmp_path):
    side = 260
    boxes = [(y, x, y + 1, x + 1) for y in range(side) for x in range(side)]
    many = Instances((side, side), [Instance(box, np.ones((1, 1), dtype=bool)) for box in boxes])
    [(name, data)] = encode_labels(segmented(pixels, many))
    assert name == "photo.labels.tif"
    (tmp_path / "a.tif").write_bytes(data)
    labels = tifffile.imread(tmp_path / "a.tif")
    assert labels.dtype == np.uint32
    assert np.array_equal(labels.ravel(), np.arange(1, side * side + 1))
    assert np.array_equal(read_label_map(tmp_path / "a.tif"), labels)


def test_as_many_objects_as_16_bits_can_number_stay_a_png(pixels, found, monkeypatch):
    monkeypatch.setattr(formats, "MAX_16_BIT", len(found))
    assert formats.MAX_16_BIT == 3
    assert next(encode_labels(segmented(pixels, found)))[0] == "photo.labels.png"
    monkeypatch.setattr(formats, "MAX_16_BIT", len(found) - 1)
    assert next(encode_labels(segmented(pixels, found)))[0] == "photo.labels.tif"


def test_a_call_writes_one_coco_file_and_one_table(found, pixels, tmp_path):
    results = ResultFolder(tmp_path / "deep" / "results", DEFAULT_FORMATS, ("leaf",))
    results.add("a/one.png", "one", pixels, found, 0.12345)
    results.add("two, with comma.png", "two", pixels[:40], Instances((40, 120)), 2.0)
    results.finish()
    names = sorted(path.name for path in results.folder.iterdir())
    assert names == [
        "counts.csv",
        "instances.json",
        "one.labels.png",
        "one.overlay.png",
        "two.labels.png",
        "two.overlay.png",
    ]
    text = (results.folder / "counts.csv").read_text()
    assert text.startswith("file,count,seconds\na/one.png,3,0.123\n")
    rows = list(csv.DictReader(text.splitlines()))
    assert rows[1] == {"file": "two, with comma.png", "count": "0", "seconds": "2.000"}
    coco = json.loads((results.folder / "instances.json").read_text())
    assert coco["categories"] == [{"id": 1, "name": "leaf"}]
    assert coco["images"][1] == {"id": 2, "file_name": "two, with comma.png", "height": 40, "width": 120}
    assert [annotation["id"] for annotation in coco["annotations"]] == [1, 2, 3]
    assert set(coco["annotations"][0]) >= {
        "image_id",
        "category_id",
        "segmentation",
        "bbox",
        "area",
        "iscrowd",
        "score",
    }


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with numpy 2
def test_pycocotools_reads_the_coco_file(found, pixels, tmp_path, capsys):
    from pycocotools.coco import COCO

    results = ResultFolder(tmp_path, ("coco",), ("leaf",))
    results.add("first.png", "first", pixels, found, 1.0)
    results.add("second.png", "second", pixels, found, 1.0)
    results.finish()
    coco = COCO(str(tmp_path / "instances.json"))
    capsys.readouterr()
    for annotation, instance in zip(coco.loadAnns(coco.getAnnIds(imgIds=[2])), found, strict=True):
        assert np.array_equal(coco.annToMask(annotation).astype(bool), Instances(found.size, [instance]).masks()[0])


def test_only_the_formats_asked_for_are_written(found, pixels, tmp_path):
    results = ResultFolder(tmp_path, ("counts",), ("leaf",))
    results.add("one.png", "one", pixels, found, 1.0)
    results.finish()
    assert [path.name for path in tmp_path.iterdir()] == ["counts.csv"]


def test_formats_are_checked_by_name():
    assert parse_formats("labels,overlay,coco,counts") == DEFAULT_FORMATS
    with pytest.raises(ConfigError, match="did you mean 'labels'"):
        parse_formats("label")
    with pytest.raises(ConfigError, match="no format given"):
        parse_formats(" , ")


def test_the_help_names_every_format():
    assert list(FORMAT_SUMMARIES) == list(FORMATS)
    assert set(DEFAULT_FORMATS) <= FORMATS.keys()


def test_a_image_that_one_format_cannot_hold_keeps_its_other_files_and_its_place_in_the_table(tmp_path):
    boxes = [(y, x, y + 1, x + 1) for y in range(16) for x in range(16)]
    many = Instances((16, 16), [Instance(box, np.ones((1, 1), dtype=bool)) for box in boxes])
    results = ResultFolder(tmp_path, ("voc", "labels", "counts"), ("leaf",))
    with pytest.raises(FormatLimitError, match=r"a\.png: format 'voc': 256 objects are more than the 254"):
        results.add("a.png", "a", np.zeros((16, 16), dtype=np.uint8), many, 1.0)
    results.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.labels.png", "counts.csv"]
    assert (tmp_path / "counts.csv").read_text().splitlines()[1:] == ["a.png,256,1.000"]


def test_every_format_of_the_same_objects_is_the_same_bytes(found, pixels, tmp_path):
    for folder in ("first", "second"):
        results = ResultFolder(tmp_path / folder, tuple(FORMATS), ("leaf",))
        results.add("one.png", "one", pixels, found, 1.0)
        results.finish()
    written = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*") if path.is_file())
    assert len(written) >= len(FORMATS)
    for path in written:
        assert (tmp_path / "first" / path).read_bytes() == (tmp_path / "second" / path).read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_written_of_a_image_without_objects(name, tmp_path):
    results = ResultFolder(tmp_path, (name,), ("leaf",))
    results.add("none.png", "none", np.zeros((4, 5), dtype=np.uint8), Instances((4, 5)), 1.0)
    results.finish()
    assert any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("name", FORMATS)
def test_an_object_without_pixels_is_no_reason_to_fail(name, tmp_path, found, pixels):
    empty = Instance((0, 0, 0, 0), np.zeros((0, 0), dtype=bool))
    results = ResultFolder(tmp_path, (name,), ("leaf",))
    results.add("one.png", "one", pixels, Instances(found.size, [*found, empty]), 1.0)
    results.finish()


def test_two_images_of_one_stem_never_share_a_file_in_any_format(found, pixels, tmp_path):
    for number, stems in enumerate((["leaf"], ["leaf.jpg"], ["leaf", "leaf.jpg"])):
        results = ResultFolder(tmp_path / str(number), tuple(FORMATS), ("leaf",))
        for stem in stems:
            results.add(f"{stem}.x", stem, pixels, found, 1.0)
    first, second, both = (
        {path.relative_to(tmp_path / folder) for path in (tmp_path / folder).rglob("*") if path.is_file()}
        for folder in ("0", "1", "2")
    )
    assert not first & second
    assert first | second == both


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        ResultFolder(tmp_path / "file", DEFAULT_FORMATS, ("leaf",))
    with pytest.raises(FileWriteError, match="could not make the folder"):
        ResultFolder(tmp_path / "file" / "below", DEFAULT_FORMATS, ("leaf",))


def test_a_full_disk_keeps_the_old_file_and_is_named(found, pixels, tmp_path, monkeypatch):
    results = ResultFolder(tmp_path, ("labels",), ("leaf",))
    (tmp_path / "one.labels.png").write_bytes(b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(FileWriteError, match=r"one\.labels\.png: could not write \d+ bytes: No space left on device"):
        results.add("one.png", "one", pixels, found, 1.0)
    assert (tmp_path / "one.labels.png").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_first_of_a_stem_keeps_it_and_the_others_say_where_they_come_from():
    pictures = [
        Path(name) for name in ("a/leaf.png", "a/leaf.jpg", "b/leaf.png", "b/leaf.jpg", "c/b/leaf.png", "d/b/leaf.png")
    ]
    stems = output_stems(pictures, Path("out"))
    assert stems == ["leaf", "leaf.jpg", "b.leaf", "b.leaf.jpg", "b.leaf.png", "b.leaf.png.2"]


def test_no_two_images_share_an_output_even_on_a_file_system_that_folds_case():
    pictures = [Path(name) for name in ("leaf.png", "LEAF.png", "Leaf.tif", "leaf.png.png", "x/leaf.png")]
    stems = output_stems(pictures, Path("out"))
    assert len({stem.lower() for stem in stems}) == len(pictures)


def test_an_input_is_never_written_over(tmp_path):
    for name in ("leaf.png", "leaf.labels.png"):
        (tmp_path / name).write_bytes(b"")
    stems = output_stems([tmp_path / "leaf.png", tmp_path / "leaf.labels.png"], tmp_path)
    assert stems == ["leaf.png", "leaf.labels"]


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_folders_are_searched_in_order_and_nothing_comes_twice(tmp_path):
    touch(tmp_path, "b.png", "a.TIF", "deep/er/c.jpeg", "notes.txt", ".hidden.png", ".cache/d.png")
    found = find_images([tmp_path / "b.png", tmp_path, tmp_path / "deep"], tmp_path / "out")
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["b.png", "a.TIF", "deep/er/c.jpeg"]


def test_results_of_an_earlier_call_are_not_taken_for_images(tmp_path):
    touch(tmp_path, "a.png", "a.labels.png", "a.overlay.png", "out/a.labels.png", "out/b.png")
    inside = find_images([tmp_path], tmp_path / "out")
    assert [path.name for path in inside] == ["a.labels.png", "a.overlay.png", "a.png"]
    same = find_images([tmp_path], tmp_path)
    assert "a.labels.png" not in [path.name for path in same if path.parent == tmp_path]


def test_images_in_folders_of_an_earlier_call_are_not_taken_for_images(tmp_path):
    own = ("voc/SegmentationObject/a.png", "voc-border/SegmentationClass/a.png", "cityscapes/masks/a/0001.png")
    touch(tmp_path, "a.png", "voc/b.png", "deep/voc/SegmentationObject/c.png", *own)
    found = find_images([tmp_path], tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["a.png", "deep/voc/SegmentationObject/c.png", "voc/b.png"]
    assert len(find_images([tmp_path], tmp_path / "elsewhere")) == 6


@pytest.mark.parametrize("own", ["voc/SegmentationObject/leaf.png", "cityscapes/masks/leaf/0001.png"])
def test_an_input_in_a_folder_of_an_earlier_call_is_never_written_over(tmp_path, own):
    touch(tmp_path, "leaf.png", own)
    stems = output_stems([tmp_path / "leaf.png", tmp_path / own], tmp_path)
    assert "leaf" not in stems


def test_a_file_given_by_name_is_kept_whatever_its_ending(tmp_path):
    assert find_images([tmp_path / "missing.xyz"], tmp_path) == [tmp_path / "missing.xyz"]
