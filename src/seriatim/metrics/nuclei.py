"""Protocol `nuclei`: average precision per image and panoptic quality, as StarDist and Cellpose report them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from seriatim.metrics.example import Example
from seriatim.metrics.overlap import LabelOverlap, overlap_label_maps, overlaps_of_classes
from seriatim.metrics.scoring import Scoring, Weights

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""IoU at which a pair counts as right for `AP`."""


def evaluate_nuclei(examples: Sequence[Example]) -> dict[str, Any]:
    """Average precision at five thresholds, panoptic quality and difference in count.

    - `AP` {threshold: value}: predictions and targets are matched one to one, as many pairs with IoU **>=** threshold as
      there can be; TP / (TP + FP + FN) per image, then the mean over the images. An image with neither targets nor
      predictions scores 1 (StarDist's program says 0, Cellpose's NaN).
    - `PQ`: sum of the IoU of the pairs with IoU **>** 0.5, over (TP + FP/2 + FN/2), both pooled over the data set with all
      objects as one class. 1 if there is neither target nor prediction in any image, as for `AP`.
    - `DiC`: mean over the images of the number of predictions minus the number of targets; `absDiC`: mean of its size.

    Predictions are taken as a label map in which the EARLIER one keeps a contested pixel; one that keeps none is not
    counted. Void pixels are removed from both maps, and an object that lies wholly in void with them. Scores play no part,
    classes only in `per_class`; a crowd is an object like any other.

    Args:
        examples: at least one.

    Returns:
        The four keys above; `per_image`: the same of every image alone, in order; and `per_class` {class: the same of the objects
        of this class alone, over the images that hold a prediction or a target of it, or None without a target}, which is our
        addition: those programs know no classes.

    Source:
        Schmidt et al., "Cell detection with star-convex polygons", MICCAI 2018, Sec. 3 (AP); Kirillov et al., "Panoptic
        segmentation", CVPR 2019, Eq. 1 (PQ). They differ from us in void: Kirillov et al. drop a false prediction that is
        more than half void, where we keep its part outside void.

    >>> target = np.array([[1, 1, 1, 1, 1, 0, 2]])
    >>> scores = evaluate_nuclei([Example.from_label_maps(target, np.array([[1, 1, 1, 0, 0, 0, 2]]))])
    >>> scores["AP"]  # IoU 3/5 and 1/1: two right, then one right, one missed, one false
    {0.5: 1.0, 0.6: 1.0, 0.7: 0.3333333333333333, 0.8: 0.3333333333333333, 0.9: 0.3333333333333333}
    >>> scores["PQ"]  # (3/5 + 1) / 2
    0.8
    """
    return NUCLEI.pool([NUCLEI.tabulate(example) for example in examples]).result()


@dataclass(frozen=True, eq=False)
class _Numbers:
    """Of one image, or of one class in it: precision at each threshold, the three terms of the panoptic quality, and the counts."""

    precisions: Float64[np.ndarray, " thresholds"]
    terms: Float64[np.ndarray, " 3"]
    num_preds: int
    num_targets: int

    @classmethod
    def of(cls, overlap: LabelOverlap) -> "_Numbers":
        precisions = np.array([_precision(overlap, threshold) for threshold in THRESHOLDS])
        return cls(precisions, _quality_terms(overlap), overlap.num_preds, overlap.num_targets)


@dataclass(frozen=True, eq=False)
class _Table:
    """One image: all its objects, and those of each class that it holds."""

    whole: _Numbers
    classes: dict[int, _Numbers]


