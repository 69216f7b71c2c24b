"""The loss of R2-IOS: the proposals that an image trains on, what each look at them is trained towards, and eq. 1.

J_t = J_cls(p_t, g) + 1[g >= 1] J_loc(o_t,g, o~_t) + 1[g >= 1] J_seg(v_t, v~_t),   J = sum over t <= t' of J_t      (1)
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from seriatim.core.batch import Prompts
from seriatim.core.config import Config
from seriatim.core.errors import ConfigError
from seriatim.core.shapes import Size
from seriatim.losses.proposals import (
    Objects,
    assign_objects,
    dominant_masks,
    draw_proposals,
    find_objects,
    location_costs,
    segmentation_costs,
)
from seriatim.nn.disturbed_boxes import disturb_boxes
from seriatim.nn.reversible_gate import counted_refinements, optimal_refinements
from seriatim.nn.roi import MIN_SIDE, encode_offsets

OPTIMAL = "optimal_"
"""Of the names in the log of the shares of proposals whose t' is 1, 2, .."""

COLLAPSED = 0.98
"""Share of the proposals with the same t' from which the gate counts as collapsed."""


class R2IOSObjectiveConfig(Config):
    """Weights of the terms of the loss, and what it is taken over."""

    classification: float = Field(default=1.0, ge=0)
    """Weight of J_cls (eq. 1: 1)."""
    location: float = Field(default=1.0, ge=0)
    """Weight of J_loc (eq. 1: 1)."""
    segmentation: float = Field(default=1.0, ge=0)
    """Weight of J_seg (eq. 1: 1), the mean over the cells of a mask."""
    gate: bool = True
    """Whether losses behind t' are left out: false in the first stage, true in the second (Sec. 3.3)."""
    gate_confidence: Literal["own", "foreground"] = "own"
    """p_t of the gate: of the proposal's label, which is the background's where it is background, or the largest of any object's class."""
    relabel: bool = False
    """Label the proposals anew for every l_t-1; otherwise labels are those of l_0 (paper)."""
    proposals: int = Field(default=64, ge=1)
    """Proposals of an image that are trained on (Sec. 4.1: 64)."""
    foreground_fraction: float = Field(default=0.25, gt=0, le=1)
    """Share of them that is foreground, at most (Sec. 4.1: 25 %)."""
    foreground_iou: float = Field(default=0.5, gt=0, le=1)
    """A proposal with at least this IoU with the box of an object is labelled with it (Sec. 3.3: 0.5)."""
    background_iou: float = Field(default=0.0, ge=0, le=1)
    """Background is drawn from those with at least this IoU; 0 for all (paper; Fast R-CNN: 0.1)."""
    add_truth: bool = True
    """Whether the boxes of the true objects are proposals too; the paper does not say (Fast R-CNN's release: yes)."""
    boxes: Literal["given", "truth"] = "given"
    """The proposals: those of the data set (paper), or made of the boxes of the true objects (ours), for data without any."""
    box_copies: int = Field(default=8, ge=1)
    """Proposals made of the truth: how many of each object, each moved by itself."""
    box_jitter: float = Field(default=0.15, ge=0, le=0.5)
    """The same: standard deviation by which each edge is moved, in heights or widths of the box."""
    false_boxes: float = Field(default=16.0, ge=0)
    """The same: false ones for each object, on average, with the size of a true one and a place drawn evenly."""


class Refinement(NamedTuple):
    """The t-th look at some proposals.

    Attributes:
        boxes: l_t-1, which the features are of.
        class_logits: whose softmax is p_t, the background first.
        offsets: o_t of the background and every class, divided by their scale.
        mask_logits: v_t, background and foreground.
        moved: l_t.
    """

    boxes: Float[Tensor, "proposals 4"]
    class_logits: Float[Tensor, "proposals labels"]
    offsets: Float[Tensor, "proposals labels 4"]
    mask_logits: Float[Tensor, "proposals 2 side side"]
    moved: Float[Tensor, "proposals 4"]


class Goals(NamedTuple):
    """What one look is trained towards.

    Attributes:
        classes: g, 0 for background.
        offsets: from l_t-1 to the box of the object, divided by their scale.
        masks: of the dominant object: 1, 0, or negative to ignore.
    """

    classes: Int[Tensor, " proposals"]
    offsets: Float[Tensor, "proposals 4"]
    masks: Int[Tensor, "proposals side side"]


