"""What a dense head says of every pixel, as `nn`, `losses` and `models` exchange it (an extension; see `nn/gaze.py`)."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

OFFSET_UNIT = 16.0
"""Pixels an offset of 1 stands for, and the diameter at log2 = 0."""


class DenseMaps(NamedTuple):
    """Predictions, at the resolution of the finest level; offsets in pixels of the image, diameters as log2(pixels / 16)."""

    foreground_logits: Float[Tensor, "batch height width"]
    seed_logits: Float[Tensor, "batch height width"]
    offsets: Float[Tensor, "batch 2 height width"]
    log2_diameters: Float[Tensor, "batch height width"]
