import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seriatim.metrics import Example, evaluate

NUMBERS = ("SBD", "BD_pred_gt", "BD_gt_pred", "FGBGDice", "DiC", "absDiC")
LABELS = hnp.arrays(np.int32, (3, 4), elements=st.integers(0, 4))


def score(target, pred, **extra):
    example = Example.from_label_maps(np.atleast_2d(target), np.atleast_2d(pred), **extra)
    return evaluate([example], protocol="cvppp")["per_image"][0]


def reference(target, pred, void=None):
    """Straight from the definition, object by object on whole planes."""
    keep = np.ones(np.shape(target), dtype=bool) if void is None else ~void

    def objects(labels):
        return [(labels == value) & keep for value in np.unique(labels[keep]) if value]

    def dice(one, other):
        return 2 * (one & other).sum() / (one.sum() + other.sum())

    def best(of, among):
        return np.mean([max(dice(one, other) for other in among) for one in of]) if of and among else 0.0

    preds, targets = objects(pred), objects(target)
    union_pred, union_target = (pred > 0) & keep, (target > 0) & keep
    return {
        "SBD": min(best(preds, targets), best(targets, preds)),
        "BD_pred_gt": best(preds, targets),
        "BD_gt_pred": best(targets, preds),
        "FGBGDice": dice(union_pred, union_target) if union_pred.any() or union_target.any() else 0.0,
        "DiC": len(preds) - len(targets),
        "absDiC": abs(len(preds) - len(targets)),
    }


@pytest.mark.parametrize(
    ("target", "pred", "expected"),
    [
        pytest.param([1, 1, 2, 0], [2, 2, 1, 0], (1, 1, 1, 1, 0, 0), id="perfect under other numbers"),
        pytest.param([0, 0, 0, 0], [1, 1, 0, 2], (0, 0, 0, 0, 2, 2), id="no target"),
        pytest.param([1, 1, 0, 2], [0, 0, 0, 0], (0, 0, 0, 0, -2, 2), id="no prediction"),
        pytest.param([0, 0, 0, 0], [0, 0, 0, 0], (0, 0, 0, 0, 0, 0), id="neither scores 0 as officially"),
        pytest.param([1, 1, 2, 2], [1, 1, 1, 1], (2 / 3, 2 / 3, 2 / 3, 1, -1, 1), id="one mask over two objects"),
        pytest.param(
            [1, 1, 1, 1],
            [1, 2, 2, 2],
            ((2 / 5 + 6 / 7) / 2, (2 / 5 + 6 / 7) / 2, 6 / 7, 1, 1, 1),
            id="one split in two",
        ),
        pytest.param([1, 0, 0, 0], [1, 0, 0, 0], (1, 1, 1, 1, 0, 0), id="a 1-pixel object"),
        pytest.param([1, 1, 1, 1], [1, 1, 1, 1], (1, 1, 1, 1, 0, 0), id="an object that covers the image"),
        pytest.param([1, 1, 1, 2], [1, 1, 2, 2], ((4 / 5 + 2 / 3) / 2,) * 3 + (1, 0, 0), id="borders off by one"),
        pytest.param([5, 5, 0, 9], [5, 5, 0, 9], (1, 1, 1, 1, 0, 0), id="gaps in the labels are no objects"),
        pytest.param([1, 1, 0, 0], [1, 0, 2, 2], (1 / 3, 1 / 3, 2 / 3, 2 / 5, 1, 1), id="a false object costs"),
    ],
)
def test_worked_answers(target, pred, expected):
    found = score(target, pred)
    assert [found[key] for key in NUMBERS] == pytest.approx(expected)


def test_overlapping_masks_leave_a_contested_pixel_to_the_earlier():
    target = np.array([[1, 1, 1, 2]])
    masks = np.array([[[True, True, True, False]], [[False, False, True, True]]])
    found = evaluate([Example(target, pred_masks=masks)], protocol="cvppp")
    assert found["SBD"]["mean"] == 1.0
    turned = evaluate([Example(target, pred_masks=masks[::-1])], protocol="cvppp")
    assert turned["BD_gt_pred"]["mean"] == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_duplicates_and_empty_masks_are_not_counted():
    target = np.array([[1, 1, 0, 0]])
    mask, empty = target == 1, target > 9
    found = evaluate([Example(target, pred_masks=np.stack([empty, mask, mask]))], protocol="cvppp")
    assert (found["SBD"]["mean"], found["DiC"]["mean"]) == (1.0, 0.0)


