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
    found = evaluate(examples, protocol="coco")
    return {key: found[key] for key in KEYS}


def reference(examples):
    """pycocotools from run-length codes to numbers, on files as it would read them."""
    return reference_of_planes(
        [
            {
                "target_masks": e.target_labels == np.arange(1, e.num_targets + 1)[:, None, None],
                "target_classes": e.target_classes,
                "target_crowd": e.target_crowd,
                "pred_masks": e.pred_masks,
                "pred_scores": e.pred_scores,
                "pred_classes": e.pred_classes,
            }
            for e in examples
        ]
    )


def reference_of_planes(images, class_id=None):
    """The twelve numbers, or those of one class alone."""

    def annotate(image_id, image, kind):
        codes = [mask_api.encode(np.asfortranarray(plane.astype(np.uint8))) for plane in image[f"{kind}_masks"]]
        for index, code in enumerate(codes):
            yield {
                "image_id": image_id,
                "category_id": int(image[f"{kind}_classes"][index]),
                "segmentation": code,
                "area": float(image[f"{kind}_areas"][index]) if f"{kind}_areas" in image else int(mask_api.area(code)),
            }

    targets, preds = [], []
    for image_id, image in enumerate(images, start=1):
        for one, crowd in zip(annotate(image_id, image, "target"), image["target_crowd"], strict=True):
            targets.append({**one, "iscrowd": int(crowd), "id": len(targets) + 1})
        for one, certainty in zip(annotate(image_id, image, "pred"), image["pred_scores"], strict=True):
            preds.append({**one, "iscrowd": 0, "score": float(certainty), "id": len(preds) + 1})
    sizes = [image["target_masks"].shape[1:] for image in images]
    common = {
        "images": [{"id": k, "height": size[0], "width": size[1]} for k, size in enumerate(sizes, start=1)],
        "categories": [{"id": category} for category in sorted({one["category_id"] for one in targets + preds})],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for annotations in (targets, preds):
            side = COCO()
            side.dataset = {**common, "annotations": annotations}
            side.createIndex()
            sides.append(side)
        evaluator = COCOeval(*sides, "segm")
        if class_id is not None:
            evaluator.params.catIds = [class_id]
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


def test_of_two_targets_that_fit_equally_the_last_is_taken():
    over_both = masks([1, 1, 1, 1], [0, 0, 1, 1])
    first_gone = Example(TARGET, pred_masks=over_both, pred_scores=[0.9, 0.8])
    assert score(first_gone)["AP50"] == pytest.approx(51 / 101)
    assert list(score(first_gone).values()) == pytest.approx(reference([first_gone]), abs=1e-12)


def test_void_plays_no_part():
    void = np.array([[False, False, True, True]])
    example = Example(np.array([[1, 1, 0, 0]]), void=void, pred_masks=masks([1, 1, 1, 1]))
    assert score(example)["AP"] == pytest.approx(0.1)


@pytest.mark.not_quick
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


@pytest.mark.not_quick
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1, 15, 40]))
def test_targets_that_overlap_and_crowds_equal_pycocotools(make_overlapping, seed, scale):
    images = make_overlapping(seed, scale=scale)
    found = score(*(Example(**image) for image in images))
    assert list(found.values()) == pytest.approx(reference_of_planes(images), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_the_numbers_of_a_class_are_those_of_pycocotools_for_it_alone(make_overlapping, seed):
    images = make_overlapping(seed, num_images=6, scale=20)
    per_class = evaluate([Example(**image) for image in images], protocol="coco")["per_class"]
    for class_id in sorted({class_id for image in images for class_id in image["target_classes"]}):
        expected = [None if value < 0 else value for value in reference_of_planes(images, int(class_id))]
        assert list(per_class[class_id]) == list(KEYS)
        assert list(per_class[class_id].values()) == pytest.approx(expected, abs=1e-12)


def test_a_class_without_a_target_has_no_numbers():
    example = Example(TARGET, [1, 1], pred_masks=masks([1, 1, 0, 0], [0, 0, 1, 1]), pred_classes=[1, 9])
    per_class = evaluate([example], protocol="coco")["per_class"]
    assert per_class[9] is None
    assert per_class[1]["AR100"] == 0.5


@pytest.mark.parametrize("seed", range(4))
def test_targets_are_small_or_large_by_the_areas_that_are_stated(make_overlapping, seed):
    images = make_overlapping(seed, num_images=8, scale=20)
    for image in images:
        image["target_areas"] = np.random.default_rng(seed).uniform(100, 20_000, len(image["target_masks"]))
        image["pred_masks"] = image["target_masks"]
        image["pred_scores"] = np.random.default_rng(seed).random(len(image["target_masks"]))
        image["pred_classes"] = image["target_classes"]
    found = score(*(Example(**image) for image in images))
    assert found != score(*(Example(**{**image, "target_areas": None}) for image in images))
    assert list(found.values()) == pytest.approx(reference_of_planes(images), abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_every_kind_of_masks_scores_alike(make_overlapping, encode, cut_out, seed):
    images = [image for image in make_overlapping(seed, num_images=6, scale=9) if len(image["target_masks"])]
    expected = score(*(Example(**image) for image in images))
    for change_target in (encode, cut_out, lambda planes: planes):
        for change_pred in (encode, cut_out, lambda planes: planes):
            changed = [
                Example(
                    **{
                        **image,
                        "target_masks": change_target(image["target_masks"]),
                        "pred_masks": change_pred(image["pred_masks"]),
                    }
                )
                for image in images
            ]
            assert score(*changed) == pytest.approx(expected, abs=1e-12)


def test_a_target_that_others_hide_counts_whole():
    masks_of_two = masks([1, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0])
    hidden = Example(target_masks=masks_of_two, pred_masks=masks([1, 1, 0, 0]))
    assert hidden.num_targets == 2
    assert score(hidden)["AR100"] == pytest.approx(1 / 3)
