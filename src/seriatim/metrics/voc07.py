"""Protocol `voc07`: AP^r as the programs of MNC and FCIS compute it, with the eleven points of VOC 2007.

The predictions of a class are taken in the order of their scores (equal ones in the order of the images, then as emitted). Each looks at
the target of its class and image with which its IoU is largest (of equal ones the first) and is right if that IoU is **>=** threshold
and the target is not yet taken; a second prediction on a taken target is wrong even if another target would do. AP is the mean, over the
recalls 0, 0.1, ... 1, of the best precision at that recall or a higher one.

Predictions may overlap and count at full extent; an empty one is wrong. A crowd is an object like any other. Void plays no part: a
prediction that reaches into void pays for it.

Result: as `sds`: `thresholds`, `per_class`, `mAP`, `AP_vol`.

Source: Dai et al., "Instance-aware semantic segmentation via multi-task network cascades", CVPR 2016, and Li et al., "Fully convolutional
instance-aware semantic segmentation", CVPR 2017: their evaluation programs. The recalls are the binary numbers of those programs, so that
3 of 10, 6 of 10 and 7 of 10 targets miss their point as they do there. Those programs sort equal scores in no certain order; ours keeps
the order given.

>>> from seriatim.metrics import Example, evaluate
>>> masks = np.array([[[1, 1, 0, 0]], [[1, 1, 0, 0]]], dtype=bool)
>>> example = Example(np.array([[1, 1, 2, 2]]), [1, 1], pred_masks=masks)
>>> round(evaluate([example], "voc07")["mAP"][4], 4)  # one of two targets: precision 1 at the six recalls up to 0.5
0.5455
"""

import numpy as np
from jaxtyping import Bool, Float

from seriatim.metrics.ranking import THRESHOLDS, Curves, rank_by_iou, ranked_scoring

_RECALLS = np.arange(11) * 0.1
"""The eleven points as the programs have them: the fourth is 0.30000000000000004, which a recall of 3/10 misses."""


def _take_best_of_all(iou: Float[np.ndarray, "predictions targets"]) -> Bool[np.ndarray, "predictions thresholds"]:
    num_preds, num_targets = iou.shape
    right = np.zeros((num_preds, len(THRESHOLDS)), dtype=bool)
    best = iou.argmax(axis=1)
    reached = iou[np.arange(num_preds), best][:, None] >= np.array(THRESHOLDS)
    taken = np.zeros((num_targets, len(THRESHOLDS)), dtype=bool)
    for index in np.flatnonzero(reached[:, 0]):
        right[index] = reached[index] & ~taken[best[index]]
        taken[best[index]] |= reached[index]
    return right


def _mean_of_eleven_points(curves: Curves) -> Float[np.ndarray, "resamples thresholds"]:
    """Of each right prediction, the points that the recall passes there, at the best precision from there on."""
    passed = np.searchsorted(_RECALLS, curves.hits / curves.num_targets[:, :, None], side="right")
    return (curves.best_precision() * np.diff(passed, axis=2, prepend=0)).sum(axis=2) / len(_RECALLS)


VOC07 = ranked_scoring(rank_by_iou(_take_best_of_all), _mean_of_eleven_points)
