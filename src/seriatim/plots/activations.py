"""The figure of the encoder's activations: tau with every level, where the most and least active objects lie, and examples.

Source: Salvador et al., "Recurrent neural networks for semantic instance segmentation" (arXiv:1712.00617), Table 7 and Fig. 8.
"""

from collections.abc import Sequence

import numpy as np

from seriatim.analysis.activations import AFTER, BEFORE, ActivationExample, ActivationReport, LevelTau
from seriatim.analysis.intervals import Interval
from seriatim.plots.canvas import (
    BLUE,
    FAINT,
    GREY,
    HIDDEN,
    ORANGE,
    SKY,
    VERMILION,
    Axes,
    Figure,
    Rectangle,
    add_axes,
    colormaps,
    draw_image,
    draw_objects,
    draw_outline,
    fit,
    frame_image,
    new_figure,
    shorten,
    write_text,
)

MOST, LEAST = ORANGE, SKY
"""Colours of the most and the least active object."""

_MARGIN, _TITLE, _GAP = 0.3, 0.6, 0.12
_CHART, _ROW, _LEVEL = 2.9, 0.36, 0.45
_MAP, _PANEL = 1.15, 1.55


def draw_activations(report: ActivationReport, title: str, note: str) -> Figure:
    """The figure of a report.

    Args:
        report: of at least one image with two objects.
        title: of the figure.
        note: what "before" is.
    """
    levels = report.summarise()
    chart_height = len(levels) * _ROW
    maps_left = _MARGIN + _LEVEL + _CHART + 0.9
    columns = max(len(report.examples), 1)
    width = max(maps_left + 2 * (_MAP + _GAP) + 1.1, _MARGIN + 0.75 + columns * (_PANEL + _GAP) + _MARGIN)
    top = max(chart_height + 0.75, 2 * (_MAP + _GAP) + 0.55)
    figure = new_figure(width, _TITLE + top + 0.25 + 2 * (_PANEL + 0.1) + 0.75)
    write_text(figure, _MARGIN, 0.16, title, size=11.0, weight="bold")
    _draw_taus(figure, levels, _TITLE)
    _draw_maps(figure, report, maps_left, _TITLE)
    examples_top = _TITLE + top + 0.2
    _draw_examples(figure, report, examples_top)
    write_text(figure, _MARGIN, examples_top + 2 * (_PANEL + 0.1) + 0.4, note, size=7.0, colour=FAINT)
    return figure


def _draw_taus(figure: Figure, levels: Sequence[LevelTau], top: float) -> None:
    left = _MARGIN + _LEVEL
    write_text(figure, _MARGIN, top, "τ of the order with the activation, mean and 95 %", size=8.5, weight="bold")
    top += 0.3
    axes = add_axes(figure, left, top, _CHART, len(levels) * _ROW)
    axes.set_xlim(-1, 1)
    axes.set_ylim(len(levels), 0)
    for place in (-1, -0.5, 0, 0.5, 1):
        axes.plot([place, place], [0, len(levels)], color=FAINT if not place else HIDDEN, linewidth=0.8, zorder=0)
        x = left + (place + 1) / 2 * _CHART
        text = f"{place:+g}" if place else "0"
        write_text(figure, x, top + len(levels) * _ROW + 0.04, text, size=7.0, colour=FAINT, ha="center")
    for row, one in enumerate(levels):
        write_text(figure, _MARGIN, top + (row + 0.5) * _ROW, _name(one.level), size=9.5, va="center")
        _draw_tau(axes, row + 0.34, one.before, one.before_interval, GREY)
        _draw_tau(axes, row + 0.66, one.after, one.after_interval, BLUE)
        write_text(
            figure,
            left + _CHART + 0.08,
            top + (row + 0.5) * _ROW,
            f"{one.before:+.3f}\n{one.after:+.3f}",
            size=6.5,
            va="center",
            linespacing=1.3,
        )
    y = top + len(levels) * _ROW + 0.27
    for place, (text, colour) in enumerate((("before training", GREY), ("after", BLUE))):
        swatch = add_axes(figure, left + place * 1.2, y + 0.01, 0.1, 0.1)
        swatch.add_patch(Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor="none"))
        write_text(figure, left + place * 1.2 + 0.15, y, text, size=7.5)
    write_text(figure, left + 1.85, y, "+1: the most active first", size=7.0, colour=FAINT)


