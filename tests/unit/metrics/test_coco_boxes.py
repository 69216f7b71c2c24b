import contextlib
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from seriatim.metrics import Example, evaluate
from seriatim.metrics.coco import KEYS


def score(examples):
    found = evaluate(examples, protocol="coco_boxes")
    return [found[key] for key in KEYS]


def box_around(plane):
    """x, y, width and height as a COCO file has them."""
    rows, columns = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    return [int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)]


def reference(images):
    """The twelve numbers of pycocotools, from annotations and a list of results as it reads them."""
    targets, preds = [], []
    for image_id, image in enumerate(images, start=1):
        for index, plane in enumerate(image["target_masks"]):
            area = image["target_areas"][index] if "target_areas" in image else plane.sum()
            targets.append(
                {
                    "id": len(targets) + 1,
                    "image_id": image_id,
                    "bbox": box_around(plane),
                    "area": float(area),
                    "category_id": int(image["target_classes"][index]),
                    "iscrowd": int(image["target_crowd"][index]),
                }
            )
        for index, plane in enumerate(image["pred_masks"]):
            preds.append(
                {
                    "image_id": image_id,
                    "category_id": int(image["pred_classes"][index]),
                    "bbox": box_around(plane),
                    "score": float(image["pred_scores"][index]),
                }
            )
    truth = COCO()
    truth.dataset = {
        "images": [{"id": number} for number in range(1, len(images) + 1)],
        "categories": [{"id": number} for number in sorted({one["category_id"] for one in targets + preds})],
        "annotations": targets,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        found = truth.loadRes(preds) if preds else COCO()
        if not preds:
            found.dataset = {**truth.dataset, "annotations": []}
            found.createIndex()
        program = COCOeval(truth, found, "bbox")
        program.evaluate()
        program.accumulate()
        program.summarize()
    return program.stats.tolist()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1, 15, 40]))
def test_equals_pycocotools_on_boxes_crowds_and_objects_that_overlap(make_overlapping, seed, scale):
    images = make_overlapping(seed, scale=scale)
    assert score([Example(**image) for image in images]) == pytest.approx(reference(images), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_targets_are_small_or_large_by_the_areas_that_are_stated(make_overlapping, seed):
    images = make_overlapping(seed, num_images=8, scale=20)
    for image in images:
        image["target_areas"] = np.random.default_rng(seed).uniform(100, 20_000, len(image["target_masks"]))
    assert score([Example(**image) for image in images]) == pytest.approx(reference(images), abs=1e-12)


def test_masks_that_differ_within_the_same_box_score_alike():
    cross, ring = np.zeros((2, 5, 5), dtype=bool)
    cross[2], cross[:, 2] = True, True
    ring[[0, -1]], ring[:, [0, -1]] = True, True
    (found, *_), (whole, *_) = (score([Example(cross.astype(int), pred_masks=one[None])]) for one in (ring, cross))
    assert found == whole == 1.0
    assert evaluate([Example(cross.astype(int), pred_masks=ring[None])], "coco")["AP50"] == 0.0


def test_an_empty_prediction_is_wrong_and_an_image_without_anything_has_no_number():
    target = np.array([[1, 1, 0]])
    planes = np.array([[[False] * 3], [[True, True, False]]])
    one = Example(target, pred_masks=planes, pred_scores=[0.9, 0.8])
    assert evaluate([one], "coco_boxes")["AP"] == pytest.approx(0.5)
    assert evaluate([Example(target * 0, pred_masks=[])], "coco_boxes")["AP"] == -1
