"""Protocol `matching_iou`: semantic IoU counted only over the pixels of matched instances."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64
from scipy.optimize import linear_sum_assignment

from seriatim.core.errors import DataError
from seriatim.metrics.example import Example
from seriatim.metrics.overlap import LabelOverlap, overlap_label_maps
from seriatim.metrics.semantic import summarise_counts

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
    shared: dict[int, int] = {0: 0}
    predicted: dict[int, int] = {0: 0}
    true: dict[int, int] = {0: 0}
    for index, example in enumerate(examples):
        if (example.target_classes == 0).any() or (example.pred_classes == 0).any():
            raise DataError(f"examples[{index}]: class 0 is the background in matching_iou; number classes from 1")
        overlap = overlap_label_maps(
            example.pred_label_map,
            example.num_preds,
            example.target_labels,
            example.num_targets,
            example.void,
        )
        num_pixels = example.target_labels.size - (0 if example.void is None else int(example.void.sum()))
        num_pred, num_true = int(overlap.pred_areas.sum()), int(overlap.target_areas.sum())
        predicted[0] += num_pixels - num_pred
        true[0] += num_pixels - num_true
        shared[0] += num_pixels - num_pred - num_true + int(overlap.intersections.sum())
        _add(predicted, example.pred_classes, overlap.pred_areas)
        _add(true, example.target_classes, overlap.target_areas)
        _add(shared, *_matched_pixels(overlap, example))
    return summarise_counts(shared, predicted, true)


def _add(
    totals: dict[int, int], classes: Int64[np.ndarray, " segments"], pixels: Int64[np.ndarray, " segments"]
) -> None:
    for class_id, count in zip(classes.tolist(), pixels.tolist(), strict=True):
        totals[class_id] = totals.get(class_id, 0) + count


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
