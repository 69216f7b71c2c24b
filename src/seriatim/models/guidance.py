"""Seed guidance: an extension of this project that tells each step of a sequential model where to look. The papers' models do without it.

A dense head on the constant features says of each pixel p

    foreground(p), seed(p)      probability of belonging to an object, and of lying well inside one
    offset(p)                   the way to the centre of its object, in pixels, so that p + offset(p) is the vote of p
    diameter(p)                 of its object, as log2 of pixels

A step looks at g = argmax seed(p) (1 - occupancy(p)), where the occupancy map holds the masks of the earlier steps. Its ConvLSTMs get, in units
of the diameter at g: p - g, vote(p) - vote(g), exp(-8 |vote(p) - vote(g)|^2) and occupancy(p). The network decodes the mask and the
stop signal from its states; the order is that of its seeds, and what has been found stands on the occupancy map.

A guided model is therefore seed voting with a network that refines each mask: interventions show that it loses little when the state of its ConvLSTMs
is set to zero at every step, or its stop head is forced to yes (`seriatim analyse recurrence`; the numbers are in `docs/rsis.md`). The recurrent
network that orders the objects itself is the papers', in the recipes and models called `*-plain`.

Votes follow Neven et al., "Instance Segmentation by Jointly Optimizing Spatial Embeddings" (CVPR 2019); the occupancy map follows Ren & Zemel,
"End-to-End Instance Segmentation with Recurrent Attention" (CVPR 2017). How it is trained: `guidance_training.py`.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from seriatim.core.config import Config

NUM_CHANNELS = 6
"""Channels that guidance adds to the changing input of each ConvLSTM."""

NUM_MAPS = 5
"""Channels of the dense head."""

OFFSET_UNIT = 16.0
"""Pixels that an offset of 1 stands for, and the diameter at log2 = 0."""

DIAMETER_SEED = 0.5
"""A local maximum of the seeds above this counts as an object when diameters are estimated."""


class GuidanceConfig(Config):
    """Settings of seed guidance."""

    seed_threshold: float = Field(default=0.3, ge=0, le=1)
    """The sequence ends where the best seed that is left is below this."""
    teacher_objects: int = Field(default=16, ge=1)
    """Objects that a training sequence shows at most; the others are on the occupancy map from the start."""
    window: float = Field(default=0.0, ge=0)
    """Side of the window that a step reads and writes, in diameters of the object looked at, in use (`windows.py`); 0 for the whole image, as in training."""
    min_window: int = Field(default=64, ge=1)
    """Side of a window at least, in pixels."""
    most_windows: int = Field(default=16, ge=1)
    """Windows of one image that are looked at together, at most."""


class DenseMaps(NamedTuple):
    """What the dense head says of every cell; offsets in pixels of the image, diameters as log2(pixels / 16)."""

    foreground_logits: Float[Tensor, "batch height width"]
    seed_logits: Float[Tensor, "batch height width"]
    offsets: Float[Tensor, "batch 2 height width"]
    log2_diameters: Float[Tensor, "batch height width"]

    def as_features(self) -> Float[Tensor, "batch 5 height width"]:
        """The maps in the range of activations, to be read by the decoder."""
        probs = torch.stack((self.foreground_logits, self.seed_logits), dim=1).sigmoid()
        return torch.cat((probs, self.offsets / OFFSET_UNIT, self.log2_diameters[:, None]), dim=1)


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


class GuidanceMemory(NamedTuple):
    """What guidance needs at every step, computed once for an image; levels from the deepest to the finest."""

    maps: DenseMaps
    seed_probs: Float[Tensor, "batch height width"]
    positions: list[Float[Tensor, "#batch 2 _ _"]]
    votes: list[Float[Tensor, "batch 2 _ _"]]


def prepare(maps: DenseMaps, level_sizes: list[tuple[int, int]], size: tuple[int, int]) -> GuidanceMemory:
    """Positions and votes at every level of the decoder.

    Args:
        maps: of the finest level.
        level_sizes: (height, width) of the levels, deepest first.
        size: (height, width) of the image, in whose pixels positions are counted.
    """
    positions = [cell_positions(level, size, maps.offsets) for level in level_sizes]
    votes = [
        position + F.interpolate(maps.offsets, size=level, mode="bilinear", align_corners=False)
        for level, position in zip(level_sizes, positions, strict=True)
    ]
    return GuidanceMemory(maps, maps.seed_logits.sigmoid(), positions, votes)


def cell_positions(level: tuple[int, int], size: tuple[int, int], like: Tensor) -> Float[Tensor, "1 2 height width"]:
    """(y, x) of the centre of every cell, in pixels of the image."""
    rows, columns = (
        (torch.arange(cells, device=like.device, dtype=torch.float32) + 0.5) * (extent / cells)
        for cells, extent in zip(level, size, strict=True)
    )
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"))[None]


def choose_cell(
    seed_probs: Float[Tensor, "batch height width"],
    occupancy: Float[Tensor, "batch height width"],
    allowed: Bool[Tensor, "batch height width"] | None = None,
) -> tuple[Int[Tensor, " batch"], Float[Tensor, " batch"]]:
    """The cell of the finest level to look at, as a flat index, and what is left there: seed (1 - occupancy).

    Args:
        seed_probs: probability of lying well inside an object.
        occupancy: what the earlier steps have taken, 0..1.
        allowed: cells to choose from; an image without any may take every cell.
    """
    left = (seed_probs * (1 - occupancy)).flatten(1)
    if allowed is not None:
        wanted = allowed.flatten(1)
        left = torch.where(wanted | ~wanted.any(dim=1, keepdim=True), left, left - 2)
    value, cell = left.max(dim=1)
    return cell, value


def cells_at(memory: GuidanceMemory, points: Float[Tensor, "batch 2"]) -> Int[Tensor, " batch"]:
    """The cell of the finest level that is nearest to a point of each image.

    Args:
        memory: of the images.
        points: (y, x) in pixels of the images.
    """
    return (memory.positions[-1].flatten(2) - points[:, :, None]).square().sum(dim=1).argmin(dim=1)


class Look:
    """Where a step looks, and what its ConvLSTMs get from that."""

    def __init__(
        self,
        memory: GuidanceMemory,
        occupancy: Float[Tensor, "batch height width"],
        cell: Int[Tensor, " batch"] | None = None,
    ) -> None:
        """
        Args:
            memory: of the images.
            occupancy: what the earlier steps have taken, 0..1.
            cell: where to look, as a flat index of the finest level; None takes the best cell that is left.
        """
        self.memory = memory
        self.occupancy = occupancy
        if cell is None:
            self.cell, self.seed_left = choose_cell(memory.seed_probs, occupancy)
        else:
            left = (memory.seed_probs * (1 - occupancy)).flatten(1)
            self.cell, self.seed_left = cell, left.gather(1, cell[:, None])[:, 0]
        self._features: dict[int, Tensor] = {}

    @property
    def place(self) -> Float[Tensor, "batch 2"]:
        """(y, x) of the cell, in pixels of the image."""
        positions = self.memory.positions[-1].flatten(2).expand(len(self.cell), -1, -1)
        return positions[torch.arange(len(self.cell), device=positions.device), :, self.cell]

    def features(self, level: int = -1) -> Float[Tensor, "batch 6 level_height level_width"]:
        """The further input of one ConvLSTM, in units of the diameter of the object looked at.

        Args:
            level: of the decoder, from the deepest; -1 for the finest.
        """
        level %= len(self.memory.positions)
        if level not in self._features:
            self._features[level] = self._make_features(level)
        return self._features[level]

    def join(self, changing: Tensor | None, level: int, dtype: torch.dtype) -> Float[Tensor, "batch joined _ _"]:
        """The changing input of a level with the features behind it.

        Args:
            changing: of the paper's model; None where it has none.
            level: as for `features`.
            dtype: of the network's activations.
        """
        features = self.features(level).to(dtype)
        return features if changing is None else torch.cat((changing, features), dim=1)

    def _make_features(self, level: int) -> Tensor:
        memory = self.memory
        batch = torch.arange(len(self.cell), device=self.cell.device)
        vote = memory.votes[-1].flatten(2)[batch, :, self.cell].detach()[:, :, None, None]
        log2_diameter = memory.maps.log2_diameters.detach().flatten(1)[batch, self.cell].clamp(-2.0, 5.0)
        diameter = (OFFSET_UNIT * 2**log2_diameter)[:, None, None, None]
        apart = (memory.positions[level] - self.place[:, :, None, None]) / diameter
        votes_apart = (memory.votes[level] - vote) / diameter
        near = torch.exp(-8 * votes_apart.square().sum(dim=1, keepdim=True))
        size = (apart.shape[-2], apart.shape[-1])
        taken = self.occupancy[:, None]
        if taken.shape[-2:] != size:
            taken = F.adaptive_avg_pool2d(taken, size)
        return torch.cat((apart.clamp(-3, 3), votes_apart.clamp(-3, 3), near, taken), dim=1)

    def occupied_after(
        self, mask_logits: Float[Tensor, "batch height width"], presence_logits: Float[Tensor, " batch"]
    ) -> Float[Tensor, "batch height width"]:
        """The occupancy after the step: the mask, as far as the step holds an object, and the place looked at in any case.

        No gradient passes through it.

        Args:
            mask_logits: of the step, at the finest level.
            presence_logits: whether the step holds an object.
        """
        present = presence_logits.detach().sigmoid()[:, None, None]
        place = torch.exp(-32 * self.features()[:, :2].detach().float().square().sum(dim=1))
        return torch.maximum(torch.maximum(self.occupancy, present * mask_logits.detach().float().sigmoid()), place)


def look(memory: GuidanceMemory | None, occupancy: Tensor | None, cell: Int[Tensor, " batch"] | None) -> Look | None:
    """Where a step of a guided model looks; None for a model without guidance.

    Args:
        memory: of the images.
        occupancy: what the earlier steps have taken, 0..1.
        cell: as for `Look`.
    """
    return None if memory is None or occupancy is None else Look(memory, occupancy, cell)


def predicted_diameters(maps: DenseMaps, size: tuple[int, int]) -> Float[np.ndarray, " objects"]:
    """The diameters in pixels of the objects of a batch of images: one an object, at the best seed within its radius.

    Args:
        maps: of the images.
        size: (height, width) of the images.
    """
    seeds = maps.seed_logits.float().sigmoid().cpu().numpy()
    diameters = OFFSET_UNIT * 2.0 ** maps.log2_diameters.float().clamp(-2, 5).cpu().numpy()
    stride = np.divide(size, seeds.shape[1:])
    found = []
    for seed, diameter in zip(seeds, diameters, strict=True):
        rows, columns = np.nonzero((seed > DIAMETER_SEED) & (seed == ndimage.maximum_filter(seed, size=3)))
        order = np.argsort(-seed[rows, columns], kind="stable")
        places = np.stack((rows, columns), axis=1)[order] * stride
        sizes = diameter[rows, columns][order]
        while len(places):
            found.append(float(sizes[0]))
            apart = np.hypot(*(places - places[0]).T) > sizes[0] / 2
            apart[0] = False
            places, sizes = places[apart], sizes[apart]
    return np.array(found)
