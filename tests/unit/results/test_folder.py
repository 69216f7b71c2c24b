"""The folder of results of a call, with every format."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from seriatim.core.errors import ConfigError, FileWriteError, FormatLimitError
from seriatim.core.instances import Instance, Instances
from seriatim.results.folder import ResultFolder
from seriatim.results.formats import DEFAULT_FORMATS, FORMATS


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
        "seriatim.jsonl",
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


def test_only_the_formats_asked_for_are_written(found, pixels, tmp_path):
    results = ResultFolder(tmp_path, ("counts",), ("leaf",))
    results.add("one.png", "one", pixels, found, 1.0)
    results.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counts.csv", "seriatim.jsonl"]


def test_an_image_that_one_format_cannot_hold_keeps_its_other_files_and_its_place_in_the_table(tmp_path):
    boxes = [(y, x, y + 1, x + 1) for y in range(16) for x in range(16)]
    many = Instances((16, 16), [Instance(box, np.ones((1, 1), dtype=bool)) for box in boxes])
    results = ResultFolder(tmp_path, ("voc", "labels", "counts"), ("leaf",))
    with pytest.raises(FormatLimitError, match=r"a\.png: format 'voc': 256 objects are more than the 254"):
        results.add("a.png", "a", np.zeros((16, 16), dtype=np.uint8), many, 1.0)
    results.finish()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.labels.png", "counts.csv", "seriatim.jsonl"]
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
def test_every_format_can_be_written_of_an_image_without_objects(name, tmp_path):
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
        - {Path("seriatim.jsonl"), Path("counts.csv")}
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
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.labels.png", "seriatim.jsonl"]


def test_a_row_is_in_the_table_as_soon_as_its_image_is_done(found, pixels, tmp_path):
    results = ResultFolder(tmp_path, ("counts",), ("leaf",))
    for number in range(3):
        results.add(f"{number}.png", f"{number}", pixels, found, 1.0)
        rows = (tmp_path / "counts.csv").read_text().splitlines()[1:]
        assert rows == [f"{done}.png,3,1.000" for done in range(number + 1)]


def test_a_later_call_keeps_the_rows_of_earlier_ones_whether_it_does_anything_or_not(found, pixels, tmp_path):
    formats = ("coco", "counts", "measurements")
    first = ResultFolder(tmp_path, formats, ("leaf",))
    first.add("a.png", "a", pixels, found, 1.0)
    first.finish()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ResultFolder(tmp_path, formats, ("leaf",)).finish()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    second = ResultFolder(tmp_path, formats, ("leaf",))
    second.add("b.png", "b", pixels, found, 1.0)
    second.finish()
    assert [row.split(",")[0] for row in (tmp_path / "counts.csv").read_text().splitlines()] == [
        "file",
        "a.png",
        "b.png",
    ]
    coco = json.loads((tmp_path / "instances.json").read_text())
    assert [one["file_name"] for one in coco["images"]] == ["a.png", "b.png"]
    assert len((tmp_path / "measurements.csv").read_text().splitlines()) == 7


def test_an_image_that_is_done_again_has_one_row_and_no_file_of_before(found, pixels, tmp_path):
    for objects in (found, found[:1]):
        results = ResultFolder(tmp_path, ("counts", "cityscapes"), ("leaf",))
        results.add("a.png", "a", pixels, objects, 1.0)
        assert (tmp_path / "counts.csv").read_text().splitlines()[1:] == [f"a.png,{len(objects)},1.000"]
    assert [path.name for path in (tmp_path / "cityscapes" / "masks" / "a").iterdir()] == ["0001.png"]


def test_an_image_is_done_if_it_is_unchanged_and_all_its_files_are_there(found, pixels, tmp_path):
    results = ResultFolder(tmp_path, ("labels",), ("leaf",))
    results.add("a.png", "a", pixels, found, 1.0, sha256="1")
    again = ResultFolder(tmp_path, ("labels",), ("leaf",))
    entry = again.done(Path.cwd() / "a.png", "1")
    assert entry is not None
    assert entry.file == str(Path.cwd() / "a.png")
    assert again.done(Path("a.png"), "2") is None
    assert again.done(Path("b.png"), "1") is None
    (tmp_path / "a.labels.png").unlink()
    assert again.done(Path("a.png"), "1") is None


def test_a_table_that_no_manifest_lists_is_never_written_over(found, tmp_path):
    (tmp_path / "counts.csv").write_text("mine")
    with pytest.raises(ConfigError, match=r"counts\.csv: is there already, and no seriatim\.jsonl beside it"):
        ResultFolder(tmp_path, ("counts",), ("leaf",))
    assert (tmp_path / "counts.csv").read_text() == "mine"
    ResultFolder(tmp_path, ("labels",), ("leaf",)).finish()


def test_temporary_files_of_a_killed_call_are_gone_after_the_next(found, pixels, tmp_path):
    (tmp_path / "labelme").mkdir()
    for place in (tmp_path, tmp_path / "labelme"):
        (place / ".seriatim-00112233445566aa.part").write_bytes(b"half")
    ResultFolder(tmp_path, ("labelme",), ("leaf",)).finish()
    assert not list(tmp_path.rglob("*.part"))
