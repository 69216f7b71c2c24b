"""Steps in windows: a guided step reads and writes the state around the place that it looks at, not in the whole image (extension).

The step of a guided model decodes one object, whose place, size and votes are known before (`guidance.py`). So its memory and its state are cut to a
window around that place, the model's own `step` runs on the window as if it were an image, and the state is put back. Windows of one side, of many
images and of places of one image that do not share a cell, run as one batch. Where a window is as large as the image nothing changes.

Windows are counted in cells of the deepest level, so that every level is cut at whole cells.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from seriatim.core.shapes import Box, Size, intersect_boxes
from seriatim.models.guidance import OFFSET_UNIT, GuidanceConfig, GuidanceMemory
from seriatim.nn.convlstm import ConvLSTMState


class Window(NamedTuple):
    """Where a step reads and writes.

    Attributes:
        image: number of the image in the batch.
        box: (y0, x0, y1, x1) in cells of the deepest level.
        cell: (y, x) of the place looked at, in cells of the finest level.
    """

    image: int
    box: Box
    cell: tuple[int, int]

    @property
    def size(self) -> Size:
        """(height, width) in cells of the deepest level."""
        return self.box[2] - self.box[0], self.box[3] - self.box[1]


class WindowPlanner:
    """Lays windows around places in images of one size."""

    def __init__(self, guidance: GuidanceMemory, settings: GuidanceConfig, size: Size) -> None:
        """
        Args:
            guidance: of the images.
            settings: how large windows are.
            size: (height, width) of the images; one that the levels do not divide evenly, and alike in both directions, is one window.
        """
        self.settings = settings
        self.grids = [(level.shape[-2], level.shape[-1]) for level in guidance.positions]
        deepest, finest = self.grids[0], self.grids[-1]
        ratios = [np.divide(plane, deepest) for plane in (size, *self.grids)]
        self.divides = all(down == across == int(down) for down, across in ratios)
        self.cell_size = size[0] / deepest[0]
        self.cells_inside = finest[0] // deepest[0]
        log2_diameters = guidance.maps.log2_diameters.detach().clamp(-2.0, 5.0)
        self.diameters = (OFFSET_UNIT * 2.0**log2_diameters).float().cpu().numpy()

    def around(self, image: int, cell: tuple[int, int]) -> Window:
        """The window around a place of an image.

        Args:
            image: number in the batch.
            cell: (y, x) in cells of the finest level.
        """
        deepest = self.grids[0]
        if not (self.settings.window and self.divides):
            return Window(image, (0, 0, *deepest), cell)
        pixels = max(self.settings.min_window, self.settings.window * float(self.diameters[image][cell]))
        side = _round_up(pixels / self.cell_size)
        edges = [_spread(one, side, extent, self.cells_inside) for one, extent in zip(cell, deepest, strict=True)]
        (top, bottom), (left, right) = edges
        return Window(image, (top, left, bottom, right), cell)

    def choose(self, left: Float[np.ndarray, "height width"], image: int, most: int) -> list[Window]:
        """Windows of one image that share no cell, around the best places that are left, best first.

        Args:
            left: seed (1 - occupancy) of the finest level; places below the threshold of the settings are not looked at.
            image: number in the batch.
            most: number of windows at most, beside that of the settings.
        """
        left, chosen = left.copy(), list[Window]()
        most = min(most, self.settings.most_windows)
        while len(chosen) < most:
            row, column = divmod(int(left.argmax()), left.shape[1])
            if left[row, column] < self.settings.seed_threshold:
                break
            window = self.around(image, (row, column))
            if all(intersect_boxes(window.box, other.box) is None for other in chosen):
                chosen.append(window)
            y0, x0, y1, x1 = _scaled(window.box, self.grids[0], self.grids[-1])
            left[y0:y1, x0:x1] = -1  # what lies nearby waits for the next round
        return chosen


def _round_up(side: float) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, ... so that few sides are in use and many windows make a batch.

    >>> [_round_up(side) for side in (0.5, 3.2, 5.0, 9.0)]
    [1, 4, 6, 12]
    """
    power = 1
    while power * 2 <= side:
        power *= 2
    for candidate in (power, power + power // 2, 2 * power):
        if candidate >= side:
            return candidate
    return 2 * power


def _spread(place: int, side: int, extent: int, cells_inside: int) -> tuple[int, int]:
    """First and last edge of a window with `place` (in finer cells) in its middle, moved into the image."""
    if side >= extent:
        return 0, extent
    first = round((place + 0.5) / cells_inside - side / 2)
    first = min(max(first, 0), extent - side)
    return first, first + side


def cut(values: Any, windows: Sequence[Window], grid: Size) -> Any:
    """What belongs to windows of one size, from tensors, sizes, lists and named tuples; a window takes the place of an image.

    Args:
        values: a memory or a state. Tensors have the batch first and (height, width) last; one of batch 1 holds for all images. A tuple of two
            numbers is a (height, width). Tensors of one cell, and what is none of these, stay.
        windows: of one size.
        grid: (height, width) of the deepest level.

    >>> cut([torch.arange(16.0).view(1, 4, 4), (8, 8)], [Window(0, (1, 0, 2, 1), (2, 0))], (2, 2))
    [tensor([[[ 8.,  9.],
             [12., 13.]]]), (4, 4)]
    """
    if isinstance(values, Tensor):
        if values.ndim < 3 or values.shape[-2:] == (1, 1):
            return values
        boxes = [_scaled(window.box, grid, (values.shape[-2], values.shape[-1])) for window in windows]
        images = [window.image if len(values) > 1 else 0 for window in windows]
        return torch.stack(
            [values[image, ..., y0:y1, x0:x1] for image, (y0, x0, y1, x1) in zip(images, boxes, strict=True)]
        )
    if isinstance(values, list):
        return [cut(one, windows, grid) for one in values]
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(cut(one, windows, grid) for one in values))
    if isinstance(values, tuple):
        y0, x0, y1, x1 = _scaled(windows[0].box, grid, values)
        return y1 - y0, x1 - x0
    return values


