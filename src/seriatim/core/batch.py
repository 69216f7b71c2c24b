"""What a model is trained on and asked about: `Batch`, images with their truth, and `Prompts`, where to look in one image."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Prompts(NamedTuple):
    """Boxes and points of one image, in pixels of the image that the model sees.

    Attributes:
        boxes: (y0, x0, y1, x1) of detections or proposals.
        scores: of the boxes, 0..1.
        class_ids: of the boxes, from 1; 0 where the class is unknown.
        points: (y, x) of places to look at.
    """

    boxes: Float[Tensor, "boxes 4"]
    scores: Float[Tensor, " boxes"]
    class_ids: Int[Tensor, " boxes"]
    points: Float[Tensor, "points 2"]

    @classmethod
    def none(cls) -> "Prompts":
        """No box and no point."""
        return cls(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long), torch.zeros(0, 2))


class Batch(NamedTuple):
    """Images of one size and the truth about them.

    Attributes:
        images: values in 0..1.
        labels: 0 background, 1..N, -1 to ignore.
        classes: of every object, from 1; 0 pads.
        names: of the images that these are crops of.
        prompts: of every image; None where the data set has no boxes.
    """

    images: Float[Tensor, "batch channels height width"]
    labels: Int[Tensor, "batch height width"]
    classes: Int[Tensor, "batch instances"]
    names: tuple[str, ...] = ()
    prompts: tuple[Prompts, ...] | None = None
