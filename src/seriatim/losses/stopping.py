"""The stop signal's cost: RSIS eq. 6 as it was meant (as printed, both terms have log(o)).

Binary cross entropy over the steps 1 .. n+1 of an image with n objects; the first n are positive.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F


def first_steps(
    num_targets: Int[Tensor, " batch"], num_steps: int
) -> tuple[Bool[Tensor, "batch steps"], Bool[Tensor, "batch steps"]]:
    """Which steps are positive (the first n), and which are counted (the first n + 1).

    >>> [part.tolist() for part in first_steps(torch.tensor([1]), 3)]
    [[[True, False, False]], [[True, True, False]]]
    """
    steps = torch.arange(num_steps, device=num_targets.device)
    return steps < num_targets[:, None], steps <= num_targets[:, None]


def stop_costs(
    stop_logits: Float[Tensor, "batch steps"], present: Bool[Tensor, "batch steps"]
) -> Float[Tensor, "batch steps"]:
    """The binary cross entropy of every step.

    Args:
        stop_logits: positive where the network says that there is an object.
        present: True where there is one.

    >>> stop_costs(torch.tensor([[0.0, 9.0]]), torch.tensor([[True, True]])).round(decimals=3).tolist()  # ln 2, ln(1 + exp(-9))
    [[0.6930000185966492, 0.0]]
    """
    return F.binary_cross_entropy_with_logits(stop_logits, present.to(stop_logits.dtype), reduction="none")
