import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seriatim.metrics import Example, evaluate


def masks(*rows):
    return np.array(rows, dtype=bool)[:, None, :]


def score(*examples):
    return evaluate(examples, protocol="proposals")


def reference(examples, num):
    """Best fraction of each target, target by target on planes."""
    best = []
    for example in examples:
        valid = np.ones(example.size, dtype=bool) if example.void is None else ~example.void
        for j in range(example.num_targets):
            target = (example.target_labels == j + 1) & valid
            if target.any():
                fractions = [
                    ((mask & target).sum(), ((mask & valid) | target).sum()) for mask in example.pred_masks[:num]
                ]
                best.append(max(fractions, key=lambda pair: pair[0] / pair[1], default=(0, 1)))
    if not best:
        return None
    share = lambda test: sum(map(test, best)) / len(best)  # noqa: E731
    recall = {
        threshold: share(lambda pair, hundredths=hundredths: 100 * pair[0] > hundredths * pair[1])
        for threshold, hundredths in ((0.5, 50), (0.7, 70), (0.85, 85))
    }
    average = np.mean(
        [
            share(lambda pair, hundredths=hundredths: 100 * pair[0] >= hundredths * pair[1])
            for hundredths in range(50, 100, 5)
        ]
    )
    return recall, average, np.mean([shared / joint for shared, joint in best])


def test_a_perfect_prediction_scores_one():
    found = score(Example(np.array([[1, 1, 0, 2]]), pred_masks=masks([1, 1, 0, 0], [0, 0, 0, 1])))
    ones = {0.5: 1.0, 0.7: 1.0, 0.85: 1.0}
    numbers = {
        "recall": {10: ones, 50: ones},
        "average_recall": {10: 1.0, 50: 1.0},
        "mean_best_iou": {10: 1.0, 50: 1.0},
    }
    assert found == {**numbers, "per_class": {1: numbers}}


def test_the_targets_of_a_class_are_found_by_predictions_of_any():
    target = np.array([[1, 1, 2, 2], [3, 3, 0, 0]])
    found = score(
        Example(target, [1, 5, 5], pred_masks=[(target == 2), (target == 3) & (np.arange(4) < 1)], pred_classes=[1, 1])
    )
    assert found["per_class"][1]["mean_best_iou"] == {10: 0.0, 50: 0.0}
    assert found["per_class"][5]["mean_best_iou"] == {10: 0.75, 50: 0.75}
    assert found["per_class"][5]["recall"][10] == {0.5: 0.5, 0.7: 0.5, 0.85: 0.5}


def test_no_prediction_scores_zero_and_no_target_none():
    found = score(Example(np.array([[1, 2]]), pred_masks=[]))
    assert (found["recall"][10][0.5], found["average_recall"][50], found["mean_best_iou"][10]) == (
        0.0,
        0.0,
        0.0,
    )
    for pred_masks in ([], masks([1, 1])):
        found = score(Example(np.array([[0, 0]]), pred_masks=pred_masks))
        assert found["recall"] == {10: dict.fromkeys((0.5, 0.7, 0.85)), 50: dict.fromkeys((0.5, 0.7, 0.85))}
        assert (found["average_recall"], found["mean_best_iou"]) == (
            {10: None, 50: None},
            {10: None, 50: None},
        )


def test_only_the_first_n_masks_are_looked_at_in_the_order_emitted():
    target = np.array([[1, 1, 0, 0]])
    wrong, right = [0, 0, 1, 1], [1, 1, 0, 0]
    scores = np.linspace(0, 1, 11)
    late = Example(target, pred_masks=masks(*[wrong] * 10, right), pred_scores=scores)
    assert (score(late)["mean_best_iou"][10], score(late)["mean_best_iou"][50]) == (0.0, 1.0)


def test_recall_exceeds_and_average_recall_meets_the_threshold():
    half = Example(np.array([[1, 1, 0, 0]]), pred_masks=masks([1, 0, 0, 0]))
    assert (score(half)["recall"][10][0.5], score(half)["average_recall"][10]) == (0.0, pytest.approx(0.1))
    for hundredths in range(50, 100, 5):
        exact = Example(np.ones((1, 20), dtype=int), pred_masks=(np.arange(20) < hundredths // 5)[None, None])
        met = (hundredths - 45) // 5
        assert score(exact)["average_recall"][10] == pytest.approx(met / 10)
        assert sum(score(exact)["recall"][10].values()) == sum(hundredths > other for other in (50, 70, 85))


def test_objects_are_pooled_over_images():
    two = Example(np.array([[1, 2, 0]]), pred_masks=masks([1, 0, 0], [0, 1, 0]))
    one = Example(np.array([[1, 1, 1]]), pred_masks=masks([0, 0, 0]))
    assert score(two, one)["mean_best_iou"][10] == pytest.approx(2 / 3)


def test_one_mask_may_serve_two_objects_and_duplicates_change_nothing():
    both = Example(np.array([[1, 1, 2, 2]]), pred_masks=masks([1, 1, 1, 1], [1, 1, 1, 1]))
    assert score(both)["mean_best_iou"][10] == 0.5
    split = Example(np.array([[1, 1, 1, 1]]), pred_masks=masks([1, 1, 0, 0], [0, 0, 1, 1]))
    assert score(split)["mean_best_iou"][10] == 0.5


def test_classes_and_crowds_play_no_part():
    example = Example(np.array([[1, 2]]), [1, 2], [False, True], pred_masks=masks([1, 0], [0, 1]), pred_classes=[3, 3])
    assert score(example)["mean_best_iou"][10] == 1.0


def test_void_is_removed_from_both():
    void = np.array([[False, False, True, True]])
    reaching = Example(np.array([[1, 1, 0, 2]]), void=void, pred_masks=masks([1, 1, 1, 1]))
    assert score(reaching)["mean_best_iou"][10] == 1.0
    wholly = Example(np.array([[1, 1, 0, 0]]), void=void, pred_masks=masks([0, 0, 1, 1]))
    assert score(wholly)["mean_best_iou"][10] == 0.0


def test_one_pixel_and_whole_image():
    assert score(Example(np.array([[1, 0]]), pred_masks=masks([1, 0])))["average_recall"][10] == 1.0
    assert score(Example(np.array([[1, 1]]), pred_masks=masks([1, 1])))["average_recall"][10] == 1.0


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), void=st.booleans())
def test_equals_counting_on_planes(make_examples, seed, void):
    examples = make_examples(seed, void=void)
    found = score(*examples)
    for num in (10, 50):
        expected = reference(examples, num)
        if expected is None:
            assert found["mean_best_iou"][num] is None
        else:
            assert found["recall"][num] == pytest.approx(expected[0])
            assert found["average_recall"][num] == pytest.approx(expected[1])
            assert found["mean_best_iou"][num] == pytest.approx(expected[2])
