import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seriatim.metrics import Example, evaluate

THRESHOLDS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def at(threshold, *examples):
    return evaluate(examples, protocol="din")["mAP"][THRESHOLDS.index(threshold)]


def one(target, pred, **extra):
    return Example.from_label_maps(np.atleast_2d(target), np.atleast_2d(pred), **extra)


def reference(examples, class_id):
    """The rules on whole planes, painted from the last prediction to the first."""
    ranked, num_targets = [], 0
    for example in examples:
        valid = np.ones(example.size, dtype=bool) if example.void is None else ~example.void
        targets = [
            valid & (example.target_labels == j + 1)
            for j in range(example.num_targets)
            if example.target_classes[j] == class_id
        ]
        targets = [target for target in targets if target.any()]
        num_targets += len(targets)
        covered = np.zeros(example.size, dtype=bool)
        for index in range(example.num_preds):
            visible = example.pred_masks[index] & ~covered
            covered |= visible
            segment = visible & valid
            if visible.any() and example.pred_classes[index] == class_id:
                tenths = max(
                    [10 * (segment & target).sum() / (segment | target).sum() for target in targets],
                    default=0,
                )
                ranked.append((-example.pred_scores[index], len(ranked), tenths))
    if not num_targets:
        return None
    ranked.sort()
    curve = []
    for tenths in range(1, 10):
        hits = total = 0
        for count, (_, _, reached) in enumerate(ranked, start=1):
            if reached > tenths + 1e-9:
                hits += 1
                total += hits / count
        curve.append(total / num_targets)
    return curve


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_perfect_prediction_scores_one(threshold):
    assert at(threshold, one([1, 1, 2, 0], [2, 2, 1, 0])) == 1.0


def test_no_prediction_scores_zero_and_no_target_none():
    assert evaluate([one([1, 1, 2, 2], [0, 0, 0, 0])], protocol="din")["mAP"] == [0.0] * 9
    found = evaluate([one([0, 0, 0, 0], [1, 1, 0, 0])], protocol="din")
    assert (found["per_class"], found["mAP"], found["AP_vol"]) == ({1: None}, [None] * 9, None)
    assert evaluate([one([0, 0], [0, 0])], protocol="din")["per_class"] == {}


def test_precision_is_not_interpolated():
    example = one([1, 1, 2, 2, 0], [2, 2, 3, 3, 1], pred_scores=[0.9, 0.8, 0.7])
    assert at(0.5, example) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_halves_of_one_target_are_both_right_below_one_half():
    halves = one([1, 1, 1, 1], [1, 1, 2, 2])
    assert (at(0.4, halves), at(0.5, halves)) == (2.0, 0.0)


def test_one_mask_over_two_objects_is_right_once():
    assert (at(0.4, one([1, 1, 2, 2], [1, 1, 1, 1])), at(0.5, one([1, 1, 2, 2], [1, 1, 1, 1]))) == (0.5, 0.0)


def test_a_duplicate_vanishes_under_the_earlier():
    mask = np.array([[True, True, False]])
    example = Example(np.array([[1, 1, 0]]), pred_masks=np.stack([mask, mask]), pred_scores=[0.1, 0.9])
    assert at(0.5, example) == 1.0


def test_void_is_removed_from_predictions_first():
    void = np.array([[False, False, True, True]])
    assert at(0.9, one([1, 1, 0, 0], [1, 1, 1, 0], void=void)) == 1.0
    assert evaluate([one([0, 0, 1, 1], [0, 0, 1, 1], void=void)], protocol="din")["mAP"] == [None] * 9


def test_a_segment_that_lies_wholly_in_void_stays_and_is_wrong():
    void = np.array([[False, False, True, True]])
    found = one([1, 1, 0, 0], [1, 1, 0, 2], void=void, pred_scores=[0.5, 0.9])
    assert at(0.9, found) == 0.5  # the right one is second
    assert at(0.9, one([1, 1, 0, 0], [1, 1, 0, 2], void=void, pred_scores=[0.9, 0.5])) == 1.0
    assert evaluate([one([1, 1, 0, 0], [0, 0, 0, 1], void=void)], protocol="din")["mAP"] == [0.0] * 9


def test_a_mask_that_keeps_no_pixel_in_the_label_map_is_no_segment():
    masks = np.array([[[1, 1, 0]], [[1, 0, 0]], [[0, 0, 0]]], dtype=bool)
    example = Example(np.array([[1, 1, 0]]), pred_masks=masks, pred_scores=[0.5, 0.9, 0.8])
    assert at(0.9, example) == 1.0


def test_wrong_class_and_equal_scores():
    assert at(0.5, one([1, 1, 2, 2], [1, 1, 0, 0], target_classes=[1, 2], pred_classes=[2])) == 0.0
    assert at(0.5, one([1, 0, 0, 0], [1, 2, 0, 0])) == 1.0
    assert at(0.5, one([0, 1, 0, 0], [1, 2, 0, 0])) == 0.5


def test_crowd_one_pixel_and_whole_image():
    assert at(0.5, one([1, 1, 2, 2], [1, 1, 0, 0], target_crowd=[False, True])) == 0.5
    assert at(0.9, one([1, 0], [1, 0])) == at(0.9, one([1, 1], [1, 1])) == 1.0


@pytest.mark.not_quick
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), void=st.booleans())
def test_equals_the_rules_on_planes(make_examples, seed, void):
    examples = make_examples(seed, void=void)
    for class_id, curve in evaluate(examples, protocol="din")["per_class"].items():
        expected = reference(examples, class_id)
        assert curve == (None if expected is None else pytest.approx(expected, abs=1e-12))
        assert curve is None or all(0 <= value <= 1 for value in curve[4:])


def test_a_class_that_keeps_no_pixel_has_no_numbers():
    planes = np.array([[[1, 1, 0, 0]], [[0, 0, 0, 0]]], dtype=bool)
    example = Example(np.array([[1, 1, 0, 0]]), [1], pred_masks=planes, pred_classes=[1, 2])
    assert evaluate([example], protocol="din")["per_class"] == {1: [1.0] * 9, 2: None}
