"""Predictions of a class ranked by score over a data set: the frame that `sds`, `voc07` and `din` share.

They differ in what makes a prediction right and in how precision is averaged; each brings those two functions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from seriatim.metrics.example import Example
from seriatim.metrics.scoring import Weights, in_chunks, known, mean_known, quality_without_targets

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

    @classmethod
    def of_masks(cls, example: Example) -> "ScoredImage":
        """Predictions at full extent, void pixels among them."""
        return cls(example.overlap.iou(), example.pred_classes, example.pred_scores, example.target_classes)


Judge = Callable[[Float[np.ndarray, "predictions targets"]], Bool[np.ndarray, "predictions thresholds"]]
"""Which predictions of one class and image, best first, are right at each of `THRESHOLDS`."""

Average = Callable[
    [
        Float[np.ndarray, "resamples thresholds right"],
        Float[np.ndarray, "resamples thresholds right"],
        Float[np.ndarray, "resamples 1 right"],
        Float[np.ndarray, "resamples 1"],
    ],
    Float[np.ndarray, "resamples thresholds"],
]
"""Average precision from four things. Of every prediction that is right at any threshold, best first: how often it counts there as right
(0 or more), how many right ones there are up to it, how many predictions there are up to it. And the number of targets."""


@dataclass(frozen=True, eq=False)
class RankedClass:
    """The predictions of one class in an image, best first, and the number of its targets."""

    scores: Float64[np.ndarray, " predictions"]
    right: Bool[np.ndarray, "predictions thresholds"]
    num_targets: int


RankedImage = dict[int, RankedClass]
"""The table of an image: class -> its predictions."""


def rank_image(image: ScoredImage, judge: Judge) -> RankedImage:
    """The table of an image; equal scores keep the order emitted."""
    table = {}
    for class_id in np.unique(np.concatenate([image.pred_classes, image.target_classes])).tolist():
        preds = np.flatnonzero(image.pred_classes == class_id)
        targets = np.flatnonzero(image.target_classes == class_id)
        preds = preds[np.argsort(-image.pred_scores[preds], kind="stable")]
        right = judge(image.iou[np.ix_(preds, targets)])
        table[class_id] = RankedClass(image.pred_scores[preds], right, len(targets))
    return table


@dataclass(frozen=True, eq=False)
class _Ranking:
    """The predictions of one class in all images, best first; equal scores in the order of the images."""

    images: Int64[np.ndarray, " predictions"]
    right: Bool[np.ndarray, "predictions thresholds"]
    num_targets: Float64[np.ndarray, " images"]

    @classmethod
    def of(cls, tables: Sequence[RankedImage], class_id: int) -> "_Ranking":
        parts = [(index, table[class_id]) for index, table in enumerate(tables) if class_id in table]
        num_targets = np.zeros(len(tables))
        for index, part in parts:
            num_targets[index] = part.num_targets
        order = np.argsort(-np.concatenate([part.scores for _, part in parts]), kind="stable")
        images = np.repeat([index for index, _ in parts], [len(part.scores) for _, part in parts])
        return cls(images[order], np.concatenate([part.right for _, part in parts])[order], num_targets)

    def average(self, weights: Weights, average: Average) -> Float64[np.ndarray, "resamples thresholds"]:
        """Average precision of every resample at every threshold; NaN without a target."""
        places = np.flatnonzero(self.right.any(axis=1))
        right = self.right[places].T
        num_targets = (weights @ self.num_targets)[:, None]
        values = np.full((len(weights), right.shape[0]), np.nan)
        for chunk in in_chunks(len(weights), max(len(self.images), right.size)):
            counts = weights[chunk, self.images]
            seen = np.cumsum(counts, axis=1)[:, None, places]
            gains = counts[:, None, places] * right
            found = average(gains, np.cumsum(gains, axis=2), seen, np.maximum(num_targets[chunk], 1))
            values[chunk] = np.where(num_targets[chunk] > 0, found, np.nan)
        return values


class RankedPool:
    """All images of a ranking protocol."""

    def __init__(self, tables: Sequence[RankedImage], average: Average) -> None:
        """
        Args:
            tables: of the images, in the order of the data set.
            average: how precision is averaged.
        """
        self._num_images = len(tables)
        self._average = average
        self._rankings = {class_id: _Ranking.of(tables, class_id) for class_id in sorted(set().union(*tables))}

    def result(self) -> dict[str, Any]:
        """`thresholds`; `per_class` {class: one value a threshold, or None for a class without a target}; `mAP`, the mean over
        the classes with targets at each threshold; `AP_vol`, the mean of `mAP`. Without any target at all `mAP` is a list of None
        and `AP_vol` is None.
        """
        curves = self._curves(np.ones((1, self._num_images)))[:, 0]
        means = mean_known(curves)
        return {
            "thresholds": list(THRESHOLDS),
            "per_class": {
                class_id: None if np.isnan(curve).any() else curve.tolist()
                for class_id, curve in zip(self._rankings, curves, strict=True)
            },
            "mAP": [known(value) for value in means.tolist()],
            "AP_vol": known(float(means.mean())),
        }

    def resample(self, weights: Weights) -> dict[str, Any]:
        """`mAP`, a list with an array a threshold, and `AP_vol`."""
        means = mean_known(self._curves(weights))
        return {"mAP": list(means.T), "AP_vol": means.mean(axis=1)}

    def _curves(self, weights: Weights) -> Float64[np.ndarray, "classes resamples thresholds"]:
        curves = [ranking.average(weights, self._average) for ranking in self._rankings.values()]
        return np.stack(curves) if curves else np.zeros((0, len(weights), len(THRESHOLDS)))


def rate_ranking(table: RankedImage, average: Average) -> dict[str, Any]:
    """`quality` and `AP_vol` of the image alone, and its `mAP` at each threshold."""
    result = RankedPool([table], average).result()
    quality = result["AP_vol"]
    if quality is None:
        quality = quality_without_targets(sum(len(part.scores) for part in table.values()))
    return {"quality": quality, "AP_vol": result["AP_vol"], "mAP": result["mAP"]}


def best_from_here_on(
    values: Float[np.ndarray, "*axes predictions"],
) -> Float[np.ndarray, "*axes predictions"]:
    """The largest value at each place or any later one: the envelope of a precision curve.

    >>> best_from_here_on(np.array([0.5, 0.7, 0.2])).tolist()
    [0.7, 0.7, 0.2]
    """
    return np.maximum.accumulate(values[..., ::-1], axis=-1)[..., ::-1]


def precision_of(
    hits: Float[np.ndarray, "resamples thresholds right"], seen: Float[np.ndarray, "resamples 1 right"]
) -> Float[np.ndarray, "resamples thresholds right"]:
    """Share of right predictions among those seen; 0 before the first is seen.

    >>> precision_of(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 3.0]]])).round(3).tolist()
    [[[1.0, 0.667]]]
    """
    return hits / np.maximum(seen, 1)
