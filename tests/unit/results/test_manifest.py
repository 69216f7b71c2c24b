"""The manifest of a folder of results."""

import os
from pathlib import Path

import pytest

from seriatim.core.errors import ConfigError, DataError, ImageError
from seriatim.results.manifest import Entry, Manifest, image_digest, image_key, listed_files

SETTINGS = {"weights": "abc", "inference": {"min_area": 1}, "class_names": ("leaf",)}


def entry_of(image, **values):
    plain = {"file": image, "stem": image, "sha256": "0", "size": (2, 3), "count": 1, "seconds": 0.5}
    return Entry(image=image, **{**plain, **values})


@pytest.fixture
def manifest(tmp_path):
    made = Manifest(tmp_path, SETTINGS)
    for image in ("a", "b", "c"):
        made.add(entry_of(image, files=(f"{image}.labels.png",), kept={"coco": [{"score": 0.1}]}))
    return made


def test_what_was_added_is_read_again_with_the_same_settings(manifest, tmp_path):
    again = Manifest(tmp_path, SETTINGS)
    assert again.entries == manifest.entries
    assert list(again.entries) == ["a", "b", "c"]


def test_an_entry_takes_the_place_of_an_earlier_one_of_the_same_image(manifest, tmp_path):
    manifest.add(entry_of("a", count=7))
    entries = Manifest(tmp_path, SETTINGS).entries
    assert (entries["a"].count, len(entries)) == (7, 3)


def test_other_settings_are_refused_with_the_first_that_differs_and_what_to_do(manifest, tmp_path):
    before = manifest.path.read_bytes()
    other = {**SETTINGS, "inference": {"min_area": 5}}
    with pytest.raises(
        ConfigError, match=r"inference\.min_area was 1, is 5; repeat .*choose another folder with --out"
    ):
        Manifest(tmp_path, other)
    assert manifest.path.read_bytes() == before


def test_without_a_finished_image_other_settings_are_no_hindrance(tmp_path):
    Manifest(tmp_path, SETTINGS)
    Manifest(tmp_path, {"weights": "other"}).add(entry_of("a"))
    with pytest.raises(ConfigError, match="weights was 'other', is 'abc'"):
        Manifest(tmp_path, SETTINGS)


def test_a_last_line_that_was_not_finished_does_not_count_and_the_next_one_is_whole(manifest, tmp_path):
    whole = manifest.path.read_bytes()
    manifest.path.write_bytes(whole[:-9])
    again = Manifest(tmp_path, SETTINGS)
    assert list(again.entries) == ["a", "b"]
    again.add(manifest.entries["c"])
    assert manifest.path.read_bytes() == whole


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"image": "a"}', '{"image": "x", "files": ["../../mine.png"]}', '{"image": "x", "files": ["/mine"]}'],
)
def test_a_damaged_line_is_one_error_that_names_the_file(manifest, tmp_path, line):
    if line.startswith('{"image": "x"'):
        line = line[:-1] + ', "file": "x", "stem": "x", "sha256": "0", "size": [2, 3], "count": 1, "seconds": 1.0}'
    with open(manifest.path, "a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"seriatim\.jsonl: is damaged"):
        Manifest(tmp_path, SETTINGS)


def test_the_order_puts_the_named_images_last_and_forgets_none(manifest, tmp_path):
    manifest.rewrite(["b", "gone", "a", "b"])
    assert list(manifest.entries) == list(Manifest(tmp_path, SETTINGS).entries) == ["c", "b", "a"]


def test_the_files_are_listed_for_a_search(manifest, tmp_path):
    assert listed_files(tmp_path) == {"a.labels.png", "b.labels.png", "c.labels.png"}
    assert listed_files(tmp_path / "elsewhere") is None


def test_an_image_has_one_key_however_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    ways = [Path("images/a.png"), tmp_path / "images" / "a.png", Path("link/a.png"), Path("images/../images/a.png")]
    assert {image_key(way, tmp_path / "out") for way in ways} == {"../images/a.png"}


def test_a_digest_is_taken_of_regular_files_only(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    for name, reason in (
        ("pipe.png", "is no regular file"),
        ("loop.png", "symbolic links"),
        ("gone.png", "no such file"),
    ):
        with pytest.raises(ImageError, match=f"{name}: .*{reason}"):
            image_digest(tmp_path / name)
