import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seriatim.core.errors import DataError
from seriatim.metrics import Example, evaluate

HUNDREDTHS = range(50, 100, 5)


def plane(*blocks, scale=10):
    """One row of blocks of 10 x 10 pixels, so that a block is just large enough."""
    return np.array([blocks]).repeat(scale, axis=0).repeat(scale, axis=1)


def masks(*rows, scale=10):
    return np.array([plane(*row, scale=scale) for row in rows], dtype=bool)


def score(*examples):
    return evaluate(examples, protocol="cityscapes")


def reference(examples, class_id, min_area, max_distance, min_confidence):
    """Pixel sets instead of tables, fractions in whole numbers, the curve point by point."""
    curve, asked_any = [], False
    for hundredths in HUNDREDTHS:
        verdicts, missed, hits_total = [], 0, 0
        for example in examples:
            void = np.zeros(example.size, dtype=bool) if example.void is None else example.void
            targets, crowd, crowd_extra = [], np.zeros(example.size, dtype=bool), []
            for j in range(example.num_targets):
                pixels = (example.target_labels == j + 1) & ~void
                if example.target_classes[j] != class_id or not pixels.any():
                    continue
                far = example.target_distances is not None and (
                    example.target_distances[j] > max_distance
                    or example.target_distance_confidences[j] < min_confidence
                )
                if example.target_crowd[j]:
                    crowd |= pixels
                    crowd_extra.append((pixels, far))
                else:
                    targets.append((pixels, not far and pixels.sum() >= min_area))
            asked_any |= any(asked for _, asked in targets)
            preds = [
                (example.pred_masks[i], float(example.pred_scores[i]))
                for i in range(example.num_preds)
                if example.pred_classes[i] == class_id and example.pred_masks[i].any()
            ]

            def matches(mask, pixels, hundredths=hundredths):
                return 100 * (mask & pixels).sum() > hundredths * (mask | pixels).sum()

            for pixels, asked in targets:
                if asked:
                    scores = sorted((score for mask, score in preds if matches(mask, pixels)), reverse=True)
                    verdicts += [(score, rank == 0) for rank, score in enumerate(scores)]
                    missed += not scores
                    hits_total += bool(scores)
            for mask, score in preds:
                if any(matches(mask, pixels) for pixels, _ in targets) or (crowd.any() and matches(mask, crowd)):
                    continue
                forgiven = (mask & void).sum() + (mask & crowd).sum()
                forgiven += sum((mask & pixels).sum() for pixels, asked in targets if not asked)
                for pixels, far in crowd_extra:
                    if far or crowd.sum() < min_area:
                        forgiven += (mask & pixels).sum()
                if 100 * forgiven <= hundredths * mask.sum():
                    verdicts.append((score, False))
        points = [(0.0, 1.0)]
        for threshold in sorted({score for score, _ in verdicts}, reverse=True):
            above = [right for score, right in verdicts if score >= threshold]
            points.append((sum(above) / max(hits_total + missed, 1), sum(above) / len(above)))
        recalls = [0.0, *(recall for recall, _ in points), points[-1][0]]
        area = sum((recalls[k + 2] - recalls[k]) / 2 * precision for k, (_, precision) in enumerate(points))
        curve.append(area if verdicts else 0.0)
    return curve if asked_any else None


def test_a_perfect_prediction_scores_one():
    found = score(Example(plane(1, 1, 0, 2), [1, 2], pred_masks=masks([1, 1, 0, 0], [0, 0, 0, 1]), pred_classes=[1, 2]))
    everything = {"AP": 1.0, "AP50": 1.0, "AP100m": None, "AP50m": None}
    assert found == {**everything, "per_class": {1: everything, 2: everything}}


def test_no_prediction_scores_zero_and_no_target_none():
    nothing = Example(plane(1, 0), pred_masks=[])
    assert (score(nothing)["AP"], score(nothing)["per_class"][1]["AP50"]) == (0.0, 0.0)
    no_target = Example(plane(0, 0), pred_masks=masks([1, 0]))
    assert score(no_target)["AP"] is None
    assert score(no_target)["per_class"] == {1: dict.fromkeys(("AP", "AP50", "AP100m", "AP50m"))}
    assert score(nothing, Example(plane(0, 0), pred_masks=masks([1, 0]), pred_classes=[2]))["AP"] == 0.0


