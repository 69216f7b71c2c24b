"""Overlapping tiles, and the joining of what was found in each: no object twice, none cut in two.

A part is what one tile saw of an object. It is *cut* if it comes near an inner border of its tile, else *whole*. Then

    whole and whole   of the same object: the one farther from the inner borders of its tile stands, with the better score
    cut and whole     the whole one stands, unless the cut one reaches far beyond the tile that thought to see all of it: then one object
    cut and cut       one object if they agree in the strip that both tiles saw; its mask is the union
    only cut          stands if most of it lies where the tiles that saw it see best; else a neighbour saw better that nothing is there

Only boxes with masks are kept, and only of objects that the next row of tiles can still change, so memory is bounded by two rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from seriatim.core.instances import Instance
from seriatim.core.shapes import Box, Size, intersect_boxes


def plan_tiles(size: Size, tile: int, overlap: int, multiple: int = 32) -> list[list[Box]]:
    """Rows of tiles of one size that cover an image, spread evenly, neighbours sharing at least `overlap` pixels.

    The tiles are as few as possible and then as small as that allows, in steps of `multiple`.

    Args:
        size: (height, width) of the image.
        tile: largest side of a tile.
        overlap: at most half of `tile`.
        multiple: of which the side of a tile is one, unless the image is smaller.

    >>> plan_tiles((100, 300), 256, 64)
    [[(0, 0, 100, 192), (0, 108, 100, 300)]]
    """
    (height, tops), (width, lefts) = (_spread(extent, tile, overlap, multiple) for extent in size)
    return [[(y, x, y + height, x + width) for x in lefts] for y in tops]


def _spread(extent: int, tile: int, overlap: int, multiple: int) -> tuple[int, list[int]]:
    if extent <= tile:
        return extent, [0]
    count = -(-(extent - overlap) // (tile - overlap))
    length = -(-(extent + (count - 1) * overlap) // count)
    length = min(-(-length // multiple) * multiple, tile)
    return length, [round(index * (extent - length) / (count - 1)) for index in range(count)]


@dataclass(slots=True)
class _Part:
    """What one tile saw of an object; `clearance` is its distance from the nearest inner border of the tile."""

    tile: int
    position: int
    instance: Instance
    area: int
    clearance: int
    cut: bool

    @property
    def key(self) -> tuple[int, int]:
        return self.tile, self.position


class TileMerger:
    """Takes the rows of tiles one by one and hands on the objects that can no longer change."""

    def __init__(self, rows: Sequence[Sequence[Box]], margin: int = 2, join_overlap: float = 0.4) -> None:
        """
        Args:
            rows: boxes of the tiles, row by row, tiles of a row from left to right.
            margin: a mask nearer than this to an inner border of its tile counts as cut.
            join_overlap: least intersection over union, inside the shared strip, of two cut parts of one object.
        """
        self.rows = rows
        self.margin = margin
        self.join_overlap = join_overlap
        self.tiles = np.array([box for row in rows for box in row], dtype=np.int64).reshape(-1, 4)
        self.cores = _cores(rows)
        self._extent = self.tiles.max(axis=0)[2:] if len(self.tiles) else np.zeros(2, dtype=np.int64)
        self._live: list[_Part] = []
        self._next_row = 0

    def add_row(self, found: Sequence[Sequence[Instance]]) -> list[Instance]:
        """The objects that are certain now, tiles in reading order, then in the order found.

        Args:
            found: of every tile of the next row, boxes in pixels of the image, in the order found.
        """
        row = self._next_row
        self._next_row += 1
        first_tile = sum(len(boxes) for boxes in self.rows[:row])
        parts = self._live + [
            self._part(first_tile + column, position, instance)
            for column, instances in enumerate(found)
            for position, instance in enumerate(instances)
        ]
        parts, groups = self._join(parts)
        is_last = self._next_row == len(self.rows)
        zone = np.inf if is_last else self.rows[self._next_row][0][0]
        certain: list[tuple[tuple[int, int], Instance]] = []
        self._live = []
        for group in groups:
            members = [parts[index] for index in group]
            if any(part.instance.box[2] > zone for part in members):
                self._live.extend(members)
            elif (joined := self._stand_together(members)) is not None:
                certain.append((min(part.key for part in members), joined))
        self._live.sort(key=lambda part: part.key)
        return [instance for _, instance in sorted(certain, key=lambda pair: pair[0])]

    def _part(self, tile: int, position: int, instance: Instance) -> _Part:
        box, border = np.array(instance.box), self.tiles[tile]
        inner = np.r_[border[:2] > 0, border[2:] < self._extent]
        distances = np.r_[box[:2] - border[:2], border[2:] - box[2:]][inner]
        clearance = int(distances.min()) if len(distances) else int(self._extent.max())
        return _Part(tile, position, instance, instance.area, clearance, clearance < self.margin)

    def _join(self, parts: list[_Part]) -> tuple[list[_Part], list[list[int]]]:
        """The parts that stand, and which of them are one object."""
        pairs = _overlaps(parts, self.tiles)
        stands = _drop_doubles(parts, pairs)
        links = []
        reaches_on = np.zeros(len(parts), dtype=bool)
        covered = np.zeros(len(parts), dtype=np.int64)
        for pair in pairs:
            one, two = parts[pair.first], parts[pair.second]
            if not (stands[pair.first] and stands[pair.second]) or not (one.cut or two.cut):
                continue
            agree = pair.iou >= self.join_overlap
            if agree:
                links.append(pair)
            if one.cut and two.cut:
                continue
            cut, shared = (pair.first, pair.first_shared) if one.cut else (pair.second, pair.second_shared)
            reaches_on[cut] |= agree and 4 * (parts[cut].area - shared) > parts[cut].area
            covered[cut] += pair.intersection
        for index, part in enumerate(parts):
            if part.cut and not reaches_on[index] and 2 * covered[index] >= part.area:
                stands[index] = False
        links = _best_of_each_tile(parts, [pair for pair in links if stands[pair.first] and stands[pair.second]])
        groups = _components(len(parts), links)
        kept = np.flatnonzero(stands)
        renumber = {int(old): new for new, old in enumerate(kept)}
        return [parts[index] for index in kept], [
            [renumber[index] for index in group] for group in groups if stands[group[0]]
        ]

    def _stand_together(self, members: Sequence[_Part]) -> Instance | None:
        """Their union; None if all are cut and most of it lies where tiles see better that did not see it."""
        joined = _union(members)
        if not all(part.cut for part in members):
            return joined
        at_home = sum(_area_inside(part.instance, self.cores[part.tile]) for part in members)
        return joined if 2 * at_home >= joined.area else None


@dataclass(slots=True)
class _Pair:
    """Two parts from different tiles that share pixels: the pixels of both, and of each in what both tiles saw."""

    first: int
    second: int
    intersection: int
    first_shared: int
    second_shared: int

    @property
    def iou(self) -> float:
        return self.intersection / (self.first_shared + self.second_shared - self.intersection)


def _overlaps(parts: Sequence[_Part], tiles: Int[np.ndarray, "tiles 4"]) -> list[_Pair]:
    if len(parts) < 2:
        return []
    boxes = np.array([part.instance.box for part in parts])
    owners = np.array([part.tile for part in parts])
    pairs = []
    for index in range(len(parts) - 1):
        rest = boxes[index + 1 :]
        meets = (
            (rest[:, 0] < boxes[index, 2])
            & (rest[:, 2] > boxes[index, 0])
            & (rest[:, 1] < boxes[index, 3])
            & (rest[:, 3] > boxes[index, 1])
            & (owners[index + 1 :] != owners[index])
        )
        for other in np.flatnonzero(meets) + index + 1:
            pair = _pair(parts, index, int(other), tiles)
            if pair is not None:
                pairs.append(pair)
    return pairs


def _pair(parts: Sequence[_Part], first: int, second: int, tiles: Int[np.ndarray, "tiles 4"]) -> _Pair | None:
    one, two = parts[first].instance, parts[second].instance
    common = intersect_boxes(one.box, two.box)
    strip = intersect_boxes(tuple(tiles[parts[first].tile].tolist()), tuple(tiles[parts[second].tile].tolist()))
    assert common is not None, "only boxes that meet come here"
    assert strip is not None, "and they lie in tiles that meet"
    intersection = int(np.count_nonzero(_inside(one, common) & _inside(two, common)))
    if not intersection:
        return None
    return _Pair(first, second, intersection, _area_inside(one, strip), _area_inside(two, strip))


def _inside(instance: Instance, box: Box) -> Bool[np.ndarray, "height width"]:
    y0, x0, _, _ = instance.box
    return instance.mask[box[0] - y0 : box[2] - y0, box[1] - x0 : box[3] - x0]


def _area_inside(instance: Instance, box: Box) -> int:
    common = intersect_boxes(instance.box, box)
    return 0 if common is None else int(np.count_nonzero(_inside(instance, common)))


def _drop_doubles(parts: list[_Part], pairs: Sequence[_Pair]) -> Bool[np.ndarray, " parts"]:
    """Which parts stand once every object that several tiles saw whole is left to the one that saw it best."""
    stands = np.ones(len(parts), dtype=bool)
    rivals: dict[int, list[int]] = {}
    for pair in pairs:
        one, two = parts[pair.first], parts[pair.second]
        if not one.cut and not two.cut and 2 * pair.intersection >= min(one.area, two.area):
            rivals.setdefault(pair.first, []).append(pair.second)
            rivals.setdefault(pair.second, []).append(pair.first)
    for index in sorted(
        rivals, key=lambda index: (-parts[index].clearance, -parts[index].instance.score, parts[index].key)
    ):
        if not stands[index]:
            continue
        scores = [parts[index].instance.score]
        for rival in rivals[index]:
            scores.append(parts[rival].instance.score)
            stands[rival] = False
        parts[index].instance = replace(parts[index].instance, score=max(scores))
    return stands


def _best_of_each_tile(parts: Sequence[_Part], links: Sequence[_Pair]) -> list[_Pair]:
    """The links in which each part is the other's best in its tile."""
    best: dict[tuple[int, int], _Pair] = {}
    for pair in links:
        for part, other in ((pair.first, pair.second), (pair.second, pair.first)):
            place = (part, parts[other].tile)
            if place not in best or pair.iou > best[place].iou:
                best[place] = pair
    return [
        pair
        for pair in links
        if best[pair.first, parts[pair.second].tile] is pair and best[pair.second, parts[pair.first].tile] is pair
    ]


