import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seriatim.metrics import overlap

LABELS = hnp.arrays(np.int32, (3, 4), elements=st.integers(0, 4))


@pytest.mark.parametrize("dense_cells", [1 << 24, 0])
@given(pred=LABELS, target=LABELS, void=hnp.arrays(bool, (3, 4)))
def test_pairs_of_labels_equal_counting_on_planes(dense_cells, pred, target, void):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_DENSE_CELLS", dense_cells)
        found = overlap.overlap_label_maps(pred, 4, target, 4, void)
    table = np.zeros((4, 4), dtype=int)
    table[found.preds, found.targets] = found.intersections
    for i in range(4):
        assert found.pred_areas[i] == ((pred == i + 1) & ~void).sum()
        assert found.target_areas[i] == ((target == i + 1) & ~void).sum()
        for j in range(4):
            assert table[i, j] == ((pred == i + 1) & (target == j + 1) & ~void).sum()
    assert (found.intersections > 0).all()


@given(masks=hnp.arrays(bool, (3, 3, 4)), target=LABELS, void=hnp.arrays(bool, (3, 4)))
def test_table_of_masks_equals_counting_on_planes(masks, target, void):
    found = overlap.table_from_masks(masks, target, 4, void)
    without = overlap.table_from_masks(masks, target, 4)
    for i in range(3):
        assert found.pred_areas[i] == without.valid_pred_areas[i] == masks[i].sum()
        assert found.valid_pred_areas[i] == (masks[i] & ~void).sum()
        for j in range(4):
            shared = masks[i] & (target == j + 1)
            assert found.intersections[i, j] == without.valid_intersections[i, j] == shared.sum()
            assert found.valid_intersections[i, j] == (shared & ~void).sum()
            union = (masks[i] | (target == j + 1)).sum()
            assert found.iou()[i, j] == (shared.sum() / union if union else 0)
    for j in range(4):
        assert found.target_areas[j] == (target == j + 1).sum()
        assert found.valid_target_areas[j] == ((target == j + 1) & ~void).sum()


def test_two_empty_masks_have_iou_zero():
    found = overlap.table_from_masks(np.zeros((1, 1, 2), dtype=bool), np.zeros((1, 2), dtype=np.int32), 1)
    assert (found.iou().tolist(), found.valid_iou().tolist()) == ([[0.0]], [[0.0]])


def test_labels_of_any_size_are_closed_up():
    for labels in ([[0, 5], [9, 9]], [[0, 5], [10**11, 10**11]]):
        present, dense = overlap.count_labels(np.array(labels))
        assert (present.tolist(), dense.tolist()) == ([5, labels[1][0]], [[0, 1], [2, 2]])
    present, dense = overlap.count_labels(np.array([[10**11, 10**11 + 1]]))
    assert (present.tolist(), dense.tolist()) == ([10**11, 10**11 + 1], [[1, 2]])
    present, dense = overlap.count_labels(np.zeros((0, 3), dtype=np.uint8))
    assert (present.tolist(), dense.shape) == ([], (0, 3))