def test_precision_is_not_made_monotone_and_half_steps_count():
    example = Example(
        plane(1, 2, 0, 0),
        [1, 1],
        pred_masks=masks([1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0]),
        pred_scores=[0.9, 0.8, 0.7],
    )
    # recall 0, 1/2, 1/2, 1 and precision 1, 1, 1/2, 2/3; half the recall between neighbours: 1/4, 1/4, 1/4, 1/4
    assert score(example)["AP50"] == pytest.approx((1 + 1 + 1 / 2 + 2 / 3) / 4)


def test_of_two_predictions_on_one_target_the_higher_score_is_right():
    duplicates = Example(plane(1, 0), pred_masks=masks([1, 0], [1, 0]), pred_scores=[0.3, 0.6])
    assert score(duplicates)["AP50"] == pytest.approx((1 + 1) / 2)
    equal = Example(plane(1, 0), pred_masks=masks([1, 0], [1, 0]), pred_scores=[0.6, 0.6])
    assert score(equal)["AP50"] == pytest.approx((1 + 1 / 2) / 2)


def test_a_threshold_is_exceeded_not_met():
    found = score(Example(plane(1, 1, 0), pred_masks=masks([1, 0, 0])))
    assert found["AP50"] == 0.0
    target, mask = plane(*[1] * 20), masks([1] * 11 + [0] * 9)  # IoU 11/20
    assert score(Example(target, pred_masks=mask))["AP"] == pytest.approx(0.1)


def test_one_mask_over_two_objects_and_one_object_split():
    assert score(Example(plane(1, 2), pred_masks=masks([1, 1])))["AP"] == 0.0
    assert score(Example(plane(1, 1), pred_masks=masks([1, 0], [0, 1])))["AP"] == 0.0


def test_a_target_below_100_pixels_is_neither_asked_for_nor_held_against():
    small = np.zeros((10, 30), dtype=int)
    small[:9, :11] = 1
    assert score(Example(small, pred_masks=(small == 1)[None]))["AP"] is None
    small[:, 20:] = 2
    both = Example(small, pred_masks=np.stack([small == 1, small == 2]), pred_scores=[0.9, 0.8])
    assert score(both)["AP"] == 1.0


def test_a_prediction_in_void_is_forgiven_only_beyond_the_threshold():
    target, void = plane(1, 0, 0), plane(0, 1, 0).astype(bool)
    wholly = Example(target, void=void, pred_masks=masks([0, 1, 0], [1, 0, 0]), pred_scores=[0.9, 0.8])
    assert score(wholly)["AP"] == 1.0
    half = Example(target, void=void, pred_masks=masks([0, 1, 1], [1, 0, 0]), pred_scores=[0.9, 0.8])
    assert score(half)["AP50"] == pytest.approx(1 / 4)


def test_iou_is_not_corrected_for_void():
    void = plane(0, 1).astype(bool)
    found = score(Example(plane(1, 0), void=void, pred_masks=masks([1, 1])))
    assert found["AP50"] == 0.0


def test_a_crowd_forgives_and_is_not_asked_for():
    target = plane(1, 2, 0)
    on_crowd = Example(target, [1, 1], [False, True], pred_masks=masks([0, 1, 0], [1, 0, 0]), pred_scores=[0.9, 0.8])
    assert score(on_crowd)["AP"] == 1.0
    of_other_class = Example(
        target, [1, 2], [False, True], pred_masks=masks([0, 1, 0], [1, 0, 0]), pred_scores=[0.9, 0.8]
    )
    assert score(of_other_class)["AP50"] == pytest.approx(1 / 4)


def test_a_crowd_that_is_too_small_forgives_twice():
    target = plane(1, 0)
    target[:4, 10:] = 2
    preds = np.stack([plane(0, 1) > 0, plane(1, 0) > 0])  # 40 of 100 pixels in the crowd, counted as 80
    example = Example(target, target_crowd=[False, True], pred_masks=preds, pred_scores=[0.9, 0.8])
    assert score(example)["AP50"] == 1.0
    preds = masks([0, 1, 1], [1, 0, 0])
    large = Example(plane(1, 2, 0), target_crowd=[False, True], pred_masks=preds, pred_scores=[0.9, 0.8])
    assert score(large)["AP50"] == pytest.approx(1 / 4)


