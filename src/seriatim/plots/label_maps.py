"""The figure of label maps beside each other: what becomes of the boxes of an image under several settings (Fig. 3 to 6 of arXiv:1704.02386)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

from seriatim.core.boxes import Boxes
from seriatim.core.instances import Instances
from seriatim.plots.canvas import (
    CYCLE,
    Figure,
    add_axes,
    draw_box,
    draw_objects,
    fit,
    frame_image,
    new_figure,
    to_imshow,
    write_text,
)

_SIDE, _GAP, _MARGIN, _TITLE, _HEADING = 2.2, 0.08, 0.25, 0.5, 0.2


@dataclass(frozen=True, slots=True, eq=False)
class LabelRow:
    """A line of the figure: an image with boxes, and label maps of it.

    Attributes:
        image: values in 0..1.
        boxes: drawn on the image, in the colours of the labels 1, 2 ...
        maps: title -> labels, 0 for the background, negative where there is none.
    """

    image: Float32[np.ndarray, "channels height width"]
    boxes: Boxes
    maps: Mapping[str, Int[np.ndarray, "height width"]]


def draw_label_maps(rows: Sequence[LabelRow], title: str) -> Figure:
    """Every image with its boxes, and to the right of it the objects of its label maps, a label in the same colour in all of them.

    Args:
        rows: at least one.
        title: of the figure.
    """
    sizes = [fit(row.image.shape[1:], _SIDE) for row in rows]
    num_columns = 1 + max(len(row.maps) for row in rows)
    width = 2 * _MARGIN + num_columns * (_SIDE + _GAP)
    figure = new_figure(width, _TITLE + sum(height + _HEADING + _GAP for height, _ in sizes) + _MARGIN)
    write_text(figure, _MARGIN, 0.16, title, size=11.0, weight="bold")
    top = _TITLE
    for row, (height, wide) in zip(rows, sizes, strict=True):
        for place, name in enumerate(("image and boxes", *row.maps)):
            left = _MARGIN + place * (_SIDE + _GAP)
            write_text(figure, left, top, name, size=7.0, weight="bold")
            axes = add_axes(figure, left, top + _HEADING, wide, height)
            axes.imshow(to_imshow(row.image), interpolation="nearest", aspect="auto")
            if place:
                found = Instances.from_label_map(np.maximum(row.maps[name], 0))
                draw_objects(axes, found, [_colour(int(label)) for label in _labels(row.maps[name])])
            else:
                for number, edges in enumerate(row.boxes.edges, start=1):
                    draw_box(axes, edges, _colour(number))
            frame_image(axes, row.image.shape[1:])
        top += height + _HEADING + _GAP
    return figure


def _labels(labels: Int[np.ndarray, "height width"]) -> Int[np.ndarray, " objects"]:
    """The labels of the objects, ascending, as `Instances.from_label_map` orders them."""
    return np.unique(labels[labels > 0])


def _colour(label: int) -> str:
    return CYCLE[(label - 1) % len(CYCLE)]
