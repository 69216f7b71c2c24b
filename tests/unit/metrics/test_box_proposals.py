"""Recall of boxes: against loops over pairs, and what order, number and missing pixels do."""

import numpy as np
import pytest

from seriatim.core.instances import Instance, Instances
from seriatim.metrics import Example, evaluate
from seriatim.metrics.box_proposals import COUNTS


def example_of(targets, boxes, scores=None, size=(40, 40)):
    labels = np.zeros(size, dtype=int)
    for number, (y0, x0, y1, x1) in enumerate(targets, start=1):
        labels[y0, x0:x1] = labels[y0:y1, x0] = labels[y1 - 1, x0:x1] = (
            number  # an outline: its box counts, not its pixels
        )
        labels[y0:y1, x1 - 1] = number
    scores = [1.0] * len(boxes) if scores is None else scores
    rows = zip(boxes, scores, strict=True)
    found = [Instance(box, np.ones((box[2] - box[0], box[3] - box[1]), dtype=bool), score) for box, score in rows]
    return Example(labels, pred_masks=Instances(size, found), pred_scores=np.array(scores))


def iou(first, second):
    height = min(first[2], second[2]) - max(first[0], second[0])
    width = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(height, 0) * max(width, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(areas) - shared)


def test_recall_is_that_of_a_loop_over_pairs():
    chance = np.random.default_rng(0)
    targets = [(2, 2, 12, 14), (20, 4, 38, 12), (5, 22, 30, 38)]
    starts = chance.integers(0, 25, size=(400, 2))
    boxes = [
        (y, x, y + h, x + w)
        for (y, x), (h, w) in zip(starts.tolist(), chance.integers(3, 16, (400, 2)).tolist(), strict=True)
    ]
    scores = chance.random(400).round(2)
    result = evaluate([example_of(targets, boxes, scores.tolist())], "box_proposals")
    ranked = [boxes[number] for number in np.argsort(-scores, kind="stable")]
    for count in COUNTS:
        best = [max(iou(box, target) for box in ranked[:count]) for target in targets]
        assert result["mean_best_iou"][count] == pytest.approx(np.mean(best))
        assert result["recall"][count][0.5] == np.mean(np.array(best) > 0.5)


def test_the_best_scores_are_looked_at_first_and_a_box_beyond_the_number_finds_nothing():
    wrong = [(0, 0, 2, 2)] * 50
    right = (10, 10, 20, 20)
    first = evaluate([example_of([right], [*wrong, right], [0.5] * 50 + [0.9])], "box_proposals")
    last = evaluate([example_of([right], [*wrong, right], [0.5] * 50 + [0.4])], "box_proposals")
    assert [first["recall"][count][0.5] for count in (50, 300)] == [1.0, 1.0]
    assert [last["recall"][count][0.5] for count in (50, 300)] == [0.0, 1.0]


def test_without_targets_there_is_no_number_and_without_boxes_nothing_is_found():
    assert evaluate([example_of([], [(0, 0, 2, 2)])], "box_proposals")["recall"][50][0.5] is None
    assert evaluate([example_of([(0, 0, 5, 5)], [])], "box_proposals")["average_recall"][2000] == 0
