"""Where the boxes of images come from, for models that take boxes: a file, or a dense grid.

grid:N      at most N boxes of every image, of several sizes and shapes, evenly over it (`grid_boxes`); grid for 2,000
FILE.json   COCO results                                                                  (`data/readers/coco_boxes.py`)
FILE.npz    arrays, one an image                                                          (`data/readers/npz_boxes.py`)
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from seriatim.core.boxes import Boxes
from seriatim.core.errors import DataError
from seriatim.core.shapes import Size
from seriatim.data.readers.coco_boxes import BoxFile
from seriatim.data.readers.npz_boxes import NpzBoxes
from seriatim.data.samples import Sample
from seriatim.data.source import Source, Wrapper

GRID_COUNT = 2000
"""Boxes of a grid where no number is given, as many as R2-IOS takes."""

SMALLEST = 16
"""Shortest side of a square box of a grid in pixels."""

RATIOS = (0.5, 1.0, 2.0)
"""Heights of the boxes of a grid over their widths, the areas the same."""


@runtime_checkable
class BoxOrigin(Protocol):
    """Gives the boxes of any image."""

    def for_image(self, name: str | Path, size: Size) -> Boxes:
        """The boxes of an image by its name or path and its (height, width)."""
        ...


class WithBoxes(Wrapper):
    """A source whose samples have the boxes of an origin, clipped to their image."""

    def __init__(self, source: Source, origin: BoxOrigin) -> None:
        """
        Args:
            source: the whole.
            origin: of the boxes; a file is opened with this source, so that ids and classes are its own.
        """
        super().__init__(source)
        self.origin = origin

    def read(self, index: int) -> Sample:
        """The sample with its boxes; with none where there are none for it."""
        sample = self.source.read(index)
        name = self.source.name(index) if self.coco is None else self.coco.paths[self.source.image_id(index)]
        size = (sample.labels.shape[0], sample.labels.shape[1])
        return replace(sample, boxes=self.origin.for_image(name, size).clip(size))


class GridBoxes:
    """The same boxes for all images of a size."""

    def __init__(self, count: int) -> None:
        """
        Args:
            count: of an image, at most.
        """
        self.count = count

    def for_image(self, name: str | Path, size: Size) -> Boxes:
        """The boxes of an image of this (height, width), whatever its name."""
        del name
        return grid_boxes(size, self.count)


def open_boxes(origin: str, source: Source | None = None, class_names: Sequence[str] = ()) -> BoxOrigin:
    """The origin that a text names, as at the top of this file.

    Args:
        origin: `grid`, `grid:N`, or the path of a file.
        source: the data that the boxes are for; COCO results with numbers of images need it.
        class_names: from class 1, to which the categories of a file are matched.

    Raises:
        DataError: if the file cannot be read, or a grid has no number of boxes.
    """
    if origin.partition(":")[0] == "grid":
        found = re.fullmatch(r"grid(?::([1-9][0-9]*))?", origin)
        if found is None:
            raise DataError(f"{origin}: expected grid or grid:N with a number of boxes")
        return GridBoxes(int(found[1] or GRID_COUNT))
    path = Path(origin)
    return NpzBoxes(path) if path.suffix.lower() == ".npz" else BoxFile(path, source, class_names)


def grid_boxes(size: Size, count: int) -> Boxes:
    """Boxes evenly over an image, with score 1 and no class: sides from `SMALLEST` in steps of the square root of 2, each in three shapes.

    Neighbours of one shape are apart by the same share of their sides, the smallest with which there are no more boxes than allowed. The order is drawn once
    and for all, so that the first of them are of all sizes and places too.

    Args:
        size: (height, width) of the image.
        count: of the boxes, at most.

    >>> len(grid_boxes((256, 256), 300)) in range(200, 301), len(grid_boxes((3, 500), 5)) <= 5
    (True, True)
    """
    longest = max(min(size), SMALLEST)
    num_sides = 1 + int(2 * math.log2(longest / SMALLEST))
    shapes = [
        (min(side * math.sqrt(ratio), float(size[0])), min(side / math.sqrt(ratio), float(size[1])))
        for side, ratio in product((SMALLEST * math.sqrt(2) ** number for number in range(num_sides)), RATIOS)
    ]
    low, high = 1 / 64, 64.0
    for _ in range(40):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _num_boxes(shapes, size, middle) <= count else (middle, high)
    boxes = [
        (y, x, y + height, x + width)
        for height, width in shapes
        for y in _places(size[0], height, high)
        for x in _places(size[1], width, high)
    ]
    order = np.random.default_rng(0).permutation(len(boxes))[:count]
    return Boxes.of([boxes[number] for number in order])


def _num_boxes(shapes: Sequence[tuple[float, float]], size: Size, share: float) -> int:
    return sum(math.prod(len(_places(*pair, share)) for pair in zip(size, shape, strict=True)) for shape in shapes)


def _places(length: int, side: float, share: float) -> np.ndarray:
    """Where boxes of a side begin along an axis: from edge to edge, at most `share` of the side apart; one box alone in the middle."""
    free = length - side
    count = 1 + math.floor(free / (share * side))
    return np.linspace(0, free, count) if count > 1 else np.array([free / 2])
