"""What an `Example` accepts: numbers, planes, label maps and masks, each refused with the name of the argument where it does not fit."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from seriatim.core.errors import ConfigError, DataError, ShapeError
from seriatim.core.instances import Instances
from seriatim.core.shapes import Size, check_label_map
from seriatim.metrics.overlap import Cut, count_labels

Numbers = Mapping[str, np.ndarray | None]
"""What was given, by the name of its argument; None where it was not."""


def read_numbers(values: Any, where: str, kinds: str) -> np.ndarray | None:
    """Numbers along one axis, of the kinds (letters of numpy) allowed; None stays None."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.ndim != 1:
        raise ShapeError(f"{where}: expected one axis, got shape {array.shape}")
    if array.dtype.kind not in kinds and len(array):
        expected = {"b": "bool", "iu": "integers", "fiu": "numbers"}[kinds]
        raise ShapeError(f"{where}: expected {expected}, got dtype {array.dtype}")
    return array


def read_classes(values: np.ndarray | None, count: int, where: str) -> Int64[np.ndarray, " count"]:
    """Classes, all 1 unless given."""
    if values is None:
        return np.ones(count, dtype=np.int64)
    values = values.astype(np.int64)
    if (values < 0).any():
        raise DataError(f"{where}: expected classes from 0, got {values.min()}")
    return values


def read_floats(values: np.ndarray | None, where: str) -> Float64[np.ndarray, " count"] | None:
    """Numbers, infinite ones among them, but no NaN."""
    if values is not None and np.isnan(values).any():
        raise DataError(f"{where}: expected numbers, got NaN")
    return None if values is None else values.astype(np.float64)


def read_plane(values: Any, size: Size) -> Bool[np.ndarray, "height width"]:
    """The void pixels."""
    plane = np.asarray(values)
    if plane.shape != size or plane.dtype != bool:
        raise ShapeError(f"void: expected bool {size}, got {plane.dtype} {plane.shape}")
    return plane


def size_of_masks(masks: Any, where: str) -> Size:
    """(height, width) of the image of masks of any kind."""
    if isinstance(masks, Instances):
        return masks.size
    if _are_codes(masks):
        size = masks[0].get("size")
        if isinstance(size, list | tuple) and len(size) == 2:
            return int(size[0]), int(size[1])
        raise DataError(f"{where}[0]: expected a run-length code with a size of two numbers")
    planes = np.asarray(masks)
    if planes.ndim != 3:
        raise ShapeError(f"{where}: expected bool (masks, height, width), got {planes.dtype} {planes.shape}")
    return planes.shape[1], planes.shape[2]


def read_masks(masks: Any, size: Size, where: str) -> Any:
    """Masks that fit an image of `size`: bool planes, `Instances`, or run-length codes, which become a tuple."""
    if isinstance(masks, Instances) or _are_codes(masks):
        if size_of_masks(masks, where) != size:
            raise ShapeError(f"{where}: of an image of {size_of_masks(masks, where)} pixels, expected {size}")
        return masks if isinstance(masks, Instances) else tuple(masks)
    planes = np.asarray(masks)
    if planes.ndim and not len(planes):
        return np.zeros((0, *size), dtype=bool)
    if planes.ndim != 3 or planes.shape[1:] != size or planes.dtype != bool:
        kind = "predictions" if where == "pred_masks" else "targets"
        raise ShapeError(f"{where}: expected bool ({kind}, {size[0]}, {size[1]}), got {planes.dtype} {planes.shape}")
    return planes


def _are_codes(masks: Any) -> bool:
    return isinstance(masks, list | tuple) and len(masks) > 0 and isinstance(masks[0], Mapping)


def check_distances(given: Numbers) -> None:
    """Distances and their confidences come together."""
    if (given["target_distances"] is None) != (given["target_distance_confidences"] is None):
        raise ConfigError("target_distances and target_distance_confidences: give both or neither")


def check_counts(given: Numbers, count: int, what: str) -> None:
    """Everything given has one entry a prediction or target."""
    for name, values in given.items():
        if values is not None and len(values) != count:
            raise ShapeError(f"{name}: expected one a {what} ({count}), got {len(values)}")


def _num_attributes(given: Numbers) -> int | None:
    counts = {name: len(values) for name, values in given.items() if values is not None}
    if len(set(counts.values())) > 1:
        raise ShapeError(f"attributes of different length: {', '.join(f'{name} {n}' for name, n in counts.items())}")
    return next(iter(counts.values()), None)


def close_gaps(
    labels: np.ndarray, where: str, given: Numbers, cut: Cut | None = None
) -> tuple[Int32[np.ndarray, "height width"], Int64[np.ndarray, " targets"]]:
    """The labels of a checked map as 1..G without gaps, and the position of each one's attributes."""
    present, dense = count_labels(labels, cut)
    expected = _num_attributes(given)
    if expected is None or expected == len(present):
        return dense, np.arange(len(present))
    if len(present) and present[-1] > expected:
        raise ShapeError(
            f"{where}: {len(present)} labels up to {present[-1]} do not fit the {expected} entries of "
            f"{', '.join(name for name, values in given.items() if values is not None)}"
        )
    return dense, present - 1


def keep_gaps(labels: np.ndarray, size: Size, given: Numbers) -> tuple[Int32[np.ndarray, "height width"], int]:
    """The labels of predictions as 1..P, and P: a label without pixels stays if it has attributes."""
    check_label_map(labels, "pred_labels")
    if labels.shape != size:
        raise ShapeError(f"pred_labels: expected the shape of target_labels {size}, got {labels.shape}")
    expected = _num_attributes(given)
    dense, positions = close_gaps(labels, "pred_labels", given)
    if expected is None or expected == len(positions):
        return dense, len(positions)
    return np.append(0, positions + 1).astype(np.int32)[dense], expected
