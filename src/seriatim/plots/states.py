"""Figures of the states of a sequential network at every step of one image, and of the features that it reads.

Source: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (arXiv:1511.08250), appendix A: `draw_states` is Fig. 5 and 7, `draw_features`
Fig. 6; `draw_memory` is Fig. 4 of the paper with the cell beside the state. As in the paper, negative values of the stages before the sigmoid are hidden. The maps of a row share one scale of colours.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seriatim.analysis.states import StateTrace, StepTrace
from seriatim.core.errors import ConfigError
from seriatim.plots.canvas import (
    CYCLE,
    FAINT,
    HIDDEN,
    INK,
    VERMILION,
    Axes,
    Figure,
    Rectangle,
    add_axes,
    colormaps,
    draw_objects,
    frame_image,
    new_figure,
    to_imshow,
    write_text,
)

MAX_COLUMNS = 10
"""Steps side by side; the next ones form another band below."""

_PANEL, _TALLEST = 1.25, 1.6
_GAP = 0.06
_LEFT, _RIGHT, _MARGIN = 1.2, 0.6, 0.25
_HEADING, _FOOT, _FATE, _BAND_GAP = 0.24, 0.32, 0.28, 0.1
_TITLE, _HEADER_SCALE, _LEGEND = 0.5, 1.9, 3.4


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of maps: its caption, a map a step, and the scale of their colours."""

    caption: str
    maps: list[np.ndarray]
    colours: str
    low: float
    high: float
    hides_negative: bool


@dataclass(frozen=True, slots=True)
class _Grid:
    """Lengths of the figure, in inches."""

    panel: tuple[float, float]
    pitch: float
    columns: int
    num_bands: int
    band_height: float
    header_height: float

    @property
    def width(self) -> float:
        steps = _LEFT + self.columns * self.pitch + _RIGHT
        return max(steps, _MARGIN + 2 * (_HEADER_SCALE * self.panel[1] + 0.15) + _LEGEND)

    @property
    def height(self) -> float:
        return _TITLE + self.header_height + self.num_bands * self.band_height + _MARGIN


def draw_states(trace: StateTrace, title: str) -> Figure:
    """The figure of a sequence: the image and the prediction on top, then a column for every step.

    A column shows kappa of every ConvLSTM, the stages before the sigmoid, the mask with the place looked at (a cross), the score with the
    threshold, and what became of the step.

    Args:
        trace: of at least one step.
        title: of the figure.

    Raises:
        ConfigError: if there is no step.
    """
    return _draw(trace, title)


def _draw(trace: StateTrace, title: str, with_cells: bool = False) -> Figure:
    if not trace.steps:
        raise ConfigError("trace: has no steps to draw")
    rows = _rows(trace, with_cells)
    grid = _measure(trace, len(rows))
    figure = new_figure(grid.width, grid.height)
    write_text(figure, _MARGIN, 0.16, title, size=11.0, weight="bold")
    _draw_header(figure, trace, grid, with_cells)
    for band in range(grid.num_bands):
        top = _TITLE + grid.header_height + band * grid.band_height
        _draw_band(figure, trace, rows, grid, band, top)
    return figure


def draw_memory(trace: StateTrace, title: str) -> Figure:
    """The figure of what the network keeps: of every step the state of every ConvLSTM, its cell beside it, and the mask (Fig. 4).

    Args:
        trace: of at least one step.
        title: of the figure.

    Raises:
        ConfigError: if there is no step.
    """
    return _draw(trace, title, with_cells=True)


def _rows(trace: StateTrace, with_cells: bool) -> list[_Row]:
    levels = len(trace.steps[0].kappa)
    rows = []
    for level in range(levels):
        number = "" if levels == 1 else f"^{{{level + 1}}}"
        rows.append(_state_row(trace, rf"$\kappa(h{number}_t)$", [step.kappa[level] for step in trace.steps]))
        if with_cells:
            rows.append(_state_row(trace, rf"$\kappa(c{number}_t)$", [step.kappa_cell[level] for step in trace.steps]))
    for stage in () if with_cells else trace.steps[0].stages:
        maps = [step.stages[stage] for step in trace.steps]
        high = max(float(_visible(one, trace).max()) for one in maps)
        caption = f"{stage.replace('_', ' ')}\nnegative hidden"
        rows.append(_Row(caption, maps, "viridis", 0.0, high if high > 0 else 1.0, True))
    masks = [step.mask_probs for step in trace.steps]
    rows.append(_Row("mask\nprobability", masks, "gray", 0.0, 1.0, False))
    return rows