def _components(count: int, pairs: Sequence[_Pair]) -> list[list[int]]:
    """Numbers 0..count-1 in groups that the pairs connect, each sorted, the group of the smallest number first."""
    edges = np.array([(pair.first, pair.second) for pair in pairs], dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    num_groups, owners = connected_components(graph, directed=False)
    groups: list[list[int]] = [[] for _ in range(num_groups)]
    for number, owner in enumerate(owners.tolist()):
        groups[owner].append(number)
    return sorted(groups)


def _union(parts: Sequence[_Part]) -> Instance:
    """One instance of all pixels; class and score are those of the part with the best score."""
    if len(parts) == 1:
        return parts[0].instance
    boxes = np.array([part.instance.box for part in parts])
    y0, x0 = (int(edge) for edge in boxes[:, :2].min(axis=0))
    y1, x1 = (int(edge) for edge in boxes[:, 2:].max(axis=0))
    mask = np.zeros((y1 - y0, x1 - x0), dtype=bool)
    for part in parts:
        top, left, bottom, right = part.instance.box
        mask[top - y0 : bottom - y0, left - x0 : right - x0] |= part.instance.mask
    best = max(parts, key=lambda part: (part.instance.score, -part.tile))
    earliest = min(parts, key=lambda part: part.key)
    return replace(best.instance, box=(y0, x0, y1, x1), mask=mask, step=earliest.instance.step)


def _cores(rows: Sequence[Sequence[Box]]) -> list[Box]:
    """Of every tile the part that is nearer to its centre than to that of a neighbour: the overlaps are halved."""
    cores = []
    for number, row in enumerate(rows):
        top = row[0][0] if number == 0 else (row[0][0] + rows[number - 1][0][2]) // 2
        bottom = row[0][2] if number == len(rows) - 1 else (row[0][2] + rows[number + 1][0][0]) // 2
        for column, box in enumerate(row):
            left = box[1] if column == 0 else (box[1] + row[column - 1][3]) // 2
            right = box[3] if column == len(row) - 1 else (box[3] + row[column + 1][1]) // 2
            cores.append((top, left, bottom, right))
    return cores
