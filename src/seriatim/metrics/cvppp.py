"""Protocol `cvppp`: symmetric best Dice and counts, as the organisers of the leaf segmentation challenge score them.

With A and B the objects of two label maps, `BD(A, B) = 1/#A * sum_i max_j 2 |A_i n B_j| / (|A_i| + |B_j|)`: one object of B may be the best
of several of A, and the background is no object. Per image:

- `SBD`: the smaller of the two best Dices.
- `BD_pred_gt`: `BD(predictions, targets)`; `BD_gt_pred`: `BD(targets, predictions)`. 0 if either map is empty.
- `FGBGDice`: Dice of the union of all predictions with the union of all targets.
- `DiC`: number of predictions minus number of targets; `absDiC`: its size.

An image with neither targets nor predictions scores 0 in `SBD`, both best Dices and `FGBGDice`, as in the official program, although
nothing is wrong in it; its `DiC` is 0.

Predictions are taken as a label map in which the EARLIER one keeps a contested pixel; one that keeps none is not counted. Void pixels are
removed from both maps, and an object that lies wholly in void with them. Scores play no part, classes only in `per_class`; a crowd is an
object like any other.

Result: each of the six keys with `{"mean", "std"}` over the images (`std` divides by n - 1, and is 0.0 for a single image); `per_image`: the
six numbers of every image, in order; and `per_class` {class: the six keys for the objects of this class alone, over the images that hold
a prediction or a target of it, or None without a target}, which is our addition.

Source: Scharr et al., "Leaf segmentation in plant phenotyping: a collation study", Machine Vision and Applications 27(4), 2016, Eqs. 1-3 and
the organisers' Matlab and CodaLab programs. The program of 2014 counted the background as an object; ours, like that of 2016, does not.
Those programs take the lowest value of a map for background and a gap in the labels for an object; ours takes 0 for background, so that
an object may cover the whole image, and closes gaps first.

>>> from seriatim.metrics import evaluate
>>> example = Example.from_label_maps(np.array([[1, 1, 1, 2]]), np.array([[1, 1, 2, 2]]))
>>> scores = evaluate([example], "cvppp")
>>> round(scores["SBD"]["mean"], 4), scores["DiC"]["mean"]  # (4/5 + 2/3) / 2
(0.7333, 0.0)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from seriatim.metrics.example import Example
from seriatim.metrics.overlap import Overlap
from seriatim.metrics.scoring import ImageTable, Scoring, Weights, per_class

_KEYS = ("SBD", "BD_pred_gt", "BD_gt_pred", "FGBGDice", "DiC", "absDiC")


@dataclass(frozen=True)
class _Numbers:
    """The six scores of an image, or of one class in it, and its counts."""

    scores: dict[str, float]
    num_preds: int
    num_targets: int


def _tabulate(example: Example) -> ImageTable[_Numbers]:
    return ImageTable.of(example, _measure)


def _measure(overlap: Overlap) -> _Numbers:
    best_of_preds, best_of_targets = _best_dice(overlap)
    foreground = int(overlap.pred_areas.sum() + overlap.target_areas.sum())
    difference = overlap.num_preds - overlap.num_targets
    scores = {
        "SBD": min(best_of_preds, best_of_targets),
        "BD_pred_gt": best_of_preds,
        "BD_gt_pred": best_of_targets,
        "FGBGDice": 2 * int(overlap.intersections.sum()) / max(foreground, 1),
        "DiC": float(difference),
        "absDiC": float(abs(difference)),
    }
    return _Numbers(scores, overlap.num_preds, overlap.num_targets)


def _best_dice(overlap: Overlap) -> tuple[float, float]:
    """BD(predictions, targets) and BD(targets, predictions)."""
    dice = 2 * overlap.intersections / overlap.area_sums()
    best_of_preds = np.zeros(len(overlap.pred_areas))
    best_of_targets = np.zeros(len(overlap.target_areas))
    np.maximum.at(best_of_preds, overlap.preds, dice)
    np.maximum.at(best_of_targets, overlap.targets, dice)
    return (
        float(best_of_preds.sum()) / max(overlap.num_preds, 1),
        float(best_of_targets.sum()) / max(overlap.num_targets, 1),
    )


class _Pool:
    def __init__(self, tables: Sequence[ImageTable[_Numbers]]) -> None:
        self._tables = tables
        self._whole = [table.whole for table in tables]

    def result(self) -> dict[str, Any]:
        return {
            **_means_and_stds(self._whole),
            "per_image": [dict(one.scores) for one in self._whole],
            "per_class": per_class(
                self._tables,
                lambda numbers: _means_and_stds(numbers) if any(one.num_targets for one in numbers) else None,
            ),
        }

    def resample(self, weights: Weights) -> dict[str, Any]:
        return {key: weights @ values / weights.sum(axis=1) for key, values in _columns(self._whole).items()}


def _columns(numbers: Sequence[_Numbers]) -> dict[str, Float64[np.ndarray, " images"]]:
    return {key: np.array([one.scores[key] for one in numbers]) for key in _KEYS}


def _means_and_stds(numbers: Sequence[_Numbers]) -> dict[str, Any]:
    return {
        key: {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}
        for key, values in _columns(numbers).items()
    }


def _rate(table: ImageTable[_Numbers]) -> dict[str, Any]:
    whole = table.whole
    is_empty = whole.num_preds == whole.num_targets == 0
    return {"quality": 1.0 if is_empty else whole.scores["SBD"], **whole.scores}


CVPPP = Scoring(_tabulate, _Pool, _rate)
"""The quality of an image is its SBD."""
