"""The loss of a label map whose labels are the objects of one image: the truth in the order of the prediction (DIN, Sec. 3.4), and what is compared then.

    G* = argmax over the permutations m of the truth of IoU(m, P)                                      (7)

It is a bipartite matching of largest weight; the weight of a predicted and a true segment is their IoU if they share the class, else 0. A pair of
weight 0 is none: both are left over.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

from seriatim.losses.soft_iou import soft_iou

IGNORED = -1
"""Label of the pixels that no loss counts."""

Unmatched = Literal["ignored", "background"]
"""What becomes of the pixels of a true segment that no predicted one is matched with."""


def match_segments(
    pred: Int[Tensor, "height width"],
    pred_classes: Int[Tensor, " predicted"],
    target: Int[Tensor, "height width"],
    target_classes: Int[Tensor, " instances"],
) -> Int[Tensor, " instances"]:
    """Eq. 7: of every true segment the label of the predicted one that is matched with it, from 1; 0 where it is left over.

    Args:
        pred: 0 background, 1..D.
        pred_classes: of the labels 1..D.
        target: 0 background, 1..N, negative pixels count in neither map.
        target_classes: of the labels 1..N.

    >>> pred, target = torch.tensor([[1, 1, 2, 2, 0]]), torch.tensor([[2, 2, 2, 1, 0]])
    >>> match_segments(pred, torch.tensor([1, 1]), target, torch.tensor([1, 1])).tolist()  # of 2 and 1: 1/2 and 2/3, of 1 and 2: 1/4 and 0
    [2, 1]
    """
    num_pred, num_target = len(pred_classes), len(target_classes)
    counted = target >= 0
    pairs = pred[counted] * (num_target + 1) + target[counted]
    shared = torch.bincount(pairs, minlength=(num_pred + 1) * (num_target + 1)).view(num_pred + 1, num_target + 1)
    unions = shared.sum(dim=1, keepdim=True) + shared.sum(dim=0) - shared
    agree = pred_classes[:, None] == target_classes
    weights = torch.where(agree, (shared.double() / unions.clamp(min=1))[1:, 1:], 0.0)
    rows, columns = linear_sum_assignment(weights.cpu().numpy(), maximize=True)
    matched = torch.zeros(num_target, dtype=torch.long)
    for row, column in zip(rows, columns, strict=True):
        if weights[row, column] > 0:
            matched[column] = int(row) + 1
    return matched.to(pred.device)


def reorder_target(
    target: Int[Tensor, "height width"], matched: Int[Tensor, " instances"], unmatched: Unmatched = "ignored"
) -> Int[Tensor, "height width"]:
    """The matched truth G*: every pixel has the label of the prediction that its segment is matched with.

    Args:
        target: 0 background, 1..N, negative to ignore.
        matched: of `match_segments`.
        unmatched: what becomes of left-over segments.

    >>> reorder_target(torch.tensor([[0, 1, 2, -2]]), torch.tensor([3, 0])).tolist()
    [[0, 3, -1, -1]]
    >>> reorder_target(torch.tensor([[0, 1, 2, -2]]), torch.tensor([3, 0]), "background").tolist()
    [[0, 3, 0, -1]]
    """
    left_over = IGNORED if unmatched == "ignored" else 0
    table = torch.cat((matched.new_tensor([IGNORED, 0]), torch.where(matched == 0, left_over, matched)))
    return table[target.clamp(min=-1) + 1]


def label_cross_entropy(
    logits: Float[Tensor, "labels height width"],
    target: Int[Tensor, "height width"],
    reduction: Literal["mean", "sum"] = "mean",
) -> Float[Tensor, ""]:
    """The cross entropy of a label map with the truth, over the pixels that count; 0 if none does.

    Args:
        logits: of every label, the background first.
        target: labels; negative to ignore.
        reduction: over the pixels; the paper sums.
    """
    costs = F.cross_entropy(logits[None], target.clamp(min=IGNORED)[None], ignore_index=IGNORED, reduction="sum")
    return costs / (target >= 0).sum().clamp(min=1) if reduction == "mean" else costs


def label_iou_cost(
    logits: Float[Tensor, "labels height width"], target: Int[Tensor, "height width"]
) -> Float[Tensor, ""]:
    """The approximate IoU loss that the paper compares with: the mean of 1 - soft IoU over the objects that are in the truth; 0 if there is none.

    Args:
        logits: of every label, the background first.
        target: labels; negative to ignore.
    """
    present = target[target > 0].unique()
    probs = (logits.softmax(dim=0) * (target >= 0)).flatten(1)
    costs = soft_iou(probs[present], (target.flatten() == present[:, None]).to(probs.dtype))
    return costs.sum() / max(len(present), 1)
