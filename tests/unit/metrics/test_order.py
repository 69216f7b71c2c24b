import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from seriatim.core.errors import DataError
from seriatim.metrics import Example
from seriatim.metrics.order import correlate_orders, kendall_tau

NO_TARGET = np.zeros((3, 4), dtype=int)


def masks(*planes):
    return np.array(planes, dtype=bool)


def test_objects_emitted_from_right_to_left():
    pred = np.array([[3, 0, 2, 1]])
    found = correlate_orders([Example.from_label_maps(np.zeros_like(pred), pred)])
    assert (found["right_to_left"], found["num_images"]) == (1.0, 1)
    found = correlate_orders([Example.from_label_maps(np.zeros_like(pred), 4 * (pred > 0) - pred)])
    assert found["right_to_left"] == -1.0


def test_objects_emitted_from_bottom_to_top_and_large_to_small():
    pred = np.array([[2, 0], [2, 0], [1, 1], [1, 1]])
    found = correlate_orders([Example.from_label_maps(np.zeros_like(pred), pred)])
    assert found == {"right_to_left": 1.0, "bottom_to_top": 1.0, "large_to_small": 1.0, "num_images": 1}


def test_ties_count_neither_way():
    pred = np.array([[1, 2, 0], [0, 3, 0]])
    found = correlate_orders([Example.from_label_maps(np.zeros_like(pred), pred)])
    assert found["right_to_left"] == pytest.approx(-2 / 3)
    assert found["bottom_to_top"] == pytest.approx(-2 / 3)
    assert found["large_to_small"] == 0.0


def test_images_with_fewer_than_two_predictions_are_left_out():
    two, single, empty = np.array([[2, 1]]), np.array([[1, 0]]), np.array([[0, 0]])
    examples = [Example.from_label_maps(np.zeros((1, 2), dtype=int), pred) for pred in (two, single, empty)]
    assert correlate_orders(examples)["num_images"] == 1
    assert correlate_orders(examples[1:])["right_to_left"] is None
    with pytest.raises(DataError, match="at least one image"):
        correlate_orders([])


def test_empty_masks_have_no_place():
    example = Example(np.zeros((1, 3), dtype=int), pred_masks=masks([[0, 0, 1]], [[0, 0, 0]], [[1, 0, 0]]))
    assert correlate_orders([example])["right_to_left"] == 1.0


def test_masks_count_at_full_extent():
    example = Example(np.zeros((1, 4), dtype=int), pred_masks=masks([[0, 1, 0, 0]], [[1, 1, 1, 1]]))
    assert correlate_orders([example])["right_to_left"] == -1.0  # centres 1 and 1.5


def test_masks_and_label_map_agree(make_examples):
    for seed in range(30):
        for example in make_examples(seed, num_images=1):
            labels = example.pred_label_map
            planes = np.array([labels == k + 1 for k in range(example.num_preds)]).reshape(-1, *example.size)
            by_masks = correlate_orders([Example(example.target_labels, pred_masks=planes)])
            by_labels = correlate_orders([Example.from_label_maps(example.target_labels, labels)])
            assert by_masks == pytest.approx(by_labels)


@given(values=st.permutations(range(7)))
def test_equals_scipy_where_nothing_ties(values):
    found = kendall_tau(np.array(values, dtype=float))
    assert found == pytest.approx(kendalltau(np.arange(7), values).statistic)


def test_one_value_has_no_order():
    with pytest.raises(DataError, match="at least two"):
        kendall_tau(np.array([1.0]))
