"""Masks as runs: half-open intervals of positions in the image read along its rows, or along its columns as COCO's codes go.

Masks of any kind become runs. Only planes and label maps are read pixel by pixel, once.

    masks, label maps, codes  --runs_of, count_labels-->  RunMasks
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Int32, Int64, Integer

from seriatim.core import rle
from seriatim.core.errors import DataError, ShapeError
from seriatim.core.instances import Instances
from seriatim.core.shapes import Size

Masks = Bool[np.ndarray, "masks height width"] | Instances | Sequence[Mapping[str, Any]]
"""Masks that may overlap: bool planes, `Instances`, or COCO's run-length codes (`{"size": [height, width], "counts": ...}`)."""

MAX_PLAIN = 4096
"""Values up to which a search for changes goes value by value."""


class Runs(NamedTuple):
    """Runs in the order of their starts that do not overlap: first position, position after the last, number of the mask."""

    starts: Int64[np.ndarray, " runs"]
    ends: Int64[np.ndarray, " runs"]
    owners: Int64[np.ndarray, " runs"]


@dataclass(frozen=True, eq=False)
class RunMasks:
    """Masks of one image that may overlap.

    Attributes:
        size: (height, width) of the image.
        is_by_column: whether positions count along the columns, as in COCO's codes, and not along the rows.
        count: number of masks, empty ones among them.
        starts: first position of each run; the runs of one mask do not overlap.
        ends: position after the last.
        owners: number of its mask, from 0.
    """

    size: Size
    is_by_column: bool
    count: int
    starts: Int64[np.ndarray, " runs"]
    ends: Int64[np.ndarray, " runs"]
    owners: Int64[np.ndarray, " runs"]

    @cached_property
    def areas(self) -> Int64[np.ndarray, " masks"]:
        """Pixels of each mask."""
        return np.bincount(self.owners, self.ends - self.starts, self.count).astype(np.int64)

    @cached_property
    def boxes(self) -> Int64[np.ndarray, "masks 4"]:
        """(y0, x0, y1, x1) around the pixels of each mask, half-open; zeros for an empty one.

        >>> runs_of(np.array([[[False, True], [True, False]]])).boxes.tolist()
        [[0, 0, 2, 2]]
        """
        lines, places = self.size if not self.is_by_column else self.size[::-1]
        first, last = self.starts // max(places, 1), (self.ends - 1) // max(places, 1)
        wraps = first < last  # it then has the end of one line and the beginning of the next
        low, high = np.full((2, self.count), lines), np.zeros((2, self.count), dtype=np.int64)
        low[1] = places
        np.minimum.at(low[0], self.owners, first)
        np.maximum.at(high[0], self.owners, last + 1)
        np.minimum.at(low[1], self.owners, np.where(wraps, 0, self.starts - first * places))
        np.maximum.at(high[1], self.owners, np.where(wraps, places, self.ends - last * places))
        boxes = np.concatenate((low, high)) if not self.is_by_column else np.concatenate((low[::-1], high[::-1]))
        return np.where(self.areas > 0, boxes, 0).T.astype(np.int64)

    @cached_property
    def layers(self) -> list[Runs]:
        """The masks in layers, in each of which none overlaps another; one layer where no mask overlaps another."""
        order = np.argsort(self.starts, kind="stable")
        left = Runs(self.starts[order], self.ends[order], self.owners[order])
        layers = []
        while len(left.starts):
            reach = np.maximum.accumulate(left.ends)
            late = np.unique(left.owners[1:][left.starts[1:] < reach[:-1]])
            is_late = np.isin(left.owners, late)
            if is_late.all():  # each begins inside another one somewhere: one of them makes a layer
                is_late = left.owners != late[0]
            layers.append(Runs(*(values[~is_late] for values in left)))
            left = Runs(*(values[is_late] for values in left))
        return layers

    def cut_by(self, layer: Runs) -> tuple[Int64[np.ndarray, " pieces"], ...]:
        """The pieces that these masks share with a layer: number of the mask, owner in the layer, first position, position after the last."""
        first = np.searchsorted(layer.ends, self.starts, side="right")
        number = np.searchsorted(layer.starts, self.ends, side="left") - first
        run = np.repeat(np.arange(len(number)), number)
        piece = np.arange(len(run)) + np.repeat(first - (np.cumsum(number) - number), number)
        starts = np.maximum(self.starts[run], layer.starts[piece])
        return self.owners[run], layer.owners[piece], starts, np.minimum(self.ends[run], layer.ends[piece])

    def within(self, region: Bool[np.ndarray, "height width"]) -> "RunMasks":
        """The same masks without their pixels outside a region.

        >>> runs_of(np.array([[[True, True, False]]])).within(np.array([[False, True, True]])).areas.tolist()
        [1]
        """
        pieces = [self.cut_by(layer) for layer in runs_of(region[None], self.is_by_column).layers]
        owners, starts, ends = (join([piece[place] for piece in pieces]) for place in (0, 2, 3))
        return RunMasks(self.size, self.is_by_column, self.count, starts, ends, owners)

    def chosen(self, numbers: Int64[np.ndarray, " chosen"]) -> "RunMasks":
        """The masks of these numbers alone."""
        places = np.full(self.count, -1)
        places[numbers] = np.arange(len(numbers))
        return self.renumbered(places, len(numbers))

    def renumbered(self, numbers: Int64[np.ndarray, " masks"], count: int) -> "RunMasks":
        """Mask k as number `numbers[k]` of `count` masks; -1 leaves it out."""
        owners = numbers[self.owners]
        kept = owners >= 0
        return RunMasks(self.size, self.is_by_column, count, self.starts[kept], self.ends[kept], owners[kept])

    def pixels(self, order: Int[np.ndarray, " chosen"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
        """Place in `order` and position (along the rows) of every pixel of the masks in `order`, one mask after the other."""
        place = np.full(self.count, -1)
        place[order] = np.arange(len(order))
        runs = np.flatnonzero(place[self.owners] >= 0)
        runs = runs[np.argsort(place[self.owners[runs]], kind="stable")]
        lengths = self.ends[runs] - self.starts[runs]
        first = self.starts[runs] - (np.cumsum(lengths) - lengths)
        positions = np.repeat(first, lengths) + np.arange(int(lengths.sum()))
        if self.is_by_column:
            columns, rows = np.divmod(positions, self.size[0])
            positions = rows * self.size[1] + columns
        return np.repeat(place[self.owners[runs]], lengths), positions

    def paint(self, order: Int[np.ndarray, " chosen"]) -> Int32[np.ndarray, "height width"]:
        """Label map (mask number plus 1) of the masks in `order`, each painted over those before it."""
        labels = np.zeros(self.size[0] * self.size[1], dtype=np.int32)
        places, positions = self.pixels(order)
        labels[positions] = order[places] + 1
        return labels.reshape(self.size)


class CountedLabels(NamedTuple):
    """The labels of a map without gaps.

    Attributes:
        present: the labels other than 0 that occur, ascending.
        label_map: the same map with them numbered 1, 2, ...
        runs: each label as a mask.
    """

    present: Int64[np.ndarray, " labels"]
    label_map: Int32[np.ndarray, "height width"]
    runs: RunMasks


def count_labels(
    labels: Integer[np.ndarray, "height width"] | Bool[np.ndarray, "height width"], is_by_column: bool = False
) -> CountedLabels:
    """The labels that occur, and the map and the masks with them numbered without gaps.

    Args:
        labels: 0 background.
        is_by_column: whether the runs of the masks go along the columns.

    >>> counted = count_labels(np.array([[0, 7], [3, 7]]))
    >>> counted.present.tolist(), counted.label_map.tolist(), counted.runs.areas.tolist()
    ([3, 7], [[0, 2], [1, 2]], [1, 2])
    """
    flat = (labels.T if is_by_column else labels).ravel()
    starts, lengths = segments(flat)
    values = flat[starts]
    is_object = values != 0
    starts, lengths, values = starts[is_object], lengths[is_object], values[is_object]
    present, owners = np.unique(values, return_inverse=True)
    size = (labels.shape[0], labels.shape[1])
    runs = RunMasks(size, is_by_column, len(present), starts, starts + lengths, owners.astype(np.int64))
    has_gaps = len(present) > 0 and present[-1] != len(present)
    label_map = runs.paint(np.arange(len(present))) if has_gaps else labels.astype(np.int32, copy=False)
    return CountedLabels(present.astype(np.int64), label_map, runs)


def runs_of(masks: Any, is_by_column: bool = False, where: str = "masks") -> RunMasks:
    """The runs of masks of any kind.

    Args:
        masks: see `Masks`; planes are checked already.
        is_by_column: whether runs go along the columns; those of codes always do.
        where: what messages call the masks.

    Raises:
        DataError: if a code is damaged.
        ShapeError: if codes are of several sizes.
    """
    if isinstance(masks, np.ndarray):
        return _runs_of_planes(masks, is_by_column)
    if isinstance(masks, Instances):
        return _runs_of_instances(masks, is_by_column)
    return _runs_of_codes(masks, where)


def _runs_of_planes(planes: Bool[np.ndarray, "masks height width"], is_by_column: bool) -> RunMasks:
    count, height, width = planes.shape
    pixels = np.ascontiguousarray(planes.transpose(0, 2, 1) if is_by_column else planes).ravel()
    num = height * width
    borders = _changes(pixels)
    if num and count:
        firsts = np.arange(count) * num
        begins, ends = pixels[firsts], pixels[firsts + num - 1]
        whole = firsts[1:][begins[1:] & ends[:-1]]  # a mask ends and the next begins, where the pixels do not change
        extra = [whole, whole, firsts[:1][begins[:1]], firsts[-1:][ends[-1:]] + num]
        if any(map(len, extra)):
            borders = np.sort(np.concatenate([borders, *extra]))
    starts, ends = borders[0::2], borders[1::2]
    owners = starts // max(num, 1)
    return RunMasks((height, width), is_by_column, count, starts - owners * num, ends - owners * num, owners)


def _runs_of_instances(found: Instances, is_by_column: bool) -> RunMasks:
    starts, ends, owners = [], [], []
    across = found.size[0] if is_by_column else found.size[1]
    for number, instance in enumerate(found):
        mask, y0, x0 = instance.mask, instance.box[0], instance.box[1]
        if is_by_column:
            mask, y0, x0 = mask.T, x0, y0
        width = mask.shape[1] + 1
        framed = np.zeros(mask.shape[0] * width + 1, dtype=bool)
        framed[1:].reshape(-1, width)[:, :-1] = mask
        rows, columns = np.divmod(_changes(framed) - 1, width)
        borders = (rows + y0) * across + columns + x0
        starts.append(borders[0::2])
        ends.append(borders[1::2])
        owners.append(np.full(len(borders) // 2, number))
    return RunMasks(found.size, is_by_column, len(found), join(starts), join(ends), join(owners))


def join(parts: list[Int64[np.ndarray, " _"]]) -> Int64[np.ndarray, " runs"]:
    """The arrays one after the other; empty if there are none."""
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _changes(values: Integer[np.ndarray, " n"] | Bool[np.ndarray, " n"]) -> Int64[np.ndarray, " borders"]:
    """Positions of the values that differ from the one before.

    >>> _changes(np.array([5, 5, 7, 7, 5])).tolist()
    [2, 4]
    """
    if values.dtype != bool or len(values) < MAX_PLAIN or len(values) % 8 or not values.flags.c_contiguous:
        return _plain_changes(values)
    # eight values at a time: a word that equals the one before hides no change, unless it is mixed
    words = values.view(np.uint64)
    firsts = np.concatenate(([0], _plain_changes(words)))
    framed = np.empty((len(firsts), 9), dtype=bool)
    framed[:, 1:] = values.reshape(-1, 8)[firsts]
    framed[:, 0] = values[np.maximum(firsts * 8 - 1, 0)]
    differs = framed[:, 1:] != framed[:, :-1]
    is_repeated = np.diff(firsts, append=len(words)) > 1
    if differs[is_repeated, 1:].any():
        return _plain_changes(values)
    places = np.flatnonzero(differs)
    return firsts[places >> 3] * 8 + (places & 7)


def _plain_changes(values: Integer[np.ndarray, " n"] | Bool[np.ndarray, " n"]) -> Int64[np.ndarray, " borders"]:
    return np.flatnonzero(values[1:] != values[:-1]) + 1


def segments(
    values: Integer[np.ndarray, " n"] | Bool[np.ndarray, " n"],
    *more: Bool[np.ndarray, " n"] | Integer[np.ndarray, " n"],
) -> tuple[Int64[np.ndarray, " segments"], Int64[np.ndarray, " segments"]]:
    """First position and length of each stretch over which none of the arrays changes.

    >>> [part.tolist() for part in segments(np.array([5, 5, 7, 7]), np.array([0, 0, 0, 1]))]
    [[0, 2, 3], [2, 1, 1]]
    """
    if not len(values):
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    if more:
        differs = values[1:] != values[:-1]
        for other in more:
            differs |= other[1:] != other[:-1]
        inner = np.flatnonzero(differs) + 1
    else:
        inner = _changes(values)
    starts = np.concatenate(([0], inner))
    return starts, np.diff(starts, append=len(values))


def _runs_of_codes(codes: Sequence[Mapping[str, Any]], where: str = "masks") -> RunMasks:
    """The runs of COCO's run-length codes, compressed (text) or plain (lists), all of one size.

    Args:
        codes: at least one.
        where: what messages call them.

    Raises:
        DataError: naming the code that is damaged.
        ShapeError: if their sizes differ.

    >>> found = _runs_of_codes([{"size": [4, 2], "counts": "125"}])
    >>> found.starts.tolist(), found.ends.tolist(), found.areas.tolist()
    ([1], [3], [2])
    """
    size = _code_size(codes, where)
    num = size[0] * size[1]
    values, lengths = rle.read_counts([code.get("counts") for code in codes], where)
    owners = np.repeat(np.arange(len(codes)), lengths)
    outside = np.flatnonzero((values < 0) | (values > num))
    if len(outside):
        run = int(values[outside[0]])
        fault = f"a run of {run} pixels in an image of {num}" if run >= 0 else "a negative run, or one beyond 33 bits"
        raise DataError(f"{where}[{owners[outside[0]]}]: {fault}")
    sums = np.bincount(owners, values, len(codes))
    if (sums != num).any():
        wrong = int(np.flatnonzero(sums != num)[0])
        raise DataError(f"{where}[{wrong}]: run lengths add up to {int(sums[wrong])} pixels, the image has {num}")
    borders = np.cumsum(values)  # over all codes, each of which adds up to the same number
    places = np.arange(len(values)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    last = np.flatnonzero((places % 2 == 1) & (values > 0))
    offsets = owners[last] * num
    return RunMasks(size, True, len(codes), borders[last - 1] - offsets, borders[last] - offsets, owners[last])


def _code_size(codes: Sequence[Mapping[str, Any]], where: str) -> Size:
    sizes = set()
    for index, code in enumerate(codes):
        size = code.get("size") if isinstance(code, Mapping) else None
        if not isinstance(size, list | tuple) or len(size) != 2:
            raise DataError(f"{where}[{index}]: expected a run-length code with a size of two numbers")
        sizes.add((int(size[0]), int(size[1])))
    if len(sizes) != 1:
        raise ShapeError(f"{where}: expected run-length codes of one size, got {sorted(sizes)}")
    return sizes.pop()