def owned(values: Any) -> Any:
    """A copy of a state in which no two tensors share memory, to be written in place; no ConvLSTM counts as blank any more."""
    if isinstance(values, Tensor):
        return values.clone()
    if isinstance(values, ConvLSTMState):
        return ConvLSTMState(values.hidden.clone(), values.cell.clone())
    if isinstance(values, list):
        return [owned(one) for one in values]
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(owned(one) for one in values))
    return values


def put_back(values: Any, parts: Any, windows: Sequence[Window], grid: Size) -> None:
    """Write into a state, in place, what windows have made of it; for use, where no gradient is needed.

    Args:
        values: the state of the images.
        parts: the state of the windows, as `cut` gives it and a step changes it.
        windows: that share no cell.
        grid: (height, width) of the deepest level.
    """
    if isinstance(values, Tensor):
        for number, window in enumerate(windows):
            y0, x0, y1, x1 = _scaled(window.box, grid, (values.shape[-2], values.shape[-1]))
            values[window.image, ..., y0:y1, x0:x1] = parts[number]
    elif isinstance(values, list) or (isinstance(values, tuple) and hasattr(values, "_fields")):
        for one, part in zip(values, parts, strict=True):
            put_back(one, part, windows, grid)


def in_image(
    values: Float[Tensor, "windows height width"], windows: Sequence[Window], grid: Size, size: Size, outside: float
) -> Float[Tensor, "windows full_height full_width"]:
    """Maps of windows in planes of the size of the image.

    Args:
        values: at the resolution of the image.
        windows: of one size.
        grid: (height, width) of the deepest level.
        size: (height, width) of the image.
        outside: value of the pixels that no window covers.
    """
    planes = values.new_full((len(windows), *size), outside)
    for number, window in enumerate(windows):
        y0, x0, y1, x1 = _scaled(window.box, grid, size)
        planes[number, y0:y1, x0:x1] = values[number]
    return planes


def corner(window: Window, grid: Size, size: Size) -> tuple[int, int]:
    """(y, x) of the upper left corner of a window in pixels of the image of `size`."""
    y0, x0, _, _ = _scaled(window.box, grid, size)
    return y0, x0


def cells_in(windows: Sequence[Window], grid: Size, finest: Size) -> list[int]:
    """The places looked at as flat indices of the finest level of their windows."""
    found = []
    for window in windows:
        y0, x0, _, x1 = _scaled(window.box, grid, finest)
        found.append((window.cell[0] - y0) * (x1 - x0) + window.cell[1] - x0)
    return found


def _scaled(box: Box, grid: Size, size: Size) -> Box:
    """A box in cells of the deepest level, in cells of a level of `size`."""
    y0, x0, y1, x1 = box
    down, across = size[0] // grid[0], size[1] // grid[1]
    if (y1 - y0, x1 - x0) == grid:  # the whole image, also where the deepest level does not divide it evenly
        return 0, 0, *size
    return y0 * down, x0 * across, y1 * down, x1 * across
