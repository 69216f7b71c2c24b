"""Padding of images, so that an encoder halves their sides evenly."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def continue_images(
    images: Float[Tensor, "batch channels height width"], multiple: int
) -> Float[Tensor, "batch channels _ _"]:
    """The images, continued on their lower and right edges by what lies there, until their sides are multiples of a number."""
    more_rows, more_columns = (-extent % multiple for extent in images.shape[-2:])
    return F.pad(images, (0, more_columns, 0, more_rows), mode="replicate")
