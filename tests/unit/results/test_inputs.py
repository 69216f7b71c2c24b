from pathlib import Path

import pytest

from seriatim.results.inputs import find_images, output_stems


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
