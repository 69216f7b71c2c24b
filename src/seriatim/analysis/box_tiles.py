"""One tile of an image with the boxes that reach into it, for looking at a model that takes boxes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from seriatim.analysis.states import choose_tile
from seriatim.core.batch import Prompts
from seriatim.core.boxes import Boxes
from seriatim.core.shapes import Box
from seriatim.inference.placement import ImagePrompts
from seriatim.inference.predictor import Predictor


class BoxTile(NamedTuple):
    """A prepared tile.

    Attributes:
        image: values in 0..1.
        box: of the tile in the prepared image.
        number: of the tile, from 0, in reading order.
        num_tiles: tiles that the prepared image is cut into.
        prompts: the boxes, in pixels of the tile, on the device of the model.
    """

    image: Float32[np.ndarray, "channels height width"]
    box: Box
    number: int
    num_tiles: int
    prompts: Prompts


def cut_tile(
    predictor: Predictor, image: Float32[np.ndarray, "channels height width"], boxes: Boxes, tile: int | None
) -> BoxTile:
    """The tile as the network sees it.

    Args:
        predictor: of a model that takes boxes.
        image: values in 0..1, not yet prepared.
        boxes: in pixels of the image.
        tile: its number, from 0, in reading order; None takes the one in the middle.

    Raises:
        ConfigError: if there is no such tile.
        ShapeError: as for `Predictor.prepared`.
    """
    prepared = predictor.prepared(image)
    size = (prepared.shape[1], prepared.shape[2])
    tiles, chosen = choose_tile(predictor, size, tile)
    y0, x0, y1, x1 = tiles[chosen]
    given = ImagePrompts(boxes, np.zeros((0, 2)))
    prompts, _ = given.of_tile(tiles, chosen, size, (image.shape[1], image.shape[2]))
    cut = np.ascontiguousarray(prepared[:, y0:y1, x0:x1])
    return BoxTile(cut, tiles[chosen], chosen, len(tiles), prompts.to(predictor.device))
