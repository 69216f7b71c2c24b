"""Image encoders: any timm feature pyramid, deepest level first, and a top-down pathway over it.

The papers use VGG-16, ResNet-50 and ResNet-101 with ImageNet weights, which come from a file or the hub, or not at all. A level is the output of a
block of the network; of a VGG that is the last activation before the pooling, at strides 1 to 16, so that the block that reads the image counts too.
The top-down pathway is that of Lin et al., "Feature Pyramid Networks" (CVPR 2017); it is an extension, off in the papers' recipes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from seriatim.core.errors import CheckpointError, ConfigError, did_you_mean

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

VGGLevels = Literal["blocks", "poolings"]
"""Of a VGG: the five blocks before their poolings (strides 1 to 16), or the five poolings (strides 2 to 32)."""


class Encoder(nn.Module):
    """A timm pyramid with normalised input.

    Attributes:
        widths: channels of the levels, deepest first.
        strides: width of a cell of each level in pixels, deepest first.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        input_channels: int = 3,
        depth: int = 5,
        weights: str | None = None,
        vgg_levels: VGGLevels = "blocks",
    ) -> None:
        """
        Args:
            name: a timm model with a pyramid, such as vgg16, resnet50, resnet101.
            input_channels: 1, 3 or 4; the ImageNet filters are summed or repeated to fit.
            depth: how many of the levels to keep, from the shallowest.
            weights: "hub" for timm's ImageNet weights, the path of a state dict (timm or torchvision naming), or None.
            vgg_levels: which levels a VGG has; others have blocks.

        Raises:
            ConfigError: if timm has no such pyramid, or poolings are asked of another network than a VGG.
            CheckpointError: if the weights are not available or do not fit.
        """
        super().__init__()
        if not timm.is_model(name):
            raise ConfigError(f"encoder: timm has no model {name!r}{did_you_mean(name, timm.list_models())}")
        self.pools = vgg_levels == "poolings"
        if self.pools and not name.startswith("vgg"):
            raise ConfigError(f"vgg_levels: poolings are levels of a VGG, the encoder is {name}; take blocks")
        overlay = None
        if weights not in (None, "hub"):
            overlay = {"state_dict": read_weights(Path(str(weights)))}
        given = {} if overlay is None else dict(overlay["state_dict"])
        try:
            self.trunk = timm.create_model(
                name,
                features_only=True,
                out_indices=tuple(range(depth)),
                in_chans=input_channels,
                pretrained=weights is not None,
                pretrained_cfg_overlay=overlay,
            )
        except (RuntimeError, KeyError, OSError, AssertionError, IndexError, TypeError, ValueError) as error:
            if weights is None:
                raise ConfigError(f"encoder {name}: has no pyramid of {depth} levels: {error}") from None
            source = "the hub" if weights == "hub" else weights
            raise CheckpointError(f"encoder {name}: no usable weights from {source}: {error}") from None
        if overlay is not None:
            _check_complete(self.trunk, given, f"encoder {name}: {weights}")
        self.widths: list[int] = list(self.trunk.feature_info.channels())[::-1]  # pyright: ignore
        strides: list[int] = list(self.trunk.feature_info.reduction())[::-1]  # pyright: ignore
        self.strides = [2 * stride if self.pools else stride for stride in strides]
        mean, std = input_statistics(input_channels)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> list[Tensor]:
        """The features of every level, deepest first.

        Args:
            images: values in 0..1.
        """
        levels = self.trunk((images - self.mean) / self.std)[::-1]
        return [F.max_pool2d(level, 2) for level in levels] if self.pools else levels


def input_statistics(input_channels: int) -> tuple[Float[Tensor, "1 channels 1 1"], Float[Tensor, "1 channels 1 1"]]:
    """Mean and standard deviation by which images are normalised: ImageNet's for RGB, 0.5 and 0.25 for grey and depth."""
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if input_channels >= 3 else ((0.5,), (0.25,))
    mean, std = mean + (0.5,) * (input_channels - len(mean)), std + (0.25,) * (input_channels - len(std))
    return torch.tensor(mean).view(1, -1, 1, 1), torch.tensor(std).view(1, -1, 1, 1)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, which may lie under `state_dict` or `model`; nothing in the file is executed.

    Raises:
        CheckpointError: if the file is missing or holds anything else.
    """
    if not path.is_file():
        raise CheckpointError(f"encoder weights {path}: no such file")
    try:
        read: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
        for key in ("state_dict", "model"):
            read = read.get(key, read)
        tensors = {name.removeprefix("module."): tensor for name, tensor in read.items()}
    except Exception as error:  # unpicklers raise nearly anything on damaged files
        raise CheckpointError(
            f"encoder weights {path}: no state dict: {type(error).__name__}: {str(error)[:200]}"
        ) from None
    if not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise CheckpointError(f"encoder weights {path}: no state dict: holds more than tensors")
    return tensors


def _check_complete(trunk: nn.Module, given: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights that lack a part of the trunk; timm would leave that part at its random initial values."""
    names = {name.replace(".", "_") for name in given}
    missing = [
        name
        for name in trunk.state_dict()
        if not name.endswith("num_batches_tracked") and name.removeprefix("model.").replace(".", "_") not in names
    ]
    if missing:
        raise CheckpointError(f"{where}: lacks {len(missing)} of the encoder's tensors, {missing[0]} among them")


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
