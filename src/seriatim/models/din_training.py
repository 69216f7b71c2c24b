"""How DIN is trained: the weights of its loss, the loss of its semantic network, and the boxes of the true objects, disturbed (see `din.py`).

The paper trains on the boxes of a detector. Training on true boxes needs none, but a network that has seen no wrong box trusts each; so true boxes can be
moved, and false ones added. That is ours, not the paper's.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from seriatim.core.batch import Prompts
from seriatim.core.config import Config
from seriatim.core.shapes import Size
from seriatim.losses.segments import Unmatched, label_cross_entropy, reorder_target


class DINObjectiveConfig(Config):
    """Weights of the terms of the loss."""

    instance: float = Field(default=1.0, ge=0)
    """Weight of the cross entropy with the matched truth (Sec. 3.4)."""
    semantic: float = Field(default=0.0, ge=0)
    """Weight of the cross entropy of Q with the true classes, with which the semantic network is trained first (Sec. 3.5)."""
    iou: float = Field(default=0.0, ge=0)
    """Weight of the approximate IoU loss, which the paper found worse than the cross entropy."""
    reduction: Literal["mean", "sum"] = "mean"
    """Over the pixels of an image. The paper sums, with rates of 1e-8 and 1e-12; means go with about 2.5e-3 and 2.5e-7."""
    unmatched: Unmatched = "ignored"
    """What the pixels of a true object are that no predicted one is matched with; the paper does not say."""
    detections: Literal["given", "truth"] = "given"
    """The boxes of the data set, or those of the true objects with score 1."""
    box_jitter: float = Field(default=0.0, ge=0, le=0.5)
    """True boxes: standard deviation by which each edge is moved, in heights or widths of the box; the score is then the IoU with the true box."""
    false_boxes: float = Field(default=0.0, ge=0)
    """True boxes: false ones added for each, on average, with the size of a true one, a place and a class drawn evenly, and a score of 0..1."""


def semantic_objective(
    logits: Float[Tensor, "labels height width"],
    labels: Int[Tensor, "height width"],
    classes: Int[Tensor, " instances"],
    weights: DINObjectiveConfig,
) -> dict[str, Float[Tensor, ""]]:
    """The weighted cross entropy of the semantic network alone; empty if its weight is 0.

    Args:
        logits: of the semantic network.
        labels: 0 background, 1..N, negative to ignore.
        classes: of the objects, from 1; 0 pads.
        weights: of the terms.
    """
    if not weights.semantic:
        return {}
    return {
        "semantic": weights.semantic * label_cross_entropy(logits, reorder_target(labels, classes), weights.reduction)
    }


def disturb_boxes(
    truth: Prompts, size: Size, num_classes: int, weights: DINObjectiveConfig, generator: torch.Generator
) -> Prompts:
    """True boxes with their edges moved and false ones added, as a detector might give them; the same boxes if the settings ask for neither.

    Args:
        truth: of `nn/detections.py: true_boxes`.
        size: (height, width) of the image, to which boxes are cut.
        num_classes: from which those of false boxes are drawn.
        weights: `box_jitter` and `false_boxes`.
        generator: of the draws, on the CPU.
    """
    boxes, scores, class_ids = truth.boxes.cpu(), truth.scores.cpu(), truth.class_ids.cpu()
    if not len(boxes):
        return truth
    limits = torch.tensor([*size, *size], dtype=boxes.dtype)
    if weights.box_jitter:
        extents = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        moved = boxes + weights.box_jitter * extents * torch.randn(boxes.shape, generator=generator)
        starts, stops = moved[:, :2], moved[:, 2:]
        middles = (starts + stops) / 2
        moved = torch.cat((torch.minimum(starts, middles - 0.5), torch.maximum(stops, middles + 0.5)), dim=1)
        moved = moved.clamp(min=0).minimum(limits)
        scores = scores * _box_iou(boxes, moved)
        boxes = moved
    count = int(weights.false_boxes * len(boxes) + float(torch.rand((), generator=generator)))
    if count:
        like = torch.randint(len(boxes), (count,), generator=generator)
        extents = (truth.boxes.cpu()[:, 2:] - truth.boxes.cpu()[:, :2])[like]
        starts = torch.rand(count, 2, generator=generator) * (limits[:2] - extents).clamp(min=0)
        boxes = torch.cat((boxes, torch.cat((starts, starts + extents), dim=1)))
        scores = torch.cat((scores, torch.rand(count, generator=generator)))
        class_ids = torch.cat((class_ids, torch.randint(1, num_classes + 1, (count,), generator=generator)))
    return Prompts(boxes, scores, class_ids, truth.points.cpu()).to(truth.boxes.device)


def _box_iou(first: Float[Tensor, "boxes 4"], second: Float[Tensor, "boxes 4"]) -> Float[Tensor, " boxes"]:
    """The IoU of each box with the one at its place."""
    shared = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (first, second)]
    overlap = shared.prod(dim=1)
    return overlap / (areas[0] + areas[1] - overlap)
