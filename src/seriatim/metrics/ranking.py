"""Predictions of a class ranked by score over a data set: what the protocols of average precision share.

`coco` and `cityscapes` take the order of the predictions from here. `sds`, `voc07` and `din` take the whole frame: they differ only in what
makes a prediction right (`Judge`) and in how precision is averaged (`Average`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from seriatim.metrics.example import Example
from seriatim.metrics.scoring import Scoring, Weights, by_class, in_chunks, known, mean_known, quality_or

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""The nine IoU thresholds over which AP_vol is the mean."""

Judge = Callable[[Float[np.ndarray, "predictions targets"]], Bool[np.ndarray, "predictions thresholds"]]
"""Which predictions of one class and image, best first, are right at each of `THRESHOLDS`; asked only where there is a target."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Of each resample, the predictions that are right at any threshold, best first.

    Attributes:
        gains: how often each counts there as right, 0 or more.
        hits: right predictions up to each.
        seen: predictions up to each.
        num_targets: targets of the resample.
    """

    gains: Float[np.ndarray, "resamples thresholds right"]
    hits: Float[np.ndarray, "resamples thresholds right"]
    seen: Float[np.ndarray, "resamples 1 right"]
    num_targets: Float[np.ndarray, "resamples 1"]

    def best_precision(self) -> Float[np.ndarray, "resamples thresholds right"]:
        """Precision at each of them or any later one, whichever is largest."""
        return best_from_here_on(precision_of(self.hits, self.seen))


Average = Callable[[Curves], Float[np.ndarray, "resamples thresholds"]]
"""Average precision of each resample at each threshold."""


@dataclass(frozen=True, eq=False)
class RankedClass:
    """The predictions of one class in an image, best first, and the number of its targets."""

    scores: Float64[np.ndarray, " predictions"]
    right: Bool[np.ndarray, "predictions thresholds"]
    num_targets: int


RankedImage = dict[int, RankedClass]
"""The table of an image: class -> its predictions."""


def rank_image(
    example: Example,
    iou: Float64[np.ndarray, "predictions targets"],
    judge: Judge,
    is_pred: Bool[np.ndarray, " predictions"] | None = None,
    is_target: Bool[np.ndarray, " targets"] | None = None,
) -> RankedImage:
    """The table of an image; equal scores keep the order emitted.

    Args:
        example: gives classes and scores.
        iou: of each prediction with each target, of whatever class.
        judge: says which predictions are right.
        is_pred: predictions that count; all unless given.
        is_target: targets that count; all unless given.
    """
    table = {}
    for class_id in np.unique(np.concatenate([example.pred_classes, example.target_classes])).tolist():
        of_class, targets_of_class = example.pred_classes == class_id, example.target_classes == class_id
        preds = np.flatnonzero(of_class if is_pred is None else of_class & is_pred)
        targets = np.flatnonzero(targets_of_class if is_target is None else targets_of_class & is_target)
        preds = preds[np.argsort(-example.pred_scores[preds], kind="stable")]
        right = np.zeros((len(preds), len(THRESHOLDS)), dtype=bool)
        if len(targets):
            right = judge(iou[np.ix_(preds, targets)])
        table[class_id] = RankedClass(example.pred_scores[preds], right, len(targets))
    return table


def rank_by_iou(judge: Judge) -> Callable[[Example], RankedImage]:
    """Tabulates an example by the IoU of its predictions at full extent with its targets, all of which count."""
    return lambda example: rank_image(example, example.overlap.iou_table(), judge)


def rank(
    scores: Sequence[tuple[int, Float64[np.ndarray, " _"]]],
) -> tuple[Int64[np.ndarray, " predictions"], Int64[np.ndarray, " predictions"]]:
    """The order, best first, of the predictions of several images, and the image of each in that order.

    Args:
        scores: number of each image and its scores; equal ones keep this order.

    >>> [part.tolist() for part in rank([(3, np.array([0.5, 0.2])), (7, np.array([0.9, 0.5]))])]
    [[2, 0, 3, 1], [7, 3, 7, 3]]
    """
    order = np.argsort(-np.concatenate([one for _, one in scores]), kind="stable")
    return order, np.repeat([index for index, _ in scores], [len(one) for _, one in scores])[order]


