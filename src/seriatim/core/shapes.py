"""The one vocabulary of axes, and the checks of shapes at the edge.

Axes in annotations (`Float[Tensor, "batch steps height width"]`):

    batch       images processed together          steps       emitted instances, in order
    instances   target objects of an image         channels    features
    height, width   pixels (row before column)     classes     object classes, without background
    levels      levels of a feature pyramid        points      samples in a feature space

Annotations are verified in tests (`--jaxtyping-packages=seriatim,beartype.beartype`), never in shipped code.
"""

from collections.abc import Sequence

import numpy as np

from seriatim.core.errors import ShapeError

Box = tuple[int, int, int, int]
"""(y0, x0, y1, x1), half-open, pixels of the image as displayed."""

Size = tuple[int, int]
"""(height, width) in pixels."""


def check_image_array(image: np.ndarray, where: str = "image") -> None:
    """Refuse what is not an image: HxW, HxWx3 or HxWx4 of uint8, uint16, another number type, or bool, all finite.

    Raises:
        ShapeError: saying what it got.
    """
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 2, 3, 4)):
        raise ShapeError(f"{where}: expected height x width (x 1 to 4 channels), got shape {image.shape}")
    if 0 in image.shape:
        raise ShapeError(f"{where}: has no pixels (shape {image.shape})")
    if image.dtype.kind not in "buif":
        raise ShapeError(f"{where}: expected numbers, got dtype {image.dtype}")
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise ShapeError(f"{where}: has pixels that are not finite (NaN or infinity)")


def check_label_map(labels: np.ndarray, where: str = "labels") -> None:
    """Refuse what is not a label map: height x width of integers, none negative.

    Raises:
        ShapeError: saying what it got.
    """
    if labels.ndim != 2:
        raise ShapeError(f"{where}: expected a label map height x width, got shape {labels.shape}")
    if labels.dtype.kind not in "bui":
        raise ShapeError(f"{where}: expected integer labels, got dtype {labels.dtype}")
    if labels.size and labels.dtype.kind == "i" and labels.min() < 0:
        raise ShapeError(f"{where}: has negative labels (smallest {labels.min()})")


def intersect_boxes(first: Box, second: Box) -> Box | None:
    """The box common to both, or None where they do not overlap.

    >>> intersect_boxes((0, 0, 4, 4), (2, 3, 9, 9))
    (2, 3, 4, 4)
    """
    y0, x0 = max(first[0], second[0]), max(first[1], second[1])
    y1, x1 = min(first[2], second[2]), min(first[3], second[3])
    return (y0, x0, y1, x1) if y0 < y1 and x0 < x1 else None


def box_slices(box: Sequence[int]) -> tuple[slice, slice]:
    """The index that cuts a box out of an array whose first axes are height and width."""
    return slice(box[0], box[2]), slice(box[1], box[3])
