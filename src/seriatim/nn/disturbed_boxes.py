"""The boxes of true objects disturbed: moved several times, and false ones among them, as a detector or a search for proposals might give them.

No paper here trains on such boxes; they stand in for those of a detector where a training set has none. DIN and R2-IOS take them.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from seriatim.core.batch import Prompts
from seriatim.core.shapes import Size


def disturb_boxes(
    truth: Prompts,
    size: Size,
    num_classes: int,
    jitter: float,
    false_boxes: float,
    generator: torch.Generator,
    copies: int = 1,
) -> Prompts:
    """True boxes with their edges moved and false ones behind them; the same boxes if the settings ask for neither.

    A false box has the size of a true one, a place and a class drawn evenly, and a score of 0..1.

    Args:
        truth: boxes of the true objects, each with its class and score 1.
        size: (height, width) of the image, to which boxes are cut.
        num_classes: from which those of false boxes are drawn.
        jitter: standard deviation by which each edge is moved, in heights or widths of the box; the score is then the IoU with the true box.
        false_boxes: how many for each object, on average.
        generator: of the draws, on the CPU.
        copies: of every true box, each moved anew; the copies of all objects follow each other.
    """
    boxes, scores, class_ids = (values.cpu() for values in (truth.boxes, truth.scores, truth.class_ids))
    if not len(boxes):
        return truth
    limits, extents = torch.tensor([*size, *size], dtype=boxes.dtype), boxes[:, 2:] - boxes[:, :2]
    moved = boxes.repeat(copies, 1)
    scores, class_ids = scores.repeat(copies), class_ids.repeat(copies)
    if jitter:
        before = moved
        moved = before + jitter * extents.repeat(copies, 2) * torch.randn(before.shape, generator=generator)
        starts, stops = moved[:, :2], moved[:, 2:]
        middles = (starts + stops) / 2
        moved = torch.cat((torch.minimum(starts, middles - 0.5), torch.maximum(stops, middles + 0.5)), dim=1)
        moved = moved.clamp(min=0).minimum(limits)
        scores = scores * _box_iou(before, moved)
    count = int(false_boxes * len(boxes) + float(torch.rand((), generator=generator)))
    if count:
        like = extents[torch.randint(len(boxes), (count,), generator=generator)]
        starts = torch.rand(count, 2, generator=generator) * (limits[:2] - like).clamp(min=0)
        moved = torch.cat((moved, torch.cat((starts, starts + like), dim=1)))
        scores = torch.cat((scores, torch.rand(count, generator=generator)))
        class_ids = torch.cat((class_ids, torch.randint(1, num_classes + 1, (count,), generator=generator)))
    return Prompts(moved, scores, class_ids, truth.points.cpu()).to(truth.boxes.device)


def _box_iou(first: Float[Tensor, "boxes 4"], second: Float[Tensor, "boxes 4"]) -> Float[Tensor, " boxes"]:
    """The IoU of each box with the one at its place."""
    shared = (torch.minimum(first[:, 2:], second[:, 2:]) - torch.maximum(first[:, :2], second[:, :2])).clamp(min=0)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (first, second)]
    overlap = shared.prod(dim=1)
    return overlap / (areas[0] + areas[1] - overlap)
