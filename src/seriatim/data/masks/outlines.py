"""Outlines: the rings of a mask along the edges of its pixels, and the mask of rings.

A pixel (y, x) covers the square from (x, y) to (x + 1, y + 1); rings are corners (x, y) in that plane. A pixel belongs to rings if its centre
lies inside an odd number of them. So polygons that share a side share no pixel and leave none out (a centre on a side belongs to what lies
right of it), holes are rings inside rings, and the outlines of a mask give exactly that mask back. COCO draws polygons by other rules, those
of `seriatim.data.masks.polygons`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from scipy.spatial import KDTree

from seriatim.core.errors import DataError
from seriatim.core.instances import Instance
from seriatim.core.shapes import Size, box_slices

MAX_COORDINATE = 1e9
"""Pixels by which a corner may lie from the origin."""

MAX_CROSSINGS = 50_000_000
"""How often the sides of one object may cross rows of pixels: a limit to the memory that a hostile file can ask for."""

Ring = Float[np.ndarray, "_ 2"] | Int[np.ndarray, "_ 2"]
"""Corners (x, y) in order; the last is joined to the first."""


class Outline(NamedTuple):
    """One part of an object.

    Attributes:
        outer: its ring, clockwise as a person sees the image (its shoelace sum of x and y is positive).
        holes: rings the other way round.
    """

    outer: Int[np.ndarray, "_ 2"]
    holes: list[Int[np.ndarray, "_ 2"]]


def check_ring(ring: Ring, where: str) -> None:
    """Refuse what encloses nothing or cannot be drawn.

    Raises:
        DataError: with `where`, if there are fewer than three corners, one is not finite or absurdly far away, or all lie on one line.
    """
    if len(ring) < 3:
        raise DataError(f"{where}: has {len(ring)} corners, expected at least three")
    if not np.isfinite(ring).all() or np.abs(ring).max() > MAX_COORDINATE:
        raise DataError(f"{where}: has coordinates that are not finite, or beyond {MAX_COORDINATE:g}")
    x, y = (ring - ring[0]).T
    far = int(np.argmax(x * x + y * y))
    if not np.any(np.abs(x * y[far] - y * x[far]) > 1e-9 * (x[far] ** 2 + y[far] ** 2)):
        raise DataError(f"{where}: all its corners lie on one line")


def rasterise(ring: Ring, size: Size) -> Bool[np.ndarray, "height width"]:
    """The pixels whose centres lie inside a polygon, as a full plane.

    Args:
        ring: corners (x, y) in pixels; parts outside the image are cut off.
        size: (height, width) of the image.

    >>> rasterise(np.array([[0, 0], [3, 0], [0, 3]]), (3, 3)).astype(int).tolist()
    [[1, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    plane = np.zeros(size, dtype=bool)
    instance = fill_rings([ring], size)
    if instance is not None:
        plane[box_slices(instance.box)] = instance.mask
    return plane


def fill_rings(rings: Sequence[Ring], size: Size, **fields: Any) -> Instance | None:
    """The instance of the pixels whose centres lie inside an odd number of rings; None if there are none.

    Args:
        rings: corners (x, y) in pixels, as `check_ring` passes them; what lies outside the image is cut off.
        size: (height, width) of the image.
        fields: of the instance, such as `class_id`.

    Raises:
        DataError: if the rings cross rows of pixels more than 50 million times.
    """
    starts = np.concatenate([np.asarray(ring, dtype=np.float64) for ring in rings])
    ends = np.concatenate([np.roll(np.asarray(ring, dtype=np.float64), -1, axis=0) for ring in rings])
    upwards = starts[:, 1] > ends[:, 1]
    starts[upwards], ends[upwards] = ends[upwards], starts[upwards]
    first, last = (np.clip(np.ceil(points[:, 1] - 0.5), 0, size[0]).astype(np.int64) for points in (starts, ends))
    spans = last - first
    num_crossings = int(spans.sum())
    if num_crossings > MAX_CROSSINGS:
        raise DataError(f"an outline crosses {num_crossings} rows of pixels, more than {MAX_CROSSINGS}")
    if not num_crossings:
        return None
    side = np.repeat(np.arange(len(spans)), spans)
    row = np.arange(num_crossings) - np.repeat(np.cumsum(spans) - spans - first, spans)
    steps = ends - starts
    slope = steps[:, 0] / np.where(steps[:, 1], steps[:, 1], 1)
    crossing = starts[side, 0] + (row + 0.5 - starts[side, 1]) * slope[side]
    column = np.clip(np.ceil(crossing - 0.5), 0, size[1]).astype(np.int64)
    y, x = int(row.min()), int(column.min())
    changes = np.zeros((int(row.max()) + 1 - y, int(column.max()) + 1 - x), dtype=np.uint8)
    np.add.at(changes, (row - y, column - x), 1)  # beyond 255 the parity stays
    inside = (np.bitwise_xor.accumulate(changes & 1, axis=1) > 0)[:, : size[1] - x]
    return Instance.from_mask(inside, offset=(y, x), **fields)


def draw_object(rings: Sequence[Ring], size: Size, **fields: Any) -> Instance | None:
    """The instance of rings that were drawn round an object, which has a pixel even if it is smaller than one; None outside the image.

    Rings that hold no pixel's centre give the pixel in their middle. Arguments and errors are those of `fill_rings`.

    >>> draw_object([np.array([[2.1, 0.1], [2.4, 0.1], [2.4, 0.4]])], (4, 4)).box
    (0, 2, 1, 3)
    """
    instance = fill_rings(rings, size, **fields)
    if instance is not None:
        return instance
    corners = np.concatenate(rings)
    x, y = (int(value) for value in np.floor((corners.min(axis=0) + corners.max(axis=0)) / 2))
    is_inside = 0 <= y < size[0] and 0 <= x < size[1]
    return Instance((y, x, y + 1, x + 1), np.ones((1, 1), dtype=bool), **fields) if is_inside else None


def outlines(mask: Bool[np.ndarray, "height width"], origin: tuple[int, int] = (0, 0)) -> list[Outline]:
    """The rings of a mask, one `Outline` for every part whose pixels hang together by their sides.

    No ring meets itself, so that each part is a valid polygon for programs that ask for that; rings may touch in single corners.

    Args:
        mask: empty ones have no outlines.
        origin: (y, x) of the mask in the image.

    >>> [(part.outer.tolist(), len(part.holes)) for part in outlines(np.array([[True, True]]), origin=(5, 7))]
    [([[7, 5], [9, 5], [9, 6], [7, 6]], 0)]
    """
    padded = np.pad(mask, 1)
    loops = [np.array(loop) for ring in _trace(padded) for loop in _simple_loops(ring)]
    outer = [loop for loop in loops if _shoelace(loop) > 0]
    holes = [loop for loop in loops if _shoelace(loop) < 0]
    shift = np.array((origin[1], origin[0]))
    if len(outer) == 1:
        return [Outline(outer[0] + shift, [hole + shift for hole in holes])]
    parts = np.empty(padded.shape, dtype=np.int32)
    ndimage.label(padded, output=parts)
    found = {_part_of(loop, parts): Outline(loop + shift, []) for loop in outer}
    for hole in holes:
        found[_part_of(hole, parts)].holes.append(hole + shift)
    return list(found.values())


def instance_outlines(instance: Instance) -> list[Outline]:
    """The rings of an object in the plane of its image."""
    return outlines(instance.mask, instance.box[:2])


def rings_of(parts: Sequence[Outline]) -> list[Int[np.ndarray, "_ 2"]]:
    """All rings, the outer ring of a part before its holes."""
    return [ring for part in parts for ring in (part.outer, *part.holes)]


def as_one_ring(rings: Sequence[Int[np.ndarray, "_ 2"]]) -> Int[np.ndarray, "_ 2"]:
    """Rings joined to one that encloses the same pixels, for formats that know neither holes nor parts.

    The first ring is left at the corner nearest to each of the others, and joined again there: the way out and back encloses nothing.

    >>> square, hole = np.array([[0, 0], [3, 0], [3, 3], [0, 3]]), np.array([[1, 1], [1, 2], [2, 2], [2, 1]])
    >>> as_one_ring([square, hole]).tolist()
    [[0, 0], [1, 1], [1, 2], [2, 2], [2, 1], [1, 1], [0, 0], [3, 0], [3, 3], [0, 3]]
    """
    main, others = rings[0], rings[1:]
    if not others:
        return main
    tree = KDTree(main)
    detours: dict[int, list[np.ndarray]] = {}
    for ring in others:
        distances, nearest = (np.asarray(values) for values in tree.query(ring))
        start = int(np.argmin(distances))
        corner = int(nearest[start])
        detours.setdefault(corner, []).append(np.concatenate((ring[start:], ring[: start + 1], main[corner][None])))
    pieces, done = [], 0
    for corner in sorted(detours):
        pieces += [main[done : corner + 1], *detours[corner]]
        done = corner + 1
    return np.concatenate((*pieces, main[done:]))


def _trace(padded: Bool[np.ndarray, "height width"]) -> list[list[tuple[int, int]]]:
    """Closed ways along the sides of a mask with a margin, with the mask on their right; corners (x, y) of the mask without the margin.

    Every corner ends one horizontal and one vertical side of the outline. In a row of the grid the corners, sorted, are joined in pairs by
    horizontal sides, in a column by vertical ones, so that a way alternates between the two. Where two pixels touch in a corner alone, there
    are two corners in one place, each of which goes round one of the pixels.
    """
    nw, ne, sw, se = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    touching = (nw == se) & (ne == sw) & (nw != ne)
    y, x = np.nonzero((nw ^ ne ^ sw ^ se) | touching)
    twice = touching[y, x]
    copies = np.repeat(np.arange(len(y)), 1 + twice)
    is_second = np.zeros(len(copies), dtype=bool)
    is_second[1:] = copies[1:] == copies[:-1]
    # the first copy has the side to the west; it has the side to the north if the pixel in the north-west is set
    y, x, is_north_west = y[copies], x[copies], nw[y, x][copies]
    is_lower = np.where(is_north_west, is_second, ~is_second) & twice[copies]
    by_column = np.lexsort((is_lower, y, x))
    partner = np.empty(len(copies), dtype=np.int64)
    partner[by_column[0::2]], partner[by_column[1::2]] = by_column[1::2], by_column[0::2]
    vertical, xs, ys, is_outer = partner.tolist(), x.tolist(), y.tolist(), se[y, x].tolist()
    ways, seen = [], bytearray(len(vertical))
    for start in range(len(vertical)):
        if seen[start]:
            continue
        way, corner = [], start
        while not seen[corner]:
            across = corner ^ 1
            seen[corner] = seen[across] = 1
            way += ((xs[corner], ys[corner]), (xs[across], ys[across]))
            corner = vertical[across]
        ways.append(way if is_outer[start] else way[::-1])  # the start is the upper left corner of the way
    return ways


def _simple_loops(way: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """A closed way cut where it meets itself."""
    if len(set(way)) == len(way):
        return [way]
    loops, path, place = [], [], {}
    for corner in way:
        if corner in place:
            begin = place[corner]
            loops.append(path[begin:])
            for left in path[begin:]:
                del place[left]
            del path[begin:]
        place[corner] = len(path)
        path.append(corner)
    return [*loops, path]


def _shoelace(loop: Int[np.ndarray, "_ 2"]) -> int:
    """Twice the area; positive if the way is clockwise as a person sees the image."""
    x, y = loop[:, 0], loop[:, 1]
    return int(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]) + x[-1] * y[0] - x[0] * y[-1])


def _part_of(loop: Int[np.ndarray, "_ 2"], parts: np.ndarray) -> int:
    """The part whose pixel lies on the right of the loop's first side; `parts` has a margin of one pixel."""
    (x0, y0), (x1, y1) = loop[0], loop[1]
    right_y, right_x = np.sign(x1 - x0), -np.sign(y1 - y0)
    along_y, along_x = np.sign(y1 - y0), np.sign(x1 - x0)
    # the pixel's centre lies half a step along the side and half a step to its right
    return int(parts[int(y0 + (right_y + along_y - 1) // 2) + 1, int(x0 + (right_x + along_x - 1) // 2) + 1])
