from pathlib import Path

import pytest

from seriatim.results.inputs import find_images, output_stems
from seriatim.results.manifest import Entry, Manifest, image_key


def test_the_first_of_a_stem_keeps_it_and_the_others_say_where_they_come_from():
    images = [
        Path(name) for name in ("a/leaf.png", "a/leaf.jpg", "b/leaf.png", "b/leaf.jpg", "c/b/leaf.png", "d/b/leaf.png")
    ]
    stems = output_stems(images, Path("out"))
    assert stems == ["leaf", "leaf.jpg", "b.leaf", "b.leaf.jpg", "b.leaf.png", "b.leaf.png.2"]


def test_no_two_images_share_an_output_even_on_a_file_system_that_folds_case():
    images = [Path(name) for name in ("leaf.png", "LEAF.png", "Leaf.tif", "leaf.png.png", "x/leaf.png")]
    stems = output_stems(images, Path("out"))
    assert len({stem.lower() for stem in stems}) == len(images)


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
    found = find_images([tmp_path / "b.png", tmp_path, tmp_path / "deep"], tmp_path / "out").files
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["b.png", "a.TIF", "deep/er/c.jpeg"]


def test_results_of_an_earlier_call_are_not_taken_for_images(tmp_path):
    touch(tmp_path, "a.png", "a.labels.png", "a.overlay.png", "out/a.labels.png", "out/b.png")
    inside = find_images([tmp_path], tmp_path / "out").files
    assert [path.name for path in inside] == ["a.labels.png", "a.overlay.png", "a.png"]
    same = find_images([tmp_path], tmp_path).files
    assert "a.labels.png" not in [path.name for path in same if path.parent == tmp_path]


def test_images_in_folders_of_an_earlier_call_are_not_taken_for_images(tmp_path):
    own = ("voc/SegmentationObject/a.png", "voc-border/SegmentationClass/a.png", "cityscapes/masks/a/0001.png")
    touch(tmp_path, "a.png", "voc/b.png", "deep/voc/SegmentationObject/c.png", *own)
    found = find_images([tmp_path], tmp_path).files
    names = [path.relative_to(tmp_path).as_posix() for path in found]
    assert names == ["a.png", "deep/voc/SegmentationObject/c.png", "voc/b.png"]
    assert len(find_images([tmp_path], tmp_path / "elsewhere").files) == 6


@pytest.mark.parametrize("own", ["voc/SegmentationObject/leaf.png", "cityscapes/masks/leaf/0001.png"])
def test_an_input_in_a_folder_of_an_earlier_call_is_never_written_over(tmp_path, own):
    touch(tmp_path, "leaf.png", own)
    stems = output_stems([tmp_path / "leaf.png", tmp_path / own], tmp_path)
    assert "leaf" not in stems


def test_a_file_given_by_name_is_kept_whatever_its_ending(tmp_path):
    assert find_images([tmp_path / "missing.xyz"], tmp_path).files == [tmp_path / "missing.xyz"]


def test_results_of_any_earlier_call_below_a_folder_are_not_taken_for_images(tmp_path):
    touch(tmp_path, "nest/photo.png", "nest/results/photo.overlay.png", "nest/results/voc/SegmentationObject/photo.png")
    Manifest(tmp_path / "nest" / "results", {})
    touch(tmp_path, "old/b.labels.png", "old/b.overlay.png", "old/counts.csv", "truth/c.labels.png")
    found = find_images([tmp_path], tmp_path / "out")
    names = [path.relative_to(tmp_path).as_posix() for path in found.files]
    assert names == ["nest/photo.png", "truth/c.labels.png"]
    assert not found.unreadable


def test_images_beside_their_results_are_found(tmp_path):
    touch(tmp_path, "plate/a.png", "plate/a.overlay.png", "plate/yolo.png")
    entry = {"file": "", "stem": "", "sha256": "", "size": (1, 1), "count": 0, "seconds": 0.0, "files": ("yolo.png",)}
    Manifest(tmp_path / "plate", {}).add(Entry(image="a.png", **entry))
    assert [path.name for path in find_images([tmp_path], tmp_path / "out").files] == ["a.png"]


def test_a_link_to_a_folder_is_followed_once_and_one_that_loops_is_named(tmp_path):
    touch(tmp_path, "in/a.png", "far/b.png")
    (tmp_path / "in" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "in" / "up").symlink_to("..")
    found = find_images([tmp_path / "in"], tmp_path / "out")
    assert [path.name for path in found.files] == ["a.png", "b.png"]
    assert list(found.unreadable) == [str(tmp_path / "in" / "up" / "in")]


def test_stems_of_images_in_the_folder_of_results_stay_and_are_not_taken_by_others(tmp_path):
    images = [tmp_path / name for name in ("b/leaf.png", "a/leaf.png", "c/other.png")]
    known = {
        image_key(tmp_path / "a" / "leaf.png", tmp_path): "leaf",
        image_key(tmp_path / "gone.png", tmp_path): "other",
    }
    assert output_stems(images, tmp_path, known) == ["leaf.png", "leaf", "other.png"]
