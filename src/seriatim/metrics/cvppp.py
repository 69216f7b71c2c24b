"""Protocol `cvppp`: symmetric best Dice and counts, as the organisers of the leaf segmentation challenge score them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from seriatim.metrics.example import Example
from seriatim.metrics.overlap import LabelOverlap, overlap_label_maps
from seriatim.metrics.scoring import Scoring, Weights

_KEYS = ("SBD", "BD_pred_gt", "BD_gt_pred", "FGBGDice", "DiC", "absDiC")


def evaluate_cvppp(examples: Sequence[Example]) -> dict[str, Any]:
    """Best Dice, foreground Dice and difference in count, per image, then mean and deviation over the images.

    With A and B the objects of two label maps, `BD(A, B) = 1/#A * sum_i max_j 2 |A_i n B_j| / (|A_i| + |B_j|)`: one
    object of B may be the best of several of A, and the background is no object.

    - `SBD`: the smaller of the two best Dices of the image.
    - `BD_pred_gt`: `BD(predictions, targets)`; `BD_gt_pred`: `BD(targets, predictions)`. 0 if either map is empty.
    - `FGBGDice`: Dice of the union of all predictions with the union of all targets.
    - `DiC`: number of predictions minus number of targets; `absDiC`: its size.

    An image with neither targets nor predictions scores 0 in `SBD`, both best Dices and `FGBGDice`, as in the official
    program, although nothing is wrong in it; its `DiC` is 0.

    Predictions are taken as a label map in which the EARLIER one keeps a contested pixel; one that keeps none is not
    counted. Void pixels are removed from both maps, and an object that lies wholly in void with them. Classes and scores
    play no part; a crowd is an object like any other.

    Args:
        examples: at least one.

    Returns:
        Each of the six keys with `{"mean", "std"}` (`std` divides by n - 1, and is 0.0 for a single image), and
        `per_image`: the six numbers of every image, in order.

    Source:
        Scharr et al., "Leaf segmentation in plant phenotyping: a collation study", Machine Vision and Applications
        27(4), 2016, Eqs. 1-3 and the organisers' Matlab and CodaLab programs. The program of 2014 counted the background
        as an object; ours, like that of 2016, does not. Those programs take the lowest value of a map for background and
        a gap in the labels for an object; ours takes 0 for background, so that an object may cover the whole image, and
        closes gaps first.

    >>> target = np.array([[1, 1, 1, 2]])
    >>> scores = evaluate_cvppp([Example.from_label_maps(target, np.array([[1, 1, 2, 2]]))])
    >>> round(scores["SBD"]["mean"], 4), scores["DiC"]["mean"]  # (4/5 + 2/3) / 2
    (0.7333, 0.0)
    """
    return CVPPP.pool([CVPPP.tabulate(example) for example in examples]).result()


@dataclass(frozen=True)
class _Table:
    """The six numbers of an image, and whether it has neither targets nor predictions."""

    scores: dict[str, float]
    is_empty: bool


class _Pool:
    def __init__(self, tables: Sequence[_Table]) -> None:
        self._tables = tables
        self._values = {key: np.array([table.scores[key] for table in tables]) for key in _KEYS}

    def result(self) -> dict[str, Any]:
        result: dict[str, Any] = {key: _mean_and_std(values) for key, values in self._values.items()}
        return {**result, "per_image": [dict(table.scores) for table in self._tables]}

    def resample(self, weights: Weights) -> dict[str, Any]:
        return {key: weights @ values / weights.sum(axis=1) for key, values in self._values.items()}


def _tabulate(example: Example) -> _Table:
    overlap = overlap_label_maps(
        example.pred_label_map, example.num_preds, example.target_labels, example.num_targets, example.void
    )
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
    return _Table(scores, is_empty=overlap.num_preds == overlap.num_targets == 0)


def _best_dice(overlap: LabelOverlap) -> tuple[float, float]:
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


def _mean_and_std(values: Float64[np.ndarray, " images"]) -> dict[str, float]:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"mean": float(np.mean(values)), "std": spread}


CVPPP = Scoring(
    tabulate=_tabulate,
    pool=_Pool,
    rate=lambda table: {"quality": 1.0 if table.is_empty else table.scores["SBD"], **table.scores},
)
"""The parts of the protocol."""
