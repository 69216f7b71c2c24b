"""Protocol `nuclei`: average precision per image and panoptic quality, as StarDist and Cellpose report them.

- `AP` {threshold: value}: predictions and targets are matched one to one, as many pairs with IoU **>=** threshold as there can be; TP /
  (TP + FP + FN) per image, then the mean over the images. An image with neither targets nor predictions scores 1 (StarDist's program says
  0, Cellpose's NaN).
- `PQ`: sum of the IoU of the pairs with IoU **>** 0.5, over (TP + FP/2 + FN/2), both pooled over the data set with all objects as one
  class. 1 if there is neither target nor prediction in any image, as for `AP`.
- `DiC`: mean over the images of the number of predictions minus the number of targets; `absDiC`: mean of its size.

Predictions are taken as a label map in which the EARLIER one keeps a contested pixel; one that keeps none is not counted. Void pixels are
removed from both maps, and an object that lies wholly in void with them. Scores play no part, classes only in `per_class`; a crowd is an
object like any other.

Result: the four keys above; `per_image`: the same of every image alone, in order; and `per_class` {class: the same of the objects of this
class alone, over the images that hold a prediction or a target of it, or None without a target}, which is our addition: those programs
know no classes.

Source: Schmidt et al., "Cell detection with star-convex polygons", MICCAI 2018, Sec. 3 (AP); Kirillov et al., "Panoptic segmentation", CVPR
2019, Eq. 1 (PQ). They differ from us in void: Kirillov et al. drop a false prediction that is more than half void, where we keep its part
outside void.

>>> from seriatim.metrics import evaluate
>>> target, pred = np.array([[1, 1, 1, 1, 1, 0, 2]]), np.array([[1, 1, 1, 0, 0, 0, 2]])
>>> scores = evaluate([Example.from_label_maps(target, pred)], "nuclei")
>>> scores["AP"]  # IoU 3/5 and 1/1: two right, then one right, one missed, one false
{0.5: 1.0, 0.6: 1.0, 0.7: 0.3333333333333333, 0.8: 0.3333333333333333, 0.9: 0.3333333333333333}
>>> scores["PQ"]  # (3/5 + 1) / 2
0.8
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from seriatim.metrics.example import Example
from seriatim.metrics.overlap import Overlap
from seriatim.metrics.scoring import ImageTable, Scoring, Weights, per_class

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)
"""IoU at which a pair counts as right for `AP`."""


@dataclass(frozen=True, eq=False)
class _Numbers:
    """Of one image, or of one class in it: precision at each threshold, the three terms of the panoptic quality, and the counts."""

    precisions: Float64[np.ndarray, " thresholds"]
    terms: Float64[np.ndarray, " 3"]
    num_preds: int
    num_targets: int


def _tabulate(example: Example) -> ImageTable[_Numbers]:
    return ImageTable.of(example, _measure)


def _measure(overlap: Overlap) -> _Numbers:
    precisions = np.array([_precision(overlap, threshold) for threshold in THRESHOLDS])
    return _Numbers(precisions, _quality_terms(overlap), overlap.num_preds, overlap.num_targets)


def _precision(overlap: Overlap, threshold: float) -> float:
    """TP / (TP + FP + FN) of one image under a largest one-to-one matching; 1 for an empty image."""
    right = _num_matched(overlap, threshold)
    either = overlap.num_preds + overlap.num_targets - right
    return right / either if either else 1.0


def _num_matched(overlap: Overlap, threshold: float) -> int:
    """Size of the largest one-to-one matching of pairs with IoU >= threshold, for thresholds of at least 1/2.

    Say a prediction reaches IoU 1/2 with two targets. Each holds at least half of it, so each holds exactly half of it
    and lies wholly inside it, and no other prediction touches either. The same with the parts exchanged. So the pairs
    form stars, of which a matching takes one pair each, and stars are counted as nodes minus pairs.
    """
    chosen = overlap.iou() >= threshold
    preds, targets = overlap.preds[chosen], overlap.targets[chosen]
    return len(np.unique(preds)) + len(np.unique(targets)) - len(preds)


def _quality_terms(overlap: Overlap) -> Float64[np.ndarray, " 3"]:
    """Sum of IoU of the pairs above 1/2 (no object is in two of them), their number, and FP + FN."""
    iou = overlap.iou()
    iou = iou[iou > 0.5]
    return np.array([iou.sum(), len(iou), overlap.num_preds + overlap.num_targets - 2 * len(iou)], dtype=np.float64)


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


def _quality(terms: Float64[np.ndarray, "*axes 3"]) -> Float64[np.ndarray, "*axes"]:
    iou_sum, right, wrong = np.moveaxis(terms, -1, 0)
    return np.divide(iou_sum, right + wrong / 2, out=np.ones_like(iou_sum), where=right + wrong > 0)


class _Pool(_Means):
    def __init__(self, tables: Sequence[ImageTable[_Numbers]]) -> None:
        super().__init__([table.whole for table in tables])
        self._tables = tables

    def result(self) -> dict[str, Any]:
        return {
            **self.scores(),
            "per_image": [_Means([table.whole]).scores() for table in self._tables],
            "per_class": per_class(
                self._tables,
                lambda numbers: _Means(numbers).scores() if any(one.num_targets for one in numbers) else None,
            ),
        }


def _rate(table: ImageTable[_Numbers]) -> dict[str, Any]:
    return {"quality": float(table.whole.precisions.mean()), **_Means([table.whole]).scores()}


NUCLEI = Scoring(_tabulate, _Pool, _rate)
"""The quality of an image is the mean of its precisions."""
