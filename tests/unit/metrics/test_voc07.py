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
    return evaluate(examples, protocol="voc07")["mAP"][THRESHOLDS.index(threshold)]


def reference(ranked, planes):
    """The rules, one prediction at a time on whole planes; recall compared with the points in whole numbers.

    The points 0.3, 0.6 and 0.7 lie one binary digit above the fraction, so recall has to exceed them.
    """
    num_targets = sum(len(of_image) for of_image in planes)
    if not num_targets:
        return None
    curve = []
    for tenths in range(1, 10):
        taken, points, hits = set(), [], 0
        for count, (image, mask) in enumerate(ranked, start=1):
            fractions = [((mask & plane).sum(), (mask | plane).sum()) for plane in planes[image]]
            if fractions:
                place = max(range(len(fractions)), key=lambda j: (fractions[j][0] / fractions[j][1], -j))
                shared, joint = fractions[place]
                if 10 * shared >= tenths * joint and (image, place) not in taken:
                    taken.add((image, place))
                    hits += 1
            points.append((hits, hits / count))
        total = 0.0
        for point in range(11):
            needed = point * num_targets + (1 if point in (3, 6, 7) else 0)
            total += max([precision for hits, precision in points if 10 * hits >= needed], default=0.0)
        curve.append(total / 11)
    return curve


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_perfect_prediction_scores_one(threshold):
    found = at(threshold, Example(TARGET, pred_masks=masks([1, 1, 0, 0], [0, 0, 1, 1])))
    assert found == pytest.approx(1.0)


def test_no_prediction_scores_zero_and_no_target_none():
    assert evaluate([Example(TARGET, pred_masks=[])], protocol="voc07")["mAP"] == [0.0] * 9
    found = evaluate([Example(TARGET * 0, pred_masks=masks([1, 1, 0, 0]))], protocol="voc07")
    assert (found["per_class"], found["mAP"], found["AP_vol"]) == ({1: None}, [None] * 9, None)


def test_a_duplicate_is_wrong_even_if_another_target_would_do():
    example = Example(np.array([[1, 1, 1, 2]]), pred_masks=masks([1, 1, 1, 1], [1, 1, 1, 1]))
    assert at(0.2, example) == pytest.approx(6 / 11)  # one of two found: recalls 0 ... 0.5 at precision 1


def test_a_threshold_is_met_not_exceeded():
    half = Example(np.array([[1, 1, 0, 0]]), pred_masks=masks([1, 0, 0, 0]))
    assert (at(0.5, half), at(0.6, half)) == (pytest.approx(1.0), 0.0)
    for tenths in range(1, 10):
        target = np.ones((1, 10), dtype=int)
        exact = Example(target, pred_masks=(np.arange(10) < tenths)[None, None])
        assert evaluate([exact], protocol="voc07")["mAP"] == pytest.approx([1.0] * tenths + [0.0] * (9 - tenths))


def test_three_of_ten_targets_miss_the_point_of_recall_three_tenths():
    target = np.arange(1, 11)[None]
    example = Example(target, pred_masks=np.stack([target == 1, target == 2, target == 3]))
    assert at(0.5, example) == pytest.approx(3 / 11)


def test_wrong_class_empty_mask_and_crowd():
    assert at(0.5, Example(TARGET, [1, 2], pred_masks=masks([1, 1, 0, 0]), pred_classes=[2])) == 0.0
    empty = Example(np.array([[1, 1, 0, 0]]), pred_masks=masks([0, 0, 0, 0], [1, 1, 0, 0]))
    assert at(0.5, empty) == pytest.approx(0.5)
    crowd = Example(TARGET, target_crowd=[False, True], pred_masks=masks([1, 1, 0, 0]))
    assert at(0.5, crowd) == pytest.approx(6 / 11)


def test_one_mask_over_two_and_one_object_split():
    assert at(0.5, Example(TARGET, pred_masks=masks([1, 1, 1, 1]))) == pytest.approx(6 / 11)
    split = Example(np.array([[1, 1, 1, 1]]), pred_masks=masks([1, 1, 0, 0], [0, 0, 1, 1]))
    assert at(0.5, split) == pytest.approx(1.0)


def test_void_plays_no_part():
    void = np.array([[False, False, True, True]])
    example = Example(np.array([[1, 1, 0, 0]]), void=void, pred_masks=masks([1, 1, 1, 1]))
    assert (at(0.5, example), at(0.6, example)) == (pytest.approx(1.0), 0.0)


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_equals_the_rules_one_prediction_at_a_time(make_examples, list_class, seed):
    examples = make_examples(seed)
    for class_id, curve in evaluate(examples, protocol="voc07")["per_class"].items():
        expected = reference(*list_class(examples, class_id))
        assert curve == (None if expected is None else pytest.approx(expected, abs=1e-12))
        assert curve is None or all(0 <= value <= 1 + 1e-12 for value in curve)