class Truth(NamedTuple):
    """About one image.

    Attributes:
        labels: 0 background, 1..N, negative to ignore.
        classes: of the objects, from 1.
        objects: those of which there is a pixel.
    """

    labels: Int[Tensor, "height width"]
    classes: Int[Tensor, " instances"]
    objects: Objects


def read_truth(
    labels: Int[Tensor, "height width"],
    classes: Int[Tensor, " padded"],
    num_classes: int,
    dtype: torch.dtype = torch.float32,
) -> Truth:
    """The objects of one image of a batch.

    Args:
        labels: 0 background, 1..N, negative to ignore.
        classes: of the labels 1..N; 0 pads.
        num_classes: of the model; with 0 every object is of class 1.
        dtype: of the boxes.

    Raises:
        ConfigError: if an object has a class that the model does not know.
    """
    objects = find_objects(labels, dtype)
    of_objects = classes[objects.numbers - 1] if num_classes else torch.ones_like(objects.numbers)
    unknown = of_objects[(of_objects < 1) | (of_objects > max(num_classes, 1))].tolist()
    if unknown:
        raise ConfigError(
            f"model.config.num_classes: an object of the data is of class {unknown[0]}, the model knows 1..{num_classes}"
        )
    return Truth(labels, of_objects, objects)


def make_proposals(
    truth: Truth, size: Size, weights: R2IOSObjectiveConfig, generator: torch.Generator
) -> Float[Tensor, "proposals 4"]:
    """Proposals made of the boxes of the true objects: moved copies and false ones; none for an image without objects, and none that the edge of the image cuts below a pixel.

    Args:
        truth: about the image.
        size: (height, width) of the image.
        weights: `box_copies`, `box_jitter` and `false_boxes`.
        generator: on the CPU.
    """
    boxes = truth.objects.boxes
    exact = Prompts(boxes, boxes.new_ones(len(boxes)), torch.ones_like(truth.classes), boxes.new_zeros(0, 2))
    made = disturb_boxes(exact, size, 1, weights.box_jitter, weights.false_boxes, generator, weights.box_copies)
    return made.boxes[(made.boxes[:, 2:] - made.boxes[:, :2] >= MIN_SIDE).all(dim=1)]


def draw(
    boxes: Float[Tensor, "proposals 4"], truth: Truth, weights: R2IOSObjectiveConfig, generator: torch.Generator
) -> Float[Tensor, "drawn 4"]:
    """l_0 of the proposals that an image trains on.

    Args:
        boxes: its proposals, in the image.
        truth: about it.
        weights: which are drawn.
        generator: on the CPU.
    """
    if weights.add_truth:
        boxes = torch.cat((boxes, truth.objects.boxes))
    overlaps = assign_objects(boxes, truth.objects).overlaps
    drawn = draw_proposals(
        overlaps,
        weights.proposals,
        weights.foreground_fraction,
        weights.foreground_iou,
        weights.background_iou,
        generator,
    )
    return boxes[drawn]


def label(
    boxes: Float[Tensor, "proposals 4"],
    images: Int[Tensor, " proposals"],
    truths: Sequence[Truth],
    foreground_iou: float,
) -> tuple[Int[Tensor, " proposals"], Float[Tensor, "proposals 4"]]:
    """The class g of every proposal, and the box of its object; of background, the proposal itself.

    Args:
        boxes: the proposals.
        images: number of the image of each.
        truths: about every image.
        foreground_iou: with the box of an object, from which a proposal is labelled with it.
    """
    classes, targets = torch.zeros_like(images), boxes.clone()
    for number, truth in enumerate(truths):
        rows = torch.nonzero(images == number).flatten()
        assigned = assign_objects(boxes[rows], truth.objects)
        is_foreground = assigned.overlaps >= foreground_iou
        rows, objects = rows[is_foreground], assigned.rows[is_foreground]
        classes[rows] = truth.classes[objects]
        targets[rows] = truth.objects.boxes[objects]
    return classes, targets


