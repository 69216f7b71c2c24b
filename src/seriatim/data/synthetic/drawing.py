"""Shapes in several colours, and the pixels that they cover.

A shape is a list of parts, painted in order; a part is a set of curves and the paint that fills it. A shape is drawn in a frame of its own and
then scaled, mirrored, turned and moved onto the pixels. Coverage is exact along rows and sampled on four lines per pixel row, with plain
IEEE arithmetic on a grid of 1/64 pixel, so that every machine gets the same pixels.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32

from seriatim.data.synthetic.curves import Contour, Point, turned

Window = tuple[slice, slice]

MAIN, SECOND, DETAIL, ACCENT = range(4)
"""The four paints of an object; `MAIN` may carry a texture."""

_LINES = 4  # sampled in each row of pixels
_GRID = 64  # positions within a pixel


class Part(NamedTuple):
    """Curves that one paint fills.

    Attributes:
        contours: outer curves run one way and holes the other, as the functions below make them; outer ones may overlap.
        paint: MAIN, SECOND, DETAIL or ACCENT.
    """

    contours: tuple[Contour, ...]
    paint: int


def main(*contours: Contour) -> Part:
    """A part in the main colour, which may carry a texture."""
    return Part(contours, MAIN)


def second(*contours: Contour) -> Part:
    """A part in the second colour."""
    return Part(contours, SECOND)


def detail(*contours: Contour) -> Part:
    """A part in a colour far from the main and the second one."""
    return Part(contours, DETAIL)


def accent(*contours: Contour) -> Part:
    """A part in a colour far from all others."""
    return Part(contours, ACCENT)


class Drawing(NamedTuple):
    """A shape on the pixels.

    Attributes:
        y0: first row of its box, which may lie outside the image.
        x0: first column.
        coverage: of every part, 0..1.
        paints: of every part.
        alpha: how much all parts together cover.
    """

    y0: int
    x0: int
    coverage: Float32[np.ndarray, "parts height width"]
    paints: tuple[int, ...]
    alpha: Float32[np.ndarray, "height width"]

    @property
    def mask(self) -> Bool[np.ndarray, "height width"]:
        """Pixels of which at least half is covered."""
        return self.alpha >= 0.5

    def window(self, height: int, width: int, shift: tuple[int, int] = (0, 0)) -> tuple[Window, Window]:
        """The part of its box, moved by `shift`, inside an image of this size: its place in the image and in the box."""
        spans = []
        starts = (self.y0 + shift[0], self.x0 + shift[1])
        for start, length, limit in zip(starts, self.alpha.shape, (height, width), strict=True):
            first = min(max(0, start), limit)
            last = max(first, min(limit, start + length))
            spans.append((slice(first, last), slice(first - start, last - start)))
        (rows, box_rows), (columns, box_columns) = spans
        return (rows, columns), (box_rows, box_columns)


def draw(
    parts: Sequence[Part], length: float, turn: float, mirror: bool, center: Point, stands: bool, margin: int = 1
) -> Drawing:
    """The parts scaled so that the longer side of their box has `length` pixels, mirrored, turned and moved.

    Args:
        parts: in the order in which they are painted.
        length: pixels.
        turn: radians, from x towards y.
        mirror: left-right, before the turn.
        center: (y, x) in pixels of the middle of the box, or with `stands` of the middle of its lowest row.
        stands: see `center`.
        margin: pixels of the drawing's box on every side that nothing covers.
    """
    contours = [contour for part in parts for contour in part.contours]
    points = np.concatenate(contours)
    if mirror:
        points = points * (1.0, -1.0)
    points = turned(points, turn)
    low, high = points.min(axis=0), points.max(axis=0)
    anchor = (high[0] if stands else (low[0] + high[0]) / 2, (low[1] + high[1]) / 2)
    points = (points - anchor) * (length / max(high[0] - low[0], high[1] - low[1])) + center
    points = np.rint(points * _GRID) / _GRID
    y0, x0 = (math.floor(edge) - margin for edge in points.min(axis=0))
    y1, x1 = (math.ceil(edge) + margin for edge in points.max(axis=0))
    owners = np.repeat(np.arange(len(parts)), [sum(len(one) for one in part.contours) for part in parts])
    ends = np.cumsum([len(one) for one in contours])
    coverage = _coverage(points - (y0, x0), owners, ends, (len(parts), y1 - y0, x1 - x0))
    clear = np.ones(coverage.shape[1:], np.float32)
    for plane in coverage:
        clear *= 1 - plane
    return Drawing(y0, x0, coverage, tuple(part.paint for part in parts), 1 - clear)


def _coverage(
    points: Contour, owners: np.ndarray, ends: np.ndarray, shape: tuple[int, int, int]
) -> Float32[np.ndarray, "parts height width"]:
    """Share of each pixel inside each part, from the places where sampled lines cross the edges of its curves."""
    _, height, width = shape
    following = np.arange(1, len(points) + 1)
    following[ends - 1] = np.concatenate(([0], ends[:-1]))
    y, x = points[:, 0] * _LINES, points[:, 1]
    next_y, next_x = y[following], x[following]
    first = np.ceil(np.minimum(y, next_y) - 0.5).astype(np.intp)
    crossed = np.ceil(np.maximum(y, next_y) - 0.5).astype(np.intp) - first
    edge = np.repeat(np.arange(len(points)), crossed)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(crossed) - crossed, crossed) + first[edge]
    slope = (next_x - x) / np.where(crossed > 0, next_y - y, 1.0)
    place = x[edge] + (line + 0.5 - y[edge]) * slope[edge]
    column = np.floor(place).astype(np.intp)
    weight = np.where(next_y > y, 1.0 / _LINES, -1.0 / _LINES)[edge]
    cell = (owners[edge] * height + line // _LINES) * (width + 1) + column
    beyond = weight * (place - column)
    length = shape[0] * height * (width + 1)
    steps = np.bincount(cell, weight - beyond, length) + np.bincount(cell + 1, beyond, length)
    sums = np.cumsum(steps.reshape(shape[0], height, width + 1), axis=2)[..., :width]
    return np.minimum(np.abs(sums), 1.0).astype(np.float32)
