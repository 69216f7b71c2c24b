import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seriatim.metrics import Example, evaluate

THRESHOLDS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
TARGET = np.array([[1, 1, 2, 2]])


def masks(*rows):
    return np.array(rows, dtype=bool)[:, None, :]


def at(threshold, *examples):
    return evaluate(examples, protocol="sds")["mAP"][THRESHOLDS.index(threshold)]


def reference(ranked, planes):
    """The rules, one prediction at a time on whole planes; the area is integrated over the steps of recall."""
    num_targets = sum(len(of_image) for of_image in planes)
    if not num_targets:
        return None
    curve = []
    for tenths in range(1, 10):
        free = [list(of_image) for of_image in planes]
        points, hits = [(0.0, 0.0)], 0
        for count, (image, mask) in enumerate(ranked, start=1):
            best, best_place = 0, None
            for place, target in enumerate(free[image]):
                ratio = (mask & target).sum() / (mask | target).sum()
                if ratio > best:
                    best, best_place = ratio, place
            if best_place is not None and best * 10 > tenths + 1e-9:
                del free[image][best_place]
                hits += 1
            points.append((hits / num_targets, hits / count))
        area = 0.0
        for (before, _), (after, _) in itertools.pairwise(points):
            area += (after - before) * max(precision for recall, precision in points if recall >= after)
        curve.append(area)
    return curve


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_perfect_prediction_scores_one(threshold):
    assert at(threshold, Example(TARGET, pred_masks=masks([1, 1, 0, 0], [0, 0, 1, 1]))) == 1.0


def test_no_prediction_scores_zero():
    assert evaluate([Example(TARGET, pred_masks=[])], protocol="sds")["mAP"] == [0.0] * 9


def test_a_class_without_targets_is_none_and_stays_out_of_the_mean():
    found = evaluate([Example(TARGET, [1, 1], pred_masks=masks([1, 1, 0, 0]), pred_classes=[7])], protocol="sds")
    assert found["per_class"] == {1: [0.0] * 9, 7: None}
    assert (found["mAP"], found["AP_vol"], found["thresholds"]) == ([0.0] * 9, 0.0, THRESHOLDS)


def test_without_any_target_there_is_no_score():
    found = evaluate([Example(TARGET * 0, pred_masks=masks([1, 1, 0, 0]))], protocol="sds")
    assert (found["per_class"], found["mAP"], found["AP_vol"]) == ({1: None}, [None] * 9, None)


def test_a_false_prediction_on_an_image_without_targets_counts():
    empty = Example(TARGET * 0, pred_masks=masks([1, 1, 0, 0]), pred_scores=[0.9])
    right = Example(np.array([[1, 1, 0, 0]]), pred_masks=masks([1, 1, 0, 0]), pred_scores=[0.5])
    assert at(0.5, empty, right) == 0.5


def test_a_duplicate_is_wrong_but_takes_the_next_best_target():
    example = Example(np.array([[1, 1, 1, 2]]), pred_masks=masks([1, 1, 1, 1], [1, 1, 1, 1]), pred_scores=[0.9, 0.8])
    assert at(0.2, example) == 1.0  # IoU 3/4 with the first target, then 1/4 with the second
    assert at(0.3, example) == 0.5


def test_a_threshold_is_exceeded_not_met():
    half = Example(np.array([[1, 1, 0, 0]]), pred_masks=masks([1, 0, 0, 0]))
    assert (at(0.4, half), at(0.5, half)) == (1.0, 0.0)


def test_one_mask_over_two_objects_finds_one():
    assert at(0.4, Example(TARGET, pred_masks=masks([1, 1, 1, 1]))) == 0.5


def test_one_object_split_in_two_is_found_once():
    split = Example(np.array([[1, 1, 1, 1]]), pred_masks=masks([1, 1, 0, 0], [0, 0, 1, 1]))
    assert (at(0.4, split), at(0.5, split)) == (1.0, 0.0)


def test_equal_scores_keep_the_order_emitted_and_that_of_images():
    wrong, right = [0, 1, 1, 0], [1, 1, 0, 0]
    target = np.array([[1, 1, 0, 0]])
    assert at(0.5, Example(target, pred_masks=masks(wrong, right))) == 0.5
    assert at(0.5, Example(target, pred_masks=masks(right, wrong))) == 1.0
    nothing = Example(target * 0, pred_masks=masks(wrong))
    assert at(0.5, nothing, Example(target, pred_masks=masks(right))) == 0.5
    assert at(0.5, Example(target, pred_masks=masks(right)), nothing) == 1.0


def test_precision_is_interpolated():
    example = Example(TARGET, pred_masks=masks([0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 1]), pred_scores=[0.9, 0.8, 0.7])
    assert at(0.5, example) == pytest.approx(2 / 3)  # 1/2 then 2/3; the first recall takes the later 2/3


def test_wrong_class_empty_mask_and_crowd():
    wrong_class = Example(TARGET, [1, 2], pred_masks=masks([1, 1, 0, 0]), pred_classes=[2])
    assert at(0.5, wrong_class) == 0.0
    empty = Example(np.array([[1, 1, 0, 0]]), pred_masks=masks([0, 0, 0, 0], [1, 1, 0, 0]))
    assert at(0.5, empty) == 0.5
    crowd = Example(TARGET, target_crowd=[False, True], pred_masks=masks([1, 1, 0, 0]))
    assert at(0.5, crowd) == 0.5


def test_void_plays_no_part():
    void = np.array([[False, False, True, True]])
    example = Example(np.array([[1, 1, 0, 0]]), void=void, pred_masks=masks([1, 1, 1, 1]))
    assert (at(0.4, example), at(0.5, example)) == (1.0, 0.0)


def test_one_pixel_and_whole_image():
    assert at(0.9, Example(np.array([[1, 0, 0, 0]]), pred_masks=masks([1, 0, 0, 0]))) == 1.0
    assert at(0.9, Example(np.array([[1, 1, 1, 1]]), pred_masks=masks([1, 1, 1, 1]))) == 1.0


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_equals_the_rules_one_prediction_at_a_time(make_examples, list_class, seed):
    examples = make_examples(seed)
    found = evaluate(examples, protocol="sds")
    curves = {}
    for class_id, curve in found["per_class"].items():
        expected = reference(*list_class(examples, class_id))
        assert curve == (None if expected is None else pytest.approx(expected, abs=1e-12))
        if expected is not None:
            curves[class_id] = expected
            assert all(0 <= value <= 1 for value in curve)
            assert curve == sorted(curve, reverse=True)
    if curves:
        assert found["mAP"] == pytest.approx(np.mean(list(curves.values()), axis=0))
        assert found["AP_vol"] == pytest.approx(np.mean(list(curves.values())))
