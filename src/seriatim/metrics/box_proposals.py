"""Protocol `box_proposals`: how many objects the first N boxes of each image find; for the proposals that R2-IOS starts from.

As `proposals`, but the intersection over union is that of the boxes around the masks, N is 50, 300, 1,000 and 2,000, and the predictions
count by falling score (of equal ones in the order given), as a model takes the best of too many. Targets are those of the label map; void plays no part.

Result: that of `proposals`, for these N.

Source: Hosang et al., "What makes for effective detection proposals?", TPAMI 38(4), 2016, whose average recall is over the same thresholds.

>>> from seriatim.metrics import evaluate
>>> target, masks = np.array([[1, 1, 1, 0, 2]]), np.array([[[1, 1, 0, 0, 0]]], dtype=bool)
>>> evaluate([Example(target, pred_masks=masks)], "box_proposals")["recall"][50]
{0.5: 0.5, 0.7: 0.0, 0.85: 0.0}
"""

import numpy as np
from jaxtyping import Float64

from seriatim.metrics.coco_boxes import Boxes, box_areas, shared_areas
from seriatim.metrics.example import Example
from seriatim.metrics.proposals import Numbers, recall_scoring, tabulate_recall
from seriatim.metrics.scoring import ImageTable

COUNTS = (50, 300, 1000, 2000)
"""Numbers N of boxes an image that are looked at."""


def _tabulate(example: Example) -> ImageTable[Numbers]:
    preds = example.pred_runs.boxes[np.argsort(-example.pred_scores, kind="stable")]
    iou = _box_iou(preds, example.target_runs.boxes)
    return tabulate_recall(iou, example.target_classes, COUNTS)


def _box_iou(preds: Boxes, targets: Boxes) -> Float64[np.ndarray, "_ _"]:
    """0 for a prediction without a pixel."""
    shared = shared_areas(preds, targets)
    return shared / np.maximum(box_areas(preds)[:, None] + box_areas(targets) - shared, 1)


BOX_PROPOSALS = recall_scoring(_tabulate, COUNTS)