def uncontested(near: Bool[np.ndarray, "predictions targets"]) -> Bool[np.ndarray, " predictions"]:
    """Which predictions are near one target alone, to which no other prediction is near: their order plays no part.

    >>> uncontested(np.array([[True, False], [False, True], [False, True]])).tolist()
    [True, False, False]
    """
    return near[:, near.sum(axis=0) == 1].any(axis=1) & (near.sum(axis=1) == 1)


@dataclass(frozen=True, eq=False)
class _Ranking:
    """The predictions of one class in all images, best first."""

    images: Int64[np.ndarray, " predictions"]
    right: Bool[np.ndarray, "predictions thresholds"]
    num_targets: Float64[np.ndarray, " images"]

    @classmethod
    def of(cls, parts: Sequence[tuple[int, RankedClass]], num_images: int) -> "_Ranking":
        num_targets = np.zeros(num_images)
        for index, part in parts:
            num_targets[index] = part.num_targets
        order, images = rank([(index, part.scores) for index, part in parts])
        return cls(images, np.concatenate([part.right for _, part in parts])[order], num_targets)

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
            found = average(Curves(gains, np.cumsum(gains, axis=2), seen, np.maximum(num_targets[chunk], 1)))
            values[chunk] = np.where(num_targets[chunk] > 0, found, np.nan)
        return values


class _RankedPool:
    """All images of a ranking protocol."""

    def __init__(self, tables: Sequence[RankedImage], average: Average) -> None:
        self._num_images = len(tables)
        self._average = average
        self._rankings = {class_id: _Ranking.of(parts, len(tables)) for class_id, parts in by_class(tables).items()}

    def result(self) -> dict[str, Any]:
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
        means = mean_known(self._curves(weights))
        return {"mAP": list(means.T), "AP_vol": means.mean(axis=1)}

    def _curves(self, weights: Weights) -> Float64[np.ndarray, "classes resamples thresholds"]:
        curves = [ranking.average(weights, self._average) for ranking in self._rankings.values()]
        return np.stack(curves) if curves else np.zeros((0, len(weights), len(THRESHOLDS)))


def ranked_scoring(tabulate: Callable[[Example], RankedImage], average: Average) -> Scoring:
    """The parts of a protocol that ranks; the quality of an image is its AP_vol."""

    def rate(table: RankedImage) -> dict[str, Any]:
        result = _RankedPool([table], average).result()
        num_preds = sum(len(part.scores) for part in table.values())
        return {"quality": quality_or(result["AP_vol"], num_preds), "AP_vol": result["AP_vol"], "mAP": result["mAP"]}

    return Scoring(tabulate, lambda tables: _RankedPool(tables, average), rate)


def best_from_here_on(
    values: Float[np.ndarray, "*axes predictions"],
) -> Float[np.ndarray, "*axes predictions"]:
    """The largest value at each place or any later one: the envelope of a precision curve.

    >>> best_from_here_on(np.array([0.5, 0.7, 0.2])).tolist()
    [0.7, 0.7, 0.2]
    """
    return np.maximum.accumulate(values[..., ::-1], axis=-1)[..., ::-1]


def precision_of(
    hits: Float[np.ndarray, "resamples thresholds right"], seen: Float[np.ndarray, "resamples _ right"]
) -> Float[np.ndarray, "resamples thresholds right"]:
    """Share of right predictions among those seen; 0 before the first is seen.

    >>> precision_of(np.array([[[1.0, 2.0]]]), np.array([[[1.0, 3.0]]])).round(3).tolist()
    [[[1.0, 0.667]]]
    """
    return hits / np.maximum(seen, 1)
