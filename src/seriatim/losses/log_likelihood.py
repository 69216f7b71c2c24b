"""Log-likelihood of a mask under predicted probabilities, an alternative to the IoU of RIS eq. 3 that its authors tried.

Source: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (ECCV 2016), Sec. 5: "alternatives to f_IoU in eq. (3), such as log-likelihood".
The paper gives no formula; here it is that of independent pixels, as a mean over them, so that its size does not depend on that of the image:

    f(p, g) = 1/M sum_i g_i log(p_i) + (1 - g_i) log(1 - p_i)
"""

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 1e-6
"""Probabilities are kept this far from 0 and 1."""


def log_likelihood_costs(
    pred_probs: Float[Tensor, "batch steps pixels"], target_masks: Float[Tensor, "batch instances pixels"]
) -> Float[Tensor, "batch steps instances"]:
    """The cost of every prediction with every target, -f.

    Args:
        pred_probs: 0..1; a pixel of probability 0 outside all targets costs nothing.
        target_masks: 0 or 1.

    >>> probs, masks = torch.tensor([[[0.5, 0.25]]]), torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    >>> [round(cost, 3) for cost in log_likelihood_costs(probs, masks)[0, 0].tolist()]  # -(ln 0.5 + ln 0.75) / 2, -(ln 0.5 + ln 0.25) / 2
    [0.49, 1.04]
    """
    inside, outside = pred_probs.clamp(min=EPSILON).log(), (1 - pred_probs).clamp(min=EPSILON).log()
    likelihood = torch.bmm(inside - outside, target_masks.transpose(1, 2)) + outside.sum(-1)[:, :, None]
    return -likelihood / pred_probs.shape[-1]
