"""Semantic segmentation: intersection over union of classes, objects not told apart."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer

from seriatim.core.errors import DataError, ShapeError
from seriatim.core.shapes import check_label_map


def score_semantic(
    pairs: Iterable[tuple[Integer[np.ndarray, "_ _"], Integer[np.ndarray, "_ _"]]],
    num_classes: int,
    voids: Iterable[Bool[np.ndarray, "_ _"] | None] | None = None,
) -> dict[str, Any]:
    """Mean intersection over union of semantic maps, summed over the data set before the division.

    Args:
        pairs: (target, prediction) of each image: integers, 0 background, 1..`num_classes` the classes.
        num_classes: number of classes without background.
        voids: pixels of each image to ignore, or None for an image without; none at all unless given.

    Returns:
        `per_class` {class: `TP / (TP + FP + FN)`, or None without a true pixel}, background as 0 among them; `mean_iou`
        over the classes with true pixels, background included; `mean_iou_foreground` without it.

    Raises:
        ShapeError: if a map is no label map, or two maps of an image differ in size.
        DataError: if there is no image, a class lies above `num_classes`, or there is not one void an image.

    Source:
        Everingham et al., "The PASCAL visual object classes challenge: a retrospective", IJCV 111(1), 2015, Sec. 4.

    >>> found = score_semantic([(np.array([[1, 1, 0, 0]]), np.array([[1, 0, 0, 2]]))], num_classes=2)
    >>> found["per_class"], round(found["mean_iou"], 4)
    ({0: 0.3333333333333333, 1: 0.5, 2: None}, 0.4167)
    """
    pairs = list(pairs)
    planes = [None] * len(pairs) if voids is None else list(voids)
    if not pairs:
        raise DataError("pairs: needs at least one image, got none")
    if len(planes) != len(pairs):
        raise DataError(f"voids: expected one an image ({len(pairs)}), got {len(planes)}")
    width = num_classes + 1
    confusion = np.zeros((width, width), dtype=np.int64)
    for index, ((target, pred), void) in enumerate(zip(pairs, planes, strict=True)):
        check_label_map(target, f"pairs[{index}] target")
        check_label_map(pred, f"pairs[{index}] prediction")
        if target.shape != pred.shape or (void is not None and (void.shape != target.shape or void.dtype != bool)):
            raise ShapeError(f"pairs[{index}]: target {target.shape}, prediction {pred.shape} and void differ in size")
        if void is not None:
            target, pred = target[~void], pred[~void]
        if target.size and max(int(target.max()), int(pred.max())) > num_classes:
            raise DataError(f"pairs[{index}]: class {max(target.max(), pred.max())} is above num_classes={num_classes}")
        codes = target.astype(np.int64).ravel() * width + pred.astype(np.int64).ravel()
        confusion += np.bincount(codes, minlength=width * width).reshape(width, width)
    classes = range(width)
    shared, predicted, true = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)
    return summarise_counts(*(dict(zip(classes, counts.tolist(), strict=True)) for counts in (shared, predicted, true)))


def summarise_counts(
    shared: Mapping[int, int], predicted: Mapping[int, int], true: Mapping[int, int]
) -> dict[str, Any]:
    """`mean_iou`, `mean_iou_foreground` and `per_class` from pixels of each class, 0 being the background.

    Args:
        shared: pixels both predicted and true; a class may be missing.
        predicted: pixels predicted; a class may be missing.
        true: true pixels; a class may be missing.
    """
    per_class = {
        class_id: _ratio(shared.get(class_id, 0), predicted.get(class_id, 0), true.get(class_id, 0))
        for class_id in sorted({*predicted, *true})
    }
    known = {class_id: iou for class_id, iou in per_class.items() if iou is not None}
    foreground = [iou for class_id, iou in known.items() if class_id]
    return {
        "mean_iou": float(np.mean(list(known.values()))) if known else None,
        "mean_iou_foreground": float(np.mean(foreground)) if foreground else None,
        "per_class": per_class,
    }


def _ratio(shared: int, predicted: int, true: int) -> float | None:
    return shared / (predicted + true - shared) if true else None