def _state_row(trace: StateTrace, name: str, maps: list[np.ndarray]) -> _Row:
    height, width = maps[0].shape
    low = min(float(_visible(one, trace).min()) for one in maps)
    high = max(float(_visible(one, trace).max()) for one in maps)
    return _Row(f"{name}\n{height} × {width} cells", maps, "magma", low, max(high, low + 1e-6), False)


def _visible(values: np.ndarray, trace: StateTrace) -> np.ndarray:
    """The cells that reach into the image."""
    rows, columns = (
        math.ceil(extent * cells / padded)
        for extent, cells, padded in zip(trace.size, values.shape, trace.tile_image.shape[1:], strict=True)
    )
    return values[:rows, :columns]


def _measure(trace: StateTrace, num_rows: int) -> _Grid:
    height, width = trace.size
    scale = _PANEL / max(width, height / _TALLEST)
    panel = (max(height * scale, 0.1), max(width * scale, 0.1))
    columns = min(len(trace.steps), MAX_COLUMNS)
    foot = _FOOT + (_FATE if any(step.found is None for step in trace.steps) else 0.0)
    return _Grid(
        panel,
        max(panel[1], _PANEL * 0.8) + _GAP,
        columns,
        math.ceil(len(trace.steps) / columns),
        _HEADING + num_rows * (panel[0] + _GAP) + foot + _BAND_GAP,
        max(_HEADER_SCALE * panel[0], 1.2) + 0.35,
    )


def _draw_header(figure: Figure, trace: StateTrace, grid: _Grid, with_cells: bool) -> None:
    height, width = _HEADER_SCALE * grid.panel[0], _HEADER_SCALE * grid.panel[1]
    shown = to_imshow(trace.tile_image)
    found = trace.instances()
    left = _MARGIN
    for caption, with_objects in (("what the network sees", False), ("objects, with their steps", True)):
        axes = add_axes(figure, left, _TITLE, width, height)
        axes.imshow(shown, interpolation="nearest", aspect="auto")
        if with_objects:
            colours = [_colour(one.step) for one in found]
            draw_objects(axes, found, colours, [str(one.step + 1) for one in found], trace.tile_image.shape[1:])
        frame_image(axes, trace.size)
        write_text(figure, left, _TITLE + height + 0.05, caption, size=8.0, colour=FAINT)
        left += width + 0.15
    kept, total = len(found), len(trace.steps)
    lines = [
        f"{kept} of {total} step{'s' if total > 1 else ''} kept; "
        + ("the sequence ended" if trace.ended else "the sequence goes on"),
        f"score: below {trace.stop_threshold:g} a step holds no object",
        "κ: sum over the channels of |h| (of the cell: |c|)" if with_cells else "κ: sum over the channels of |h|",
    ]
    if any(step.place is not None for step in trace.steps):
        lines.append("cross: where the step looked")
    write_text(figure, left + 0.1, _TITLE, "\n".join(lines), size=8.0, colour=FAINT, linespacing=1.5)


def _colour(step: int) -> str:
    return CYCLE[step % len(CYCLE)]


def _draw_band(figure: Figure, trace: StateTrace, rows: Sequence[_Row], grid: _Grid, band: int, top: float) -> None:
    first = band * grid.columns
    steps = trace.steps[first : first + grid.columns]
    height, width = grid.panel
    for column, step in enumerate(steps):
        left = _LEFT + column * grid.pitch
        _draw_heading(figure, left, top, first + column, step)
        for number, row in enumerate(rows):
            axes = add_axes(figure, left, top + _HEADING + number * (height + _GAP), width, height)
            _draw_map(axes, row, row.maps[first + column], trace)
            if number == len(rows) - 1:
                _draw_place(axes, step, trace)
        _draw_foot(figure, left, top + _HEADING + len(rows) * (height + _GAP), width, step, trace.stop_threshold)
    for number, row in enumerate(rows):
        middle = top + _HEADING + number * (height + _GAP) + height / 2
        write_text(figure, _LEFT - 0.1, middle, row.caption, size=8.0, ha="right", va="center", linespacing=1.3)
        _draw_scale(figure, _LEFT + len(steps) * grid.pitch + 0.04, middle - height / 2, height, row)


def _draw_heading(figure: Figure, left: float, top: float, number: int, step: StepTrace) -> None:
    axes = add_axes(figure, left, top + 0.045, 0.11, 0.11)
    kept = step.found is not None
    axes.add_patch(
        Rectangle((0, 0), 1, 1, facecolor=_colour(number) if kept else "white", edgecolor=FAINT, linewidth=0.8)
    )
    write_text(figure, left + 0.17, top + 0.03, f"step {number + 1}", size=8.0, colour=INK if kept else FAINT)