def _draw_tau(axes: Axes, y: float, value: float, interval: Interval | None, colour: str) -> None:
    if interval is not None:
        axes.plot(list(interval), [y, y], color=colour, linewidth=2.0, alpha=0.5)
    axes.plot([value], [y], marker="o", markersize=4.5, color=colour)


def _name(level: str) -> str:
    """A level as the paper writes it.

    >>> _name("f0"), _name("B")
    ('$f_0$', '$B$')
    """
    return f"${level[0]}_{level[1:]}$" if level[1:] else f"${level}$"


def _draw_maps(figure: Figure, report: ActivationReport, left: float, top: float) -> None:
    write_text(
        figure, left, top, f"where the objects lie: share of images, {_name(report.deepest)}", size=8.5, weight="bold"
    )
    shares = {key: plane / max(len(report.taus[AFTER]), 1) for key, plane in report.maps.items()}
    highest = max(float(plane.max()) for plane in shares.values()) or 1.0
    top += 0.42
    for column, (which, colour) in enumerate((("most", MOST), ("least", LEAST))):
        x = left + 0.55 + column * (_MAP + _GAP)
        write_text(figure, x, top - 0.16, f"{which} active", size=7.5, colour=_readable(colour))
        for row, when in enumerate((BEFORE, AFTER)):
            axes = add_axes(figure, x, top + row * (_MAP + _GAP), _MAP, _MAP)
            axes.imshow(shares[when, which], cmap=colormaps["magma"], vmin=0, vmax=highest, aspect="auto")
    for row, when in enumerate((BEFORE, AFTER)):
        write_text(figure, left + 0.47, top + row * (_MAP + _GAP) + _MAP / 2, when, size=8.0, ha="right", va="center")
    x = left + 0.55 + 2 * (_MAP + _GAP)
    axes = add_axes(figure, x, top, 0.08, 2 * _MAP + _GAP)
    axes.imshow(np.linspace(1, 0, 128)[:, None], cmap=colormaps["magma"], aspect="auto")
    write_text(figure, x + 0.12, top, f"{100 * highest:.0f} %", size=6.5, colour=FAINT)
    write_text(figure, x + 0.12, top + 2 * _MAP + _GAP, "0", size=6.5, colour=FAINT, va="bottom")


def _readable(colour: str) -> str:
    return {MOST: VERMILION, LEAST: BLUE}[colour]


def _draw_examples(figure: Figure, report: ActivationReport, top: float) -> None:
    left = _MARGIN + 0.6
    write_text(figure, _MARGIN, top - 0.05, "the first images", size=8.5, weight="bold")
    for place, (text, colour) in enumerate((("most active", MOST), ("least active", LEAST))):
        swatch = add_axes(figure, left + 0.85 + place * 1.1, top - 0.03, 0.1, 0.1)
        swatch.add_patch(Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor="none"))
        write_text(figure, left + 1.0 + place * 1.1, top - 0.04, text, size=7.5)
    text = "numbers: the order emitted"
    write_text(figure, left + 3.2, top - 0.04, text, size=7.0, colour=FAINT)
    top += 0.2
    for row, when in enumerate((BEFORE, AFTER)):
        y = top + row * (_PANEL + 0.1)
        write_text(figure, _MARGIN, y + _PANEL / 2, when, size=8.0, va="center")
        for column, example in enumerate(report.examples):
            _draw_example(figure, left + column * (_PANEL + _GAP), y, example, when)
    for column, example in enumerate(report.examples):
        x = left + column * (_PANEL + _GAP)
        write_text(figure, x, top + 2 * (_PANEL + 0.1) - 0.08, shorten(example.name, 22), size=6.5, colour=FAINT)


def _draw_example(figure: Figure, left: float, top: float, example: ActivationExample, when: str) -> None:
    height, width = fit(example.instances.size, _PANEL)
    axes = add_axes(figure, left, top, width, height)
    draw_image(axes, example.pixels)
    for plane in example.instances.masks():
        draw_outline(axes, plane, "#ffffff", 0.5, is_strong=False)
    most, least = example.chosen[when]
    chosen = example.instances[[most, least]]
    draw_objects(axes, chosen, (MOST, LEAST), (str(most + 1), str(least + 1)))
    frame_image(axes, example.instances.size)
