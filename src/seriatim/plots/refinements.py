"""The figure of a proposal's path over the looks of R2-IOS (Fig. 3 and 4 of arXiv:1511.04517)."""

import numpy as np
import torch

from seriatim.analysis.refinements import RefinementTrace
from seriatim.nn.roi import paste_probs
from seriatim.plots.canvas import (
    FAINT,
    VERMILION,
    Axes,
    Figure,
    Rectangle,
    add_axes,
    draw_outline,
    fit,
    frame_image,
    new_figure,
    to_imshow,
    write_text,
)

_SIDE, _GAP, _LEFT, _MARGIN, _TITLE, _HEADING, _UNDER = 1.6, 0.1, 1.1, 0.25, 0.5, 0.2, 0.2
_SEEN, _MOVED = "#56B4E9", VERMILION


def draw_refinements(trace: RefinementTrace, title: str, num_proposals: int = 10) -> Figure:
    """A row for each proposal, a column for each look: the box that is read, the outline of its mask, and the box that it moves to, dashed.

    Below stand the class of the highest confidence (0 the background) and the highest confidence of any class of objects; the look that the gate takes is in bold.

    Args:
        trace: of `trace_refinements`.
        title: of the figure.
        num_proposals: that have a row at most, those with the highest confidences first.
    """
    height, width = fit(trace.tile_image.shape[1:], _SIDE)
    num_looks, num_rows = len(trace.class_probs), min(num_proposals, len(trace.optimal))
    figure = new_figure(
        _LEFT + max(num_looks, 2) * (width + _GAP) + _MARGIN,
        _TITLE + _HEADING + max(num_rows, 1) * (height + _UNDER + _GAP) + _MARGIN,
    )
    write_text(figure, _MARGIN, 0.16, title, size=11.0, weight="bold")
    for look in range(num_looks):
        write_text(figure, _LEFT + look * (width + _GAP), _TITLE, f"look {look + 1}", size=7.0, weight="bold")
    top = _TITLE + _HEADING
    for number in range(num_rows):
        write_text(figure, _MARGIN, top, f"proposal {number + 1}", size=7.0)
        for look in range(num_looks):
            left = _LEFT + look * (width + _GAP)
            axes = add_axes(figure, left, top, width, height)
            _draw_look(axes, trace, look, number)
            probs = trace.class_probs[look, number]
            weight = "bold" if look == trace.optimal[number] else "normal"
            text = f"class {probs.argmax()}, {probs[1:].max():.2f}"
            write_text(figure, left, top + height + 0.03, text, size=7.0, weight=weight)
        top += height + _UNDER + _GAP
    if len(trace.optimal) > num_rows:
        write_text(figure, _MARGIN, top, f"and {len(trace.optimal) - num_rows} more", size=7.0, colour=FAINT)
    return figure


def _draw_look(axes: Axes, trace: RefinementTrace, look: int, number: int) -> None:
    size = (trace.tile_image.shape[1], trace.tile_image.shape[2])
    axes.imshow(to_imshow(trace.tile_image), interpolation="nearest", aspect="auto")
    seen = trace.boxes[look, number]
    pasted = paste_probs(torch.from_numpy(trace.masks[look, number]), torch.from_numpy(seen), size)
    draw_outline(axes, np.asarray(pasted >= 0.5), _SEEN)
    for edges, colour, style in ((seen, _SEEN, "-"), (trace.boxes[look + 1, number], _MOVED, "--")):
        y0, x0, y1, x1 = (float(edge) for edge in edges)
        place = (x0 - 0.5, y0 - 0.5)
        axes.add_patch(Rectangle(place, x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=0.9, linestyle=style))
    frame_image(axes, size)
