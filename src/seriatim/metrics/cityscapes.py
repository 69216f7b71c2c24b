"""Protocol `cityscapes`: average precision as the evaluation program of the Cityscapes benchmark computes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from seriatim.core.errors import DataError
from seriatim.metrics.example import Example

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


def evaluate_cityscapes(examples: Sequence[Example]) -> dict[str, Any]:
    """Average precision over ten thresholds, with groups, void, small and far targets forgiven.

    A target is asked for if it has at least 100 pixels (for `AP100m` and `AP50m`: 1000 pixels, a median distance of at
    most 100 or 50 m, and a confidence of at least 0.5) and is no crowd. At a threshold t, the predictions of its class
    with IoU **>** t are its matches: the one with the highest score is right, the others are wrong. A prediction that
    matches nothing at all is wrong, unless more than the share t of its pixels is void, crowd of its class, or target of
    its class that is not asked for. One that matches only a crowd or a target not asked for is left out.

    Precision is not made monotone: with one point a distinct score, and the end point (precision 1, recall 0), AP is the
    sum of precision times half the recall between the neighbours of the point.

    Predictions may overlap and count at full extent, void included; empty ones are left out. The targets' void pixels
    belong to no target. Crowds of one class in one image are one region, as in the label images of the data set.

    Args:
        examples: at least one. Distances are given for every image that has targets, or for none.

    Returns:
        `AP` and `AP50` (threshold 0.5 alone); `AP100m` and `AP50m` (mean over the thresholds), None without distances;
        `per_class` {class: the same four}, where a value is None if no target of the class is asked for. Means are over
        the classes with a value, and None without any. A class with targets and no prediction has 0.

    Raises:
        DataError: if only some of the images with targets have distances.

    Source:
        Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016, Sec. 4, and
        cityscapesScripts, `evalInstanceLevelSemanticLabeling`. As there, a crowd that is itself too small or too far
        counts twice among the forgiven pixels.

    >>> target = np.zeros((20, 20), dtype=int)
    >>> target[:, :10] = 1
    >>> masks = np.stack([target == 1, target == 0])
    >>> scores = evaluate_cityscapes([Example(target, [1], pred_masks=masks, pred_scores=[0.4, 0.8])])
    >>> scores["AP"]  # a right one below a wrong one: precision 1/2 at recall 1, whose only neighbour has recall 0
    0.25
    """
    has_distances = _has_distances(examples)
    by_class: dict[int, list[_Image]] = {}
    for example in examples:
        image = _Image.of(example)
        for class_id in {*example.pred_classes.tolist(), *example.target_classes.tolist()}:
            by_class.setdefault(class_id, []).append(image)
    per_class = {}
    for class_id, images in sorted(by_class.items()):
        everywhere = _average_precision(images, class_id, _ALL)
        near, nearer = (
            (_average_precision(images, class_id, level) if has_distances else None)
            for level in (_WITHIN_100M, _WITHIN_50M)
        )
        per_class[class_id] = {
            "AP": _mean(everywhere),
            "AP50": None if everywhere is None else float(everywhere[0]),
            "AP100m": _mean(near),
            "AP50m": _mean(nearer),
        }
    means = {
        key: _mean([scores[key] for scores in per_class.values() if scores[key] is not None])
        for key in ("AP", "AP50", "AP100m", "AP50m")
    }
    return {**means, "per_class": per_class}


def _mean(values: Sequence[float] | Float64[np.ndarray, " values"] | None) -> float | None:
    return None if values is None or not len(values) else float(np.mean(values))


def _has_distances(examples: Sequence[Example]) -> bool:
    given = {
        index: example.target_distances is not None for index, example in enumerate(examples) if example.num_targets
    }
    if len(set(given.values())) > 1:
        missing = next(index for index, there in given.items() if not there)
        raise DataError(f"examples[{missing}]: has no target_distances, others have; give them for all images or none")
    return any(given.values())


@dataclass(frozen=True, eq=False)
class _Image:
    """One image: its predictions that have pixels, and its targets that keep some outside void.

    Attributes:
        shared: pixels of each prediction with each target.
        pred_areas: pixels of each prediction, void ones among them.
        pred_void: void pixels of each prediction.
    """

    shared: Int64[np.ndarray, "predictions targets"]
    pred_areas: Int64[np.ndarray, " predictions"]
    pred_void: Int64[np.ndarray, " predictions"]
    pred_classes: Int64[np.ndarray, " predictions"]
    pred_scores: Float64[np.ndarray, " predictions"]
    target_areas: Int64[np.ndarray, " targets"]
    target_classes: Int64[np.ndarray, " targets"]
    target_crowd: Bool[np.ndarray, " targets"]
    target_distances: Float64[np.ndarray, " targets"]
    target_confidences: Float64[np.ndarray, " targets"]

    @classmethod
    def of(cls, example: Example) -> "_Image":
        overlap = example.overlap
        preds, targets = np.flatnonzero(overlap.pred_areas), np.flatnonzero(overlap.valid_target_areas)
        distances, confidences = example.target_distances, example.target_distance_confidences
        unknown = np.zeros(example.num_targets)
        return cls(
            shared=overlap.valid_intersections[np.ix_(preds, targets)],
            pred_areas=overlap.pred_areas[preds],
            pred_void=(overlap.pred_areas - overlap.valid_pred_areas)[preds],
            pred_classes=example.pred_classes[preds],
            pred_scores=example.pred_scores[preds],
            target_areas=overlap.valid_target_areas[targets],
            target_classes=example.target_classes[targets],
            target_crowd=example.target_crowd[targets],
            target_distances=(unknown if distances is None else distances)[targets],
            target_confidences=(unknown if confidences is None else confidences)[targets],
        )


@dataclass(frozen=True, eq=False)
class _Judged:
    """The predictions of one class and image that count at a threshold, and what was asked for and not found."""

    scores: Float64[np.ndarray, " predictions"]
    right: Bool[np.ndarray, " predictions"]
    num_missed: int


def _average_precision(
    images: Sequence[_Image], class_id: int, level: _Level
) -> Float64[np.ndarray, " thresholds"] | None:
    """At each threshold; None if no target of the class is asked for."""
    judged = [_judge_image(image, class_id, level) for image in images]
    if not any(num_asked for num_asked, _ in judged):
        return None
    values = []
    for index in range(len(THRESHOLDS)):
        parts = [by_threshold[index] for _, by_threshold in judged]
        scores = np.concatenate([part.scores for part in parts])
        right = np.concatenate([part.right for part in parts])
        values.append(_area_under_curve(scores, right, sum(part.num_missed for part in parts)))
    return np.array(values)


def _judge_image(image: _Image, class_id: int, level: _Level) -> tuple[int, list[_Judged]]:
    """Number of targets asked for, and the verdict at each threshold."""
    preds = np.flatnonzero(image.pred_classes == class_id)
    of_class = image.target_classes == class_id
    single = np.flatnonzero(of_class & ~image.target_crowd)
    crowd = np.flatnonzero(of_class & image.target_crowd)
    pred_areas, scores = image.pred_areas[preds], image.pred_scores[preds]

    shared = image.shared[np.ix_(preds, single)]
    iou = shared / (image.target_areas[single] + pred_areas[:, None] - shared)
    out_of_reach = (image.target_distances > level.max_distance) | (image.target_confidences < level.min_confidence)
    asked = ~((image.target_areas[single] < level.min_area) | out_of_reach[single])

    crowd_shared = image.shared[np.ix_(preds, crowd)]
    crowd_area = image.target_areas[crowd].sum()
    crowd_iou = crowd_shared.sum(axis=1) / (crowd_area + pred_areas - crowd_shared.sum(axis=1))
    crowd_weight = 1 + ((crowd_area < level.min_area) | out_of_reach[crowd])
    forgiven = image.pred_void[preds] + crowd_shared @ crowd_weight + shared[:, ~asked].sum(axis=1)

    verdicts = []
    for threshold in THRESHOLDS:
        match = iou > threshold
        match_asked = match & asked
        right = np.zeros(len(preds), dtype=bool)
        found = np.flatnonzero(match_asked.any(axis=0))
        if len(found):
            right[np.where(match_asked[:, found], scores[:, None], -np.inf).argmax(axis=0)] = True
        unmatched = ~match.any(axis=1) & ~(crowd_iou > threshold)
        counts = match_asked.any(axis=1) | (unmatched & (forgiven / pred_areas <= threshold))
        verdicts.append(_Judged(scores[counts], right[counts], int(asked.sum()) - len(found)))
    return int(asked.sum()), verdicts


def _area_under_curve(
    scores: Float64[np.ndarray, " predictions"], right: Bool[np.ndarray, " predictions"], num_missed: int
) -> float:
    if not len(scores):
        return 0.0
    _, place = np.unique(-scores, return_inverse=True)
    hits = np.cumsum(np.bincount(place, weights=right))
    precision = hits / np.cumsum(np.bincount(place))
    recall = hits / (right.sum() + num_missed)
    precision = np.r_[1.0, precision]
    before, after = np.r_[0.0, 0.0, recall[:-1]], np.r_[recall, recall[-1]]
    return float(precision @ (after - before)) / 2
