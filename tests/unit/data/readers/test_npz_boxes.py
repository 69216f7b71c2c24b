"""Boxes of npz files: images by name or stem, and every row that is no box listed with its place and reason."""

import numpy as np
import pytest

from seriatim.core.errors import DataError
from seriatim.data.readers.npz_boxes import NpzBoxes


def file_of(folder, **arrays):
    np.savez(folder / "boxes.npz", **arrays)
    return folder / "boxes.npz"


def test_boxes_of_an_image_come_by_its_name_or_stem_with_their_scores(tmp_path):
    path = file_of(tmp_path, **{"a.png": np.array([[0, 1, 2, 3], [4, 5, 6, 7]]), "b": np.array([[0, 0, 2, 2, 0.25]])})
    boxes = NpzBoxes(path)
    assert boxes.for_image("a").edges.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert boxes.for_image("folder/b.png").scores.tolist() == [0.25]
    assert boxes.for_image("b.tif").class_ids.tolist() == [0]
    assert len(boxes.for_image("c.png")) == 0
    assert boxes.problems == []


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([5, 0, 3, 4, 1], "cover something"),
        ([0, 2, 3, 2, 1], "cover something"),
        ([0, 0, np.nan, 4, 1], "cover something"),
        ([0, 0, np.inf, 4, 1], "cover something"),
        ([0, 0, 3, 4, 1.5], "score 1.5"),
        ([0, 0, 3, 4, np.nan], "score nan"),
    ],
)
def test_a_row_that_is_no_box_is_left_out_and_named_with_its_reason(tmp_path, row, reason):
    path = file_of(tmp_path, a=np.array([[0, 0, 1, 1, 0.5], row]))
    boxes = NpzBoxes(path)
    assert boxes.for_image("a.png").edges.tolist() == [[0, 0, 1, 1]]
    assert len(boxes.problems) == 1
    assert "array a, row 1" in str(boxes.problems[0])
    assert reason in str(boxes.problems[0])
    with pytest.raises(DataError, match="row 1"):
        NpzBoxes(path, strict=True)


@pytest.mark.parametrize("array", [np.zeros((2, 3)), np.zeros(4), np.array([["a"] * 4])])
def test_an_array_of_another_shape_is_refused(tmp_path, array):
    with pytest.raises(DataError, match="array a: expected numbers in 4 or 5 columns"):
        NpzBoxes(file_of(tmp_path, a=array))


def test_a_file_that_is_no_npz_is_refused_with_its_path(tmp_path):
    (tmp_path / "boxes.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match=r"boxes\.npz: not a readable npz file"):
        NpzBoxes(tmp_path / "boxes.npz")
    with pytest.raises(DataError, match="nowhere"):
        NpzBoxes(tmp_path / "nowhere.npz")
