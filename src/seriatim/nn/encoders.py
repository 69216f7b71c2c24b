"""Image encoders: any timm feature pyramid, deepest level first, and a top-down pathway over it.

The papers use VGG-16, ResNet-50 and ResNet-101 with ImageNet weights, which come from a file or the hub, or not at all.
The top-down pathway is that of Lin et al., "Feature Pyramid Networks" (CVPR 2017); it is an extension, off in the papers' recipes.
"""

from pathlib import Path

import timm
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from seriatim.core.errors import CheckpointError, ConfigError, did_you_mean

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Encoder(nn.Module):
    """A timm pyramid with normalised input.

    Attributes:
        widths: channels of the levels, deepest first.
    """

    def __init__(self, name: str, input_channels: int = 3, depth: int = 5, weights: str | None = None) -> None:
        """
        Args:
            name: a timm model with a pyramid, such as vgg16, resnet50, resnet101.
            input_channels: 1, 3 or 4; the ImageNet filters are summed or repeated to fit.
            depth: how many of the levels to keep, from the shallowest.
            weights: "hub" for timm's ImageNet weights, the path of a state dict (timm or torchvision naming), or None.

        Raises:
            ConfigError: if timm has no such pyramid.
            CheckpointError: if the weights cannot be had or do not fit.
        """
        super().__init__()
        if not timm.is_model(name):
            raise ConfigError(f"encoder: timm has no model {name!r}{did_you_mean(name, timm.list_models())}")
        skip_first = 1 if name.startswith("vgg") else 0
        indices = tuple(range(skip_first, skip_first + depth))
        overlay = (
            {} if weights in (None, "hub") else {"pretrained_cfg_overlay": {"file": str(_existing(Path(str(weights))))}}
        )
        try:
            self.trunk = timm.create_model(
                name,
                features_only=True,
                out_indices=indices,
                in_chans=input_channels,
                pretrained=weights is not None,
                **overlay,
            )
        except (RuntimeError, KeyError, OSError) as error:
            source = "the hub" if weights == "hub" else weights
            raise CheckpointError(f"encoder {name}: no usable weights from {source}: {error}") from None
        except (AssertionError, IndexError, TypeError, ValueError) as error:
            raise ConfigError(f"encoder {name}: has no pyramid of {depth} levels: {error}") from None
        self.widths: list[int] = list(self.trunk.feature_info.channels())[::-1]  # pyright: ignore
        mean, std = (IMAGENET_MEAN, IMAGENET_STD) if input_channels >= 3 else ((0.5,), (0.25,))
        mean, std = mean + (0.5,) * (input_channels - len(mean)), std + (0.25,) * (input_channels - len(std))
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        """The features of every level, deepest first.

        Args:
            images: values in 0..1.
        """
        return self.trunk((images - self.mean) / self.std)[::-1]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise CheckpointError(f"encoder weights {path}: no such file")
    return path


class TopDownPathway(nn.Module):
    """Every level enriched by all deeper ones: P_i = conv(lateral(f_i) + upsample(P_{i-1}))."""

    def __init__(self, widths: list[int], out_channels: int) -> None:
        """
        Args:
            widths: channels of the input levels, deepest first.
            out_channels: channels of every output level.
        """
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(width, out_channels, 1) for width in widths)
        self.smoothers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
            )
            for _ in widths
        )

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Levels of one width, deepest first, each of its input's height and width."""
        outputs: list[Tensor] = []
        for feature, lateral, smoother in zip(features, self.laterals, self.smoothers, strict=True):
            merged = lateral(feature)
            if outputs:
                merged = merged + F.interpolate(
                    outputs[-1], size=feature.shape[-2:], mode="bilinear", align_corners=False
                )
            outputs.append(smoother(merged))
        return outputs
