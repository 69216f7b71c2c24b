"""Fully convolutional networks: one map of features an image, as RIS reads it.

LeafNetwork   RIS Sec. 4.3: five convolutions of 30 filters, the first of 9x9, the others of 3x3, each with a ReLU
VGG16         the trunk of FCN-8s (Long, Shelhamer, Darrell, "Fully Convolutional Networks", CVPR 2015): fc6 and fc7 as convolutions
FCN8sScores   its last layer: pool3, pool4 and fc7 scored by 1x1 convolutions and fused by learned upsampling, at stride 8
FinestLevel   the finest map of a top-down pathway over any timm pyramid
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import VGG16_Weights

from seriatim.core.errors import CheckpointError
from seriatim.nn.encoders import TopDownPathway, input_statistics, read_weights

FC_CHANNELS = 4096
"""Of VGG-16's fully connected layers."""

_VGG16_BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels and number of the convolutions before each pooling."""

POOL3, POOL4 = 16, 23
"""Numbers of the layers pool3 and pool4 of `vgg16_layers`."""


class LeafNetwork(nn.Module):
    """The small network that is learned from scratch."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, input_channels: int = 3, channels: int = 30, stride: int = 5, subsampling: str = "convolution"
    ) -> None:
        """
        Args:
            input_channels: 1, 3 or 4.
            channels: filters of every layer.
            stride: pixels of the image a cell of the map is wide; 5 makes 100 x 106 of 500 x 530.
            subsampling: "convolution" lets the first layer step, "bilinear" shrinks the image before it (released code).
        """
        super().__init__()
        self.stride = stride
        self.bilinear = subsampling == "bilinear"
        mean, std = input_statistics(input_channels)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        step = 1 if self.bilinear else stride
        self.first = nn.Conv2d(input_channels, channels, 9, stride=step, padding=4)
        self.others = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(4))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch filters _ _"]:
        """The map of an image.

        Args:
            images: values in 0..1.
        """
        values = (images - self.mean) / self.std
        if self.bilinear and self.stride > 1:
            size = [max(1, extent // self.stride) for extent in values.shape[-2:]]
            values = F.interpolate(values, size=size, mode="bilinear", align_corners=False, antialias=True)
        features = self.first(values).relu()
        for layer in self.others:
            features = layer(features).relu()
        return features


class VGG16(nn.Module):
    """VGG-16 with fc6 and fc7 as convolutions of 7x7 and 1x1.

    The poolings round up, as in the framework of FCN-8s, so that an image of any size has a map; sizes that are multiples of 32 halve evenly.

    Attributes:
        widths: channels of fc7, pool4 and pool3.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, input_channels: int = 3, weights: str | None = None, fc_channels: int = FC_CHANNELS) -> None:
        """
        Args:
            input_channels: 3, or 4 with the depth, whose filters then start as the mean of the others.
            weights: "hub" for torchvision's ImageNet weights, the path of a state dict of torchvision's vgg16, or None.
            fc_channels: of fc6 and fc7; ImageNet's weights have 4096.

        Raises:
            CheckpointError: if the weights are not available or do not fit.
        """
        super().__init__()
        mean, std = input_statistics(input_channels)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.features = vgg16_layers(input_channels)
        self.fc6 = nn.Conv2d(512, fc_channels, 7, padding=3)
        self.fc7 = nn.Conv2d(fc_channels, fc_channels, 1)
        self.widths = (fc_channels, 512, 256)
        if weights is None:
            for layer in self.modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                    nn.init.zeros_(layer.bias)  # pyright: ignore[reportArgumentType]
        else:
            self._load(weights)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        """The features of fc7, pool4 and pool3.

        Args:
            images: values in 0..1.
        """
        values = (images - self.mean) / self.std
        pool3 = self.features[: POOL3 + 1](values)
        pool4 = self.features[POOL3 + 1 : POOL4 + 1](pool3)
        deep = self.features[POOL4 + 1 :](pool4)
        return [self.fc7(self.fc6(deep).relu()).relu(), pool4, pool3]

    def _load(self, weights: str) -> None:
        given = read_vgg16(weights, self.mean.shape[1])
        try:
            wanted = {name: value for name, value in given.items() if name.startswith("features.")}
            for number, (name, layer) in enumerate((("fc6", self.fc6), ("fc7", self.fc7))):
                wanted[f"{name}.weight"] = given[f"classifier.{3 * number}.weight"].view(layer.weight.shape)
                wanted[f"{name}.bias"] = given[f"classifier.{3 * number}.bias"]
            self.load_state_dict(wanted | {"mean": self.mean, "std": self.std})
        except (KeyError, RuntimeError) as error:
            raise not_vgg16(weights, error) from None


class FCN8sScores(nn.Module):
    """The scores of three depths, fused at stride 8."""

    def __init__(self, widths: tuple[int, int, int], channels: int) -> None:
        """
        Args:
            widths: channels of the inputs, deepest first.
            channels: of the map; RIS: 100.
        """
        super().__init__()
        self.scores = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in widths)
        self.upsamplings = nn.ModuleList(
            nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False) for _ in widths[1:]
        )
        for layer in self.upsamplings:
            bilinear_weights(layer.weight.data)  # pyright: ignore[reportArgumentType]

    def forward(self, features: list[Tensor]) -> Float[Tensor, "batch channels _ _"]:
        """The map of an image.

        Args:
            features: deepest first.
        """
        scored = [score(feature) for score, feature in zip(self.scores, features, strict=True)]
        fused = scored[0]
        for (_, finer), upsampling in zip(pairwise(scored), self.upsamplings, strict=True):
            fused = upsampling(fused)[..., : finer.shape[-2], : finer.shape[-1]] + finer
        return fused


class FinestLevel(nn.Module):
    """The finest map of a top-down pathway."""

    def __init__(self, widths: list[int], channels: int) -> None:
        """
        Args:
            widths: channels of the encoder's levels, deepest first, down to the one of the map's resolution.
            channels: of the map.
        """
        super().__init__()
        self.pathway = TopDownPathway(widths, channels)

    def forward(self, features: list[Tensor]) -> Float[Tensor, "batch channels _ _"]:
        """The map of an image.

        Args:
            features: deepest first; what is finer than the map is left out.
        """
        return self.pathway(features[: len(self.pathway.laterals)])[-1]


def bilinear_weights(weight: Float[Tensor, "channels channels 4 4"]) -> None:
    """Make a transposed convolution of 4x4 and stride 2 a bilinear upsampling, in place.

    >>> weight = torch.empty(1, 1, 4, 4)
    >>> bilinear_weights(weight)
    >>> weight[0, 0, 1].tolist()
    [0.1875, 0.5625, 0.5625, 0.1875]
    """
    line = torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=weight.dtype, device=weight.device)
    weight.zero_()
    channels = torch.arange(len(weight))
    weight[channels, channels] = line[:, None] * line[None, :]


def vgg16_layers(input_channels: int) -> nn.Sequential:
    """The convolutions and poolings of VGG-16, numbered as torchvision numbers them, with random weights of torch's own."""
    layers: list[nn.Module] = []
    before = input_channels
    for width, count in _VGG16_BLOCKS:
        for _ in range(count):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(inplace=True)]
            before = width
        layers.append(nn.MaxPool2d(2, stride=2, ceil_mode=True))
    return nn.Sequential(*layers)


def read_vgg16(weights: str, input_channels: int) -> dict[str, Tensor]:
    """The weights of torchvision's vgg16, by their names there.

    Args:
        weights: "hub" for torchvision's ImageNet weights, or the path of a state dict.
        input_channels: 3, or 4 with the depth, whose filters are then the mean of the others.

    Raises:
        CheckpointError: if the weights are not available.
    """
    given = dict(_imagenet_weights() if weights == "hub" else read_weights(Path(weights)))
    first = given.get("features.0.weight")
    if first is not None and input_channels == 4 and first.shape[1] == 3:
        given["features.0.weight"] = torch.cat((first, first.mean(dim=1, keepdim=True)), dim=1)
    return given


def not_vgg16(weights: str, error: Exception) -> CheckpointError:
    """The error of weights that are not those of a VGG-16."""
    return CheckpointError(f"encoder vgg16: {weights}: not the weights of torchvision's vgg16: {str(error)[:300]}")


def _imagenet_weights() -> Mapping[str, Tensor]:
    try:
        return VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"encoder vgg16: no weights from the hub: {error}") from None
