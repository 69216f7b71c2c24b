"""Cityscapes submissions, read as the benchmark's program reads them."""

import numpy as np
import pytest
from PIL import Image

from seriatim.core.instances import Instance, Instances
from seriatim.data.readers.cityscapes import CLASS_NAMES
from seriatim.results.cityscapes import encode_cityscapes
from seriatim.results.folder import ResultFolder

from ..conftest import segmented

BLANK = np.zeros((37, 53), dtype=np.uint8)


def read_submission(folder, stem):
    """As `evalInstanceLevelSemanticLabeling` does: lines of three words, masks of one channel, not 0 inside."""
    found = []
    for line in (folder / f"{stem}.txt").read_text().splitlines():
        path, label, score = line.split(" ")
        mask = np.array(Image.open(folder / path))
        assert mask.ndim == 2
        found.append((int(label), float(score), mask != 0))
    return found


@pytest.mark.parametrize("stem", ["aachen_000000_000019_leftImg8bit", "a b %20"])
def test_a_submission_is_read_line_by_line(hard, tmp_path, stem):
    results = ResultFolder(tmp_path, ("cityscapes",), ("leaf", "stem"))
    results.add(f"{stem}.png", stem, BLANK, hard, 1.0)
    found = read_submission(tmp_path / "cityscapes", stem)
    assert [(label, score) for label, score, _ in found] == [(1, 0.9), (2, 0.25), (1, 1.0), (2, 0.5), (2, 0.75)]
    assert (np.stack([mask for *_, mask in found]) == hard.masks()).all()


def test_classes_of_cityscapes_have_its_ids(tmp_path):
    boxes = [(y, 0, y + 1, 4) for y in range(8)]
    found = Instances(
        (8, 4), [Instance(box, np.ones((1, 4), bool), class_id=k) for k, box in enumerate(boxes, start=1)]
    )
    *_, (name, text) = encode_cityscapes(segmented(np.zeros((8, 4)), found, CLASS_NAMES))
    assert name == "cityscapes/photo.txt"
    ids = [int(line.split()[1]) for line in text.decode().splitlines()]
    assert ids == [24, 25, 26, 27, 28, 31, 32, 33]  # person ... bicycle
    *_, (_, text) = encode_cityscapes(segmented(np.zeros((8, 4)), found[:1], ("car",)))
    assert text.decode() == "masks/photo/0001.png 26 1.000000\n"


def test_masks_are_made_one_at_a_time(monkeypatch):
    found = Instances((4, 4), [Instance((0, 0, 1, 1), np.ones((1, 1), bool))] * 3)
    files = encode_cityscapes(segmented(np.zeros((4, 4)), found))
    monkeypatch.setattr("seriatim.results.cityscapes.encode_png", lambda plane: bytes([plane.sum()]))
    assert [next(files) for _ in range(2)] == [
        ("cityscapes/masks/photo/0001.png", b"\xff"),
        ("cityscapes/masks/photo/0002.png", b"\xff"),
    ]
