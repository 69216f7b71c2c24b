"""Polygons of COCO annotations: what is wrong with them, and the pixels that they cover.

pycocotools draws them, so that every pixel is as in COCO's own programs. It ends the process on NaN, infinity and coordinates beyond 32 bits,
and its work grows with the length of the outline at five points a pixel, so `check_polygons` goes first and bounds both.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from pycocotools import mask as mask_api

from seriatim.core import rle
from seriatim.core.errors import DataError
from seriatim.core.shapes import Box, Size
from seriatim.data.readers.json_values import describe

MAX_SIDES_OUTSIDE = 10
"""How far from the image a corner may lie, in lengths of the image's longer side."""

MAX_OUTLINES = 20
"""How long the outline of one object may be, in outlines of the image."""

ROUNDING = 1.0
"""Pixels by which a corner may lie outside the image without a remark."""

MIN_THICKNESS = 1e-6
"""Pixels; corners that lie nearer than this to one line enclose nothing."""

Extent = tuple[float | int, float | int, float | int, float | int]
"""(y0, x0, y1, x1) of a mask, half-open, in pixels."""

Corners = Float[np.ndarray, " _coordinates"]
"""x, y, x, y, ... of one polygon, in pixels; (0, 0) is the upper left corner of the upper left pixel."""


def check_polygons(polygons: list[Any], size: Size) -> tuple[list[Corners], Extent, list[str]]:
    """The polygons of one object that can be drawn, their bounding box, and remarks on the others.

    Args:
        polygons: what the file holds, lists of x, y, x, y, ...
        size: (height, width) of the image in pixels.

    Returns:
        the usable polygons, at least one; (y0, x0, y1, x1) of their corners, cut to the image; and a remark on each that encloses nothing, lies outside or is cut at the image's edge.

    Raises:
        DataError: saying what is wrong, without the place; no polygon then can be trusted, or none is left.

    >>> check_polygons([[0, 0, 4, 0, 4, 9]], (5, 5))[1:]
    ((0, 0, 5, 4), ['polygon 0 leaves the image; cut at its edge'])
    """
    if not polygons:
        raise DataError("segmentation holds no polygon")
    height, width = size
    parts, usable, remarks, max_length = [], [], [], 0.0
    top, left, bottom, right = height, width, 0, 0
    for number, polygon in enumerate(polygons):
        corners = _corners(polygon, number, size)
        x, y = polygon[0::2], polygon[1::2]
        x0, x1, y0, y1 = min(x), max(x), min(y), max(y)
        parts.append(corners)
        max_length += len(x) * max(x1 - x0, y1 - y0)
        if _encloses_nothing(corners):
            remarks.append(f"polygon {number} has no area")
        elif x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
            remarks.append(f"polygon {number} lies outside the image")
        else:
            usable.append(corners)
            top, left, bottom, right = min(top, y0), min(left, x0), max(bottom, y1), max(right, x1)
            if min(x0, y0) < -ROUNDING or x1 > width + ROUNDING or y1 > height + ROUNDING:
                remarks.append(f"polygon {number} leaves the image; cut at its edge")
    limit = MAX_OUTLINES * 2 * (height + width)
    if max_length > limit and sum(map(_length, parts)) > limit:
        raise DataError(f"the outline is longer than {MAX_OUTLINES} times that of the image")
    if not usable:
        raise DataError("; ".join(remarks[:5]))
    return usable, (max(top, 0), max(left, 0), min(bottom, height), min(right, width)), remarks


def rasterise_polygons(polygons: list[Corners], size: Size) -> tuple[Box, Bool[np.ndarray, "box_height box_width"]]:
    """The smallest box and the mask inside it of the union of polygons that `check_polygons` passed; empty where they cover no pixel.

    >>> rasterise_polygons([np.array([1.0, 1.0, 3.0, 1.0, 3.0, 2.0, 1.0, 2.0])], (5, 5))
    ((1, 1, 2, 3), array([[ True,  True]]))
    """
    parts: Any = polygons  # its stubs know neither arrays nor lists of polygons
    codes: Any = mask_api.frPyObjects(parts, *size)
    code: Any = mask_api.merge(codes) if len(codes) > 1 else codes[0]
    return rle.decode({"size": list(size), "counts": rle.read_runs(code["counts"].decode())})


def _corners(polygon: Any, number: int, size: Size) -> Corners:
    if not isinstance(polygon, list):
        raise DataError(f"polygon {number}: expected a list of x, y, x, y, ..., got {describe(polygon)}")
    other_types = set(map(type, polygon)) - {int, float}
    if other_types:
        raise DataError(f"polygon {number}: holds {min(kind.__name__ for kind in other_types)} where numbers belong")
    if len(polygon) < 6 or len(polygon) % 2:
        raise DataError(f"polygon {number}: has {len(polygon)} numbers, expected pairs of x and y, at least three")
    try:
        whole = float(sum(polygon))  # NaN or infinite where a coordinate is
    except OverflowError:
        whole = float("inf")
    if not abs(whole) < float("inf"):
        raise DataError(f"polygon {number}: has coordinates that are no finite numbers, or far too large ones")
    low, high, room = min(polygon), max(polygon), MAX_SIDES_OUTSIDE * max(size)
    if low < -room or high > max(size) + room:
        raise DataError(
            f"polygon {number}: has coordinates from {describe(low)} to {describe(high)} "
            f"in an image of {size[0]} x {size[1]} pixels"
        )
    return np.array(polygon, dtype=np.float64)


def _length(corners: Corners) -> float:
    """Of the closed outline, as the drawing counts it: the longer of the steps in x and y."""
    points = corners.reshape(-1, 2)
    return float(np.abs(points - np.concatenate((points[1:], points[:1]))).max(axis=1).sum())


def _encloses_nothing(corners: Corners) -> bool:
    """Whether all corners lie on one line."""
    x0, y0, x1, y1, x2, y2 = corners[:6].tolist()
    if abs((x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)) > 1e-3:  # which decides nearly all
        return False
    x, y = corners[0::2] - corners[0], corners[1::2] - corners[1]
    distances = x * x + y * y
    far = int(distances.argmax())
    away = float(np.abs(x * y[far] - y * x[far]).max())
    return away <= MIN_THICKNESS * float(distances[far]) ** 0.5
