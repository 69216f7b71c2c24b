"""Protocol `sds`: AP^r as the program of simultaneous detection and segmentation computes it; R2-IOS is compared by it.

The predictions of a class are taken in the order of their scores (equal ones in the order of the images, then as emitted). Each takes the
target of its class and image, not yet taken, with which its IoU is largest, and is right if that IoU is **>** threshold; otherwise it is
wrong and takes nothing. AP is the area under the interpolated precision, at all points (VOC 2010 and later).

Predictions may overlap and count at full extent; an empty one is wrong. A crowd is an object like any other. Void plays no part: a
prediction that reaches into void pays for it.

Result: `thresholds` (0.1 ... 0.9), `per_class` {class: AP at each threshold, or None without targets}, `mAP` (mean over the classes with
targets, at each threshold) and `AP_vol` (mean of `mAP`). Without any target, `mAP` is a list of None and `AP_vol` is None.

Source: Hariharan et al., "Simultaneous detection and segmentation", ECCV 2014, Sec. 4 and its evaluation program. That program loses the
predictions on an image without any target, which its data do not contain; ours counts them as wrong.

>>> from seriatim.metrics import Example, evaluate
>>> masks = np.array([[[1, 1, 1, 0]], [[1, 1, 1, 1]]], dtype=bool)
>>> example = Example(np.array([[1, 1, 1, 1]]), [1], pred_masks=masks, pred_scores=[0.9, 0.8])
>>> evaluate([example], "sds")["mAP"][6:]  # at 0.7 the first is right (IoU 0.75) and the second is late; from 0.8 on only the second
[1.0, 0.5, 0.5]
"""

import numpy as np
from jaxtyping import Bool, Float

from seriatim.metrics.ranking import THRESHOLDS, Curves, rank_by_iou, ranked_scoring, uncontested


def _take_best_free(iou: Float[np.ndarray, "predictions targets"]) -> Bool[np.ndarray, "predictions thresholds"]:
    num_preds, num_targets = iou.shape
    right = np.zeros((num_preds, len(THRESHOLDS)), dtype=bool)
    thresholds = np.array(THRESHOLDS)
    rows = np.arange(len(THRESHOLDS))
    near = iou > THRESHOLDS[0]
    alone = uncontested(near)
    right[alone] = iou[alone].max(axis=1)[:, None] > thresholds
    taken = np.zeros((len(THRESHOLDS), num_targets), dtype=bool)
    for index in np.flatnonzero(near.any(axis=1) & ~alone):
        free = np.where(taken, -1.0, iou[index])
        best = free.argmax(axis=1)
        hit = free[rows, best] > thresholds
        right[index] = hit
        taken[rows[hit], best[hit]] = True
    return right


def _area_under_envelope(curves: Curves) -> Float[np.ndarray, "resamples thresholds"]:
    """Recall grows by 1/#targets at every right prediction, at the best precision from there on."""
    return (curves.gains * curves.best_precision()).sum(axis=2) / curves.num_targets


SDS = ranked_scoring(rank_by_iou(_take_best_free), _area_under_envelope)
