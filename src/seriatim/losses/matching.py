"""Assignment of targets to steps by the Hungarian algorithm, as RSIS section 3.3 prescribes.

The network chooses its order; the assignment sorts the truth accordingly. It is made over the first min(n, T) steps of an
image with n objects and T steps.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def hungarian(
    costs: Float[Tensor, "batch steps instances"], num_targets: Int[Tensor, " batch"]
) -> Int[Tensor, "batch steps"]:
    """The target of each step, -1 where it has none.

    Args:
        costs: of every step with every target; columns from `num_targets` on are padding.
        num_targets: objects of each image, possibly 0 and possibly more than there are steps.

    >>> costs = torch.tensor([[[0.1, 0.9], [0.2, 0.3], [0.0, 0.0]]])
    >>> hungarian(costs, torch.tensor([2])).tolist()
    [[0, 1, -1]]
    """
    assignment = torch.full(costs.shape[:2], -1, dtype=torch.long)
    for index, table in enumerate(costs.detach().float().cpu().numpy()):
        count = int(num_targets[index])
        table = np.nan_to_num(table, nan=1e6)  # the loss itself stays NaN, for the training loop to report
        rows, columns = linear_sum_assignment(table[: min(count, table.shape[0]), :count])
        assignment[index, torch.as_tensor(rows)] = torch.as_tensor(columns)
    return assignment.to(costs.device)
