"""The reversible gate of R2-IOS (Sec. 3.2): of T refinements of a proposal, the one whose results are taken.

    t' = argmax_t p_t,   r_t' = 1,   J = sum over t <= t' of J_t

t' is a choice, through which no gradient passes. Of equal confidences the earlier refinement is taken.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def optimal_refinements(confidences: Float[Tensor, "refinements proposals"]) -> Int[Tensor, " proposals"]:
    """t' of every proposal, counted from 0.

    Args:
        confidences: p_t of the proposal's class.

    >>> optimal_refinements(torch.tensor([[0.2, 0.5, 0.1], [0.6, 0.5, 0.2], [0.3, 0.5, 0.3]])).tolist()
    [1, 0, 2]
    """
    return confidences.detach().argmax(dim=0)


def counted_refinements(optimal: Int[Tensor, " proposals"], count: int) -> Bool[Tensor, "refinements proposals"]:
    """Which losses are used: those of the refinements up to t'.

    Args:
        optimal: t', counted from 0.
        count: T.

    >>> counted_refinements(torch.tensor([1, 0]), 3).tolist()
    [[True, True], [True, False], [False, False]]
    """
    return torch.arange(count, device=optimal.device)[:, None] <= optimal
