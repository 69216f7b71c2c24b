"""What a model is trained on and asked about: `Batch`, images with their truth, and `Prompts`, where to look in one image."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

OUTSIDE = -2
"""Label of the pixels of a crop that lie outside the image."""


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

    def to(self, device: torch.device) -> "Prompts":
        """The same on a device."""
        return Prompts(*(part.to(device) for part in self))


class Batch(NamedTuple):
    """Images of one size and the truth about them.

    Attributes:
        images: values in 0..1.
        labels: 0 background, 1..N; negative to ignore: -1 in the image, `OUTSIDE` beyond its edges.
        classes: of every object, from 1; 0 pads.
        names: of the images that these are crops of.
        prompts: of every image; None where the data set has no boxes.
    """

    images: Float[Tensor, "batch channels height width"]
    labels: Int[Tensor, "batch height width"]
    classes: Int[Tensor, "batch instances"]
    names: tuple[str, ...] = ()
    prompts: tuple[Prompts, ...] | None = None


def select_images(values: Any, images: Int[Tensor, " chosen"] | slice) -> Any:
    """What belongs to some images of a batch, from tensors in lists and named tuples.

    Args:
        values: a tensor, a list or a named tuple of such values. The first axis of a tensor is the batch; a tensor of batch 1 holds for all images
            and stays. What is neither (sizes, None) stays too.
        images: numbers of the images.

    >>> select_images([torch.tensor([[1], [2]]), torch.tensor([[5]]), (4, 4)], torch.tensor([1]))
    [tensor([[2]]), tensor([[5]]), (4, 4)]
    """
    if isinstance(values, Tensor):
        return values if len(values) == 1 else values[images]
    if isinstance(values, list):
        return [select_images(one, images) for one in values]
    if isinstance(values, tuple) and hasattr(values, "_fields"):
        return type(values)(*(select_images(one, images) for one in values))
    return values
