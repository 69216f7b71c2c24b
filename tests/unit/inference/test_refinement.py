"""The dense CRF on found objects: outlines move to where the image changes, and no object is found or lost."""

import numpy as np
import pytest

from seriatim.core.instances import Instance, Instances
from seriatim.core.shapes import intersect_boxes
from seriatim.inference import refinement
from seriatim.inference.config import CRFConfig
from seriatim.inference.refinement import refine_instances, share_labels, unary_logits


def disk(size, centre, radius):
    rows, columns = np.indices(size)
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def image(size, masks, levels):
    values = np.full(size, 0.1, dtype=np.float32)
    for mask, level in zip(masks, levels, strict=True):
        values[mask] = level
    values += np.random.default_rng(0).normal(0, 0.01, size).astype(np.float32)
    return values[None]


def instances(size, masks):
    return Instances(
        size, [Instance.from_mask(mask, score=1 - 0.1 * step, class_id=1, step=step) for step, mask in enumerate(masks)]
    )


def iou(first, second):
    return np.count_nonzero(first & second) / np.count_nonzero(first | second)


def test_a_shifted_mask_moves_onto_its_object():
    size = (60, 70)
    true = disk(size, (30, 35), 14)
    wrong = disk(size, (31, 37), 12)
    found = refine_instances(image(size, [true], [0.8]), instances(size, [wrong]), CRFConfig())
    assert iou(wrong, true) < 0.8
    assert iou(found.masks()[0], true) > 0.95


def test_two_objects_that_touch_part_where_their_brightness_changes():
    size = (48, 80)
    left, right = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    left[10:38, 10:40] = True
    right[10:38, 40:70] = True
    seen_left, seen_right = np.zeros(size, dtype=bool), np.zeros(size, dtype=bool)
    seen_left[10:38, 10:44] = True
    seen_right[10:38, 44:70] = True
    found = refine_instances(
        image(size, [left, right], [0.45, 0.9]), instances(size, [seen_left, seen_right]), CRFConfig()
    )
    assert iou(found.masks()[0], left) > 0.97
    assert iou(found.masks()[1], right) > 0.97


def test_order_scores_and_number_of_objects_stay_and_none_overlaps():
    size = (90, 90)
    masks = [disk(size, (y, x), 9) for y in (15, 40, 65) for x in (15, 40, 65)]
    before = instances(size, masks)
    after = refine_instances(image(size, masks, [0.7] * 9), before, CRFConfig(), solid=True)
    assert [one.step for one in after] == [one.step for one in before]
    assert after.scores.tolist() == before.scores.tolist()
    assert after.masks().sum(axis=0).max() == 1


def test_an_object_that_would_vanish_stays_as_it_was():
    size = (60, 60)
    large, speck = disk(size, (30, 30), 18), np.zeros(size, dtype=bool)
    speck[30, 30] = True
    before = instances(size, [speck, large])
    after = refine_instances(image(size, [large], [0.8]), before, CRFConfig(certainty=0.55))
    assert len(after) == 2
    assert after[0].area >= 1


def test_filling_a_hole_takes_no_object_that_lies_in_it():
    size = (70, 70)
    ring = disk(size, (35, 35), 28) & ~disk(size, (35, 35), 12)
    core = disk(size, (35, 35), 5)
    values = image(size, [ring, core], [0.8, 0.8])
    after = refine_instances(values, instances(size, [ring, core]), CRFConfig(), solid=True)
    assert iou(after.masks()[1], core) > 0.9
    assert after.masks().sum(axis=0).max() == 1
    assert after.masks()[0][35, 25]


def test_an_image_without_objects_comes_back_as_it_is():
    nothing = Instances((20, 30), [])
    assert refine_instances(np.zeros((3, 20, 30), dtype=np.float32), nothing, CRFConfig()) is nothing


def test_blocks_give_what_the_whole_image_gives(monkeypatch):
    size = (120, 150)
    centres = [(y, x) for y in range(14, 110, 23) for x in range(14, 140, 23)]
    true = [disk(size, centre, 8) for centre in centres]
    wrong = instances(size, [disk(size, (y + 1, x - 1), 7) for y, x in centres])
    values = image(size, true, np.linspace(0.5, 0.9, len(true)))
    whole = refine_instances(values, wrong, CRFConfig()).label_map()
    monkeypatch.setattr(refinement, "BLOCK", 50)
    parts = refine_instances(values, wrong, CRFConfig()).label_map()
    assert np.mean(whole == parts) > 0.995


def test_boxes_that_meet_never_share_a_label():
    rng = np.random.default_rng(1)
    corners = rng.integers(0, 200, (150, 2))
    boxes = [(int(y), int(x), int(y) + 25, int(x) + 25) for y, x in corners]
    labels = share_labels(boxes)
    for first in range(len(boxes)):
        for second in range(first):
            if intersect_boxes(boxes[first], boxes[second]):
                assert labels[first] != labels[second]
    assert labels.max() < 40


def test_objects_far_apart_need_few_labels():
    boxes = [(y, x, y + 30, x + 30) for y in range(0, 1000, 25) for x in range(0, 1000, 25)]
    assert share_labels(boxes).max() <= 6


@pytest.mark.parametrize("certainty", [0.6, 0.9])
def test_the_unary_says_how_certain_the_segments_are(certainty):
    owners = np.array([[1, 0, 2]])
    scores = unary_logits(owners, [(1, (0, 0, 1, 2)), (2, (0, 1, 1, 3))], certainty)
    assert scores[1, 0, 0] == pytest.approx(np.log(certainty))
    assert scores[0, 0, 0] == pytest.approx(np.log(1 - certainty))
    assert scores[2, 0, 0] == -np.inf
