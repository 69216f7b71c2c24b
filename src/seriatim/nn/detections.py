"""The detections of one image as DIN takes them: (l_k, s_k, B_k) of Sec. 3.2, checked, each with the pixels of its box.

A pixel belongs to a box if its centre lies inside; of a box with whole edges these are the half-open ranges of rows and columns. The box of every
detection is kept as one indicator of rows and one of columns, so that sums over boxes and sums of boxes are products of matrices.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seriatim.core.batch import Prompts
from seriatim.core.errors import ConfigError
from seriatim.core.shapes import Box, Size


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Detections that reach into the image, best score first.

    Attributes:
        class_ids: l_k, from 1.
        scores: s_k, 0..1.
        edges: (y0, x0, y1, x1) as given, possibly beyond the image.
        rows: 1 for the rows of pixels that the box covers.
        columns: the same for the columns.
        numbers: of each detection among those that were given.
    """

    class_ids: Int[Tensor, " detections"]
    scores: Float[Tensor, " detections"]
    edges: Float[Tensor, "detections 4"]
    rows: Float[Tensor, "detections height"]
    columns: Float[Tensor, "detections width"]
    numbers: Int[Tensor, " detections"]

    def __len__(self) -> int:
        return self.class_ids.shape[0]

    @property
    def areas(self) -> Float[Tensor, " detections"]:
        """n_k, the number of pixels of each box in the image."""
        return self.rows.sum(dim=1) * self.columns.sum(dim=1)

    def select(self, chosen: Int[Tensor, " chosen"]) -> "Detections":
        """Some of the detections, or all in another order."""
        return Detections(
            self.class_ids[chosen],
            self.scores[chosen],
            self.edges[chosen],
            self.rows[chosen],
            self.columns[chosen],
            self.numbers[chosen],
        )

    def pixel_box(self, number: int) -> Box:
        """The pixels of a box, inside the image."""
        rows, columns = (torch.nonzero(line[number]).flatten() for line in (self.rows, self.columns))
        return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1

    def box_sums(self, plane: Float[Tensor, "height width"]) -> Float[Tensor, " detections"]:
        """The sum of a plane over every box."""
        return ((self.rows @ plane) * self.columns).sum(dim=1)


def read_detections(
    prompts: Prompts,
    size: Size,
    num_classes: int,
    min_score: float = 0.0,
    max_detections: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Detections:
    """The detections of an image that can stand for an object of it.

    Left out are those below `min_score`, and those whose box holds no centre of a pixel: without area, or outside the image. Equal ones stay, the
    earlier first.

    Args:
        prompts: boxes with scores and classes; where there is one class alone, 0 (unknown) stands for it.
        size: (height, width) of the image.
        num_classes: how many classes there are.
        min_score: of a detection.
        max_detections: how many are kept at most, the best; None for all.
        dtype: of the numbers.

    Raises:
        ConfigError: if a class is none of these, a number is not finite, a score lies outside 0..1, or a box ends before it begins.

    >>> boxes = torch.tensor([[0.0, 0.0, 1.0, 2.0], [1.0, 1.0, 1.0, 3.0], [-5.0, 1.2, 9.0, 3.0]])
    >>> prompts = Prompts(boxes, torch.tensor([0.5, 1.0, 0.8]), torch.tensor([1, 1, 1]), torch.zeros(0, 2))
    >>> detections = read_detections(prompts, (4, 4), 1)
    >>> detections.numbers.tolist(), detections.pixel_box(0), detections.areas.tolist()
    ([2, 0], (0, 1, 4, 3), [8.0, 2.0])
    """
    edges, scores, class_ids = prompts.boxes, prompts.scores, prompts.class_ids
    if num_classes == 1:
        class_ids = torch.where(class_ids == 0, 1, class_ids)
    _refuse(~edges.isfinite().all(dim=1), edges, "has edges that are not finite")
    _refuse((edges[:, 2:] < edges[:, :2]).any(dim=1), edges, "ends before it begins; expected (y0, x0, y1, x1)")
    _refuse(~((scores >= 0) & (scores <= 1)), scores, "has a score outside 0..1")
    is_unknown = (class_ids < 1) | (class_ids > num_classes)
    _refuse(is_unknown, class_ids, f"has a class that this model does not know (1..{num_classes})")
    rows, columns = (_centres_inside(edges[:, [axis, axis + 2]], length).to(dtype) for axis, length in enumerate(size))
    is_kept = (scores >= min_score) & rows.any(dim=1) & columns.any(dim=1)
    order = scores.argsort(descending=True, stable=True)
    numbers = order[is_kept[order]][:max_detections]
    return Detections(
        class_ids[numbers],
        scores[numbers].to(dtype),
        edges[numbers].to(dtype),
        rows[numbers],
        columns[numbers],
        numbers,
    )


def true_boxes(labels: Int[Tensor, "height width"], classes: Int[Tensor, " instances"]) -> Prompts:
    """The boxes of the true objects of an image, with score 1, in the order of their labels.

    Args:
        labels: 0 background, 1..N, negative to ignore.
        classes: of the objects, from 1; 0 pads.

    >>> true_boxes(torch.tensor([[0, 2, 2], [0, 0, 2]]), torch.tensor([1, 3])).boxes.tolist()
    [[0.0, 1.0, 2.0, 3.0]]
    """
    found = [number for number in labels.unique().tolist() if number > 0]
    boxes = torch.zeros(len(found), 4, device=labels.device)
    for row, number in zip(boxes, found, strict=True):
        rows, columns = torch.nonzero(labels == number, as_tuple=True)
        ends = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        row.copy_(torch.stack(ends))
    of_found = classes[torch.tensor(found, dtype=torch.long, device=labels.device) - 1]
    return Prompts(boxes, boxes.new_ones(len(found)), of_found, boxes.new_zeros(0, 2))


def _centres_inside(spans: Float[Tensor, "boxes 2"], length: int) -> Tensor:
    centres = torch.arange(length, device=spans.device) + 0.5
    return (centres >= spans[:, :1]) & (centres < spans[:, 1:])


def _refuse(is_wrong: Tensor, values: Tensor, reason: str) -> None:
    wrong = torch.nonzero(is_wrong).flatten().tolist()
    if wrong:
        raise ConfigError(f"boxes: box {wrong[0]} {reason}: {values[wrong[0]].tolist()}")
