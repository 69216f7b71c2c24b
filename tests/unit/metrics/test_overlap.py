import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seriatim.metrics import overlap
from seriatim.metrics.overlap import overlap_label_maps, overlap_masks
from seriatim.metrics.runs import count_labels, runs_of

LABELS = hnp.arrays(np.int32, (3, 4), elements=st.integers(0, 4))


@pytest.mark.parametrize("max_cells", [1 << 24, 0])
@given(pred=LABELS, target=LABELS, void=hnp.arrays(bool, (3, 4)))
def test_pairs_of_labels_equal_counting_on_planes(max_cells, pred, target, void):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "MAX_CELLS", max_cells)
        found = overlap_label_maps(pred, 4, target, 4, void)
    table = np.zeros((4, 4), dtype=int)
    table[found.preds, found.targets] = found.intersections
    for i in range(4):
        assert found.pred_areas[i] == ((pred == i + 1) & ~void).sum()
        assert found.target_areas[i] == ((target == i + 1) & ~void).sum()
        for j in range(4):
            assert table[i, j] == ((pred == i + 1) & (target == j + 1) & ~void).sum()
    assert (found.intersections > 0).all()


@pytest.mark.parametrize("max_cells", [1 << 24, 0])
@given(masks=hnp.arrays(bool, (3, 3, 4)), target=LABELS, void=hnp.arrays(bool, (3, 4)), is_by_column=st.booleans())
def test_pairs_of_masks_equal_counting_on_planes(max_cells, masks, target, void, is_by_column):
    present, _, runs = count_labels(target, is_by_column)
    targets, preds = runs.renumbered(present - 1, 4), runs_of(masks, is_by_column)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "MAX_CELLS", max_cells)
        found = overlap_masks(preds, targets)
        valid = overlap_masks(preds.within(~void), targets.within(~void))
    shared, valid_shared = found.table(found.intersections), valid.table(valid.intersections)
    for i in range(3):
        assert found.pred_areas[i] == masks[i].sum()
        assert valid.pred_areas[i] == (masks[i] & ~void).sum()
        for j in range(4):
            both, union = masks[i] & (target == j + 1), masks[i] | (target == j + 1)
            assert shared[i, j] == both.sum()
            assert valid_shared[i, j] == (both & ~void).sum()
            assert found.iou_table()[i, j] == (both.sum() / union.sum() if union.any() else 0)
    for j in range(4):
        assert found.target_areas[j] == (target == j + 1).sum()
        assert valid.target_areas[j] == ((target == j + 1) & ~void).sum()
