"""Figures of the order in which objects are emitted: the sequences that follow each plain order best, and the patterns of consecutive objects.

Source: Salvador et al., "Recurrent neural networks for semantic instance segmentation" (arXiv:1712.00617): `draw_sequences` is Table 6 and Fig. 6,
`draw_pairs` Fig. 7.
"""

import numpy as np

from seriatim.analysis.order import ORDERS, OrderExample, OrderReport, OrderTau
from seriatim.analysis.pairs import MIN_DISTANCE, MIN_PAIRS, MIN_RATIO, PATTERNS, Group
from seriatim.plots.canvas import (
    BLUE,
    FAINT,
    GREEN,
    HIDDEN,
    ORANGE,
    Axes,
    Figure,
    Rectangle,
    add_axes,
    colormaps,
    draw_image,
    draw_objects,
    fit,
    frame_image,
    new_figure,
    shorten,
    write_text,
)

SEQUENCE_COLOURS = "plasma"
"""From the first object, dark, to the last, light."""

_RANGE = (0.2, 0.95)

PATTERN_COLOURS = (BLUE, ORANGE, GREEN)
"""Horizontal, vertical, size."""

_MARGIN, _LABEL, _PANEL, _GAP, _TITLE = 0.3, 1.75, 1.75, 0.1, 0.55
_BAR, _BAR_GAP, _SIDE = 0.12, 0.02, 1.9


def draw_sequences(report: OrderReport, title: str) -> Figure:
    """A row for every plain order: its tau over the data, and the images that follow it best, their objects numbered as they were emitted.

    Args:
        report: its examples are drawn.
        title: of the figure.
    """
    columns = max([2, *(len(examples) for examples in report.examples.values())])
    pitch = _PANEL + 0.42
    width = 2 * _MARGIN + _LABEL + columns * (_PANEL + _GAP)
    figure = new_figure(width, _TITLE + 0.3 + len(ORDERS) * pitch + _MARGIN)
    write_text(figure, _MARGIN, 0.16, title, size=11.0, weight="bold")
    _draw_sequence_key(figure, _MARGIN + _LABEL, _TITLE - 0.08)
    found = report.summarise()
    for row, order in enumerate(ORDERS):
        top = _TITLE + 0.3 + row * pitch
        write_text(figure, _MARGIN, top, order.replace("_", " "), size=9.5, weight="bold")
        write_text(figure, _MARGIN, top + 0.22, _told(found[order], len(report.taus)), size=8.0, linespacing=1.4)
        if not report.examples[order]:
            write_text(figure, _MARGIN + _LABEL, top, "no image with two objects", size=8.0, colour=FAINT)
        for column, example in enumerate(report.examples[order]):
            _draw_sequence(figure, _MARGIN + _LABEL + column * (_PANEL + _GAP), top, example)
    return figure


def _told(tau: OrderTau, num_images: int) -> str:
    if tau.mean is None:
        return "τ not defined"
    lines = [f"mean τ = {tau.mean:+.3f}"]
    if tau.interval is not None:
        lines.append(f"95 %: {tau.interval[0]:+.3f} to {tau.interval[1]:+.3f}")
    return "\n".join([*lines, f"{num_images} image{'' if num_images == 1 else 's'}"])


def _draw_sequence_key(figure: Figure, left: float, top: float) -> None:
    write_text(figure, left, top + 0.05, "first", size=7.5, colour=FAINT, va="center")
    axes = add_axes(figure, left + 0.32, top, 1.0, 0.1)
    axes.imshow(np.linspace(*_RANGE, 128)[None], cmap=colormaps[SEQUENCE_COLOURS], vmin=0, vmax=1, aspect="auto")
    text = "last emitted; the line joins the centres in this order; masks at full extent"
    write_text(figure, left + 1.38, top + 0.05, text, size=7.5, colour=FAINT, va="center")


def sequence_colours(num: int) -> list[str]:
    """Of objects in the order emitted, dark to light."""
    places = np.linspace(*_RANGE, num) if num > 1 else [_RANGE[0]]
    bands = (colormaps[SEQUENCE_COLOURS](place)[:3] for place in places)
    return ["#" + "".join(f"{round(255 * band):02x}" for band in colour) for colour in bands]


def _draw_sequence(figure: Figure, left: float, top: float, example: OrderExample) -> None:
    height, width = fit(example.instances.size, _PANEL)
    axes = add_axes(figure, left, top, width, height)
    draw_image(axes, example.pixels)
    colours = sequence_colours(len(example.instances))
    draw_objects(axes, example.instances, colours, [str(number + 1) for number in range(len(colours))])
    _draw_path(axes, example)
    frame_image(axes, example.instances.size)
    text = f"{shorten(example.name, 20)}\nτ = {example.tau:+.2f}, {len(example.instances)} objects"
    write_text(figure, left, top + height + 0.04, text, size=7.0, colour=FAINT, linespacing=1.25)


