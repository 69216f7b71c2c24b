"""Targets and costs of the dense head (an extension, see `nn/gaze.py`).

For a pixel p of an object with area a: foreground 1; seed = distance of p to the object's edge over the largest such distance; offset =
centroid - p; log2 diameter = log2(sqrt(4 a / pi) / 16). Outside the objects: foreground 0 and seed 0, the rest not counted.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from seriatim.core.dense_maps import OFFSET_UNIT, DenseMaps


class DenseTargets(NamedTuple):
    """The truth for `DenseMaps`, of the same resolution."""

    foreground: Float[Tensor, "batch height width"]
    seeds: Float[Tensor, "batch height width"]
    offsets: Float[Tensor, "batch 2 height width"]
    log2_diameters: Float[Tensor, "batch height width"]


def dense_targets(labels: Int[Tensor, "batch height width"], stride: tuple[float, float] = (1.0, 1.0)) -> DenseTargets:
    """The truth from label maps.

    Args:
        labels: 0 background, 1..N; what is negative (to ignore) counts as background here.
        stride: pixels of the image a cell is high and wide, so that offsets and diameters come in pixels.
    """
    maps = [_targets_of_one(one, stride) for one in labels.cpu().numpy()]
    return DenseTargets(*(torch.from_numpy(np.stack(parts)).to(labels.device) for parts in zip(*maps, strict=True)))


def _targets_of_one(labels: np.ndarray, stride: tuple[float, float]) -> tuple[np.ndarray, ...]:
    labels = np.maximum(labels, 0)
    padded = np.pad(labels, 1)
    inside = labels > 0
    for neighbour in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        inside &= neighbour == labels
    depths = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1].astype(np.float32) + (labels > 0)  # pyright: ignore
    count = int(labels.max()) + 1
    flat = labels.ravel()
    areas = np.maximum(np.bincount(flat, minlength=count), 1)
    deepest = np.zeros(count, dtype=np.float32)
    np.maximum.at(deepest, flat, depths.ravel())
    deepest[0] = 1.0
    rows, columns = np.indices(labels.shape, dtype=np.float32)
    centre_rows = np.bincount(flat, weights=rows.ravel(), minlength=count) / areas
    centre_columns = np.bincount(flat, weights=columns.ravel(), minlength=count) / areas
    foreground = (labels > 0).astype(np.float32)
    offsets = np.stack(((centre_rows[labels] - rows) * stride[0], (centre_columns[labels] - columns) * stride[1]))
    diameters = np.sqrt(4 * areas * stride[0] * stride[1] / np.pi)
    return (
        foreground,
        (depths / deepest[labels]).astype(np.float32) * foreground,
        (offsets * foreground).astype(np.float32),
        (np.log2(diameters / OFFSET_UNIT)[labels] * foreground).astype(np.float32),
    )


def dense_map_losses(
    maps: DenseMaps, targets: DenseTargets, counted: Bool[Tensor, "batch height width"]
) -> dict[str, Float[Tensor, ""]]:
    """Named costs, means over the counted pixels (offsets and diameters: over those of objects).

    Args:
        maps: the predictions.
        targets: the truth.
        counted: False where a pixel is to be ignored.
    """
    weights = counted.float()
    objects = weights * targets.foreground
    num_pixels, num_object_pixels = weights.sum().clamp(min=1), objects.sum().clamp(min=1)
    foreground = F.binary_cross_entropy_with_logits(maps.foreground_logits, targets.foreground, reduction="none")
    seed = F.binary_cross_entropy_with_logits(maps.seed_logits, targets.seeds, reduction="none")
    diameters = OFFSET_UNIT * 2**targets.log2_diameters
    offset = F.smooth_l1_loss(
        maps.offsets / diameters[:, None], targets.offsets / diameters[:, None], reduction="none", beta=0.1
    )
    diameter = F.smooth_l1_loss(maps.log2_diameters, targets.log2_diameters, reduction="none", beta=0.25)
    return {
        "foreground": (foreground * weights).sum() / num_pixels,
        "seed": (seed * weights).sum() / num_pixels,
        "offset": (offset.sum(dim=1) * objects).sum() / num_object_pixels,
        "diameter": (diameter * objects).sum() / num_object_pixels,
    }


def coarse_map_losses(maps: DenseMaps, labels: Int[Tensor, "batch height width"]) -> dict[str, Float[Tensor, ""]]:
    """The named costs of maps that are coarser than the label maps.

    Args:
        maps: the predictions.
        labels: 0 background, 1..N, negative to ignore, at the size of the image.
    """
    cells = maps.foreground_logits.shape[-2:]
    coarse = F.interpolate(labels[:, None].float(), size=cells, mode="nearest-exact")[:, 0].long()
    stride = (labels.shape[1] / cells[0], labels.shape[2] / cells[1])
    return dense_map_losses(maps, dense_targets(coarse, stride), coarse >= 0)
