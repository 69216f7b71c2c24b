"""Protocol `cityscapes`: average precision over ten thresholds, with groups, void, small and far targets forgiven.

A target is asked for if it has at least 100 pixels (for `AP100m` and `AP50m`: 1000 pixels, a median distance of at most 100 or 50 m,
and a confidence of at least 0.5) and is no crowd. At a threshold t, the predictions of its class with IoU **>** t are its matches: the one
with the highest score is right, the others are wrong. A prediction that matches nothing at all is wrong, unless more than the share t of
its pixels is void, crowd of its class, or target of its class that is not asked for. One that matches only a crowd or a target not asked
for is left out.

Precision is not made monotone: with one point a distinct score, and the end point (precision 1, recall 0), AP is the sum of precision
times half the recall between the neighbours of the point.

Predictions may overlap and count at full extent, void included; empty ones are left out. The targets' void pixels belong to no target.
Crowds of one class in one image are one region, as in the label images of the data set. Distances are given for every image that has
targets, or for none.

Result: `AP` and `AP50` (threshold 0.5 alone); `AP100m` and `AP50m` (mean over the thresholds), None without distances; `per_class` {class:
the same four}, where a value is None if no target of the class is asked for. Means are over the classes with a value, and None without
any. A class with targets and no prediction has 0.

Source: Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016, Sec. 4, and cityscapesScripts,
`evalInstanceLevelSemanticLabeling`. As there, a crowd that is itself too small or too far counts twice among the forgiven pixels.

>>> from seriatim.metrics import evaluate
>>> target = np.zeros((20, 20), dtype=int)
>>> target[:, :10] = 1
>>> masks = np.stack([target == 1, target == 0])
>>> scores = evaluate([Example(target, [1], pred_masks=masks, pred_scores=[0.4, 0.8])], "cityscapes")
>>> scores["AP"]  # a right one below a wrong one: precision 1/2 at recall 1, whose only neighbour has recall 0
0.25
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from seriatim.core.errors import DataError
from seriatim.metrics.example import Example
from seriatim.metrics.ranking import rank
from seriatim.metrics.scoring import Scoring, Weights, by_class, in_chunks, known, mean_known, quality_or

THRESHOLDS = np.arange(0.5, 1.0, 0.05)
"""IoU thresholds 0.5, 0.55, ... 0.95."""


@dataclass(frozen=True)
class _Level:
    """Which targets are asked for: at least so large, at most so far (metres), with at least this trust in the distance."""

    min_area: int
    max_distance: float
    min_confidence: float


_ALL = _Level(100, np.inf, -np.inf)
_WITHIN_100M = _Level(1000, 100.0, 0.5)
_WITHIN_50M = _Level(1000, 50.0, 0.5)

_KEYS = ("AP", "AP50", "AP100m", "AP50m")


@dataclass(frozen=True, eq=False)
class _Verdicts:
    """The predictions of one class in an image at one level, those that count at any threshold.

    Attributes:
        scores: of each.
        counts: whether it is right or wrong at each threshold, and not left out.
        right: whether it is right.
        num_missed: targets asked for and not found, at each threshold.
        num_asked: targets asked for.
    """

    scores: Float64[np.ndarray, " predictions"]
    counts: Bool[np.ndarray, "thresholds predictions"]
    right: Bool[np.ndarray, "thresholds predictions"]
    num_missed: Int64[np.ndarray, " thresholds"]
    num_asked: int


@dataclass(frozen=True)
class _Table:
    """One image: whether its targets have distances (None without a target), and of each class the verdicts at the levels."""

    has_distances: bool | None
    classes: dict[int, list[_Verdicts]]


def _tabulate(example: Example) -> _Table:
    example = example.with_crowds_labelled()
    shared = example.valid_overlap.table(example.valid_overlap.intersections)
    has_distances = example.target_distances is not None if example.num_targets else None
    levels = [_ALL] if has_distances is False else [_ALL, _WITHIN_100M, _WITHIN_50M]
    classes = {*example.pred_classes.tolist(), *example.target_classes.tolist()}
    return _Table(
        has_distances,
        {class_id: [_judge_image(example, shared, class_id, level) for level in levels] for class_id in classes},
    )


def _check_distances(tables: Sequence[_Table]) -> bool:
    """Whether the images have distances; all that have targets, or none."""
    given = {index: table.has_distances for index, table in enumerate(tables) if table.has_distances is not None}
    if len(set(given.values())) > 1:
        missing = next(index for index, there in given.items() if not there)
        raise DataError(f"examples[{missing}]: has no target_distances, others have; give them for all images or none")
    return any(given.values())


class _Pool:
    def __init__(self, tables: Sequence[_Table]) -> None:
        num_levels = 3 if _check_distances(tables) else 1
        self._num_images = len(tables)
        self._rankings = {
            class_id: [
                _Ranking.of([(index, levels[level]) for index, levels in parts], len(tables))
                for level in range(num_levels)
            ]
            for class_id, parts in by_class([table.classes for table in tables]).items()
        }

    def result(self) -> dict[str, Any]:
        values = self._values(np.ones((1, self._num_images)))[:, :, 0]
        means = mean_known(values)
        return {
            **{key: known(value) for key, value in zip(_KEYS, means.tolist(), strict=True)},
            "per_class": {
                class_id: {key: known(value) for key, value in zip(_KEYS, of_class, strict=True)}
                for class_id, of_class in zip(self._rankings, values.tolist(), strict=True)
            },
        }

    def resample(self, weights: Weights) -> dict[str, Any]:
        return dict(zip(_KEYS, mean_known(self._values(weights)), strict=True))

    def _values(self, weights: Weights) -> Float64[np.ndarray, "classes 4 resamples"]:
        """The four numbers of every class; NaN where no target is asked for."""
        values = np.full((len(self._rankings), len(_KEYS), len(weights)), np.nan)
        for row, levels in zip(values, self._rankings.values(), strict=True):
            everywhere, *near = (ranking.average(weights) for ranking in levels)
            row[:2] = everywhere.mean(axis=1), everywhere[:, 0]
            for place, found in enumerate(near, start=2):
                row[place] = found.mean(axis=1)
        return values


# `coco` has a class of the same name: what it holds and how it averages are other rules, and only the types of the fields look alike.
# The fields are declared as those of `coco._Ranking` and `overlap.Overlap` are; they have other axes and meanings.
@dataclass(frozen=True, eq=False)
class _Ranking:
    """The predictions of one class in all images at one level, best first."""

    images: Int64[np.ndarray, " predictions"]
    is_last: Bool[np.ndarray, " predictions"]
    counts: Bool[np.ndarray, "thresholds predictions"]
    right: Bool[np.ndarray, "thresholds predictions"]
    num_missed: Float64[np.ndarray, "thresholds images"]
    num_asked: Float64[np.ndarray, " images"]

    @classmethod
    def of(cls, parts: Sequence[tuple[int, _Verdicts]], num_images: int) -> "_Ranking":
        num_missed, num_asked = np.zeros((len(THRESHOLDS), num_images)), np.zeros(num_images)
        for index, part in parts:
            num_missed[:, index], num_asked[index] = part.num_missed, part.num_asked
        scores = np.concatenate([part.scores for _, part in parts])
        order, images = rank([(index, part.scores) for index, part in parts])
        return cls(
            images,
            np.diff(scores[order], append=-np.inf) != 0,
            np.concatenate([part.counts for _, part in parts], axis=1)[:, order],
            np.concatenate([part.right for _, part in parts], axis=1)[:, order],
            num_missed,
            num_asked,
        )

    def average(self, weights: Weights) -> Float64[np.ndarray, "resamples thresholds"]:
        """Average precision of every resample at every threshold; NaN if no target is asked for."""
        values = np.zeros((len(weights), len(THRESHOLDS)))
        for chunk in in_chunks(len(weights), max(self.counts.size, 1)):
            items = weights[chunk, self.images][:, None, :]
            hits = np.cumsum(items * self.right, axis=2)[:, :, self.is_last]
            seen = np.cumsum(items * self.counts, axis=2)[:, :, self.is_last]
            values[chunk] = _area_under_curve(hits, seen, weights[chunk] @ self.num_missed.T)
        return np.where((weights @ self.num_asked > 0)[:, None], values, np.nan)


def _judge_image(
    example: Example, shared_pixels: Int64[np.ndarray, "predictions targets"], class_id: int, level: _Level
) -> _Verdicts:
    """The verdicts on the predictions of one class that have pixels, against its targets that keep some outside void."""
    overlap, target_areas = example.valid_overlap, example.valid_overlap.target_areas
    preds = np.flatnonzero((example.pred_classes == class_id) & (example.overlap.pred_areas > 0))
    of_class = (example.target_classes == class_id) & (target_areas > 0)
    single = np.flatnonzero(of_class & ~example.target_crowd)
    crowd = np.flatnonzero(of_class & example.target_crowd)
    pred_areas, scores = example.overlap.pred_areas[preds], example.pred_scores[preds]

    shared = shared_pixels[np.ix_(preds, single)]
    iou = shared / (target_areas[single] + pred_areas[:, None] - shared)
    out_of_reach = np.zeros(example.num_targets, dtype=bool)
    if example.target_distances is not None and example.target_distance_confidences is not None:
        out_of_reach = (example.target_distances > level.max_distance) | (
            example.target_distance_confidences < level.min_confidence
        )
    asked = ~((target_areas[single] < level.min_area) | out_of_reach[single])

    crowd_shared = shared_pixels[np.ix_(preds, crowd)]
    crowd_area = target_areas[crowd].sum()
    crowd_iou = crowd_shared.sum(axis=1) / (crowd_area + pred_areas - crowd_shared.sum(axis=1))
    crowd_weight = 1 + ((crowd_area < level.min_area) | out_of_reach[crowd])
    forgiven = (pred_areas - overlap.pred_areas[preds]) + crowd_shared @ crowd_weight + shared[:, ~asked].sum(axis=1)

    counts, right = np.zeros((2, len(THRESHOLDS), len(preds)), dtype=bool)
    num_missed = np.zeros(len(THRESHOLDS), dtype=np.int64)
    for place, threshold in enumerate(THRESHOLDS):
        match = iou > threshold
        match_asked = match & asked
        found = np.flatnonzero(match_asked.any(axis=0))
        if len(found):
            right[place, np.where(match_asked[:, found], scores[:, None], -np.inf).argmax(axis=0)] = True
        unmatched = ~match.any(axis=1) & ~(crowd_iou > threshold)
        counts[place] = match_asked.any(axis=1) | (unmatched & (forgiven / pred_areas <= threshold))
        num_missed[place] = asked.sum() - len(found)
    some = counts.any(axis=0)
    return _Verdicts(scores[some], counts[:, some], right[:, some], num_missed, int(asked.sum()))


def _area_under_curve(
    hits: Float64[np.ndarray, "resamples thresholds scores"],
    seen: Float64[np.ndarray, "resamples thresholds scores"],
    num_missed: Float64[np.ndarray, "resamples thresholds"],
) -> Float64[np.ndarray, "resamples thresholds"]:
    if not hits.shape[2]:
        return np.zeros(num_missed.shape)
    precision = np.divide(hits, seen, out=np.ones_like(hits), where=seen > 0)  # what is not seen repeats the end point
    recall = hits / np.maximum(hits[:, :, -1] + num_missed, 1)[:, :, None]
    start = np.zeros((*num_missed.shape, 1))
    precision = np.concatenate([start + 1, precision], axis=2)
    before = np.concatenate([start, start, recall[:, :, :-1]], axis=2)
    after = np.concatenate([recall, recall[:, :, -1:]], axis=2)
    return (precision * (after - before)).sum(axis=2) / 2


def _rate(table: _Table) -> dict[str, Any]:
    result = _Pool([table]).result()
    levels = [of_class[0] for of_class in table.classes.values()]
    num_wrong = sum(int((part.counts[0] & ~part.right[0]).sum()) for part in levels)
    return {"quality": quality_or(result["AP"], num_wrong), "AP": result["AP"], "AP50": result["AP50"]}


CITYSCAPES = Scoring(tabulate=_tabulate, pool=_Pool, rate=_rate)
"""The quality of an image is its AP."""
