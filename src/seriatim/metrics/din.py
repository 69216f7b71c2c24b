"""Protocol `din`: AP^r as the papers on dynamically instantiated networks and recurrent segmentation use it.

Predictions are taken as a label map in which the EARLIER one keeps a contested pixel; one that keeps none is not counted. Void pixels are
removed from both maps: a target that lies wholly in void is not counted, a segment that does stays in the list, empty and wrong. The
segments of a class are ranked by score (equal ones in the order of the images, then as emitted). Each is right if its largest IoU with
a target of its class and image is **>** threshold. AP is not interpolated: the sum, over the right ones, of the precision up to there,
divided by the number of targets.

Since nothing is marked as taken, several segments of one target can all be right below a threshold of 0.5, and AP there can exceed 1. A
crowd is an object like any other.

Result: as `sds`: `thresholds`, `per_class`, `mAP`, `AP_vol`.

Source: Arnab and Torr, "Pixelwise instance segmentation with a dynamically instantiated network", CVPR 2017, Sec. 4.2, and
Romera-Paredes and Torr, "Recurrent instance segmentation", ECCV 2016, Sec. 4.

>>> from seriatim.metrics import evaluate
>>> target, pred = np.array([[1, 1, 1, 1, 2, 2]]), np.array([[1, 1, 2, 2, 3, 0]])
>>> scores = evaluate([Example.from_label_maps(target, pred, pred_scores=[0.9, 0.8, 0.7])], "din")
>>> scores["mAP"][3:5]  # at 0.4 all three (IoU 0.5 each) are right: (1 + 1 + 1) / 2; at 0.5 none is
[1.5, 0.0]
"""

import numpy as np
from jaxtyping import Bool, Float

from seriatim.metrics.example import Example
from seriatim.metrics.ranking import THRESHOLDS, Curves, RankedImage, rank_image, ranked_scoring


def _tabulate(example: Example) -> RankedImage:
    overlap = example.label_overlap
    is_segment = example.pred_label_runs.areas > 0  # before void is taken out
    return rank_image(example, overlap.iou_table(), _exceed_any_target, is_segment, overlap.target_areas > 0)


def _exceed_any_target(
    iou: Float[np.ndarray, "predictions targets"],
) -> Bool[np.ndarray, "predictions thresholds"]:
    return iou.max(axis=1)[:, None] > np.array(THRESHOLDS)


def _plain_average(curves: Curves) -> Float[np.ndarray, "resamples thresholds"]:
    """A prediction that counts several times is followed through its copies, each of which is right and seen once more."""
    total = np.zeros(curves.gains.shape[:2])
    for copy in range(int(curves.gains.max(initial=0))):
        precision = (curves.hits - copy) / np.maximum(curves.seen - copy, 1)
        total += np.where(curves.gains > copy, precision, 0.0).sum(axis=2)
    return total / curves.num_targets


DIN = ranked_scoring(_tabulate, _plain_average)