def _draw_map(axes: Axes, row: _Row, values: np.ndarray, trace: StateTrace) -> None:
    padded_height, padded_width = trace.tile_image.shape[1:]
    shown = np.ma.masked_less(values, 0) if row.hides_negative else values
    axes.imshow(
        shown,
        extent=(-0.5, padded_width - 0.5, padded_height - 0.5, -0.5),
        cmap=colormaps[row.colours].with_extremes(bad=HIDDEN),
        vmin=row.low,
        vmax=row.high,
        interpolation="nearest",
        aspect="auto",
    )
    frame_image(axes, trace.size)
    if row.hides_negative and not (_visible(values, trace) > 0).any():
        axes.text(0.5, 0.5, "all negative", transform=axes.transAxes, fontsize=7, color=FAINT, ha="center", va="center")


def _draw_place(axes: Axes, step: StepTrace, trace: StateTrace) -> None:
    if step.place is not None:
        y, x = step.place
        axes.plot([x], [y], marker="+", markersize=4.0, markeredgewidth=0.9, color=VERMILION)
    frame_image(axes, trace.size)


def _draw_foot(figure: Figure, left: float, top: float, width: float, step: StepTrace, threshold: float) -> None:
    """The score as a bar with the threshold, and what became of the step."""
    kept = step.found is not None
    axes = add_axes(figure, left, top + 0.03, width, 0.08)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.add_patch(Rectangle((0, 0), 1, 1, facecolor=HIDDEN, edgecolor="none"))
    axes.add_patch(Rectangle((0, 0), step.score, 1, facecolor=INK if kept else FAINT, edgecolor="none"))
    axes.plot([threshold, threshold], [-0.3, 1.3], color=VERMILION, linewidth=1.2, clip_on=False)
    write_text(figure, left, top + 0.15, f"{step.score:.3f}", size=8.0, weight="bold", colour=INK if kept else FAINT)
    if not kept:
        fate = "\n".join(textwrap.wrap(step.fate, 18))
        write_text(figure, left, top + 0.29, fate, size=6.5, colour=VERMILION, linespacing=1.15)


def _draw_scale(figure: Figure, left: float, top: float, height: float, row: _Row) -> None:
    axes = add_axes(figure, left, top, 0.08, height)
    axes.imshow(np.linspace(1, 0, 128)[:, None], cmap=colormaps[row.colours], aspect="auto")
    write_text(figure, left + 0.12, top, f"{row.high:.3g}", size=6.5, colour=FAINT)
    write_text(figure, left + 0.12, top + height, f"{row.low:.3g}", size=6.5, colour=FAINT, va="bottom")


def draw_features(trace: StateTrace, title: str) -> Figure:
    """The figure of the features: the image, then a panel for every channel with its own scale written on it.

    Args:
        trace: of at least one channel.
        title: of the figure.
    """
    height, width = trace.size
    count = len(trace.features)
    columns = max(4, min(12, math.ceil(math.sqrt(count * height / width * 1.5))))
    panel = (max(_PANEL * min(height / width, _TALLEST), 0.1), _PANEL)
    pitch = (panel[0] + 0.2, panel[1] + _GAP)
    num_rows = math.ceil((count + 1) / columns)
    figure = new_figure(2 * _MARGIN + columns * pitch[1], _TITLE + num_rows * pitch[0] + _MARGIN)
    write_text(figure, _MARGIN, 0.16, title, size=11.0, weight="bold")
    for place in range(count + 1):
        left, top = _MARGIN + place % columns * pitch[1], _TITLE + place // columns * pitch[0]
        axes = add_axes(figure, left, top + 0.15, panel[1], panel[0])
        if not place:
            axes.imshow(to_imshow(trace.tile_image), interpolation="nearest", aspect="auto")
            write_text(figure, left, top, "image", size=7.0, weight="bold")
        else:
            values = _visible(trace.features[place - 1], trace)
            low, high = (float(edge) for edge in np.percentile(values, (1, 99)))
            row = _Row("", [], "cividis", low, max(high, low + 1e-6), False)
            _draw_map(axes, row, trace.features[place - 1], trace)
            write_text(figure, left, top, str(place), size=7.0, weight="bold")
            write_text(
                figure, left + panel[1], top + 0.01, f"{low:.2g} … {high:.2g}", size=6.0, colour=FAINT, ha="right"
            )
        frame_image(axes, trace.size)
    return figure
