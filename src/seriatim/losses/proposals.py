"""What box proposals are trained towards (R2-IOS Sec. 3.3 and 4.1): the object that each stands for, its dominant mask, and the costs of eq. 1.

    J_t = J_cls(p_t, g) + 1[g >= 1] J_loc(o_t,g, o~_t) + 1[g >= 1] J_seg(v_t, v~_t)                   (1)

J_cls is -log p_t,g, J_loc the smooth L1 cost of Fast R-CNN, J_seg the cross entropy of the cells of v_t. Boxes are (y0, x0, y1, x1), half-open, and
no gradient reaches them.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_iou

IGNORED = -1
"""Target of the cells that no cost counts."""


class Objects(NamedTuple):
    """The true objects of one image.

    Attributes:
        numbers: of their labels, from 1, rising.
        boxes: around them.
        planes: their pixels.
    """

    numbers: Int[Tensor, " instances"]
    boxes: Float[Tensor, "instances 4"]
    planes: Bool[Tensor, "instances height width"]


def find_objects(labels: Int[Tensor, "height width"], dtype: torch.dtype = torch.float32) -> Objects:
    """The objects of which a label map has a pixel.

    Args:
        labels: 0 background, 1..N, negative to ignore.
        dtype: of the boxes.

    >>> find_objects(torch.tensor([[0, 3, 3], [0, 0, 3]])).boxes.tolist()
    [[0.0, 1.0, 2.0, 3.0]]
    """
    numbers = labels.unique()
    numbers = numbers[numbers > 0]
    planes = labels == numbers[:, None, None]
    edges = []
    for other_axis in (2, 1):
        line = planes.any(dim=other_axis).to(torch.uint8)
        length = line.shape[1]
        edges.append((line.argmax(dim=1), length - line.flip(1).argmax(dim=1)))
    (y0, y1), (x0, x1) = edges
    return Objects(numbers, torch.stack((y0, x0, y1, x1), dim=1).to(dtype), planes)


class Assignment(NamedTuple):
    """The object that each proposal is labelled with.

    Attributes:
        rows: of the object among `Objects` with the largest IoU; without meaning where there is none.
        overlaps: this IoU; 0 where there is no object.
    """

    rows: Int[Tensor, " boxes"]
    overlaps: Float[Tensor, " boxes"]


def assign_objects(boxes: Float[Tensor, "boxes 4"], objects: Objects) -> Assignment:
    """The object whose box overlaps each proposal most; of equal ones that of the smaller label.

    Args:
        boxes: the proposals.
        objects: of their image.
    """
    if not len(objects.numbers):
        return Assignment(torch.zeros_like(boxes[:, 0], dtype=torch.long), torch.zeros_like(boxes[:, 0]))
    overlaps, rows = box_iou(boxes, objects.boxes.to(boxes.dtype)).max(dim=1)
    return Assignment(rows, overlaps)


def draw_proposals(
    overlaps: Float[Tensor, " boxes"],
    count: int,
    foreground_fraction: float,
    foreground_iou: float,
    background_iou: float,
    generator: torch.Generator,
) -> Int[Tensor, " drawn"]:
    """Numbers of the proposals that an image trains on: so many foreground ones at most, the rest background, as Fast R-CNN draws them.

    Where there are too few of either, fewer are drawn.

    Args:
        overlaps: IoU of each proposal with its object.
        count: of proposals at most.
        foreground_fraction: of them that are foreground at most.
        foreground_iou: IoU from which a proposal is foreground.
        background_iou: IoU from which one of the others is drawn as background.
        generator: on the CPU.
    """
    on_cpu = overlaps.cpu()
    foreground = torch.nonzero(on_cpu >= foreground_iou).flatten()
    background = torch.nonzero((on_cpu < foreground_iou) & (on_cpu >= background_iou)).flatten()
    num_foreground = min(round(count * foreground_fraction), len(foreground))
    drawn = [
        group[torch.randperm(len(group), generator=generator)[:number]]
        for group, number in ((foreground, num_foreground), (background, count - num_foreground))
    ]
    return torch.cat(drawn).to(overlaps.device)


def dominant_objects(boxes: Float[Tensor, "boxes 4"], objects: Objects) -> Int[Tensor, " boxes"]:
    """The label of the object with the most pixels in each box, of equal ones the smaller; 0 where no object has any.

    A pixel lies in a box if its centre does.

    Args:
        boxes: in the image.
        objects: of the image.
    """
    if not len(objects.numbers):
        return torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
    sums = F.pad(objects.planes.to(torch.int32).cumsum(dim=1).cumsum(dim=2), (1, 0, 1, 0))
    bounds = boxes.new_tensor(objects.planes.shape[1:]).repeat(2)
    y0, x0, y1, x1 = torch.minimum((boxes - 0.5).ceil().clamp(min=0), bounds).long().T
    counts = sums[:, y1, x1] - sums[:, y0, x1] - sums[:, y1, x0] + sums[:, y0, x0]
    most, rows = counts.max(dim=0)
    return torch.where(most > 0, objects.numbers[rows], 0)


def dominant_masks(
    boxes: Float[Tensor, "boxes 4"], labels: Int[Tensor, "height width"], objects: Objects, side: int
) -> Int[Tensor, "boxes side side"]:
    """v~ of every box: 1 in the cells of its dominant object, 0 elsewhere, `IGNORED` where the label is negative.

    A cell has the label of the pixel that its centre lies in.

    Args:
        boxes: with an area, in the image.
        labels: 0 background, 1..N, negative to ignore.
        objects: of the image.
        side: cells along and across.

    >>> labels = torch.tensor([[1, 1, 2, -1]])
    >>> dominant_masks(torch.tensor([[0.0, 0.0, 1.0, 4.0]]), labels, find_objects(labels), 4)[0, 0].tolist()
    [1, 1, 0, -1]
    """
    steps = (torch.arange(side, device=boxes.device, dtype=boxes.dtype) + 0.5) / side
    places = []
    for axis, length in enumerate(labels.shape):
        begin, end = boxes[:, axis, None], boxes[:, axis + 2, None]
        places.append((begin + steps * (end - begin)).floor().long().clamp(0, length - 1))
    seen = labels[places[0][:, :, None], places[1][:, None, :]]
    is_dominant = (seen == dominant_objects(boxes, objects)[:, None, None]) & (seen > 0)
    return torch.where(seen < 0, IGNORED, is_dominant.long())


def location_costs(
    offsets: Float[Tensor, "boxes labels 4"], targets: Float[Tensor, "boxes 4"], classes: Int[Tensor, " boxes"]
) -> Float[Tensor, " boxes"]:
    """J_loc: the smooth L1 cost of the offsets of the true class, summed over y, x, h and w; 0 for background.

    0.5 d^2 for a difference d within 1, |d| - 0.5 beyond (Girshick, "Fast R-CNN", ICCV 2015, eq. 3).

    Args:
        offsets: o_t of every class, 0 the background.
        targets: o~_t; without meaning for background.
        classes: g.

    >>> offsets = torch.tensor([[[0.0] * 4, [0.5, 0.0, 3.0, 0.0]]])
    >>> location_costs(offsets, torch.zeros(1, 4), torch.tensor([1])).tolist()  # 0.125 + 2.5
    [2.625]
    """
    own = offsets[torch.arange(len(classes), device=classes.device), classes]
    targets = torch.where((classes > 0)[:, None], targets, own.detach())
    return F.smooth_l1_loss(own, targets, reduction="none").sum(dim=1) * (classes > 0)


def segmentation_costs(
    mask_logits: Float[Tensor, "boxes 2 side side"],
    targets: Int[Tensor, "boxes side side"],
    classes: Int[Tensor, " boxes"],
) -> Float[Tensor, " boxes"]:
    """J_seg: the cross entropy of v_t, its mean over the cells that count; 0 for background.

    Args:
        mask_logits: v_t, background and foreground.
        targets: of `dominant_masks`.
        classes: g.
    """
    costs = F.cross_entropy(mask_logits, targets, ignore_index=IGNORED, reduction="none").flatten(1)
    num_counted = (targets >= 0).flatten(1).sum(dim=1).clamp(min=1)
    return costs.sum(dim=1) / num_counted * (classes > 0)
