"""Between the tiles that a network sees and the image: crops of tiles, prompts in pixels of a tile, objects in pixels of the image.

A tile is a box of the *scaled* image, which has the size at which the network looks; the image itself may have another size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from seriatim.core.batch import Prompts
from seriatim.core.boxes import Boxes
from seriatim.core.instances import Instance
from seriatim.core.shapes import Box, Size


def pad_tile(
    crop: Float32[np.ndarray, "channels height width"], multiple: int
) -> Float32[np.ndarray, "channels padded_height padded_width"]:
    """A copy of the crop, continued by reflection on its lower and right edges until its sides are multiples of `multiple`."""
    missing = [-extent % multiple for extent in crop.shape[1:]]
    return np.pad(crop, ((0, 0), (0, missing[0]), (0, missing[1])), mode="reflect")


@dataclass(frozen=True, slots=True)
class ImagePrompts:
    """Where to look in an image: boxes with scores and classes, and points (y, x), in pixels of the image."""

    boxes: Boxes
    points: Float[np.ndarray, "points 2"]

    def of_tile(
        self, tiles: Sequence[Box], number: int, scaled: Size, size: Size
    ) -> tuple[Prompts, Int[np.ndarray, " points"]]:
        """The prompts that lie in a tile, in pixels of the tile, and the numbers of their points in the image.

        A box is cut at the edges of the tile and dropped where nothing is left. A point belongs to the one tile in which it lies farthest inside.

        Args:
            tiles: all tiles, in pixels of the scaled image.
            number: of the tile.
            scaled: size of the scaled image.
            size: of the image.
        """
        y0, x0, y1, x1 = tiles[number]
        factors = (scaled[0] / size[0], scaled[1] / size[1])
        boxes = self.boxes.scale(factors).shift((float(-y0), float(-x0))).clip((y1 - y0, x1 - x0))
        points, edges = self.points * factors, np.array(tiles, dtype=np.float64)
        inside = np.minimum(points[:, None] - edges[None, :, :2], edges[None, :, 2:] - points[:, None]).min(axis=2)
        numbers = np.flatnonzero(inside.argmax(axis=1) == number)
        places = torch.from_numpy((points[numbers] - (y0, x0)).astype(np.float32))
        return boxes.to_prompts()._replace(points=places), numbers


def place(
    instance: Instance, probs: Float[Tensor, "height width"], tile: Box, scaled: Size, size: Size, threshold: float
) -> Instance | None:
    """The object of a tile in pixels of the image; None if it lies in the padding alone.

    Args:
        instance: in pixels of the tile.
        probs: of the whole tile with its padding; used where the scaled image has another size than the image.
        tile: box of the tile in the scaled image.
        scaled: size of the scaled image.
        size: of the image.
        threshold: a pixel with at least this probability belongs to the object.
    """
    height, width = tile[2] - tile[0], tile[3] - tile[1]
    if scaled == size:  # what lies in the padding is cut off
        inside = instance.mask[: max(height - instance.box[0], 0), : max(width - instance.box[1], 0)]
        return _moved(instance, inside, (tile[0] + instance.box[0], tile[1] + instance.box[1]))
    y0, x0, y1, x1 = instance.box
    whole = original_box(tile, scaled, size)
    reach = original_box((y0 + tile[0], x0 + tile[1], y1 + tile[0], x1 + tile[1]), scaled, size)
    top, left = max(reach[0] - 1, whole[0]), max(reach[1] - 1, whole[1])
    bottom, right = min(reach[2] + 1, whole[2]), min(reach[3] + 1, whole[3])
    if top >= bottom or left >= right:
        return None
    rows = (np.arange(top, bottom) + 0.5) * (scaled[0] / size[0]) - 0.5 - tile[0]
    columns = (np.arange(left, right) + 0.5) * (scaled[1] / size[1]) - 0.5 - tile[1]
    values = probs[:height, :width].float().cpu().numpy()
    return _moved(instance, _sample_bilinear(values, rows, columns) >= threshold, (top, left))


def _moved(instance: Instance, mask: Bool[np.ndarray, "height width"], offset: tuple[int, int]) -> Instance | None:
    return Instance.from_mask(
        mask,
        offset,
        score=instance.score,
        class_id=instance.class_id,
        class_probs=instance.class_probs,
        step=instance.step,
    )


def _sample_bilinear(
    values: Float[np.ndarray, "height width"], rows: Float[np.ndarray, " rows"], columns: Float[np.ndarray, " columns"]
) -> Float[np.ndarray, "rows columns"]:
    """Values between the centres of pixels; beyond the outermost centres those of the edge."""
    (top, bottom, down), (left, right, across) = (
        _neighbours(places, extent) for places, extent in zip((rows, columns), values.shape, strict=True)
    )
    upper, lower = values[top], values[bottom]
    lines = upper + (lower - upper) * down[:, None]
    return lines[:, left] + (lines[:, right] - lines[:, left]) * across[None, :]


def _neighbours(places: np.ndarray, extent: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    inside = np.clip(places, 0, extent - 1)
    before = np.minimum(inside.astype(np.int64), max(extent - 2, 0))
    return before, np.minimum(before + 1, extent - 1), (inside - before).astype(np.float32)


def original_box(box: Box, scaled: Size, size: Size) -> Box:
    """The pixels of the image whose centres lie in a box of the scaled one."""
    if scaled == size:
        return box
    edges = [int(np.ceil(edge * size[axis % 2] / scaled[axis % 2] - 0.5)) for axis, edge in enumerate(box)]
    y0, x0, y1, x1 = (min(max(edge, 0), size[axis % 2]) for axis, edge in enumerate(edges))
    return y0, x0, y1, x1