def test_wrong_class_and_empty_masks():
    wrong = Example(plane(1, 0), [1], pred_masks=masks([1, 0]), pred_classes=[2])
    assert score(wrong)["per_class"][1]["AP"] == 0.0
    empty = Example(plane(1, 0), pred_masks=masks([0, 0], [1, 0]), pred_scores=[0.9, 0.1])
    assert score(empty)["AP"] == 1.0


def test_one_pixel_and_whole_image():
    one = np.zeros((3, 3), dtype=int)
    one[1, 1] = 1
    assert score(Example(one, pred_masks=(one == 1)[None]))["AP"] is None
    assert score(Example(plane(1, 1), pred_masks=masks([1, 1])))["AP"] == 1.0


def test_distances_choose_the_targets():
    target = plane(1, 2, 3, 4, scale=32)
    example = Example(
        target,
        target_distances=[50.0, 50.1, 100.0, 10.0],
        target_distance_confidences=[0.5, 0.9, 0.9, 0.4],
        pred_masks=masks([1, 0, 0, 0], [0, 0, 0, 1], scale=32),
    )
    found = score(example)
    # 50 m: the first; 100 m: the first three, one found, so half a step at each end: (1/3 + 1/3) / 2; all: two of four
    assert (found["AP50m"], found["AP100m"], found["AP"]) == (1.0, pytest.approx(1 / 3), pytest.approx(1 / 2))
    small = Example(plane(1), target_distances=[10.0], target_distance_confidences=[1.0], pred_masks=masks([1]))
    assert (score(small)["AP"], score(small)["AP50m"]) == (1.0, None)


def test_distances_for_some_images_only_are_refused():
    with_distance = Example(plane(1), target_distances=[1.0], target_distance_confidences=[1.0], pred_masks=[])
    without = Example(plane(1), pred_masks=[])
    with pytest.raises(DataError, match=r"examples\[1\]: has no target_distances"):
        score(with_distance, without)
    assert score(with_distance, Example(plane(0), pred_masks=[]))["AP"] == 0.0


@pytest.mark.not_quick
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([4, 6, 12, 20]),
    void=st.booleans(),
    far=st.booleans(),
)
def test_equals_the_rules_on_pixel_sets(make_examples, seed, scale, void, far):
    examples = make_examples(seed, scale=scale, void=void, crowds=True, distances=far)
    found = score(*examples)
    levels = {"AP": (100, np.inf, -np.inf), "AP100m": (1000, 100, 0.5), "AP50m": (1000, 50, 0.5)}
    for class_id, scores in found["per_class"].items():
        for key, level in levels.items():
            expected = reference(examples, class_id, *level) if far or key == "AP" else None
            assert scores[key] == (None if expected is None else pytest.approx(np.mean(expected), abs=1e-12))
            assert scores[key] is None or 0 <= scores[key] <= 1
            if key == "AP" and expected is not None:
                assert scores["AP50"] == pytest.approx(expected[0], abs=1e-12)
    values = [scores["AP"] for scores in found["per_class"].values() if scores["AP"] is not None]
    assert found["AP"] == (pytest.approx(np.mean(values)) if values else None)


@pytest.mark.parametrize("seed", range(12))
def test_crowds_as_masks_count_as_crowds_of_the_label_map(make_examples, seed):
    labelled, as_masks = [], []
    for one in make_examples(seed, scale=20, void=True, crowds=True, distances=True):
        planes = one.target_labels == np.arange(1, one.num_targets + 1)[:, None, None]
        shared = {
            "target_classes": one.target_classes,
            "target_crowd": one.target_crowd,
            "target_distances": one.target_distances,
            "target_distance_confidences": one.target_distance_confidences,
            "pred_masks": one.pred_masks,
            "pred_scores": one.pred_scores,
            "pred_classes": one.pred_classes,
        }
        outside = one.void & ~planes[one.target_crowd].any(axis=0)
        labelled.append(Example(one.target_labels, void=outside, **shared))
        as_masks.append(Example(target_masks=planes, void=one.void, **shared))
    assert evaluate(as_masks, protocol="cityscapes") == evaluate(labelled, protocol="cityscapes")
