import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seriatim.core.errors import DataError, ShapeError
from seriatim.metrics.semantic import score_semantic

MAPS = hnp.arrays(np.uint8, (3, 4), elements=st.integers(0, 3))


def test_worked_answer_over_two_images():
    found = score_semantic([(np.array([[1, 1]]), np.array([[1, 0]])), (np.array([[0, 1]]), np.array([[0, 1]]))], 1)
    assert found == {
        "per_class": {0: 0.5, 1: pytest.approx(2 / 3)},
        "mean_iou": pytest.approx(7 / 12),
        "mean_iou_foreground": pytest.approx(2 / 3),
    }


def test_a_class_that_never_is_true_is_none():
    found = score_semantic([(np.array([[0, 0]]), np.array([[0, 2]]))], 2)
    assert (found["per_class"], found["mean_iou_foreground"]) == ({0: 0.5, 1: None, 2: None}, None)


@given(target=MAPS, pred=MAPS, void=hnp.arrays(bool, (3, 4)))
def test_equals_counting_class_by_class(target, pred, void):
    found = score_semantic([(target, pred)], 3, [void])
    for class_id in range(4):
        true, predicted = (target == class_id) & ~void, (pred == class_id) & ~void
        expected = (true & predicted).sum() / (true | predicted).sum() if true.any() else None
        assert found["per_class"][class_id] == expected


@pytest.mark.parametrize(
    ("pairs", "voids", "error"),
    [
        ([], None, DataError),
        ([(np.array([[3]]), np.array([[0]]))], None, DataError),
        ([(np.array([[1]]), np.array([[1]]))], [], DataError),
        ([(np.array([[1]]), np.array([[1, 1]]))], None, ShapeError),
        ([(np.array([[1]]), np.array([[1]]))], [np.zeros((1, 2), dtype=bool)], ShapeError),
        ([(np.array([[-1]]), np.array([[1]]))], None, ShapeError),
    ],
)
def test_what_does_not_fit_is_refused(pairs, voids, error):
    with pytest.raises(error):
        score_semantic(pairs, 2, voids)