def test_classes_scores_and_crowds_play_no_part(attributes):
    target, pred = np.array([[1, 1, 2, 2]]), np.array([[1, 1, 2, 0]])
    plain = score(target, pred)
    dressed = score(target, pred, **attributes)
    assert plain == dressed


def test_void_is_removed_from_both_maps():
    target, pred = np.array([[1, 1, 0, 0, 2]]), np.array([[1, 1, 1, 2, 0]])
    void = np.array([[False, False, True, True, True]])
    assert score(target, pred, void=void) == dict(zip(NUMBERS, (1, 1, 1, 1, 0, 0), strict=True))
    everything = np.ones((1, 5), dtype=bool)
    assert score(target, pred, void=everything) == dict.fromkeys(NUMBERS, 0)


def test_mean_and_deviation_over_images():
    perfect = Example.from_label_maps([[1, 0]], [[1, 0]])
    missed = Example.from_label_maps([[1, 2]], [[0, 0]])
    found = evaluate([perfect, missed], protocol="cvppp")
    assert found["SBD"] == {"mean": 0.5, "std": pytest.approx(np.sqrt(0.5))}
    assert found["DiC"] == {"mean": -1.0, "std": pytest.approx(np.sqrt(2))}
    assert found["absDiC"]["mean"] == 1.0
    assert [image["SBD"] for image in found["per_image"]] == [1.0, 0.0]
    assert set(found) == {*NUMBERS, "per_image", "per_class"}


def test_a_class_is_scored_over_the_images_that_hold_it():
    first = Example.from_label_maps([[1, 1, 2]], [[1, 1, 2]], target_classes=[1, 2], pred_classes=[1, 1])
    second = Example.from_label_maps([[1, 0, 0]], [[1, 0, 0]], target_classes=[1], pred_classes=[1])
    third = Example.from_label_maps([[0, 0, 0]], [[0, 0, 1]], pred_classes=[3])
    found = evaluate([first, second, third], protocol="cvppp")["per_class"]
    assert found[1]["SBD"] == {"mean": 0.75, "std": pytest.approx(np.sqrt(0.125))}  # 1/2 and 1
    assert found[1]["DiC"]["mean"] == 0.5
    assert found[2]["SBD"] == {"mean": 0.0, "std": 0.0}
    assert found[3] is None


def test_a_single_image_has_deviation_zero():
    assert evaluate([Example.from_label_maps([[1]], [[1]])], protocol="cvppp")["SBD"] == {
        "mean": 1.0,
        "std": 0.0,
    }


@pytest.mark.not_quick
@given(target=LABELS, pred=LABELS, void=hnp.arrays(bool, (3, 4)))
def test_equals_the_definition(target, pred, void):
    assert score(target, pred) == pytest.approx(reference(target, pred))
    assert score(target, pred, void=void) == pytest.approx(reference(target, pred, void))


@pytest.mark.not_quick
@given(target=LABELS, pred=LABELS, order=st.permutations(range(1, 5)))
def test_relabelling_changes_nothing_and_scores_stay_in_range(target, pred, order):
    numbers = np.array([0, *order])
    found = score(target, pred)
    assert score(numbers[target], numbers[pred]) == pytest.approx(found)
    assert all(0 <= found[key] <= 1 for key in NUMBERS[:4])
    assert found["absDiC"] == abs(found["DiC"])


@pytest.mark.not_quick
@given(target=LABELS)
def test_a_perfect_prediction_scores_one(target):
    found = score(target, target)
    expected = 1.0 if target.any() else 0.0
    assert [found[key] for key in NUMBERS[:4]] == [expected] * 4


@settings(max_examples=50)
@given(target=LABELS, masks=hnp.arrays(bool, (3, 3, 4)))
def test_masks_and_their_label_map_score_alike(target, masks):
    painted = np.zeros((3, 4), dtype=int)
    for number in (3, 2, 1):
        painted[masks[number - 1]] = number
    found = evaluate([Example(target, pred_masks=masks)], protocol="cvppp")["per_image"][0]
    assert found == pytest.approx(score(target, painted))
