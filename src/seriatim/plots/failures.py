"""The page of the failures of a data set: how many of each kind there are, and examples.

Source: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (arXiv:1511.08250), appendix C, Fig. 11 to 13.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np

from seriatim.analysis.failure_report import CaseExample
from seriatim.plots.canvas import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    Figure,
    Rectangle,
    add_axes,
    add_rim,
    draw_outline,
    new_figure,
    write_text,
)

COLOURS = {
    "right": GREEN,
    "joined": BLUE,
    "split": PURPLE,
    "duplicated": YELLOW,
    "missed": VERMILION,
    "hallucinated": ORANGE,
    "inexact": GREY,
}
"""Colours of the kinds in the bars."""

MEANINGS = {
    "joined": "one mask over several targets",
    "split": "one target in several masks",
    "duplicated": "a further mask on a target that is right",
    "missed": "a target without a mask",
    "hallucinated": "a mask where there is no target",
    "inexact": "mask and target meet, IoU below 0.5",
}
"""What a kind of failure is, in the order shown."""

TRUTH, PREDICTION = SKY, ORANGE
"""Colours of the outlines."""

_MARGIN, _LABEL, _PANEL, _GAP = 0.3, 1.65, 1.35, 0.1
_TITLE, _BAR, _KEY = 0.55, 0.26, 0.5
_KINDS_PER_LINE, _KIND_LINE = 3, 0.17


def draw_failures(
    title: str,
    target_counts: Mapping[str, int],
    pred_counts: Mapping[str, int],
    case_counts: Mapping[str, int],
    examples: Mapping[str, Sequence[CaseExample]],
) -> Figure:
    """The page: a bar for the targets and one for the predictions, then a row of examples for each kind of failure that occurs.

    In an example, the objects that take part in the failure have strong outlines, the others thin ones; the truth is solid, the
    predictions are dashed.

    Args:
        title: of the page.
        target_counts: kind -> number of targets.
        pred_counts: kind -> number of predictions.
        case_counts: kind of failure -> number of cases.
        examples: kind of failure -> examples; kinds without any are left out.
    """
    kinds = [kind for kind in MEANINGS if examples.get(kind)]
    columns = max([4, *(len(examples[kind]) for kind in kinds)])
    pred_top = _TITLE + _bar_height(target_counts)
    top = pred_top + _bar_height(pred_counts) + 0.1
    pitch = _PANEL + 0.26
    width = _MARGIN + _LABEL + columns * (_PANEL + _GAP) + _MARGIN
    figure = new_figure(width, top + _KEY + len(kinds) * pitch + _MARGIN)
    write_text(figure, _MARGIN, 0.18, title, size=11.0, weight="bold")
    _draw_bar(figure, _TITLE, width, "targets", target_counts)
    _draw_bar(figure, pred_top, width, "predictions", pred_counts)
    _draw_key(figure, top)
    for row, kind in enumerate(kinds):
        y = top + _KEY + row * pitch
        write_text(figure, _MARGIN, y, kind, size=9.5, weight="bold")
        write_text(
            figure,
            _MARGIN,
            y + 0.2,
            "\n".join(textwrap.wrap(MEANINGS[kind], 24)),
            size=7.5,
            colour=FAINT,
            linespacing=1.3,
        )
        number = case_counts[kind]
        write_text(figure, _MARGIN, y + 0.6, f"{number} case{'' if number == 1 else 's'}", size=8.0)
        for column, example in enumerate(examples[kind]):
            _draw_example(figure, _MARGIN + _LABEL + column * (_PANEL + _GAP), y, example)
    return figure


def _bar_height(counts: Mapping[str, int]) -> float:
    """Height in inches of a bar, the lines of its numbers and the space below."""
    return _BAR + 0.15 + _KIND_LINE * -(-len(counts) // _KINDS_PER_LINE)


def _draw_bar(figure: Figure, top: float, width: float, name: str, counts: Mapping[str, int]) -> None:
    """The shares of the kinds as one bar, with their numbers in lines of equal columns below, each wide enough for its text."""
    total = sum(counts.values())
    write_text(figure, _MARGIN, top + _BAR / 2, name, size=9.5, weight="bold", va="center")
    write_text(figure, _MARGIN + _LABEL - 0.15, top + _BAR / 2, f"{total:,}", size=9.5, ha="right", va="center")
    left, length = _MARGIN + _LABEL, width - 2 * _MARGIN - _LABEL
    axes = add_axes(figure, left, top, length, _BAR)
    axes.set_xlim(0, max(total, 1))
    axes.set_ylim(0, 1)
    start = 0
    for kind, count in counts.items():
        axes.add_patch(Rectangle((start, 0), count, 1, facecolor=COLOURS[kind], edgecolor="white", linewidth=0.8))
        start += count
    for number, (kind, count) in enumerate(counts.items()):
        line, column = divmod(number, _KINDS_PER_LINE)
        place, below = left + column * length / _KINDS_PER_LINE, top + _BAR + 0.06 + line * _KIND_LINE
        swatch = add_axes(figure, place, below + 0.01, 0.1, 0.1)
        swatch.add_patch(Rectangle((0, 0), 1, 1, facecolor=COLOURS[kind], edgecolor="none"))
        share = f" ({100 * count / total:.1f} %)" if total else ""
        text = f"{kind} {count:,}{share}"
        write_text(figure, place + 0.14, below, text, size=7.5, colour=INK if count else FAINT)


def _draw_key(figure: Figure, top: float) -> None:
    left = _MARGIN + _LABEL
    for text, colour, style in (("truth", TRUTH, "solid"), ("prediction", PREDICTION, "dashed")):
        axes = add_axes(figure, left, top + 0.06, 0.35, 0.12)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        [line] = axes.plot([0, 1], [0.5, 0.5], color=colour, linewidth=2.0, linestyle=style)
        add_rim(line, 3.2)
        write_text(figure, left + 0.42, top + 0.12, text, size=8.0, va="center")
        left += 1.3
    write_text(
        figure, left, top + 0.12, "strong lines: what takes part in the failure", size=8.0, colour=FAINT, va="center"
    )


def _draw_example(figure: Figure, left: float, top: float, example: CaseExample) -> None:
    height, width = example.pixels.shape[:2]
    scale = _PANEL / max(height, width)
    axes = add_axes(figure, left, top, width * scale, height * scale)
    axes.imshow(example.pixels, interpolation="nearest", aspect="auto")
    layers = (
        (example.target_labels, example.case.targets, TRUTH, "solid"),
        (example.pred_labels, example.case.preds, PREDICTION, "dashed"),
    )
    for labels, chosen, colour, style in layers:
        for label in np.unique(labels[labels > 0]).tolist():
            if label not in chosen:
                draw_outline(axes, labels == label, colour, 0.7, style, is_strong=False)
    for labels, chosen, colour, style in layers:
        for label in chosen:
            draw_outline(axes, labels == label, colour, 1.7, style)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    name = example.image_name if len(example.image_name) <= 20 else f"{example.image_name[:19]}…"
    place = f"{name}  ({example.case.box[0]}, {example.case.box[1]})"
    write_text(figure, left, top + _PANEL + 0.03, place, size=6.0, colour=FAINT)
