"""Protocol `sds`: AP^r as the program of simultaneous detection and segmentation computes it; R2-IOS is compared by it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from seriatim.metrics.example import Example
from seriatim.metrics.ranking import (
    THRESHOLDS,
    RankedImage,
    RankedPool,
    ScoredImage,
    best_from_here_on,
    precision_of,
    rank_image,
    rate_ranking,
)
from seriatim.metrics.scoring import Scoring


def evaluate_sds(examples: Sequence[Example]) -> dict[str, Any]:
    """Average precision of ranked masks, each right for the best target that is still free.

    The predictions of a class are taken in the order of their scores (equal ones in the order of the images, then as
    emitted). Each takes the target of its class and image, not yet taken, with which its IoU is largest, and is right if
    that IoU is **>** threshold; otherwise it is wrong and takes nothing. AP is the area under the interpolated precision,
    at all points (VOC 2010 and later).

    Predictions may overlap and count at full extent; an empty one is wrong. A crowd is an object like any other. Void
    plays no part: a prediction that reaches into void pays for it.

    Args:
        examples: at least one.

    Returns:
        `thresholds` (0.1 ... 0.9), `per_class` {class: AP at each threshold, or None without targets}, `mAP` (mean over the
        classes with targets, at each threshold) and `AP_vol` (mean of `mAP`). All None if there is no target at all.

    Source:
        Hariharan et al., "Simultaneous detection and segmentation", ECCV 2014, Sec. 4 and its evaluation program. That
        program loses the predictions on an image without any target, which its data do not contain; ours counts them as
        wrong.

    >>> target = np.array([[1, 1, 1, 1]])
    >>> masks = np.array([[[1, 1, 1, 0]], [[1, 1, 1, 1]]], dtype=bool)
    >>> scores = evaluate_sds([Example(target, [1], pred_masks=masks, pred_scores=[0.9, 0.8])])
    >>> scores["mAP"][6:]  # at 0.7 the first is right (IoU 0.75) and the second comes late; from 0.8 on only the second
    [1.0, 0.5, 0.5]
    """
    return SDS.pool([SDS.tabulate(example) for example in examples]).result()


def _tabulate(example: Example) -> RankedImage:
    return rank_image(ScoredImage.of_masks(example), _take_best_free)


def _take_best_free(
    iou: Float[np.ndarray, "predictions targets"],
) -> Bool[np.ndarray, "predictions thresholds"]:
    num_preds, num_targets = iou.shape
    right = np.zeros((num_preds, len(THRESHOLDS)), dtype=bool)
    if not num_targets:
        return right
    thresholds = np.array(THRESHOLDS)
    rows = np.arange(len(THRESHOLDS))
    near = iou > THRESHOLDS[0]
    alone = near[:, near.sum(axis=0) == 1].any(axis=1) & (
        near.sum(axis=1) == 1
    )  # asks for a target that no other asks for
    right[alone] = iou[alone].max(axis=1, initial=0.0)[:, None] > thresholds
    taken = np.zeros((len(THRESHOLDS), num_targets), dtype=bool)
    for index in np.flatnonzero(near.any(axis=1) & ~alone):
        free = np.where(taken, -1.0, iou[index])
        best = free.argmax(axis=1)
        hit = free[rows, best] > thresholds
        right[index] = hit
        taken[rows[hit], best[hit]] = True
    return right


def _area_under_envelope(
    gains: Float[np.ndarray, "resamples thresholds right"],
    hits: Float[np.ndarray, "resamples thresholds right"],
    seen: Float[np.ndarray, "resamples 1 right"],
    num_targets: Float[np.ndarray, "resamples 1"],
) -> Float[np.ndarray, "resamples thresholds"]:
    """Recall grows by 1/#targets at every right prediction, at the best precision from there on."""
    return (gains * best_from_here_on(precision_of(hits, seen))).sum(axis=2) / num_targets


SDS = Scoring(
    tabulate=_tabulate,
    pool=lambda tables: RankedPool(tables, _area_under_envelope),
    rate=lambda table: rate_ranking(table, _area_under_envelope),
)
"""The parts of the protocol."""