def _draw_path(axes: Axes, example: OrderExample) -> None:
    centres = np.array([np.argwhere(one.mask).mean(axis=0) + one.box[:2] for one in example.instances])
    axes.plot(centres[:, 1], centres[:, 0], color="white", linewidth=0.7, alpha=0.8)


def draw_pairs(groups: list[Group], title: str) -> Figure:
    """A row for every group of pairs: the share of each pattern to the right, of its reverse to the left.

    Args:
        groups: of `PairCounts.groups`.
        title: of the figure.
    """
    label = 1.95
    pitch = 3 * (_BAR + _BAR_GAP) + 0.14
    width, top = 2 * _MARGIN + label + 2 * _SIDE + 0.9, _TITLE + 0.65
    figure = new_figure(width, top + len(groups) * pitch + 0.75)
    write_text(figure, _MARGIN, 0.16, title, size=11.0, weight="bold")
    _draw_pair_key(figure, _MARGIN + label, _TITLE - 0.05)
    for row, group in enumerate(groups):
        y = top + row * pitch
        write_text(figure, _MARGIN, y, shorten(group.name, 26), size=9.0, weight="bold" if row < 3 else "normal")
        write_text(figure, _MARGIN, y + 0.17, f"{group.num_pairs} pairs", size=7.0, colour=FAINT)
        _draw_shares(figure, _MARGIN + label, y, group)
    left = _MARGIN + label
    axes = add_axes(figure, left, top + len(groups) * pitch, 2 * _SIDE, 0.05)
    axes.set_xlim(-100, 100)
    axes.set_ylim(0, 1)
    for place in (-100, -50, 0, 50, 100):
        x = left + (place + 100) / 100 * _SIDE
        axes.plot([place, place], [0.3, 1.0], color=FAINT, linewidth=0.8, clip_on=False)
        write_text(figure, x, top + len(groups) * pitch + 0.07, f"{abs(place)} %", size=7.0, colour=FAINT, ha="center")
    note = (
        f"Consecutive objects; ordered if their centres differ by more than {100 * MIN_DISTANCE:.0f} % of the side, or their areas by more "
        f"than a factor of {MIN_RATIO:g}.\nPairs of categories in either order, from {MIN_PAIRS} pairs on."
    )
    write_text(figure, _MARGIN, top + len(groups) * pitch + 0.28, note, size=6.5, colour=FAINT, linespacing=1.3)
    return figure


def _draw_pair_key(figure: Figure, left: float, top: float) -> None:
    for row, colour in enumerate(PATTERN_COLOURS):
        forward, reverse = (PATTERNS[2 * row + place].replace("_", " ") for place in (0, 1))
        y = top + 0.17 * row
        axes = add_axes(figure, left + _SIDE - 0.05, y + 0.01, 0.1, 0.1)
        axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=colour, edgecolor="none"))
        write_text(figure, left + _SIDE + 0.12, y, forward, size=7.5)
        write_text(figure, left + _SIDE - 0.12, y, reverse, size=7.5, ha="right")


def _draw_shares(figure: Figure, left: float, top: float, group: Group) -> None:
    height = 3 * (_BAR + _BAR_GAP)
    axes = add_axes(figure, left, top, 2 * _SIDE, height)
    axes.set_xlim(-100, 100)
    axes.set_ylim(height, 0)
    for row, colour in enumerate(PATTERN_COLOURS):
        y = row * (_BAR + _BAR_GAP)
        axes.add_patch(Rectangle((-100, y), 200, _BAR, facecolor=HIDDEN, edgecolor="none", alpha=0.4))
        for place, sign in ((0, 1), (1, -1)):
            share = 100 * group.share(PATTERNS[2 * row + place])
            start = 0 if sign > 0 else -share
            axes.add_patch(
                Rectangle((start, y), share, _BAR, facecolor=colour, edgecolor="none", alpha=1.0 if sign > 0 else 0.55)
            )
            text = f"{share:.0f}"
            x = left + _SIDE + sign * (share / 100 * _SIDE + 0.04)
            write_text(figure, x, top + y + _BAR / 2, text, size=6.0, ha="left" if sign > 0 else "right", va="center")
    axes.plot([0, 0], [0, height], color=FAINT, linewidth=0.8)