def make_goals(
    boxes: Float[Tensor, "proposals 4"],
    images: Int[Tensor, " proposals"],
    truths: Sequence[Truth],
    labelled: tuple[Int[Tensor, " proposals"], Float[Tensor, "proposals 4"]],
    offset_scale: tuple[float, float, float, float],
    side: int,
) -> Goals:
    """What the look at l_t-1 is trained towards.

    Args:
        boxes: l_t-1.
        images: number of the image of each, rising.
        truths: about every image.
        labelled: of `label`.
        offset_scale: by which offsets are divided.
        side: cells of a mask.
    """
    classes, targets = labelled
    masks = [
        dominant_masks(boxes[images == number], truth.labels, truth.objects, side)
        for number, truth in enumerate(truths)
    ]
    return Goals(classes, encode_offsets(boxes, targets, offset_scale), torch.cat(masks))


def optimal_looks(
    looks: Sequence[Refinement], goals: Sequence[Goals], weights: R2IOSObjectiveConfig
) -> Int[Tensor, " proposals"]:
    """t' of every proposal in training, counted from 0.

    Args:
        looks: of all proposals of a batch.
        goals: of each look.
        weights: `gate_confidence`.
    """
    probs = torch.stack([look.class_logits.detach().softmax(dim=1) for look in looks])
    labels = torch.stack([goal.classes for goal in goals])
    own = probs.gather(2, labels[:, :, None])[:, :, 0]
    return optimal_refinements(own if weights.gate_confidence == "own" else probs[:, :, 1:].amax(dim=2))


def count_optimal(
    optimal: Int[Tensor, " proposals"], classes: Int[Tensor, " proposals"], count: int
) -> dict[str, float]:
    """The histogram of t': the share of foreground proposals that takes each look; empty without any.

    Background does not move, so that its looks are all the same and t' is 1.

    Args:
        optimal: t', counted from 0.
        classes: g, 0 for background.
        count: T.

    >>> count_optimal(torch.tensor([0, 1, 1, 0]), torch.tensor([3, 1, 0, 2]), 2) == {"optimal_1": 2 / 3, "optimal_2": 1 / 3}
    True
    """
    counts = torch.bincount(optimal[classes > 0], minlength=count).tolist()
    return {f"{OPTIMAL}{number}": value / sum(counts) for number, value in enumerate(counts, 1) if sum(counts)}


def find_collapse(notes: Mapping[str, float]) -> str | None:
    """What to say if nearly all proposals take the same look, so that the gate chooses nothing; None if not.

    Args:
        notes: with a histogram of t' of several looks, or without.

    >>> find_collapse({"optimal_1": 0.99, "optimal_2": 0.01})
    "the gate takes look 1 of 99 % of the foreground proposals: t' has collapsed to one value"
    """
    shares = {name: value for name, value in notes.items() if name.startswith(OPTIMAL)}
    if len(shares) < 2 or max(shares.values()) < COLLAPSED:
        return None
    look = max(shares, key=lambda name: shares[name])
    percent = round(100 * shares[look])
    return f"the gate takes look {look.removeprefix(OPTIMAL)} of {percent} % of the foreground proposals: t' has collapsed to one value"


def objective(
    looks: Sequence[Refinement], goals: Sequence[Goals], weights: R2IOSObjectiveConfig
) -> dict[str, Float[Tensor, ""]]:
    """The weighted terms of eq. 1, summed over the looks t <= t' of every proposal (Sec. 3.3), a mean over the proposals; 0 if there are none.

    Args:
        looks: of all proposals of a batch.
        goals: of each look.
        weights: of the terms; one of weight 0 is left out.
    """
    labels = torch.stack([goal.classes for goal in goals])
    is_counted = torch.ones_like(labels, dtype=torch.bool)
    if weights.gate:
        is_counted = counted_refinements(optimal_looks(looks, goals, weights), len(looks))
    costs: dict[str, list[Tensor]] = {}
    for look, goal in zip(looks, goals, strict=True):
        if weights.classification:
            cost = F.cross_entropy(look.class_logits, goal.classes, reduction="none")
            costs.setdefault("classification", []).append(weights.classification * cost)
        if weights.location:
            cost = location_costs(look.offsets, goal.offsets, goal.classes)
            costs.setdefault("location", []).append(weights.location * cost)
        if weights.segmentation:
            cost = segmentation_costs(look.mask_logits, goal.masks, goal.classes)
            costs.setdefault("segmentation", []).append(weights.segmentation * cost)
    num_proposals = max(labels.shape[1], 1)
    return {name: (torch.stack(of_looks) * is_counted).sum() / num_proposals for name, of_looks in costs.items()}
