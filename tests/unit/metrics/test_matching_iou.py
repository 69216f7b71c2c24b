import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seriatim.core.errors import DataError
from seriatim.metrics import Example, evaluate


def one(target, pred, **extra):
    return Example.from_label_maps(np.atleast_2d(target), np.atleast_2d(pred), **extra)


def score(*examples):
    return evaluate(examples, protocol="matching_iou")


def reference(examples):
    """Every matching is tried; of those with the largest total IoU the one that shares most pixels."""
    totals = {}

    def add(class_id, shared, predicted, true):
        old = totals.get(class_id, (0, 0, 0))
        totals[class_id] = (old[0] + shared, old[1] + predicted, old[2] + true)

    add(0, 0, 0, 0)
    for example in examples:
        valid = np.ones(example.size, dtype=bool) if example.void is None else ~example.void
        covered = ~valid
        preds = []
        for mask, class_id in zip(example.pred_masks, example.pred_classes, strict=True):
            preds.append((mask & ~covered, class_id))
            covered |= mask
        targets = [
            ((example.target_labels == j + 1) & valid, example.target_classes[j]) for j in range(example.num_targets)
        ]
        background = [valid & ~np.any([plane for plane, _ in side] or [~valid], axis=0) for side in (preds, targets)]
        add(0, (background[0] & background[1]).sum(), background[0].sum(), background[1].sum())
        for plane, class_id in preds:
            add(class_id, 0, plane.sum(), 0)
        for plane, class_id in targets:
            add(class_id, 0, 0, plane.sum())
        size = max(len(preds), len(targets))
        best = (-1, -1, [])
        for order in itertools.permutations(range(size)):
            weight, shared = 0.0, []
            for i, j in enumerate(order):
                if i < len(preds) and j < len(targets) and preds[i][1] == targets[j][1]:
                    both = (preds[i][0] & targets[j][0]).sum()
                    if both:
                        weight += both / (preds[i][0] | targets[j][0]).sum()
                        shared.append((preds[i][1], both))
            best = max(
                best,
                (round(weight, 9), sum(count for _, count in shared), shared),
                key=lambda entry: entry[:2],
            )
        for class_id, count in best[2]:
            add(class_id, count, 0, 0)
    return {
        class_id: shared / (predicted + true - shared) if true else None
        for class_id, (shared, predicted, true) in totals.items()
    }


def test_a_perfect_prediction_scores_one():
    found = score(one([1, 1, 2, 0], [2, 2, 1, 0], target_classes=[1, 2], pred_classes=[2, 1]))
    assert found == {"per_class": {0: 1.0, 1: 1.0, 2: 1.0}, "mean_iou": 1.0, "mean_iou_foreground": 1.0}


def test_missing_targets_and_predictions():
    assert score(one([1, 1, 0, 0], [0, 0, 0, 0]))["per_class"] == {0: 0.5, 1: 0.0}
    assert score(one([0, 0, 0, 0], [1, 1, 0, 0])) == {
        "per_class": {0: 0.5, 1: None},
        "mean_iou": 0.5,
        "mean_iou_foreground": None,
    }
    assert score(one([0, 0], [0, 0])) == {"per_class": {0: 1.0}, "mean_iou": 1.0, "mean_iou_foreground": None}


def test_one_mask_over_two_objects_shares_only_with_one():
    assert score(one([1, 1, 1, 2], [1, 1, 1, 1]))["per_class"][1] == pytest.approx(3 / 5)


def test_one_object_split_in_two_shares_only_with_one():
    assert score(one([1, 1, 1, 1], [1, 1, 1, 2]))["per_class"][1] == pytest.approx(3 / 5)


def test_the_matching_is_the_best_in_total_not_the_best_first():
    # prediction 1 overlaps target 1 with 1/3 and target 2 with 1/4, prediction 2 only target 1, with 1/4
    found = score(one([1, 1, 2, 2, 2], [2, 1, 1, 0, 0]))
    assert found["per_class"][1] == pytest.approx(2 / (3 + 5 - 2))


def test_of_matchings_of_equal_weight_the_one_with_more_pixels_holds():
    target = [1, 1, 1, 1, 0, 0, 0, 0]
    for pred in ([1, 2, 2, 0, 2, 2, 2, 2], [2, 1, 1, 0, 1, 1, 1, 1]):  # IoU 1/4 and 2/8
        assert score(one(target, pred))["per_class"][1] == pytest.approx(2 / (4 + 7 - 2))


def test_pairs_of_different_classes_share_nothing():
    found = score(one([1, 1, 0, 0], [1, 1, 0, 0], target_classes=[1], pred_classes=[2]))
    assert found == {"per_class": {0: 1.0, 1: 0.0, 2: None}, "mean_iou": 0.5, "mean_iou_foreground": 0.0}


def test_sums_run_over_the_data_set():
    found = score(one([1, 1, 1, 1], [1, 1, 1, 1]), one([1, 1, 0, 0], [1, 0, 0, 0]))
    assert found["per_class"][1] == pytest.approx(5 / 6)


def test_void_is_removed_from_both():
    void = np.array([[False, False, True, True]])
    assert score(one([1, 1, 0, 2], [1, 1, 1, 2], void=void))["per_class"] == {0: None, 1: 1.0}


def test_duplicates_empty_masks_crowds_and_scores():
    mask = np.array([[True, True, False]])
    example = Example(
        np.array([[1, 1, 0]]),
        None,
        [True],
        pred_masks=np.stack([mask, mask, mask & False]),
        pred_scores=[0.1, 0.9, 0.9],
    )
    assert score(example)["mean_iou"] == 1.0


def test_one_pixel_and_whole_image():
    assert score(one([1, 0], [1, 0]))["mean_iou"] == 1.0
    assert score(one([1, 1], [1, 1]))["per_class"] == {0: None, 1: 1.0}


def test_class_zero_is_refused():
    with pytest.raises(DataError, match=r"examples\[0\]: protocol 'matching_iou': class 0 is the background"):
        score(one([1, 1], [1, 1], target_classes=[0]))


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32 - 1), void=st.booleans())
def test_equals_trying_every_matching(make_examples, seed, void):
    examples = make_examples(seed, void=void, num_images=2)
    found = score(*examples)
    assert found["per_class"] == pytest.approx(reference(examples), abs=1e-12)
    assert all(iou is None or 0 <= iou <= 1 for iou in found["per_class"].values())
