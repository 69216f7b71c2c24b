import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seriatim.metrics import Example, evaluate

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
LABELS = hnp.arrays(np.int32, (3, 4), elements=st.integers(0, 4))


def score(target, pred, **extra):
    example = Example.from_label_maps(np.atleast_2d(target), np.atleast_2d(pred), **extra)
    return evaluate([example], protocol="nuclei")


def reference(target, pred, void=None):
    """Every one-to-one matching is tried; IoU compared in whole numbers, thresholds in tenths."""
    keep = np.ones(np.shape(target), dtype=bool) if void is None else ~void
    preds = [(pred == value) & keep for value in np.unique(pred[keep]) if value]
    targets = [(target == value) & keep for value in np.unique(target[keep]) if value]
    shared = [[int((p & t).sum()) for t in targets] for p in preds]
    joint = [[int((p | t).sum()) for t in targets] for p in preds]

    def most_pairs(tenths):
        edges = [
            (i, j) for i in range(len(preds)) for j in range(len(targets)) if 10 * shared[i][j] >= tenths * joint[i][j]
        ]
        for size in range(min(len(preds), len(targets)), 0, -1):
            for chosen in itertools.combinations(edges, size):
                if len({i for i, _ in chosen}) == len({j for _, j in chosen}) == size:
                    return size
        return 0

    ap = {}
    for tenths, threshold in zip(range(5, 10), THRESHOLDS, strict=True):
        right = most_pairs(tenths)
        objects = len(preds) + len(targets) - right
        ap[threshold] = right / objects if objects else 1.0
    above = [
        shared[i][j] / joint[i][j]
        for i in range(len(preds))
        for j in range(len(targets))
        if 2 * shared[i][j] > joint[i][j]
    ]
    false = len(preds) - len(above)
    missed = len(targets) - len(above)
    return ap, (sum(above), len(above), false, missed)


def quality(sums):
    iou, right, false, missed = sums
    return iou / (right + 0.5 * false + 0.5 * missed) if right + false + missed else 1.0


@pytest.mark.parametrize(
    ("target", "pred", "ap", "pq", "difference"),
    [
        pytest.param([1, 1, 2, 0], [2, 2, 1, 0], (1, 1, 1, 1, 1), 1, 0, id="perfect under other numbers"),
        pytest.param([0, 0, 0, 0], [1, 1, 0, 2], (0, 0, 0, 0, 0), 0, 2, id="no target"),
        pytest.param([1, 1, 0, 2], [0, 0, 0, 0], (0, 0, 0, 0, 0), 0, -2, id="no prediction"),
        pytest.param([0, 0, 0, 0], [0, 0, 0, 0], (1, 1, 1, 1, 1), 1, 0, id="neither is perfect"),
        pytest.param([1, 1, 2, 2], [1, 1, 1, 1], (1 / 2, 0, 0, 0, 0), 0, -1, id="one mask over two objects"),
        pytest.param([1, 1, 1, 1], [1, 1, 2, 2], (1 / 2, 0, 0, 0, 0), 0, 1, id="one split in two"),
        pytest.param([1, 1, 1, 1], [1, 1, 1, 2], (1 / 2, 1 / 2, 1 / 2, 0, 0), 0.75 / 1.5, 1, id="a chip split off"),
        pytest.param([1, 0, 0, 0], [1, 0, 0, 0], (1, 1, 1, 1, 1), 1, 0, id="a 1-pixel object"),
        pytest.param([1, 1, 1, 1], [1, 1, 1, 1], (1, 1, 1, 1, 1), 1, 0, id="an object that covers the image"),
        pytest.param([5, 5, 0, 9], [5, 5, 0, 9], (1, 1, 1, 1, 1), 1, 0, id="gaps in the labels"),
        pytest.param([1, 1, 0, 2], [1, 1, 0, 0], (1 / 2,) * 5, 1 / 1.5, -1, id="one missed"),
    ],
)
def test_worked_answers(target, pred, ap, pq, difference):
    found = score(target, pred)
    assert tuple(found["AP"]) == THRESHOLDS
    assert list(found["AP"].values()) == pytest.approx(ap)
    assert found["PQ"] == pytest.approx(pq)
    assert (found["DiC"], found["absDiC"]) == (difference, abs(difference))
    assert set(found) == {"AP", "PQ", "DiC", "absDiC", "per_image", "per_class"}


@pytest.mark.parametrize("factor", [1, 2, 3, 7, 10, 64, 1001])
@pytest.mark.parametrize("tenths", [5, 6, 7, 8, 9])
def test_iou_exactly_at_the_threshold_is_right(tenths, factor):
    target = np.ones((1, 10 * factor), dtype=int)
    pred = target.copy()
    pred[0, tenths * factor :] = 0
    found = score(target, pred)["AP"]
    assert [found[threshold] for threshold in THRESHOLDS] == [1.0] * (tenths - 4) + [0.0] * (9 - tenths)
    pred[0, tenths * factor - 1] = 0
    assert score(target, pred)["AP"][tenths / 10] == 0.0


def test_iou_of_exactly_one_half_is_no_match_for_panoptic_quality():
    found = score([1, 1, 0, 0], [1, 0, 0, 0])
    assert (found["AP"][0.5], found["PQ"]) == (1.0, 0.0)


def test_two_halves_match_their_whole_only_once():
    assert score([1, 1, 2, 2, 3, 3, 4, 4], [1, 2, 3, 3, 5, 5, 5, 5])["AP"][0.5] == 3 / (4 + 4 - 3)


