"""Predictions of a class ranked by score over a data set: the frame that `sds`, `voc07` and `din` share.

They differ in what makes a prediction right and in how precision is averaged; each brings those two functions.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The nine IoU thresholds over which AP_vol is the mean."""


@dataclass(frozen=True, eq=False)
class ScoredImage:
    """What a ranking needs of one image.

    Attributes:
        iou: of each prediction with each target, of whatever class.
        pred_classes: class of each prediction.
        pred_scores: confidence of each prediction.
        target_classes: class of each target.
    """

    iou: Float64[np.ndarray, "predictions targets"]
    pred_classes: Int64[np.ndarray, " predictions"]
    pred_scores: Float64[np.ndarray, " predictions"]
    target_classes: Int64[np.ndarray, " targets"]


Judge = Callable[[Float[np.ndarray, "predictions targets"]], Bool[np.ndarray, "predictions thresholds"]]
"""Which predictions of one class and image, best first, are right at each of `THRESHOLDS`."""

Average = Callable[[Bool[np.ndarray, "predictions thresholds"], int], Float[np.ndarray, " thresholds"]]
"""Average precision at each threshold, from the right ones of all images, best first, and the number of targets."""


def rank_classes(images: Sequence[ScoredImage], judge: Judge, average: Average) -> dict[str, Any]:
    """The result of a ranking protocol: average precision of every class at every threshold, and the means.

    The sort by score is stable: equal scores keep the order of the images, then the order emitted.

    Args:
        images: in the order of the data set.
        judge: which predictions of a class in an image are right.
        average: average precision of those of all images.

    Returns:
        `thresholds`; `per_class` {class: one value a threshold, or None for a class without a target}; `mAP`, the mean
        over the classes with targets at each threshold; `AP_vol`, the mean of `mAP`. Without any target at all `mAP` is
        a list of None and `AP_vol` is None.
    """
    classes = sorted(_classes_of(images))
    per_class = {class_id: _rank_class(images, class_id, judge, average) for class_id in classes}
    curves = [curve for curve in per_class.values() if curve is not None]
    means = np.mean(np.array(curves), axis=0) if curves else None
    return {
        "thresholds": list(THRESHOLDS),
        "per_class": per_class,
        "mAP": [None] * len(THRESHOLDS) if means is None else means.tolist(),
        "AP_vol": None if means is None else float(means.mean()),
    }


def _classes_of(images: Iterable[ScoredImage]) -> set[int]:
    found: set[int] = set()
    for image in images:
        found.update(image.pred_classes.tolist(), image.target_classes.tolist())
    return found


def _rank_class(images: Sequence[ScoredImage], class_id: int, judge: Judge, average: Average) -> list[float] | None:
    scores, right, num_targets = [], [], 0
    for image in images:
        targets = np.flatnonzero(image.target_classes == class_id)
        preds = np.flatnonzero(image.pred_classes == class_id)
        num_targets += len(targets)
        if len(preds):
            preds = preds[np.argsort(-image.pred_scores[preds], kind="stable")]
            scores.append(image.pred_scores[preds])
            right.append(judge(image.iou[np.ix_(preds, targets)]))
    if not num_targets:
        return None
    if not scores:
        return [0.0] * len(THRESHOLDS)
    order = np.argsort(-np.concatenate(scores), kind="stable")
    return average(np.concatenate(right)[order], num_targets).tolist()


def precision_at(
    right: Bool[np.ndarray, "predictions thresholds"],
) -> Float64[np.ndarray, "predictions thresholds"]:
    """Share of right predictions among the first k, for every k.

    >>> precision_at(np.array([[True], [False], [True], [True]]))[:, 0].round(3).tolist()
    [1.0, 0.5, 0.667, 0.75]
    """
    return np.cumsum(right, axis=0) / np.arange(1, len(right) + 1)[:, None]


def best_from_here_on(
    values: Float[np.ndarray, "predictions thresholds"],
) -> Float[np.ndarray, "predictions thresholds"]:
    """The largest value at each place or any later one: the envelope of a precision curve.

    >>> best_from_here_on(np.array([[0.5], [0.7], [0.2]]))[:, 0].tolist()
    [0.7, 0.7, 0.2]
    """
    return np.maximum.accumulate(values[::-1], axis=0)[::-1]
