"""Protocol `coco`: average precision and recall of masks as the COCO program has them, computed from tables and equal to it.

AP is the mean over IoU 0.5:0.05:0.95 of the precision at 101 recalls, then over the classes with targets; AR the mean over the same IoU
of the highest recall with at most 1, 10 or 100 predictions of a class an image. A match has IoU >= threshold; a crowd may be matched by
many predictions, whose IoU with it is the share of their own pixels, and those count neither way. Small is up to 32 x 32 pixels, large
from 96 x 96 on, a target by the area that its file states, if given.

Predictions may overlap and count at full extent; an empty one is wrong. So do targets that are masks, hidden ones and crowds among
them. Void plays no part.

Result: the keys of `KEYS`, where a number that no target bears on is -1, as that program has it; and `per_class` {class: the same keys for
the class alone, where such a number is None; or None without a target}.

Source: Lin et al., "Microsoft COCO: common objects in context", ECCV 2014, and pycocotools' `COCOeval`, whose rules these are, down to its
binary numbers and its order of equal scores and equal IoU. It is not called: the tests compare with it at 1e-12.

>>> from seriatim.metrics import evaluate
>>> target = np.array([[1, 1, 0, 2]])
>>> scores = evaluate([Example(target, [1, 1], pred_masks=(target == 1)[None])], "coco")
>>> round(scores["AP"], 4), scores["AR100"], scores["AP_large"]  # 51 of 101 recalls are reached
(0.505, 0.5, -1.0)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from seriatim.metrics.example import Example
from seriatim.metrics.ranking import best_from_here_on, precision_of, rank, uncontested
from seriatim.metrics.scoring import Scoring, Weights, by_class, in_chunks, known, mean_known, quality_or, ratio

KEYS = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR1",
    "AR10",
    "AR100",
    "AR_small",
    "AR_medium",
    "AR_large",
)
"""The twelve numbers in the order in which pycocotools prints them."""

THRESHOLDS = np.minimum(np.linspace(0.5, 0.95, 10), 1 - 1e-10)
"""IoU that a match needs; the binary numbers of the program."""

RECALLS = np.linspace(0.0, 1.0, 101)
"""Recalls at which precision is read; the binary numbers of the program."""

AREAS = np.array([[0, 1e10], [0, 32**2], [32**2, 96**2], [96**2, 1e10]])
"""Smallest and largest number of pixels: all, small, medium, large."""

MAX_PREDICTIONS = (1, 10, 100)
"""Best predictions of a class in an image that are looked at for AR1, AR10 and AR100; all other numbers take 100."""


@dataclass(frozen=True, eq=False)
class _Class:
    """One class in one image: its best predictions, best first, and its targets.

    Attributes:
        scores: of the predictions.
        right: whether a prediction matches a target that counts, for each range of areas and threshold.
        wrong: whether it counts against precision.
        num_targets: that count, in each range of areas.
    """

    scores: Float64[np.ndarray, " predictions"]
    right: Bool[np.ndarray, "areas thresholds predictions"]
    wrong: Bool[np.ndarray, "areas thresholds predictions"]
    num_targets: Int64[np.ndarray, " areas"]


Table = dict[int, _Class]
"""Class -> what is kept of it in an image."""


def tabulate(
    example: Example,
    intersections: Int64[np.ndarray, "predictions targets"],
    pred_areas: Int64[np.ndarray, " predictions"],
    target_areas: Int64[np.ndarray, " targets"],
) -> Table:
    """The table of an image, of masks or of boxes.

    Args:
        example: whose whole targets count.
        intersections: area that each prediction shares with each target.
        pred_areas: of the predictions, from which follow their sizes too.
        target_areas: of the targets, for the intersection over union.
    """
    truth = example.whole_targets
    small, large = AREAS[:, :1], AREAS[:, 1:]
    preds_outside = (pred_areas < small) | (pred_areas > large)
    targets_ignored = (truth.areas < small) | (truth.areas > large) | truth.crowd
    table = {}
    for class_id in np.unique(np.concatenate([truth.classes, example.pred_classes])).tolist():
        targets = np.flatnonzero(truth.classes == class_id)
        preds = np.flatnonzero(example.pred_classes == class_id)
        preds = preds[np.argsort(-example.pred_scores[preds], kind="stable")[: MAX_PREDICTIONS[-1]]]
        shared = intersections[np.ix_(preds, targets)]
        areas = pred_areas[preds][:, None]
        unions = np.where(truth.crowd[targets], areas, areas + target_areas[targets] - shared)
        ignored = targets_ignored[:, targets]
        matched, forgiven = _match(shared / np.maximum(unions, 1), truth.crowd[targets], ignored)
        forgiven |= ~matched & preds_outside[:, None, preds]
        table[class_id] = _Class(
            example.pred_scores[preds], matched & ~forgiven, ~matched & ~forgiven, (~ignored).sum(axis=1)
        )
    return table


def _tabulate_masks(example: Example) -> Table:
    overlap = example.whole_overlap
    return tabulate(example, overlap.table(overlap.intersections), overlap.pred_areas, overlap.target_areas)


def _match(
    iou: Float64[np.ndarray, "predictions targets"],
    crowd: Bool[np.ndarray, " targets"],
    ignored: Bool[np.ndarray, "areas targets"],
) -> tuple[Bool[np.ndarray, "areas thresholds predictions"], Bool[np.ndarray, "areas thresholds predictions"]]:
    """Which predictions, taken in their order, match a target, and which of them match one that is ignored.

    Each takes, of the targets that are free or a crowd, the one with the largest IoU, of equal ones the last, and an ignored one
    only if there is no other.
    """
    matched, forgiven = np.zeros((2, len(AREAS), len(THRESHOLDS), len(iou)), dtype=bool)
    near = iou >= THRESHOLDS[0]
    alone = uncontested(near)
    rows, columns = np.nonzero(near & alone[:, None])
    matched[:, :, rows] = iou[rows, columns] >= THRESHOLDS[:, None]
    forgiven[:, :, rows] = matched[:, :, rows] & ignored[:, None, columns]
    free = np.ones((len(AREAS), len(THRESHOLDS), iou.shape[1]), dtype=bool)
    for row in np.flatnonzero(near.any(axis=1) & ~alone):
        columns = np.flatnonzero(near[row])[::-1]  # so that the first largest is the last
        values = iou[row, columns]
        fits = free[:, :, columns] & (values >= THRESHOLDS[:, None])
        plain = fits & ~ignored[:, None, columns]
        has_plain = plain.any(axis=2)
        best = np.where(np.where(has_plain[:, :, None], plain, fits), values, -1.0).argmax(axis=2)
        hit = fits.any(axis=2)
        matched[:, :, row] = hit
        forgiven[:, :, row] = hit & ~has_plain
        area, threshold = np.nonzero(hit)
        taken = columns[best[hit]]
        free[area, threshold, taken] = crowd[taken]
    return matched, forgiven


@dataclass(frozen=True, eq=False)
class _Ranking:
    """One class in all images, best first; equal scores in the order of the images.

    Attributes:
        images: image of each prediction.
        right: as in `_Class`.
        wrong: as in `_Class`.
        num_targets: that count, in each range of areas, in each image.
        num_right: of the first 1, 10 and 100 predictions, and of 100 that are small, medium and large.
    """

    images: Int64[np.ndarray, " predictions"]
    right: Bool[np.ndarray, "areas thresholds predictions"]
    wrong: Bool[np.ndarray, "areas thresholds predictions"]
    num_targets: Float64[np.ndarray, "areas images"]
    num_right: Float64[np.ndarray, "6 thresholds images"]

    @classmethod
    def of(cls, parts: Sequence[tuple[int, _Class]], num_images: int) -> "_Ranking":
        num_targets = np.zeros((len(AREAS), num_images))
        num_right = np.zeros((6, len(THRESHOLDS), num_images))
        for index, part in parts:
            num_targets[:, index] = part.num_targets
            for place, count in enumerate(MAX_PREDICTIONS):
                num_right[place, :, index] = part.right[0, :, :count].sum(axis=1)
            num_right[3:, :, index] = part.right[1:].sum(axis=2)
        order, images = rank([(index, part.scores) for index, part in parts])
        right = np.concatenate([part.right for _, part in parts], axis=2)[:, :, order]
        wrong = np.concatenate([part.wrong for _, part in parts], axis=2)[:, :, order]
        return cls(images, right, wrong, num_targets, num_right)

    def scores(self, weights: Weights) -> Float64[np.ndarray, "12 resamples"]:
        """The twelve numbers; NaN where no target counts."""
        num_targets = self.num_targets @ weights.T
        values = np.full((len(KEYS), len(weights)), np.nan)
        for area in range(len(AREAS)):
            if not num_targets[area].any():
                continue
            precision = self._average_precision(area, weights, num_targets[area])
            values[0 if area == 0 else 2 + area] = precision.mean(axis=1)
            if area == 0:
                values[1:3] = precision[:, 0], precision[:, 5]
        recalls = ratio(
            self.num_right @ weights.T,
            np.broadcast_to(num_targets[[0, 0, 0, 1, 2, 3], None], (6, len(THRESHOLDS), len(weights))),
        )
        values[6:] = recalls.mean(axis=1)
        return values

    def _average_precision(
        self, area: int, weights: Weights, num_targets: Float64[np.ndarray, " resamples"]
    ) -> Float64[np.ndarray, "resamples thresholds"]:
        """Of each right prediction, the recalls that are reached there, at the best precision from there on."""
        right, counts = self.right[area], self.right[area] | self.wrong[area]
        some = counts.any(axis=0)
        places = np.flatnonzero(right[:, some].any(axis=0))
        right, counts, images = right[:, some][:, places], counts[:, some], self.images[some]
        values = np.zeros((len(weights), len(THRESHOLDS)))
        if len(places):
            counts = counts[:1] if counts.all() else counts
            for chunk in in_chunks(len(weights), counts.size + right.size):
                items = weights[chunk, images][:, None, :]
                seen = np.cumsum(items * counts, axis=2)[:, :, places]
                hits = np.cumsum(items[:, :, places] * right, axis=2)
                best = best_from_here_on(precision_of(hits, seen))
                passed = _recalls_reached(hits.astype(np.int64), num_targets[chunk])
                values[chunk] = (best * np.diff(passed, axis=2, prepend=0)).sum(axis=2) / len(RECALLS)
        return np.where(num_targets[:, None] > 0, values, np.nan)


def _recalls_reached(
    hits: Int64[np.ndarray, "resamples thresholds right"], num_targets: Float64[np.ndarray, " resamples"]
) -> Int64[np.ndarray, "resamples thresholds right"]:
    """How many of the recalls lie at or below hits / targets."""
    num_counts = int(hits.max(initial=0)) + 1
    table = np.searchsorted(RECALLS, np.arange(num_counts) / np.maximum(num_targets, 1)[:, None], side="right")
    return np.take_along_axis(table, hits.reshape(len(hits), -1), axis=1).reshape(hits.shape)


class Pool:
    """The tables of all images."""

    def __init__(self, tables: Sequence[Table]) -> None:
        self._num_images = len(tables)
        self._rankings = {class_id: _Ranking.of(parts, len(tables)) for class_id, parts in by_class(tables).items()}

    def result(self) -> dict[str, Any]:
        """The numbers of the protocol."""
        scores = self._scores(np.ones((1, self._num_images)))[:, :, 0]
        means = mean_known(scores)
        per_class = {
            class_id: dict(zip(KEYS, map(known, values), strict=True)) if ranking.num_targets[0].any() else None
            for (class_id, ranking), values in zip(self._rankings.items(), scores, strict=True)
        }
        return {**dict(zip(KEYS, np.where(np.isnan(means), -1.0, means).tolist(), strict=True)), "per_class": per_class}

    def resample(self, weights: Weights) -> dict[str, Any]:
        """The twelve numbers of each resampled data set."""
        return dict(zip(KEYS, mean_known(self._scores(weights)), strict=True))

    def _scores(self, weights: Weights) -> Float64[np.ndarray, "classes 12 resamples"]:
        scores = [ranking.scores(weights) for ranking in self._rankings.values()]
        return np.array(scores).reshape(len(scores), len(KEYS), len(weights))


def rate(table: Table) -> dict[str, Any]:
    """The numbers of one image, `quality` first: its AP."""
    result = Pool([table]).result()
    numbers = {key: None if result[key] < 0 else result[key] for key in ("AP", "AP50", "AP75", "AR100")}
    num_wrong = sum(int(part.wrong[0, 0].sum()) for part in table.values())
    return {"quality": quality_or(numbers["AP"], num_wrong), **numbers}


COCO = Scoring(tabulate=_tabulate_masks, pool=Pool, rate=rate)
"""The quality of an image is its AP."""
