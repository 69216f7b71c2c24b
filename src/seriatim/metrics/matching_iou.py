"""Protocol `matching_iou`: semantic IoU counted only over the pixels of matched instances."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import linear_sum_assignment

from seriatim.core.errors import DataError
from seriatim.metrics.example import Example
from seriatim.metrics.overlap import LabelOverlap, overlap_label_maps
from seriatim.metrics.scoring import Scoring, Weights, known, mean_known, quality_without_targets, ratio

_TIE_BREAK = 1e-9


def evaluate_matching_iou(examples: Sequence[Example]) -> dict[str, Any]:
    """Intersection over union of every class, where only pixels of matched segments are shared.

    Predictions are taken as a label map in which the EARLIER one keeps a contested pixel; void pixels are removed from
    both maps. In each image, predicted and target segments are matched one to one with the largest total weight, the
    weight of a pair being its IoU if the classes agree and 0 otherwise; among matchings of equal weight the one that
    shares more pixels holds. Then, over the data set, `IoU_c = TP_c / (P_c + G_c - TP_c)`: pixels shared by matched
    segments of class c, and pixels of class c predicted and true. Background is class 0 and is shared where both maps have
    it. Scores play no part; a crowd is an object like any other.

    This is the variant whose sums run over the data set before the division; one that averages over images differs.

    Args:
        examples: at least one; classes from 1.

    Returns:
        `per_class` {class: IoU, or None without a true pixel}, background as 0 among them; `mean_iou` over the classes
        with true pixels, background included; `mean_iou_foreground` without it. None where nothing is to be averaged.

    Raises:
        DataError: if a target or prediction has class 0.

    Source:
        Arnab and Torr, "Pixelwise instance segmentation with a dynamically instantiated network", CVPR 2017, Secs. 3.4 and
        4.2; no program of it is public.

    >>> target, pred = np.array([[1, 1, 1, 2, 0, 0]]), np.array([[1, 1, 2, 2, 0, 0]])
    >>> evaluate_matching_iou([Example.from_label_maps(target, pred)])["per_class"]  # (2 + 1) / (4 + 4 - 3)
    {0: 1.0, 1: 0.6}
    """
    for index, example in enumerate(examples):
        _check(example, f"examples[{index}]")
    return MATCHING_IOU.pool([MATCHING_IOU.tabulate(example) for example in examples]).result()


@dataclass(frozen=True)
class _Table:
    """Pixels of each class of one image, 0 being the background: shared, predicted and true; a class may be missing."""

    shared: dict[int, int]
    predicted: dict[int, int]
    true: dict[int, int]


class _Pool:
    def __init__(self, tables: Sequence[_Table]) -> None:
        self._classes = sorted(set().union(*(set(table.predicted) | set(table.true) for table in tables)))
        self._shared, self._predicted, self._true = (
            np.array(
                [[getattr(table, name).get(class_id, 0) for class_id in self._classes] for table in tables], dtype=float
            )
            for name in ("shared", "predicted", "true")
        )

    def result(self) -> dict[str, Any]:
        weights = np.ones((1, len(self._true)))
        means = self.resample(weights)
        return {
            "mean_iou": known(means["mean_iou"][0]),
            "mean_iou_foreground": known(means["mean_iou_foreground"][0]),
            "per_class": {
                class_id: known(iou) for class_id, iou in zip(self._classes, self._iou(weights)[0], strict=True)
            },
        }

    def resample(self, weights: Weights) -> dict[str, Any]:
        iou = self._iou(weights).T
        return {"mean_iou": mean_known(iou), "mean_iou_foreground": mean_known(iou[1:])}

    def _iou(self, weights: Weights) -> Float64[np.ndarray, "resamples classes"]:
        shared, predicted, true = (weights @ counts for counts in (self._shared, self._predicted, self._true))
        return np.where(true > 0, ratio(shared, predicted + true - shared), np.nan)


def _check(example: Example, where: str) -> None:
    if (example.target_classes == 0).any() or (example.pred_classes == 0).any():
        raise DataError(f"{where}: class 0 is the background in matching_iou; number classes from 1")


def _tabulate(example: Example) -> _Table:
    _check(example, "example")
    overlap = overlap_label_maps(
        example.pred_label_map, example.num_preds, example.target_labels, example.num_targets, example.void
    )
    num_pixels = example.target_labels.size - (0 if example.void is None else int(example.void.sum()))
    num_pred, num_true = int(overlap.pred_areas.sum()), int(overlap.target_areas.sum())
    num_shared = num_pixels - num_pred - num_true + int(overlap.intersections.sum())
    return _Table(
        shared={0: num_shared, **_sums(*_matched_pixels(overlap, example))},
        predicted={0: num_pixels - num_pred, **_sums(example.pred_classes, overlap.pred_areas)},
        true={0: num_pixels - num_true, **_sums(example.target_classes, overlap.target_areas)},
    )


def _sums(classes: Int64[np.ndarray, " segments"], pixels: Int64[np.ndarray, " segments"]) -> dict[int, int]:
    totals: dict[int, int] = {}
    for class_id, count in zip(classes.tolist(), pixels.tolist(), strict=True):
        totals[class_id] = totals.get(class_id, 0) + count
    return totals


def _rate(table: _Table) -> dict[str, Any]:
    result = _Pool([table]).result()
    quality = result["mean_iou_foreground"]
    if quality is None:
        quality = quality_without_targets(len(table.predicted) - 1)
    return {"quality": quality, "mean_iou": result["mean_iou"], "mean_iou_foreground": result["mean_iou_foreground"]}


def _matched_pixels(
    overlap: LabelOverlap, example: Example
) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """Class and shared pixels of each matched pair."""
    agree = example.pred_classes[overlap.preds] == example.target_classes[overlap.targets]
    preds, targets = overlap.preds[agree], overlap.targets[agree]
    weights = np.zeros((example.num_preds, example.num_targets))
    pixels = np.zeros((example.num_preds, example.num_targets), dtype=np.int64)
    pixels[preds, targets] = overlap.intersections[agree]
    weights[preds, targets] = overlap.iou()[agree]
    weights += _TIE_BREAK * pixels / max(example.target_labels.size, 1)
    rows, columns = linear_sum_assignment(weights, maximize=True)
    return example.target_classes[columns], pixels[rows, columns]


MATCHING_IOU = Scoring(tabulate=_tabulate, pool=_Pool, rate=_rate)
"""The parts of the protocol; the quality of an image is its IoU over the classes that are in it, without background."""
