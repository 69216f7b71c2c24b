"""Protocol `din`: AP^r as the papers on dynamically instantiated networks and recurrent segmentation use it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64

from seriatim.metrics.example import Example
from seriatim.metrics.overlap import overlap_label_maps
from seriatim.metrics.ranking import (
    THRESHOLDS,
    RankedClass,
    RankedImage,
    RankedPool,
    ScoredImage,
    rank_image,
    rate_ranking,
)
from seriatim.metrics.scoring import Scoring

_NOTHING = RankedClass(np.zeros(0), np.zeros((0, len(THRESHOLDS)), dtype=bool), 0)
"""A class of which no object keeps a pixel in an image."""


def evaluate_din(examples: Sequence[Example]) -> dict[str, Any]:
    """Average precision of ranked segments of a label map, in which no target is ever marked as taken.

    Predictions are taken as a label map in which the EARLIER one keeps a contested pixel; void pixels are removed from
    both maps first, and a prediction or target that keeps no pixel is not counted. The segments of a class are ranked by
    score (equal ones in the order of the images, then as emitted). Each is right if its largest IoU with a target of its
    class and image is **>** threshold. AP is not interpolated: the sum, over the right ones, of the precision up to there,
    divided by the number of targets.

    Since nothing is taken, several segments of one target can all be right below a threshold of 0.5, and AP there can
    exceed 1. A crowd is an object like any other.

    Args:
        examples: at least one.

    Returns:
        As `sds`: `thresholds`, `per_class`, `mAP`, `AP_vol`.

    Source:
        Arnab and Torr, "Pixelwise instance segmentation with a dynamically instantiated network", CVPR 2017, Sec. 4.2, and
        Romera-Paredes and Torr, "Recurrent instance segmentation", ECCV 2016, Sec. 4.

    >>> target, pred = np.array([[1, 1, 1, 1, 2, 2]]), np.array([[1, 1, 2, 2, 3, 0]])
    >>> scores = evaluate_din([Example.from_label_maps(target, pred, pred_scores=[0.9, 0.8, 0.7])])
    >>> scores["mAP"][3:5]  # at 0.4 all three (IoU 0.5 each) are right: (1 + 1 + 1) / 2; at 0.5 none is
    [1.5, 0.0]
    """
    return DIN.pool([DIN.tabulate(example) for example in examples]).result()


def _tabulate(example: Example) -> RankedImage:
    overlap = overlap_label_maps(
        example.pred_label_map, example.num_preds, example.target_labels, example.num_targets, example.void
    )
    iou: Float64[np.ndarray, "predictions targets"] = np.zeros((example.num_preds, example.num_targets))
    iou[overlap.preds, overlap.targets] = overlap.iou()
    preds, targets = np.flatnonzero(overlap.pred_areas), np.flatnonzero(overlap.target_areas)
    image = ScoredImage(
        iou[np.ix_(preds, targets)],
        example.pred_classes[preds],
        example.pred_scores[preds],
        example.target_classes[targets],
    )
    seen = [*example.pred_classes.tolist(), *example.target_classes.tolist()]
    return dict.fromkeys(seen, _NOTHING) | rank_image(image, _exceed_any_target)


def _exceed_any_target(
    iou: Float[np.ndarray, "predictions targets"],
) -> Bool[np.ndarray, "predictions thresholds"]:
    return iou.max(axis=1, initial=0.0)[:, None] > np.array(THRESHOLDS)


def _plain_average(
    gains: Float[np.ndarray, "resamples thresholds right"],
    hits: Float[np.ndarray, "resamples thresholds right"],
    seen: Float[np.ndarray, "resamples 1 right"],
    num_targets: Float[np.ndarray, "resamples 1"],
) -> Float[np.ndarray, "resamples thresholds"]:
    """A prediction that counts several times is followed through its copies, each of which is right and seen once more."""
    total = np.zeros(gains.shape[:2])
    for copy in range(int(gains.max(initial=0))):
        precision = (hits - copy) / np.maximum(seen - copy, 1)
        total += np.where(gains > copy, precision, 0.0).sum(axis=2)
    return total / num_targets


DIN = Scoring(
    tabulate=_tabulate,
    pool=lambda tables: RankedPool(tables, _plain_average),
    rate=lambda table: rate_ranking(table, _plain_average),
)
"""The parts of the protocol."""
