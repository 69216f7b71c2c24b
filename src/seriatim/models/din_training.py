"""How DIN is trained: the weights of its loss, and the loss of its semantic network (see `din.py`).

The paper trains on the boxes of a detector. Training on true boxes needs none, but a network that has seen no wrong box trusts each; so true boxes can be
moved, and false ones added (`nn/disturbed_boxes.py`). That is ours, not the paper's.
"""

from typing import Literal

from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from seriatim.core.config import Config
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
