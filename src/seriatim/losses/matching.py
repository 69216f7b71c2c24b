"""Which target each step stands for, and the cost of its mask with it, as a rule the soft IoU: by the Hungarian assignment (RSIS Sec. 3.3, RIS Sec. 3.3), or as given.

The network chooses its order; the assignment sorts the truth accordingly. It is made over the first min(n, T) steps of an image with n objects and
T steps.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from seriatim.losses.soft_iou import soft_iou, soft_iou_costs
from seriatim.losses.stopping import first_steps


# The fields are declared as those of a model's outputs are; they have other meanings.
class MatchedSteps(NamedTuple):
    """What the loss of a sequence is computed from."""

    targets: Int[Tensor, "batch steps"]
    """The object that a step stands for, from 0; -1 for none."""
    costs: Float[Tensor, "batch steps"]
    """Of the step's mask with that object, as a rule soft IoU (RSIS eq. 3); without meaning where there is none."""
    present: Bool[Tensor, "batch steps"]
    """Whether the step is to say that it holds an object."""
    counted: Bool[Tensor, "batch steps"]
    """Whether what it says counts."""

    @property
    def matched(self) -> Float[Tensor, "batch steps"]:
        """1 where a step stands for an object, else 0."""
        return (self.targets >= 0).to(self.costs.dtype)


def match_steps(
    mask_probs: Float[Tensor, "batch steps height width"],
    labels: Int[Tensor, "batch height width"],
    num_targets: Int[Tensor, " batch"],
    steps_after: int,
    max_matched: int | None = None,
    pair_costs: Callable[[Tensor, Tensor], Tensor] = soft_iou_costs,
) -> MatchedSteps:
    """The steps with their targets by the Hungarian assignment.

    Args:
        mask_probs: of a whole sequence.
        labels: 0 background, 1..N, negative pixels are left out of the masks.
        num_targets: objects of each image.
        steps_after: steps behind the last object that count as steps without an object.
        max_matched: steps that are matched at most, from the first; None for all.
        pair_costs: from (batch, steps, pixels) and (batch, instances, pixels) to the cost of every pair.
    """
    probs = _counted_pixels(mask_probs, labels)
    count = int(num_targets.max())
    numbers = torch.arange(1, count + 1, device=labels.device)
    masks = (labels.flatten(1)[:, None] == numbers[None, :, None]).to(probs.dtype)
    table = pair_costs(probs, masks)
    targets = hungarian(table, num_targets, max_matched)
    costs = table.gather(2, targets.clamp(min=0)[:, :, None])[:, :, 0] if count else probs.sum(dim=-1)
    present, _ = first_steps(num_targets, probs.shape[1])
    _, counted = first_steps(num_targets + steps_after - 1, probs.shape[1])
    return MatchedSteps(targets, costs, present, counted)


def steps_of_targets(
    mask_probs: Float[Tensor, "batch steps height width"],
    labels: Int[Tensor, "batch height width"],
    targets: Int[Tensor, "batch steps"],
    counted: Bool[Tensor, "batch steps"],
) -> MatchedSteps:
    """The steps with targets that are known, as where a teacher chose them.

    Args:
        mask_probs: of a whole sequence.
        labels: 0 background, 1..N, negative pixels are left out of the masks.
        targets: the object that each step stands for, from 0; -1 for none.
        counted: False where a step is left out of the loss.
    """
    probs = _counted_pixels(mask_probs, labels)
    masks = (labels.flatten(1)[:, None] == targets[:, :, None] + 1).to(probs.dtype)
    return MatchedSteps(targets, soft_iou(probs, masks), targets >= 0, counted)


def _counted_pixels(mask_probs: Tensor, labels: Tensor) -> Float[Tensor, "batch steps pixels"]:
    return (mask_probs * (labels >= 0)[:, None]).flatten(2)


def reduce_steps(
    values: Float[Tensor, "batch steps"], weights: Tensor, reduction: Literal["sum", "mean"]
) -> Float[Tensor, ""]:
    """The mean over the images of each image's weighted sum, or weighted mean, over its steps.

    Args:
        values: of every step.
        weights: 1 or True where a step counts, else 0.
        reduction: over the steps of an image.

    >>> values, weights = torch.tensor([[1.0, 3.0], [2.0, 9.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    >>> reduce_steps(values, weights, "sum").item(), reduce_steps(values, weights, "mean").item()
    (3.0, 2.0)
    """
    sums = (values * weights).sum(dim=1)
    return (sums / weights.sum(dim=1).clamp(min=1) if reduction == "mean" else sums).mean()


def hungarian(
    costs: Float[Tensor, "batch steps instances"], num_targets: Int[Tensor, " batch"], max_matched: int | None = None
) -> Int[Tensor, "batch steps"]:
    """The target of each step, -1 where it has none.

    Args:
        costs: of every step with every target; columns from `num_targets` on are padding.
        num_targets: objects of each image, possibly 0 and possibly more than there are steps.
        max_matched: steps that are matched at most, from the first; None for all.

    >>> costs = torch.tensor([[[0.1, 0.9], [0.2, 0.3], [0.0, 0.0]]])
    >>> hungarian(costs, torch.tensor([2])).tolist()
    [[0, 1, -1]]
    """
    most = costs.shape[1] if max_matched is None else min(max_matched, costs.shape[1])
    assignment = torch.full(costs.shape[:2], -1, dtype=torch.long)
    for index, table in enumerate(costs.detach().float().cpu().numpy()):
        count = int(num_targets[index])
        table = np.nan_to_num(table, nan=1e6)  # the loss itself stays NaN, for the training loop to report
        rows, columns = linear_sum_assignment(table[: min(count, most), :count])
        assignment[index, torch.as_tensor(rows)] = torch.as_tensor(columns)
    return assignment.to(costs.device)
