"""The feature maps of R2-IOS (Sec. 3.1 and 3.2): one that masks are read from and one that boxes are, from one encoder or from two.

VGGBranches      VGG-16 up to pool3, then twice the rest: without pool4 and pool5, fc6 and fc7 as convolutions (masks, stride 8), and with pool4
                 and without pool5 (boxes, stride 16; its fc6 and fc7 read RoIs)
PyramidBranches  any timm pyramid, with a top-down pathway of its own down to each map

With `shared = False` the layers before the branches are there twice too.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seriatim.core.errors import ConfigError
from seriatim.nn.encoders import Encoder, input_statistics
from seriatim.nn.fcn import POOL3, POOL4, FinestLevel, not_vgg16, read_vgg16, vgg16_layers

_POOL5 = 30
"""Number of the layer pool5."""


class BranchMaps(NamedTuple):
    """The two maps of a batch of images.

    Attributes:
        masks: which masks are read from.
        boxes: which boxes are read from.
    """

    masks: Float[Tensor, "batch mask_channels mask_rows mask_columns"]
    boxes: Float[Tensor, "batch box_channels box_rows box_columns"]


class VGGBranches(nn.Module):
    """VGG-16 and its two branches.

    Attributes:
        mask_channels: of the map of the masks.
        box_channels: of the map of the boxes.
        strides: width of a cell of the two maps in pixels.
        size_multiple: of which the sides of an image must be multiples.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, input_channels: int, weights: str | None = None, fc_channels: int = 4096, shared: bool = True
    ) -> None:
        """
        Args:
            input_channels: 3, or 4 with the depth.
            weights: "hub" for torchvision's ImageNet weights, the path of a state dict of torchvision's vgg16, or None.
            fc_channels: of fc6 and fc7 of the masks; ImageNet's weights have 4096.
            shared: whether conv1 to conv3 are common to both branches.

        Raises:
            CheckpointError: if the weights are not available or do not fit.
        """
        super().__init__()
        self.mask_channels, self.box_channels, self.strides, self.size_multiple = fc_channels, 512, (8, 16), 32
        mean, std = input_statistics(input_channels)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        of_masks, of_boxes = vgg16_layers(input_channels), vgg16_layers(input_channels)
        fc6, fc7 = nn.Conv2d(512, fc_channels, 7, padding=3), nn.Conv2d(fc_channels, fc_channels, 1)
        if weights is None:
            for layer in (*of_masks, *of_boxes, fc6, fc7):
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        else:
            _load(read_vgg16(weights, input_channels), of_masks, of_boxes, fc6, fc7, weights)
        self.encoder = of_masks[: POOL3 + 1]
        self.box_encoder = None if shared else of_boxes[: POOL3 + 1]
        self.masks = nn.Sequential(
            *of_masks[POOL3 + 1 : POOL4], *of_masks[POOL4 + 1 : _POOL5], fc6, nn.ReLU(), fc7, nn.ReLU()
        )
        self.boxes = of_boxes[POOL3 + 1 : _POOL5]

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> BranchMaps:
        """The maps of images whose sides are multiples of `size_multiple`; values in 0..1."""
        values = (images - self.mean) / self.std
        shared = self.encoder(values)
        return BranchMaps(
            self.masks(shared), self.boxes(shared if self.box_encoder is None else self.box_encoder(values))
        )


class PyramidBranches(nn.Module):
    """A timm pyramid and its two branches; attributes as those of `VGGBranches`."""

    def __init__(
        self,
        encoder: str,
        input_channels: int,
        depth: int,
        weights: str | None,
        channels: int,
        strides: tuple[int, int] = (8, 16),
        shared: bool = True,
    ) -> None:
        """
        Args:
            encoder: a timm model.
            input_channels: 1, 3 or 4.
            depth: levels of the encoder that are used, from the shallowest.
            weights: of the encoder, as `Encoder` takes them.
            channels: of both maps.
            strides: of the maps of masks and boxes, in pixels.
            shared: whether the encoder is common to both branches.

        Raises:
            ConfigError: if the encoder has no level of such a stride.
            CheckpointError: if the weights are not available or do not fit.
        """
        super().__init__()
        self.encoder = Encoder(encoder, input_channels, depth, weights)
        self.box_encoder = None if shared else Encoder(encoder, input_channels, depth, weights)
        self.mask_channels = self.box_channels = channels
        self.strides, self.size_multiple = strides, max(self.encoder.strides)
        for stride in strides:
            if stride not in self.encoder.strides:
                raise ConfigError(
                    f"strides: encoder {encoder} of depth {depth} has strides {sorted(self.encoder.strides)}, not {stride}"
                )
        self.masks, self.boxes = (
            FinestLevel(self.encoder.widths[: self.encoder.strides.index(stride) + 1], channels) for stride in strides
        )

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> BranchMaps:
        """The maps of images whose sides are multiples of `size_multiple`; values in 0..1."""
        levels = self.encoder(images)
        return BranchMaps(
            self.masks(levels), self.boxes(levels if self.box_encoder is None else self.box_encoder(images))
        )


def _load(
    given: Mapping[str, Tensor],
    of_masks: nn.Sequential,
    of_boxes: nn.Sequential,
    fc6: nn.Conv2d,
    fc7: nn.Conv2d,
    weights: str,
) -> None:
    layers = {name.removeprefix("features."): value for name, value in given.items() if name.startswith("features.")}
    try:
        of_masks.load_state_dict(layers)
        of_boxes.load_state_dict(layers)
        with torch.no_grad():
            for number, layer in enumerate((fc6, fc7)):
                layer.weight.copy_(given[f"classifier.{3 * number}.weight"].view(layer.weight.shape))
                layer.bias.copy_(given[f"classifier.{3 * number}.bias"])  # pyright: ignore[reportOptionalMemberAccess]
    except (KeyError, RuntimeError) as error:
        raise not_vgg16(weights, error) from None
