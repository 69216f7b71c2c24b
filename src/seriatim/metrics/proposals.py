"""Protocol `proposals`: how many objects the first N masks of each image find, as MCG and COB count."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64

from seriatim.metrics.example import Example

COUNTS = (10, 50)
"""Numbers N of masks an image that are looked at."""

RECALL_THRESHOLDS = (0.5, 0.7, 0.85)
"""IoU above which an object counts as found for `recall`."""

AVERAGE_THRESHOLDS = tuple(hundredths / 100 for hundredths in range(50, 100, 5))
"""IoU at or above which an object counts as found for `average_recall`."""


def evaluate_proposals(examples: Sequence[Example]) -> dict[str, Any]:
    """Share of objects that one of the first N masks covers well.

    Of each target, the best IoU over the first N predictions in the order emitted, void pixels removed from both. The
    targets of all images are pooled; one that lies wholly in void is left out. Classes and scores play no part, several
    targets may share a prediction, and a crowd is an object like any other.

    Args:
        examples: at least one.

    Returns:
        For N of 10 and 50 (the columns of RSIS Table 4): `recall` {N: {threshold: share of targets with IoU **>**
        threshold}} for 0.5, 0.7 and 0.85; `average_recall` {N: mean share with IoU **>=** 0.5, 0.55, ... 0.95};
        `mean_best_iou` {N: mean best IoU}. Every value is None if there is no target at all.

    Source:
        Pont-Tuset et al., "Multiscale combinatorial grouping", TPAMI 39(1), 2017, Sec. 6; Maninis et al., "Convolutional
        oriented boundaries", ECCV 2016, Sec. 4; and their evaluation programs.

    >>> target = np.array([[1, 1, 1, 0, 2]])
    >>> masks = np.array([[[1, 1, 0, 0, 0]]], dtype=bool)
    >>> scores = evaluate_proposals([Example(target, pred_masks=masks)])
    >>> scores["recall"][10], round(scores["mean_best_iou"][10], 4)
    ({0.5: 0.5, 0.7: 0.0, 0.85: 0.0}, 0.3333)
    """
    best = {num: np.concatenate([_best_iou(example, num) for example in examples]) for num in COUNTS}
    if not len(best[COUNTS[0]]):
        return {
            "recall": {num: dict.fromkeys(RECALL_THRESHOLDS) for num in COUNTS},
            "average_recall": dict.fromkeys(COUNTS),
            "mean_best_iou": dict.fromkeys(COUNTS),
        }
    return {
        "recall": {
            num: {threshold: float(np.mean(iou > threshold)) for threshold in RECALL_THRESHOLDS}
            for num, iou in best.items()
        },
        "average_recall": {
            num: float(np.mean([np.mean(iou >= threshold) for threshold in AVERAGE_THRESHOLDS]))
            for num, iou in best.items()
        },
        "mean_best_iou": {num: float(np.mean(iou)) for num, iou in best.items()},
    }


def _best_iou(example: Example, num: int) -> Float64[np.ndarray, " targets"]:
    """Best IoU of each target with a pixel outside void over the first `num` predictions; 0 without any."""
    overlap = example.overlap
    return overlap.valid_iou()[:num, overlap.valid_target_areas > 0].max(axis=0, initial=0.0)
