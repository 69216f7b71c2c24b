"""Regions of an image under boxes: their features, the offsets between two boxes, and a mask of cells laid back into the image.

    o = f^l(l, l~)              y = (l~^y - l^y) / l^h,  x = (l~^x - l^x) / l^w,  h = ln(l~^h / l^h),  w = ln(l~^w / l^w)
    l~ = f^l^-1(l, o)           the same solved for l~

with centre (l^y, l^x), height l^h and width l^w of a box (R2-IOS, Sec. 3.3, which takes f^l from R-CNN, Girshick et al., CVPR 2014, App. C). Boxes
are (y0, x0, y1, x1), half-open, and no gradient reaches them.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import roi_align, roi_pool

from seriatim.core.shapes import Size

Pooling = Literal["align", "max"]
"""Bilinear samples and their mean (He et al., "Mask R-CNN", ICCV 2017), or the largest value of each cell's whole features (Fast R-CNN)."""

MIN_SIDE = 1.0
"""Height and width, in pixels, of which a box that has moved has at least as much in the image."""

_MOST_GROWTH = math.log(1000 / 16)
"""The largest h and w that are applied, so that no exponential overflows; the bound of Detectron and torchvision."""


def pool_boxes(
    features: Float[Tensor, "batch channels rows columns"],
    boxes: Float[Tensor, "boxes 4"],
    images: Int[Tensor, " boxes"],
    side: int,
    stride: int,
    pooling: Pooling = "align",
) -> Float[Tensor, "boxes channels side side"]:
    """The features in every box, brought to one number of cells.

    Args:
        features: of a batch of images.
        boxes: in pixels.
        images: number of the image that each box lies in.
        side: cells along and across.
        stride: width of a cell of the features in pixels.
        pooling: how a cell gets its value.

    >>> features = torch.arange(16.0).view(1, 1, 4, 4)
    >>> pool_boxes(features, torch.tensor([[0.0, 4.0, 4.0, 8.0]]), torch.tensor([0]), 2, 2)[0, 0].tolist()  # rows 0 and 1, columns 2 and 3
    [[2.0, 3.0], [6.0, 7.0]]
    """
    values = features if features.dtype == torch.float64 else features.float()
    corners = torch.cat((images[:, None].to(values.dtype), boxes.detach()[:, [1, 0, 3, 2]].to(values.dtype)), dim=1)
    if pooling == "max":
        return roi_pool(values, corners, side, 1 / stride)
    return roi_align(values, corners, side, 1 / stride, aligned=True)


def encode_offsets(
    boxes: Float[Tensor, "boxes 4"], targets: Float[Tensor, "boxes 4"], scale: tuple[float, float, float, float]
) -> Float[Tensor, "boxes 4"]:
    """f^l: what takes each box to its target, as (y, x, h, w), each divided by its scale.

    Args:
        boxes: with an area.
        targets: with an area.
        scale: usual size of y, x, h and w, so that the quotients are about 1.

    >>> box, target = torch.tensor([[0.0, 0.0, 2.0, 4.0]]), torch.tensor([[1.0, 0.0, 3.0, 4.0]])
    >>> encode_offsets(box, target, (0.1, 0.1, 0.2, 0.2)).tolist()
    [[5.0, 0.0, 0.0, 0.0]]
    """
    centres, sides = _centres_and_sides(boxes)
    target_centres, target_sides = _centres_and_sides(targets)
    offsets = torch.cat(((target_centres - centres) / sides, (target_sides / sides).log()), dim=1)
    return offsets / offsets.new_tensor(scale)


def decode_offsets(
    boxes: Float[Tensor, "boxes 4"], offsets: Float[Tensor, "boxes 4"], scale: tuple[float, float, float, float]
) -> Float[Tensor, "boxes 4"]:
    """f^l^-1: the box that the offsets take each box to; arguments as for `encode_offsets`.

    >>> decode_offsets(torch.tensor([[0.0, 0.0, 2.0, 4.0]]), torch.tensor([[5.0, 0.0, 0.0, 0.0]]), (0.1, 0.1, 0.2, 0.2)).tolist()
    [[1.0, 0.0, 3.0, 4.0]]
    """
    centres, sides = _centres_and_sides(boxes)
    shifts = offsets * offsets.new_tensor(scale)
    moved, half = centres + shifts[:, :2] * sides, shifts[:, 2:].clamp(max=_MOST_GROWTH).exp() * sides / 2
    return torch.cat((moved - half, moved + half), dim=1)


def clip_boxes(boxes: Float[Tensor, "boxes 4"], size: Size) -> Float[Tensor, "boxes 4"]:
    """The boxes cut to an image of (height, width)."""
    return torch.minimum(boxes.clamp(min=0), boxes.new_tensor(size).repeat(2))


def move_boxes(
    boxes: Float[Tensor, "boxes 4"],
    offsets: Float[Tensor, "boxes 4"],
    scale: tuple[float, float, float, float],
    size: Size,
) -> Float[Tensor, "boxes 4"]:
    """The boxes after their offsets, cut to the image; one that would leave it, or shrink below `MIN_SIDE`, stays. No gradient.

    Args:
        boxes: in the image.
        offsets: as of `encode_offsets`.
        scale: as for `encode_offsets`.
        size: (height, width) of the image.
    """
    moved = clip_boxes(decode_offsets(boxes, offsets.detach().to(boxes.dtype), scale), size)
    is_valid = (moved[:, 2:] - moved[:, :2] >= MIN_SIDE).all(dim=1) & moved.isfinite().all(dim=1)
    return torch.where(is_valid[:, None], moved, boxes)


def paste_probs(
    probs: Float[Tensor, "rows columns"], box: Float[Tensor, "4"], size: Size
) -> Float[Tensor, "height width"]:
    """A map of cells laid into its box: bilinear between the centres of cells at the centres of pixels, 0 for pixels whose centre lies outside.

    Args:
        probs: of the cells.
        box: with an area.
        size: (height, width) of the image.

    >>> paste_probs(torch.tensor([[0.0, 1.0]]), torch.tensor([0.0, 1.0, 1.0, 5.0]), (2, 6)).tolist()
    [[0.0, 0.0, 0.25, 0.75, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    pasted = probs.new_zeros(size)
    edges = box.to(probs.dtype)
    places, inside = [], []
    for axis, length in enumerate(size):
        centres = torch.arange(length, dtype=probs.dtype, device=probs.device) + 0.5
        covered = torch.nonzero((centres >= edges[axis]) & (centres < edges[axis + 2])).flatten()
        inside.append(covered)
        places.append(2 * (centres[covered] - edges[axis]) / (edges[axis + 2] - edges[axis]) - 1)
    if not all(len(covered) for covered in inside):
        return pasted
    grid = torch.stack(torch.meshgrid(*places, indexing="ij")[::-1], dim=-1)
    sampled = F.grid_sample(probs[None, None], grid[None], mode="bilinear", padding_mode="border", align_corners=False)
    pasted[inside[0][0] : inside[0][-1] + 1, inside[1][0] : inside[1][-1] + 1] = sampled[0, 0]
    return pasted


def _centres_and_sides(boxes: Float[Tensor, "boxes 4"]) -> tuple[Float[Tensor, "boxes 2"], Float[Tensor, "boxes 2"]]:
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
