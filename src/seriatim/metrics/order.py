"""In which order a sequential model emits its objects: Kendall's tau against three plain orders."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float64, Int64

from seriatim.core.errors import DataError
from seriatim.metrics.example import Example

ORDERS = ("right_to_left", "bottom_to_top", "large_to_small")
"""The plain orders, by descending x and y of the centre of mass and by descending area."""


def correlate_orders(examples: Sequence[Example]) -> dict[str, float | int | None]:
    """How far the order emitted follows right to left, bottom to top, and large to small.

    Of each image with at least two predictions, Kendall's tau-a between the order emitted and each plain order; then the
    mean over those images. Predictions count at full extent; empty ones have no place and are left out.

    Args:
        examples: at least one; targets play no part.

    Returns:
        The three `ORDERS`, each in -1..1 (1: emitted exactly so; -1: exactly the other way), None if no image has two
        predictions; and `num_images`, the number of images averaged.

    Raises:
        DataError: if there is no example.

    Source:
        Salvador et al., "Recurrent neural networks for semantic instance segmentation", 2017, Sec. 4.7.

    >>> pred = np.array([[2, 2, 0, 1]])
    >>> correlate_orders([Example.from_label_maps(np.zeros((1, 4), dtype=int), pred)])
    {'right_to_left': 1.0, 'bottom_to_top': 0.0, 'large_to_small': -1.0, 'num_images': 1}
    """
    if not len(examples):
        raise DataError("examples: needs at least one image, got none")
    found = []
    for example in examples:
        areas, centres = _places(example)
        there = areas > 0
        if there.sum() >= 2:
            keys = (centres[there, 1], centres[there, 0], areas[there])
            found.append([kendall_tau(-key.astype(np.float64)) for key in keys])
    means = np.mean(found, axis=0).tolist() if found else [None] * len(ORDERS)
    return {**dict(zip(ORDERS, means, strict=True)), "num_images": len(found)}


def kendall_tau(values: Float[np.ndarray, " instances"]) -> float:
    """Kendall's tau-a between the order of the values and the order in which they stand.

    `(P - Q) / (N (N - 1) / 2)` with P the pairs whose later value is larger, Q those whose later value is smaller; equal
    values are neither.

    Args:
        values: at least two.

    Raises:
        DataError: if there are fewer.

    >>> kendall_tau(np.array([1.0, 2.0, 4.0, 3.0]))  # 5 pairs ascend, 1 descends
    0.6666666666666666
    """
    num = len(values)
    if num < 2:
        raise DataError(f"values: Kendall's tau needs at least two, got {num}")
    signs = np.sign(values[None, :] - values[:, None])
    return float(np.triu(signs).sum()) / (num * (num - 1) / 2)


def _places(
    example: Example,
) -> tuple[Int64[np.ndarray, " predictions"], Float64[np.ndarray, "predictions 2"]]:
    """Pixels and centre of mass (y, x) of each prediction; the centre of an empty one is 0."""
    if example.pred_masks is None:
        numbers = example.pred_label_map.ravel()
        positions = np.flatnonzero(numbers)
        numbers = numbers[positions] - 1
    else:
        numbers, positions = example.pred_runs.pixels(np.arange(example.num_preds))
    rows, columns = np.divmod(positions, max(example.size[1], 1))
    areas = np.bincount(numbers, minlength=example.num_preds)
    sums = [np.bincount(numbers, places, example.num_preds) for places in (rows, columns)]
    return areas, np.stack(sums, axis=1) / np.maximum(areas, 1)[:, None]
