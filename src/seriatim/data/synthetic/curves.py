"""Closed curves, of which the shapes of synthetic scenes are made.

Points are (y, x) with y downwards, in a frame that is about one unit long.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

Point = tuple[float, float]
Contour = Float64[np.ndarray, "_ 2"]
Points = Sequence[Point] | Contour

_CIRCLE = np.array([(math.sin(math.pi * step / 12), math.cos(math.pi * step / 12)) for step in range(24)])
_HALF = np.array([(math.sin(math.pi * step / 6), math.cos(math.pi * step / 6)) for step in range(7)])


def polygon(points: Points) -> Contour:
    """The closed curve through the points, turned the way of outer curves.

    >>> polygon([(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)]).tolist()
    [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    return _outwards(np.array(points, dtype=np.float64))


def scaled(points: Sequence[Point], height: float, width: float) -> list[Point]:
    """The points with every y multiplied by `height` and every x by `width`."""
    return [(y * height, x * width) for y, x in points]


def mirrored(points: Sequence[Point]) -> list[Point]:
    """The corners of an outline that is symmetric about the vertical axis x = 0, from those of one half in order.

    >>> mirrored([(0.0, 1.0), (2.0, 3.0)])
    [(0.0, 1.0), (2.0, 3.0), (2.0, -3.0), (0.0, -1.0)]
    """
    return [*points, *((y, -x) for y, x in reversed(points))]


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


def limb(points: Points, widths: Sequence[float]) -> tuple[Contour, ...]:
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


def _outwards(points: Contour) -> Contour:
    y, x = points[:, 0], points[:, 1]
    doubled_area = (y * np.concatenate((x[1:], x[:1])) - x * np.concatenate((y[1:], y[:1]))).sum()
    return points if doubled_area >= 0 else points[::-1]
