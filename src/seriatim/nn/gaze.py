"""Gaze: an extension of RSIS that tells each step where to look. Off in the paper's recipes.

RSIS must find, without help, one object among many that look alike, and the Hungarian assignment is its only teacher. With the
gaze, a dense head on the constant features says for each pixel p

    foreground(p), seed(p)      probability of belonging to an object, and of lying well inside one
    offset(p)                   the way to the centre of its object, in pixels, so that p + offset(p) is p's vote
    diameter(p)                 of its object, as log2 of pixels

A step looks at g = argmax seed(p) (1 - canvas(p)), where canvas holds the masks of the earlier steps, and gets as further input to its
ConvLSTMs, in units of the diameter at g: p - g, vote(p) - vote(g), exp(-8 |vote(p) - vote(g)|^2) and canvas(p). The network still
decodes the mask with its recurrent decoder and decides by itself when to stop; the order is the one of its own seeds. Votes follow Neven
et al., "Instance Segmentation by Jointly Optimizing Spatial Embeddings" (CVPR 2019); the canvas, Ren & Zemel (CVPR 2017).
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from seriatim.core.dense_maps import OFFSET_UNIT, DenseMaps

NUM_GAZE_CHANNELS = 6
"""Channels that the gaze adds to the changing input of each ConvLSTM."""

NUM_MAPS = 5
"""Channels of the dense head."""


class GazeMemory(NamedTuple):
    """What the gaze needs at every step, computed once an image."""

    maps: DenseMaps
    seed_probs: Float[Tensor, "batch height width"]
    positions: list[Float[Tensor, "2 _ _"]]
    votes: list[Float[Tensor, "batch 2 _ _"]]

    def first(self, count: int) -> "GazeMemory":
        """Of the first `count` images only."""
        maps = DenseMaps(*(part[:count] for part in self.maps))
        return GazeMemory(maps, self.seed_probs[:count], self.positions, [vote[:count] for vote in self.votes])

    def select(self, images: Int[Tensor, " chosen"]) -> "GazeMemory":
        """Of the images with these numbers only."""
        maps = DenseMaps(*(part[images] for part in self.maps))
        return GazeMemory(maps, self.seed_probs[images], self.positions, [vote[images] for vote in self.votes])


class DenseHead(nn.Module):
    """The dense maps from the finest constant features."""

    def __init__(self, in_channels: int) -> None:
        """
        Args:
            in_channels: channels of the features.
        """
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, NUM_MAPS, 1),
        )

    def forward(self, features: Float[Tensor, "batch channels height width"]) -> DenseMaps:
        """The maps at the resolution of the features."""
        raw = self.layers(features).float()
        return DenseMaps(raw[:, 0], raw[:, 1], raw[:, 2:4] * OFFSET_UNIT, raw[:, 4])

    @staticmethod
    def as_features(maps: DenseMaps) -> Float[Tensor, "batch 5 height width"]:
        """The maps in the range of activations, to be read by the decoder."""
        probs = torch.stack((maps.foreground_logits, maps.seed_logits), dim=1).sigmoid()
        return torch.cat((probs, maps.offsets / OFFSET_UNIT, maps.log2_diameters[:, None]), dim=1)


def prepare_gaze(maps: DenseMaps, level_sizes: list[tuple[int, int]], size: tuple[int, int]) -> GazeMemory:
    """Positions and votes at every level of the decoder.

    Args:
        maps: of the finest level.
        level_sizes: (height, width) of the levels, deepest first.
        size: (height, width) of the image, in whose pixels positions are counted.
    """
    positions = [cell_positions(level, size, maps.offsets) for level in level_sizes]
    votes = []
    for level, position in zip(level_sizes, positions, strict=True):
        votes.append(
            position + F.interpolate(maps.offsets, size=level, mode="bilinear", align_corners=False, antialias=False)
        )
    return GazeMemory(maps, maps.seed_logits.sigmoid(), positions, votes)


def cell_positions(level: tuple[int, int], size: tuple[int, int], like: Tensor) -> Float[Tensor, "2 height width"]:
    """(y, x) of the centre of every cell, in pixels of the image."""
    rows, columns = (
        (torch.arange(cells, device=like.device, dtype=torch.float32) + 0.5) * (extent / cells)
        for cells, extent in zip(level, size, strict=True)
    )
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))


def choose_gaze(
    seed_probs: Float[Tensor, "batch height width"],
    canvas: Float[Tensor, "batch height width"],
    allowed: Bool[Tensor, "batch height width"] | None = None,
) -> tuple[Int[Tensor, " batch"], Float[Tensor, " batch"]]:
    """The cell of the finest level to look at, as a flat index, and what is left there: seed (1 - canvas).

    Args:
        seed_probs: probability of lying well inside an object.
        canvas: what the earlier steps have taken, 0..1.
        allowed: cells to choose from (a teacher's wish); an image without any is free.
    """
    left = (seed_probs * (1 - canvas)).flatten(1)
    if allowed is not None:
        wish = allowed.flatten(1)
        left = torch.where(wish | ~wish.any(dim=1, keepdim=True), left, left - 2)
    value, cell = left.max(dim=1)
    return cell, value


def look(
    memory: GazeMemory, canvas: Float[Tensor, "batch height width"], wish: Int[Tensor, " batch"] | None = None
) -> tuple[Int[Tensor, " batch"], Float[Tensor, " batch"]]:
    """The cell that a step looks at and what is left there: the best one, or the one that is wished for.

    Args:
        memory: of the images.
        canvas: what the earlier steps have taken, 0..1.
        wish: flat indices of the finest level, or None.
    """
    if wish is None:
        return choose_gaze(memory.seed_probs, canvas)
    return wish, (memory.seed_probs * (1 - canvas)).flatten(1).gather(1, wish[:, None])[:, 0]


def gaze_features(
    memory: GazeMemory, level: int, cell: Int[Tensor, " batch"], canvas: Float[Tensor, "batch height width"]
) -> Float[Tensor, "batch 6 level_height level_width"]:
    """The further input of one ConvLSTM, in units of the diameter of the object looked at."""
    finest_positions, finest_votes = memory.positions[-1].flatten(1), memory.votes[-1].flatten(2)
    batch = torch.arange(len(cell), device=cell.device)
    position = finest_positions[:, cell].T[:, :, None, None]
    vote = finest_votes[batch, :, cell].detach()[:, :, None, None]
    log2_diameter = memory.maps.log2_diameters.detach().flatten(1)[batch, cell].clamp(-2.0, 5.0)
    diameter = (OFFSET_UNIT * 2**log2_diameter)[:, None, None, None]
    apart = (memory.positions[level][None] - position) / diameter
    votes_apart = (memory.votes[level] - vote) / diameter
    near = torch.exp(-8 * votes_apart.square().sum(dim=1, keepdim=True))
    taken = (
        canvas[:, None]
        if canvas.shape[-2:] == apart.shape[-2:]
        else F.adaptive_avg_pool2d(canvas[:, None], (apart.shape[-2], apart.shape[-1]))
    )
    return torch.cat((apart.clamp(-3, 3), votes_apart.clamp(-3, 3), near, taken), dim=1)


def take(
    canvas: Float[Tensor, "batch height width"],
    mask_logits: Float[Tensor, "batch height width"],
    stop_logits: Float[Tensor, " batch"],
    features: Float[Tensor, "batch 6 height width"],
) -> Float[Tensor, "batch height width"]:
    """The canvas after a step: what the mask covers, as far as the step held an object, and the place looked at in any case.

    No gradient passes through the canvas.
    """
    present = stop_logits.detach().sigmoid()[:, None, None]
    looked_at = torch.exp(-32 * features[:, :2].detach().float().square().sum(dim=1))
    return torch.maximum(torch.maximum(canvas, present * mask_logits.detach().float().sigmoid()), looked_at)
