"""The figure of the interventions: the change in score and in count that each makes, with its interval over the images."""

from collections.abc import Sequence

from seriatim.analysis.intervals import Interval
from seriatim.analysis.recurrence import Comparison
from seriatim.plots.canvas import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    HIDDEN,
    VERMILION,
    Figure,
    add_axes,
    new_figure,
    write_text,
)

_MARGIN, _TITLE, _LABEL, _CHART, _GAP, _ROW = 0.3, 0.6, 1.35, 1.75, 0.95, 0.4


def draw_recurrence(comparisons: Sequence[Comparison], title: str, note: str = "") -> Figure:
    """A column of dots for the score, for predicted over true objects, and for the difference in count; a row for each intervention.

    Args:
        comparisons: the undisturbed model first.
        title: of the figure.
        note: below it.
    """
    plain, *others = comparisons
    score = plain.rows[0]
    columns = (
        (score.name, score.value, [(one.rows[0].value, one.rows[0].interval) for one in others]),
        ("predicted / true", plain.ratio, [(one.ratio, one.ratio_interval) for one in others]),
        ("|DiC|", plain.abs_dic, [(one.abs_dic, one.abs_dic_interval) for one in others]),
    )
    height = len(others) * _ROW
    figure = new_figure(2 * _MARGIN + _LABEL + 3 * (_CHART + _GAP), _TITLE + 0.5 + height + 0.75)
    write_text(figure, _MARGIN, 0.16, title, size=11.0, weight="bold")
    for row, one in enumerate(others):
        write_text(figure, _MARGIN, _TITLE + 0.5 + (row + 0.5) * _ROW, one.name, size=9.0, va="center")
    for number, (name, before, values) in enumerate(columns):
        left = _MARGIN + _LABEL + number * (_CHART + _GAP)
        known = "not defined" if before is None else f"undisturbed: {before:.3f}"
        write_text(figure, left, _TITLE, f"change in {name}", size=8.5, weight="bold")
        write_text(figure, left, _TITLE + 0.18, known, size=7.5, colour=FAINT)
        if before is not None:
            _draw_changes(figure, left, _TITLE + 0.5, before, values, better=(1, 0, -1)[number])
    text = "dots: value minus undisturbed value; bars: 95 % bootstrap interval over the images, paired"
    colours = "grey: the interval holds 0; red: worse, green: better; blue: a change of the ratio"
    write_text(figure, _MARGIN, _TITLE + 0.5 + height + 0.3, f"{text}; {colours}", size=7.0, colour=FAINT)
    write_text(figure, _MARGIN, _TITLE + 0.5 + height + 0.46, note, size=7.0, colour=FAINT)
    return figure


def _draw_changes(
    figure: Figure,
    left: float,
    top: float,
    before: float,
    values: Sequence[tuple[float | None, Interval | None]],
    better: int,
) -> None:
    changes = [None if value is None else value - before for value, _ in values]
    edges = [0.0, *(one for one in changes if one is not None)]
    edges += [edge for _, interval in values if interval is not None for edge in interval]
    low, high = min(edges), max(edges)
    room = max(0.08 * (high - low), 0.01)
    height = len(values) * _ROW
    axes = add_axes(figure, left, top, _CHART, height)
    axes.set_xlim(low - room, high + room)
    axes.set_ylim(len(values), 0)
    for row in range(len(values)):
        axes.plot([low - room, high + room], [row + 0.5, row + 0.5], color=HIDDEN, linewidth=0.8, zorder=0)
    axes.plot([0, 0], [0, len(values)], color=FAINT, linewidth=0.8, zorder=0)
    for row, (change, (_, interval)) in enumerate(zip(changes, values, strict=True)):
        if change is None:
            continue
        colour = _colour(interval, better)
        if interval is not None:
            axes.plot(list(interval), [row + 0.5, row + 0.5], color=colour, linewidth=2.2, alpha=0.5)
        axes.plot([change], [row + 0.5], marker="o", markersize=5.0, color=colour)
        write_text(figure, left + _CHART + 0.06, top + (row + 0.5) * _ROW, f"{change:+.3f}", size=7.5, va="center")
    for value, align in ((low - room, "left"), (high + room, "right")):
        x = left if align == "left" else left + _CHART
        write_text(figure, x, top + height + 0.03, f"{value:+.2f}", size=6.5, colour=FAINT, ha=align)


def _colour(interval: Interval | None, better: int) -> str:
    """Grey where the interval holds 0, otherwise green for better, red for worse, and blue where neither direction is better (`better` is 0)."""
    if interval is None or interval[0] <= 0 <= interval[1]:
        return GREY
    if not better:
        return BLUE
    return GREEN if better * interval[0] > 0 else VERMILION
