"""Spatial inhibition: from the state of a recurrent network to the mask of one object, and only one.

Source: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (ECCV 2016), Sec. 3.2 and Fig. 2:

    r = conv1x1(h)          z_i = log(exp(r_i) / sum_j exp(r_j)) + b          p = upsample(sigmoid(z))

The log-softmax over all pixels of the image makes them compete: the z of a pixel can only rise if others fall. The learned scalar b is the
threshold: a pixel is in the mask where its share of the whole is above exp(-b). Cells outside the image, such as the padding of a crop, have no share.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F


class Inhibition(NamedTuple):
    """The stages of the module, as figure 7 of the paper shows them."""

    response: Float[Tensor, "batch map_height map_width"]
    """After the convolution."""
    inhibited_logits: Float[Tensor, "batch map_height map_width"]
    """After log-softmax and threshold, before the sigmoid."""
    mask_probs: Float[Tensor, "batch height width"]
    """At the size of the image."""


class SpatialInhibition(nn.Module):
    """One mask an image."""

    def __init__(self, in_channels: int, initial_threshold: float = 1.0, hidden_channels: int = 0) -> None:
        """
        Args:
            in_channels: channels of the state.
            initial_threshold: b at the start of the training.
            hidden_channels: of a 3x3 convolution before the 1x1 convolution; 0 for none (the paper).
        """
        super().__init__()
        self.convolution: nn.Module = nn.Conv2d(hidden_channels or in_channels, 1, 1)
        if hidden_channels:
            first = nn.Conv2d(in_channels, hidden_channels, 3, padding=1)
            self.convolution = nn.Sequential(first, nn.ReLU(inplace=True), self.convolution)
        self.threshold = nn.Parameter(torch.tensor(float(initial_threshold)))

    def forward(
        self,
        state: Float[Tensor, "batch channels map_height map_width"],
        size: tuple[int, int],
        inside: Bool[Tensor, "batch map_height map_width"] | None = None,
    ) -> Inhibition:
        """The mask and what led to it.

        Args:
            state: of the recurrent network.
            size: (height, width) of the image.
            inside: False where a cell lies outside the image; None if all lie inside.
        """
        response = self.convolution(state)[:, 0]
        if response.dtype != torch.float64:
            response = response.float()
        inhibited = log_softmax_over_pixels(response, inside) + self.threshold
        probs = F.interpolate(inhibited.sigmoid()[:, None], size=size, mode="bilinear", align_corners=False)
        return Inhibition(response, inhibited, probs[:, 0])


def log_softmax_over_pixels(
    response: Float[Tensor, "batch height width"], inside: Bool[Tensor, "batch height width"] | None = None
) -> Float[Tensor, "batch height width"]:
    """The logarithm of every pixel's share of its image.

    Args:
        response: any values.
        inside: False where a pixel lies outside the image and has no share; None if all lie inside.

    >>> shares = log_softmax_over_pixels(torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])).exp()
    >>> shares.tolist()
    [[[0.25, 0.25], [0.25, 0.25]]]
    >>> log_softmax_over_pixels(torch.zeros(1, 1, 3), torch.tensor([[[True, True, False]]])).exp().tolist()
    [[[0.5, 0.5, 0.0]]]
    """
    if inside is not None:
        response = response.masked_fill(~inside, torch.finfo(response.dtype).min / 2)
    return response.flatten(1).log_softmax(dim=1).view_as(response)
