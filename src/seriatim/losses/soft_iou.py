"""Soft intersection over union: RSIS eq. 3, and its whole cost matrix from one batched product.

sIoU(p, g) = 1 - sum(p g) / (sum(p + g - p g) + eps)
"""

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-6


def soft_iou_costs(
    pred_probs: Float[Tensor, "batch steps pixels"], target_masks: Float[Tensor, "batch instances pixels"]
) -> Float[Tensor, "batch steps instances"]:
    """The cost of every prediction with every target.

    >>> probs = torch.tensor([[[1.0, 1.0, 0.0, 0.0]]])
    >>> masks = torch.tensor([[[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]])
    >>> soft_iou_costs(probs, masks).round(decimals=3).tolist()
    [[[0.5, 0.0]]]
    """
    intersections = torch.bmm(pred_probs, target_masks.transpose(1, 2))
    unions = pred_probs.sum(-1)[:, :, None] + target_masks.sum(-1)[:, None, :] - intersections
    return 1 - intersections / (unions + EPSILON)


def soft_iou(
    pred_probs: Float[Tensor, "*batch pixels"], target_masks: Float[Tensor, "*batch pixels"]
) -> Float[Tensor, "*batch"]:
    """The cost of each prediction with its own target.

    >>> soft_iou(torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.0])).round(decimals=3).item()
    0.5
    """
    intersection = (pred_probs * target_masks).sum(-1)
    union = (pred_probs + target_masks).sum(-1) - intersection
    return 1 - intersection / (union + EPSILON)
