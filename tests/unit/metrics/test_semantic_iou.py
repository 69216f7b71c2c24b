import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seriatim.core.errors import DataError
from seriatim.metrics import Example, evaluate

MAPS = hnp.arrays(np.uint8, (3, 4), elements=st.integers(0, 3))


def of_classes(target, pred, **extra):
    """An example of which the objects are the classes."""
    numbers = range(1, max(int(np.max(target)), int(np.max(pred)), 1) + 1)
    masks = np.array([np.asarray(pred) == number for number in numbers])
    return Example(np.asarray(target), list(numbers), pred_masks=masks, pred_classes=list(numbers), **extra)


def score(*examples):
    return evaluate(examples, "semantic_iou")


def test_worked_answer_over_two_images():
    assert score(of_classes([[1, 1]], [[1, 0]]), of_classes([[0, 1]], [[0, 1]])) == {
        "per_class": {0: 0.5, 1: pytest.approx(2 / 3)},
        "mean_iou": pytest.approx(7 / 12),
        "mean_iou_foreground": pytest.approx(2 / 3),
    }


def test_a_class_that_never_is_true_is_none():
    found = score(of_classes([[0, 0]], [[0, 2]]))
    assert (found["per_class"][2], found["mean_iou_foreground"]) == (None, None)
    assert score(of_classes([[0, 0]], [[0, 0]])) == {
        "per_class": {0: 1.0, 1: None},
        "mean_iou": 1.0,
        "mean_iou_foreground": None,
    }


def test_objects_are_not_told_apart():
    split = Example.from_label_maps(np.array([[1, 1, 2, 2]]), np.array([[1, 2, 3, 4]]))
    joined = Example.from_label_maps(np.array([[1, 1, 2, 2]]), np.array([[1, 1, 1, 1]]))
    assert score(split)["mean_iou"] == score(joined)["mean_iou"] == 1.0


def test_the_earlier_prediction_keeps_a_contested_pixel():
    masks = np.array([[[1, 1, 0]], [[0, 1, 1]]], dtype=bool)
    example = Example(np.array([[1, 1, 2]]), [1, 2], pred_masks=masks, pred_classes=[1, 2])
    assert score(example)["mean_iou_foreground"] == 1.0


def test_a_duplicate_and_an_empty_mask_change_nothing():
    mask = np.array([[True, True, False]])
    example = Example(np.array([[1, 1, 1]]), pred_masks=np.stack([mask, mask, ~mask & mask]))
    assert score(example)["per_class"] == {0: None, 1: pytest.approx(2 / 3)}


@given(target=MAPS, pred=MAPS, void=hnp.arrays(bool, (3, 4)))
def test_equals_counting_class_by_class(target, pred, void):
    found = score(of_classes(target, pred, void=void))
    for class_id in found["per_class"]:
        true, predicted = (target == class_id) & ~void, (pred == class_id) & ~void
        expected = (true & predicted).sum() / (true | predicted).sum() if true.any() else None
        assert found["per_class"][class_id] == expected
    assert {*target[~void].tolist(), *pred[~void].tolist()} <= set(found["per_class"])


def test_class_0_is_refused():
    with pytest.raises(DataError, match=r"examples\[1\]: protocol 'semantic_iou': class 0 is the background"):
        score(of_classes([[1]], [[1]]), Example(np.array([[1]]), [0], pred_masks=[]))
