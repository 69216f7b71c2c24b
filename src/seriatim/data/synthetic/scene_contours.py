"""Closed curves and the pixels they cover: what the shapes of synthetic scenes (`scene_forms.py`) are made of.

A form is a list of parts, painted in order; a part is a set of curves and the number of the paint that fills it. Forms are drawn in a frame
of their own, (y, x) with y downwards, about one unit long, and are then scaled, mirrored, turned and moved onto the pixels. Coverage is
exact along rows and sampled on four lines a pixel row, with plain IEEE arithmetic on a grid of 1/64 pixel, so that every machine gets the
same pixels.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64

Point = tuple[float, float]
Contour = Float64[np.ndarray, "points 2"]
Window = tuple[slice, slice]

MAIN, SECOND, DETAIL, ACCENT = range(4)
"""The four paints of an object; `MAIN` may carry a texture."""

_LINES = 4  # sampled in each row of pixels
_GRID = 64  # positions within a pixel
_CIRCLE = np.array([(math.sin(math.pi * step / 12), math.cos(math.pi * step / 12)) for step in range(24)])
_HALF = np.array([(math.sin(math.pi * step / 6), math.cos(math.pi * step / 6)) for step in range(7)])


class Part(NamedTuple):
    """Curves that one paint fills.

    Attributes:
        contours: outer curves run one way and holes the other, as the functions below make them; outer ones may overlap.
        paint: MAIN, SECOND, DETAIL or ACCENT.
    """

    contours: tuple[Contour, ...]
    paint: int


def polygon(points: Sequence[Point]) -> Contour:
    """The closed curve through the points, turned the way of outer curves.

    >>> polygon([(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)]).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    return _outwards(np.array(points, dtype=np.float64))


def curve(points: Sequence[Point], rounds: int = 2) -> Contour:
    """A smooth closed curve inside the corners given: each round cuts every corner at a quarter of its sides (Chaikin 1974)."""
    corners = np.array(points, dtype=np.float64)
    for _ in range(rounds):
        following = np.concatenate((corners[1:], corners[:1]))
        corners = np.stack((0.75 * corners + 0.25 * following, 0.25 * corners + 0.75 * following), axis=1).reshape(
            -1, 2
        )
    return _outwards(corners)


def ellipse(y: float, x: float, radius_y: float, radius_x: float, turn: float = 0.0) -> Contour:
    """An ellipse of 24 corners.

    Args:
        y: of the centre.
        x: of the centre.
        radius_y: half of the height before it is turned.
        radius_x: half of the width before it is turned.
        turn: radians, from x towards y.
    """
    points = _CIRCLE * (radius_y, radius_x)
    return _outwards(turned(points, turn) + np.array((y, x)))


def box(y0: float, x0: float, y1: float, x1: float) -> Contour:
    """A rectangle."""
    return polygon([(y0, x0), (y0, x1), (y1, x1), (y1, x0)])


def limb(points: Sequence[Point], widths: Sequence[float]) -> tuple[Contour, ...]:
    """A line through the points with round ends and joints, whose width changes between them.

    Args:
        points: at least two.
        widths: of the line at each point.
    """
    contours = []
    places = np.array(points, dtype=np.float64)
    for first, second, one, other in zip(places[:-1], places[1:], widths[:-1], widths[1:], strict=True):
        along = second - first
        length = math.sqrt(along[0] * along[0] + along[1] * along[1])
        along = along / length if length > 1e-9 else np.array((0.0, 1.0))
        across = np.array((along[1], -along[0]))
        end = second + 0.5 * other * (_HALF[:, :1] * along + _HALF[:, 1:] * across)
        start = first - 0.5 * one * (_HALF[:, :1] * along + _HALF[:, 1:] * across)
        contours.append(_outwards(np.concatenate((end, start))))
    return tuple(contours)


def profile(rows: Sequence[tuple[float, float]], rounds: int = 1, x: float = 0.0) -> Contour:
    """The outline of a turned body, such as a bottle.

    Args:
        rows: height y and half width there, from the top down.
        rounds: how often corners are cut.
        x: of the axis.
    """
    right = [(y, x + half) for y, half in rows]
    left = [(y, x - half) for y, half in reversed(rows)]
    return curve([*right, *left], rounds)


def hole(contour: Contour) -> Contour:
    """The same curve as the edge of a hole in the part that it is put into."""
    return contour[::-1]


def ring(y: float, x: float, radius: float, width: float) -> tuple[Contour, ...]:
    """A circle's line: its outer edge and its hole; a disc where the width leaves no hole."""
    outer = ellipse(y, x, radius, radius)
    inner = radius - width
    return (outer, hole(ellipse(y, x, inner, inner))) if inner > 0 else (outer,)


def joint(start: Point, length: float, angle: float) -> Point:
    """Where a bone of this length ends that hangs down at angle 0 and forward (to +x) at a quarter turn.

    >>> joint((0.0, 0.0), 2.0, 0.0)
    (2.0, 0.0)
    """
    return start[0] + length * math.cos(angle), start[1] + length * math.sin(angle)


def turned(points: Contour, angle: float) -> Contour:
    """The points turned about the origin, from x towards y."""
    if angle == 0.0:
        return points
    sin, cos = math.sin(angle), math.cos(angle)
    return np.stack((points[:, 0] * cos + points[:, 1] * sin, points[:, 1] * cos - points[:, 0] * sin), axis=1)


class Drawing(NamedTuple):
    """A form on the pixels.

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
        """What of its box, moved by `shift`, lies in an image of this size: where in the image, and where in the box."""
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
        center: (y, x) in pixels where the middle of the box comes to lie, or with `stands` the middle of its lowest row.
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


def _outwards(points: Contour) -> Contour:
    y, x = points[:, 0], points[:, 1]
    doubled_area = (y * np.concatenate((x[1:], x[:1])) - x * np.concatenate((y[1:], y[:1]))).sum()
    return points if doubled_area >= 0 else points[::-1]
