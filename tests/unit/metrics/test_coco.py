import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from seriatim.metrics import Example, evaluate
from seriatim.metrics.coco import KEYS

TARGET = np.array([[1, 1, 2, 2]])


def masks(*rows):
    return np.array(rows, dtype=bool)[:, None, :]


def score(*examples):
    return evaluate(examples, protocol="coco")


def reference(examples):
    """pycocotools from run-length codes to numbers, on files as it would read them."""

    def encode(plane):
        return mask_api.encode(np.asfortranarray(plane.astype(np.uint8)))

    categories = {int(c) for example in examples for c in (*example.target_classes, *example.pred_classes)}
    images = [{"id": k, "height": e.size[0], "width": e.size[1]} for k, e in enumerate(examples, start=1)]
    common = {"images": images, "categories": [{"id": category} for category in sorted(categories)]}
    targets, preds = [], []
    for image_id, example in enumerate(examples, start=1):
        for j in range(example.num_targets):
            code = encode(example.target_labels == j + 1)
            targets.append(
                {
                    "id": len(targets) + 1,
                    "image_id": image_id,
                    "category_id": int(example.target_classes[j]),
                    "iscrowd": int(example.target_crowd[j]),
                    "segmentation": code,
                    "area": int(mask_api.area(code)),
                }
            )
        for i in range(example.num_preds):
            code = encode(example.pred_masks[i])
            preds.append(
                {
                    "id": len(preds) + 1,
                    "image_id": image_id,
                    "category_id": int(example.pred_classes[i]),
                    "iscrowd": 0,
                    "segmentation": code,
                    "area": int(mask_api.area(code)),
                    "score": float(example.pred_scores[i]),
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for annotations in (targets, preds):
            side = COCO()
            side.dataset = {**common, "annotations": annotations}
            side.createIndex()
            sides.append(side)
        evaluator = COCOeval(*sides, "segm")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats.tolist()


def test_a_perfect_prediction_scores_one(capsys):
    found = score(Example(TARGET, pred_masks=masks([1, 1, 0, 0], [0, 0, 1, 1])))
    expected = dict.fromkeys(KEYS, 1.0)
    missing = dict.fromkeys(("AP_medium", "AP_large", "AR_medium", "AR_large"), -1.0)
    assert found == pytest.approx({**expected, **missing, "AR1": 0.5})
    assert capsys.readouterr() == ("", "")


def test_no_prediction_scores_zero_and_no_target_minus_one():
    found = score(Example(TARGET, pred_masks=[]))
    assert (found["AP"], found["AR100"]) == (0.0, 0.0)
    assert set(score(Example(TARGET * 0, pred_masks=masks([1, 0, 0, 0]))).values()) == {-1.0}
    assert set(score(Example(TARGET * 0, pred_masks=[])).values()) == {-1.0}


def test_the_first_target_and_the_first_prediction_can_match():
    assert score(Example(np.array([[1, 1]]), pred_masks=masks([1, 1])))["AP"] == pytest.approx(1.0)


def test_a_threshold_is_met():
    half = score(Example(np.array([[1, 1, 0, 0]]), pred_masks=masks([1, 0, 0, 0])))
    assert (half["AP50"], half["AP"]) == pytest.approx((1.0, 0.1))


def test_a_duplicate_is_wrong_and_a_crowd_forgives():
    wrong_first = masks([1, 1, 0, 0], [0, 0, 1, 1])
    scores = [0.9, 0.8]
    duplicate = Example(np.array([[1, 1, 2, 2]]), pred_masks=masks([1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]))
    assert score(duplicate)["AP"] == pytest.approx((51 + 50 * 2 / 3) / 101)
    plain = Example(np.array([[0, 0, 1, 1]]), pred_masks=wrong_first, pred_scores=scores)
    assert score(plain)["AP"] == pytest.approx(0.5)
    crowd = Example(TARGET, target_crowd=[True, False], pred_masks=wrong_first, pred_scores=scores)
    assert score(crowd)["AP"] == pytest.approx(1.0)


def test_a_small_part_of_a_crowd_lies_wholly_in_it():
    target = np.array([[1, 1, 1, 2]])
    part = Example(
        target,
        target_crowd=[True, False],
        pred_masks=masks([1, 0, 0, 0], [0, 0, 0, 1]),
        pred_scores=[0.9, 0.8],
    )
    assert score(part)["AP"] == pytest.approx(1.0)
    assert list(score(part).values()) == pytest.approx(reference([part]), abs=1e-12)


def test_one_mask_over_two_one_object_split_wrong_class_and_empty():
    assert score(Example(TARGET, pred_masks=masks([1, 1, 1, 1])))["AP50"] == pytest.approx(51 / 101)
    split = Example(np.array([[1, 1, 1, 1]]), pred_masks=masks([1, 1, 0, 0], [0, 0, 1, 1]))
    assert score(split)["AP50"] == pytest.approx(1.0)
    assert score(Example(TARGET, [1, 2], pred_masks=masks([1, 1, 0, 0]), pred_classes=[2]))["AP"] == 0.0
    empty = Example(np.array([[1, 1]]), pred_masks=masks([0, 0], [1, 1]))
    assert score(empty)["AP"] == pytest.approx(0.5)


def test_void_plays_no_part():
    void = np.array([[False, False, True, True]])
    example = Example(np.array([[1, 1, 0, 0]]), void=void, pred_masks=masks([1, 1, 1, 1]))
    assert score(example)["AP"] == pytest.approx(0.1)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1, 20, 50]))
def test_equals_pycocotools_on_run_length_codes(make_examples, seed, scale):
    examples = make_examples(seed, scale=scale, crowds=True)
    assert list(score(*examples).values()) == pytest.approx(reference(examples), abs=1e-12)


def test_more_than_a_hundred_predictions():
    rng = np.random.default_rng(0)
    target = np.arange(12).reshape(3, 4)
    planes = rng.random((130, 3, 4)) < 0.2
    planes[:11] = [target == k for k in range(1, 12)]
    example = Example(target, pred_masks=planes, pred_scores=rng.choice([0.3, 0.6], 130))
    assert list(score(example).values()) == pytest.approx(reference([example]), abs=1e-12)