def test_precision_is_a_mean_over_images_and_quality_is_pooled():
    perfect = Example.from_label_maps([[1, 2, 3, 0]], [[1, 2, 3, 0]])
    missed = Example.from_label_maps([[1, 1, 1, 0]], [[0, 0, 0, 0]])
    empty = Example.from_label_maps([[0, 0, 0, 0]], [[0, 0, 0, 0]])
    found = evaluate([perfect, missed, empty], protocol="nuclei")
    assert found["AP"][0.5] == pytest.approx(2 / 3)
    assert found["PQ"] == pytest.approx(3 / 3.5)
    assert [image["PQ"] for image in found["per_image"]] == [1.0, 0.0, 1.0]
    assert (found["DiC"], found["absDiC"]) == (pytest.approx(-1 / 3), pytest.approx(1 / 3))


def test_overlapping_masks_leave_a_contested_pixel_to_the_earlier():
    target = np.array([[1, 1, 1, 2]])
    masks = np.array([[[True, True, True, False]], [[False, False, True, True]]])
    assert evaluate([Example(target, pred_masks=masks)], protocol="nuclei")["AP"][0.9] == 1.0
    assert evaluate([Example(target, pred_masks=masks[::-1])], protocol="nuclei")["AP"][0.9] == 0.0


def test_duplicates_and_empty_masks_are_not_counted():
    target = np.array([[1, 1, 0, 0]])
    mask, empty = target == 1, target > 9
    found = evaluate([Example(target, pred_masks=np.stack([empty, mask, mask]))], protocol="nuclei")
    assert (found["AP"][0.5], found["DiC"]) == (1.0, 0.0)


def test_classes_scores_and_crowds_play_no_part(attributes):
    target, pred = np.array([[1, 1, 2, 2]]), np.array([[1, 1, 2, 0]])
    dressed = score(target, pred, **attributes)
    plain = score(target, pred)
    assert {**dressed, "per_class": None} == {**plain, "per_class": None}


def test_a_class_is_scored_as_if_there_were_no_other():
    chance = np.random.default_rng(5)
    examples, alone = [], {1: [], 2: []}
    for _ in range(6):
        target, pred = chance.integers(0, 6, (2, 4, 5))
        void = chance.random((4, 5)) < 0.2
        target_classes, pred_classes = chance.integers(1, 3, 5), chance.integers(1, 3, 5)
        classes = {"target_classes": target_classes, "pred_classes": pred_classes}
        planes = pred == np.arange(1, 6)[:, None, None]
        examples.append(Example(target, void=void, pred_masks=planes, **classes))
        for class_id, parts in alone.items():
            of_target = np.where(np.append(0, target_classes)[target] == class_id, target, 0)
            of_pred = np.where(np.append(0, pred_classes)[pred] == class_id, pred, 0)
            if ((of_target + of_pred)[~void] > 0).any():
                parts.append(Example.from_label_maps(of_target, of_pred, void=void))
    found = evaluate(examples, protocol="nuclei")["per_class"]
    for class_id, parts in alone.items():
        expected = evaluate(parts, protocol="nuclei")
        assert found[class_id] == {key: expected[key] for key in ("AP", "PQ", "DiC", "absDiC")}


def test_a_class_that_is_only_predicted_has_no_numbers():
    found = score(np.array([[1, 0]]), np.array([[1, 2]]), pred_classes=[1, 4], target_classes=[1])
    assert found["per_class"][4] is None
    assert found["per_class"][1]["PQ"] == 1.0


def test_void_is_removed_from_both_maps():
    target, pred = np.array([[1, 1, 0, 0, 2]]), np.array([[1, 1, 1, 2, 0]])
    void = np.array([[False, False, True, True, True]])
    found = score(target, pred, void=void)
    assert (found["AP"][0.9], found["PQ"], found["DiC"]) == (1.0, 1.0, 0.0)


@given(target=LABELS, pred=LABELS, void=hnp.arrays(bool, (3, 4)))
def test_equals_brute_force(target, pred, void):
    for mask in (None, void):
        found = score(target, pred, void=mask)
        ap, sums = reference(target, pred, mask)
        assert found["AP"] == pytest.approx(ap)
        assert found["PQ"] == pytest.approx(quality(sums))


@settings(max_examples=30)
@given(pairs=st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=4))
def test_equals_brute_force_over_images(pairs):
    found = evaluate([Example.from_label_maps(target, pred) for target, pred in pairs], protocol="nuclei")
    references = [reference(target, pred) for target, pred in pairs]
    assert found["AP"][0.5] == pytest.approx(np.mean([ap[0.5] for ap, _ in references]))
    assert found["PQ"] == pytest.approx(quality(np.sum([sums for _, sums in references], axis=0)))


@given(target=LABELS, pred=LABELS, order=st.permutations(range(1, 5)))
def test_relabelling_changes_nothing_and_scores_stay_in_range(target, pred, order):
    numbers = np.array([0, *order])
    found = score(target, pred)
    turned = score(numbers[target], numbers[pred])
    assert turned["AP"] == found["AP"]
    assert turned["PQ"] == pytest.approx(found["PQ"])
    values = list(found["AP"].values())
    assert all(0 <= value <= 1 for value in [*values, found["PQ"]])
    assert values == sorted(values, reverse=True)


@given(target=LABELS)
def test_a_perfect_prediction_scores_one(target):
    found = score(target, target)
    assert found["PQ"] == 1.0
    assert set(found["AP"].values()) == {1.0}
