"""The figure of what DIN holds on the way from the boxes of an image to its label map (Fig. 2 to 6 of arXiv:1704.02386)."""

import numpy as np

from seriatim.analysis.labels import LabelTrace
from seriatim.plots.canvas import (
    CYCLE,
    FAINT,
    VERMILION,
    Axes,
    Figure,
    add_axes,
    draw_box,
    draw_outline,
    fit,
    frame_image,
    new_figure,
    to_imshow,
    write_text,
)

_SIDE, _GAP, _LEFT, _MARGIN, _TITLE, _HEADING = 1.35, 0.07, 1.25, 0.25, 0.5, 0.2


def draw_labels(trace: LabelTrace, title: str, num_labels: int = 10) -> Figure:
    """The image with the boxes, Q, the label map and the scores of the detections on top; below a row for the background and for each detection.

    A detection's score is a ring, its recalibrated score Q(Y_d = 1) a dot in the colour of its label. A row shows the terms, the unary, and the label's probability after each mean-field iteration, in its box, all on a scale of 0 to 1.

    Args:
        trace: of `trace_labels`.
        title: of the figure.
        num_labels: detections that have a row at most, in the order of their recalibrated scores.
    """
    height, width = fit(trace.tile_image.shape[1:], _SIDE)
    columns = [*trace.terms.items(), ("unary", trace.unary_probs)]
    columns += [(f"iteration {number}", probs) for number, probs in enumerate(trace.iterations, start=1)]
    num_rows = 1 + min(num_labels, len(trace.boxes))
    figure = new_figure(
        _LEFT + max(len(columns), 4) * (width + _GAP) + _MARGIN,
        _TITLE + 2 * _HEADING + (num_rows + 1) * (height + _GAP) + 2 * _MARGIN,
    )
    write_text(figure, _MARGIN, 0.16, title, size=11.0, weight="bold")
    for place, name in enumerate(("image", "Q, largest of the classes", "labels")):
        left = _LEFT + place * (width + _GAP)
        write_text(figure, left, _TITLE, name, size=7.0, weight="bold")
        axes = add_axes(figure, left, _TITLE + _HEADING, width, height)
        _draw_header(axes, trace, place, num_rows - 1)
    left = _LEFT + 3 * (width + _GAP) + _GAP
    write_text(figure, left, _TITLE, "scores, recalibrated", size=7.0, weight="bold")
    _draw_scores(add_axes(figure, left, _TITLE + _HEADING, width - _GAP, height), trace, num_rows - 1)
    top = _TITLE + 2 * _HEADING + height + _MARGIN
    for place, (name, _) in enumerate(columns):
        write_text(figure, _LEFT + place * (width + _GAP), top - _HEADING, name, size=7.0, weight="bold")
    for label in range(num_rows):
        write_text(figure, _MARGIN, top, _caption(trace, label), size=7.0, linespacing=1.3)
        for place, (_, planes) in enumerate(columns):
            axes = add_axes(figure, _LEFT + place * (width + _GAP), top, width, height)
            axes.imshow(planes[label], cmap="magma", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
            if label:
                draw_box(axes, trace.boxes.edges[label - 1], _colour(label))
            frame_image(axes, planes[label].shape)
        top += height + _GAP
    left_out = len(trace.boxes) - num_rows + 1
    if left_out:
        write_text(figure, _MARGIN, top, f"and {left_out} more", size=7.0, colour=FAINT)
    return figure


def _draw_header(axes: Axes, trace: LabelTrace, place: int, num_boxes: int) -> None:
    size = trace.tile_image.shape[1:]
    if place == 1:
        best = trace.semantic_probs[1:].max(axis=0)
        axes.imshow(best, cmap="magma", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    else:
        axes.imshow(to_imshow(trace.tile_image), interpolation="nearest", aspect="auto")
    if place == 0:
        for number in range(num_boxes):
            draw_box(axes, trace.boxes.edges[number], _colour(number + 1))
    if place == 2:
        owners = trace.owners()
        for label in range(1, len(trace.boxes) + 1):
            draw_outline(axes, np.asarray(owners == label), _colour(label))
    frame_image(axes, size)


def _draw_scores(axes: Axes, trace: LabelTrace, num_boxes: int) -> None:
    """A line for each detection from its score to the recalibrated one, on a scale of 0 to 1, the first on top."""
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(max(num_boxes, 1) + 0.5, 0.5)
    for edge in (0.0, 0.5, 1.0):
        axes.axvline(edge, color=FAINT, linewidth=0.5, linestyle=":")
    for label in range(1, num_boxes + 1):
        given, held = float(trace.boxes.scores[label - 1]), float(trace.recalibrated[label - 1])
        axes.plot([given, held], [label, label], color=FAINT, linewidth=0.8)
        axes.plot([given], [label], marker="o", markersize=4.0, markerfacecolor="white", markeredgecolor=FAINT)
        axes.plot([held], [label], marker="o", markersize=4.0, color=_colour(label))


def _caption(trace: LabelTrace, label: int) -> str:
    if not label:
        return "background"
    score, held = trace.boxes.scores[label - 1], trace.recalibrated[label - 1]
    return f"{label}: class {trace.boxes.class_ids[label - 1]}\nscore {score:.2f}\nrecalibrated {held:.2f}"


def _colour(label: int) -> str:
    return CYCLE[(label - 1) % len(CYCLE)] if label else VERMILION