class _Means:
    """The scores over some images, for any weighting of them."""

    def __init__(self, numbers: Sequence[_Numbers]) -> None:
        self._precisions = np.array([one.precisions for one in numbers])
        self._terms = np.array([one.terms for one in numbers])
        self._differences = np.array([one.num_preds - one.num_targets for one in numbers], dtype=np.float64)

    def scores(self) -> dict[str, Any]:
        means = self.resample(np.ones((1, len(self._terms))))
        return {
            "AP": {threshold: float(values[0]) for threshold, values in means["AP"].items()},
            **{key: float(means[key][0]) for key in ("PQ", "DiC", "absDiC")},
        }

    def resample(self, weights: Weights) -> dict[str, Any]:
        shares = weights / weights.sum(axis=1, keepdims=True)
        return {
            "AP": dict(zip(THRESHOLDS, (shares @ self._precisions).T, strict=True)),
            "PQ": _quality(weights @ self._terms),
            "DiC": shares @ self._differences,
            "absDiC": shares @ abs(self._differences),
        }


class _Pool:
    def __init__(self, tables: Sequence[_Table]) -> None:
        self._tables = tables
        self._means = _Means([table.whole for table in tables])

    def result(self) -> dict[str, Any]:
        return {
            **self._means.scores(),
            "per_image": [_Means([table.whole]).scores() for table in self._tables],
            "per_class": {
                class_id: self._of_class(class_id)
                for class_id in sorted(set().union(*(table.classes for table in self._tables)))
            },
        }

    def resample(self, weights: Weights) -> dict[str, Any]:
        return self._means.resample(weights)

    def _of_class(self, class_id: int) -> dict[str, Any] | None:
        numbers = [table.classes[class_id] for table in self._tables if class_id in table.classes]
        return _Means(numbers).scores() if any(one.num_targets for one in numbers) else None


def _tabulate(example: Example) -> _Table:
    overlap = overlap_label_maps(
        example.pred_label_map, example.num_preds, example.target_labels, example.num_targets, example.void
    )
    parts = overlaps_of_classes(overlap, example.pred_classes, example.target_classes)
    return _Table(_Numbers.of(overlap), {class_id: _Numbers.of(part) for class_id, part in parts.items()})


def _precision(overlap: LabelOverlap, threshold: float) -> float:
    """TP / (TP + FP + FN) of one image under a largest one-to-one matching; 1 for an empty image."""
    right = _num_matched(overlap, threshold)
    either = overlap.num_preds + overlap.num_targets - right
    return right / either if either else 1.0


def _num_matched(overlap: LabelOverlap, threshold: float) -> int:
    """Size of the largest one-to-one matching of pairs with IoU >= threshold, for thresholds of at least 1/2.

    Say a prediction reaches IoU 1/2 with two targets. Each holds at least half of it, so each holds exactly half of it
    and lies wholly inside it, and no other prediction touches either. The same with the parts exchanged. So the pairs
    form stars, of which a matching takes one pair each, and stars are counted as nodes minus pairs.
    """
    chosen = overlap.iou() >= threshold
    preds, targets = overlap.preds[chosen], overlap.targets[chosen]
    return len(np.unique(preds)) + len(np.unique(targets)) - len(preds)


def _quality_terms(overlap: LabelOverlap) -> Float64[np.ndarray, " 3"]:
    """Sum of IoU of the pairs above 1/2 (no object is in two of them), their number, and FP + FN."""
    iou = overlap.iou()
    iou = iou[iou > 0.5]
    return np.array([iou.sum(), len(iou), overlap.num_preds + overlap.num_targets - 2 * len(iou)], dtype=np.float64)


def _quality(terms: Float64[np.ndarray, "*axes 3"]) -> Float64[np.ndarray, "*axes"]:
    iou_sum, right, wrong = np.moveaxis(terms, -1, 0)
    return np.divide(iou_sum, right + wrong / 2, out=np.ones_like(iou_sum), where=right + wrong > 0)


NUCLEI = Scoring(
    tabulate=_tabulate,
    pool=_Pool,
    rate=lambda table: {"quality": float(table.whole.precisions.mean()), **_Means([table.whole]).scores()},
)
"""The parts of the protocol; the quality of an image is the mean of its precisions."""
