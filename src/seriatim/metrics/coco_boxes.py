"""Protocol `coco_boxes`: average precision and recall of boxes as the COCO program has them, which is how detectors are scored.

As `coco`, but the intersection over union is that of the boxes around the masks. A prediction is small, medium or large by its box, a target, as in
the program, by the area that its file states, or else by the pixels of its mask. An empty prediction has no box and is wrong.

Result: that of `coco`.

Source: that of `coco`; `COCOeval` with `iouType="bbox"`, with which the tests compare at 1e-12.

>>> from seriatim.metrics import evaluate
>>> target = np.array([[1, 1, 1], [1, 0, 0], [1, 0, 0]])
>>> around = Example(target, pred_masks=np.ones((1, 3, 3), dtype=bool))
>>> evaluate([around], "coco_boxes")["AP"], evaluate([around], "coco")["AP50"]
(1.0, 1.0)
"""

import numpy as np
from jaxtyping import Int64

from seriatim.metrics.coco import Pool, Table, rate, tabulate
from seriatim.metrics.example import Example
from seriatim.metrics.scoring import Scoring

Boxes = Int64[np.ndarray, "_ 4"]
"""(y0, x0, y1, x1), half-open."""


def box_areas(boxes: Boxes) -> Int64[np.ndarray, " _"]:
    """Pixels of each box."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


def shared_areas(preds: Boxes, targets: Boxes) -> Int64[np.ndarray, "_ _"]:
    """Pixels of every prediction's box in every target's."""
    starts = np.maximum(preds[:, None, :2], targets[None, :, :2])
    ends = np.minimum(preds[:, None, 2:], targets[None, :, 2:])
    return np.maximum(ends - starts, 0).prod(axis=2)


def _tabulate_boxes(example: Example) -> Table:
    preds, targets = example.pred_runs.boxes, example.whole_targets.runs.boxes
    return tabulate(example, shared_areas(preds, targets), box_areas(preds), box_areas(targets))


COCO_BOXES = Scoring(tabulate=_tabulate_boxes, pool=Pool, rate=rate)
"""The quality of an image is its AP."""
