"""What every figure needs: colours that colour-blind people tell apart, axes in inches, outlines, and files whose bytes are reproducible.

This room never touches matplotlib's global state: figures are made without pyplot, and every size and colour is given.

Source of the colours: Okabe & Ito, "Color Universal Design" (2008).
"""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from seriatim.core.errors import ConfigError, MissingExtraError
from seriatim.core.files import write_atomically
from seriatim.core.instances import Instances
from seriatim.core.shapes import box_slices

try:
    from matplotlib import colormaps as colormaps
    from matplotlib import patheffects
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle as Rectangle
except ImportError as error:
    raise MissingExtraError("figures need matplotlib, which is not installed: pip install 'seriatim[plots]'") from error

INK = "#1a1a1a"
FAINT = "#6e6e6e"
HIDDEN = "#dcdcdc"
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#e69f00", "#009e73", "#cc79a7"
SKY, VERMILION, YELLOW, GREY = "#56b4e9", "#d55e00", "#f0e442", "#999999"
CYCLE = (ORANGE, SKY, GREEN, YELLOW, PURPLE, VERMILION, BLUE)
"""Colours of objects by their number."""

DPI = 150
ENDINGS = {".png": {"Software": None}, ".pdf": {"Creator": None, "Producer": None, "CreationDate": None}}
"""Ending of a figure's file -> metadata left out so that the same figure gives the same bytes."""

_MAX_PIXELS = 2**16 - 1


def check_figure_path(path: Path) -> None:
    """Refuse a path that no figure can be written to, before anything is computed.

    Raises:
        ConfigError: if the ending is unknown or the folder is missing.
    """
    if path.suffix.lower() not in ENDINGS:
        raise ConfigError(f"{path}: a figure ends in {' or '.join(ENDINGS)}")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.absolute().parent}")


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure; sizes are in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes without ticks or frame, in inches from the upper left corner of the figure."""
    total_width, total_height = figure.get_size_inches()
    rectangle = (left / total_width, 1 - (top + height) / total_height, width / total_width, height / total_height)
    axes = figure.add_axes(rectangle)
    axes.set_axis_off()
    return axes


def write_text(
    figure: Figure, left: float, top: float, text: str, size: float = 8.0, colour: str = INK, **properties: object
) -> None:
    """Write text whose upper left corner, by default, lies so many inches from that of the figure."""
    width, height = figure.get_size_inches()
    placed = {"ha": "left", "va": "top", "family": "DejaVu Sans", **properties}
    figure.text(left / width, 1 - top / height, text, fontsize=size, color=colour, **placed)


def draw_outline(
    axes: Axes,
    mask: Bool[np.ndarray, "height width"],
    colour: str,
    width: float = 1.2,
    style: str = "solid",
    is_strong: bool = True,
) -> None:
    """Draw the outline of a mask along the borders of its pixels; it stays open where the mask reaches the edge of its array.

    Args:
        axes: in their units a pixel is 1 wide and the centre of the first one is at 0.
        mask: nothing is drawn where it is empty or fills its array.
        colour: of the line.
        width: of the line, in points.
        style: name of a line style in matplotlib.
        is_strong: add a dark rim, so that the line is visible on any background; otherwise it is half transparent.
    """
    if not mask.any() or mask.all():
        return
    padded = np.pad(mask, 1, mode="edge").astype(np.float64)
    rows, columns = (np.arange(extent) - 1 for extent in padded.shape)
    outline = axes.contour(columns, rows, padded, levels=[0.5], colors=[colour], linewidths=width, linestyles=style)
    if is_strong:
        outline.set_path_effects([patheffects.withStroke(linewidth=width + 1.2, foreground="black", alpha=0.6)])
    else:
        outline.set_alpha(0.6)


def draw_objects(
    axes: Axes, found: Instances, colours: Sequence[str], texts: Sequence[str] = (), size: Sequence[int] | None = None
) -> None:
    """Tint objects, draw their outlines, and write a text in the middle of each.

    Args:
        axes: of an image, in its pixels.
        found: the objects; where they overlap the later one lies on top.
        colours: of each, as #rrggbb.
        texts: of each; none are written if this is empty.
        size: (height, width) of the image, where it reaches beyond that of the objects.
    """
    height, width = found.size if size is None else size
    tint = np.zeros((height, width, 4))
    for instance, colour in zip(found, colours, strict=True):
        red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
        tint[box_slices(instance.box)][instance.mask] = (red, green, blue, 0.35)
    axes.imshow(tint, interpolation="nearest", aspect="auto")
    for instance, colour in zip(found, colours, strict=True):
        plane = np.zeros((height, width), dtype=bool)
        plane[box_slices(instance.box)] = instance.mask
        draw_outline(axes, plane, colour, 0.9)
    for instance, text in zip(found, texts, strict=False):
        y, x = np.argwhere(instance.mask).mean(axis=0) + instance.box[:2]
        add_rim(axes.text(x, y, text, fontsize=6.5, color="white", ha="center", va="center"))


def draw_box(axes: Axes, edges: Float[np.ndarray, "4"], colour: str) -> None:
    """Draw a box of (y0, x0, y1, x1) in pixels of the image, half-open, along the borders of its pixels."""
    y0, x0, y1, x1 = (float(edge) for edge in edges)
    axes.add_patch(Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, facecolor="none", edgecolor=colour, linewidth=0.9))


def draw_image(axes: Axes, pixels: UInt8[np.ndarray, "height width 3"]) -> None:
    """Show an image, its pixels as squares of one unit."""
    axes.imshow(pixels, interpolation="nearest", aspect="auto")
    frame_image(axes, pixels.shape)


def frame_image(axes: Axes, size: Sequence[int]) -> None:
    """Show the pixels of an image of (height, width) and nothing around them; y points down."""
    axes.set_xlim(-0.5, size[1] - 0.5)
    axes.set_ylim(size[0] - 0.5, -0.5)


def fit(size: Sequence[int], side: float) -> tuple[float, float]:
    """Height and width in inches of an image of `size` whose longer side is `side` inches."""
    scale = side / max(size[0], size[1], 1)
    return size[0] * scale, size[1] * scale


def shorten(name: str, length: int = 24) -> str:
    """A name that is not longer than `length` letters.

    >>> shorten("a-long-name", 6)
    'a-lon…'
    """
    return name if len(name) <= length else f"{name[: length - 1]}…"


def add_rim(drawn: Artist, width: float = 1.6) -> None:
    """Give text or a line a dark rim of `width` points, so that it is visible on any background."""
    drawn.set_path_effects([patheffects.withStroke(linewidth=width, foreground="black")])


def to_imshow(image: Float32[np.ndarray, "channels height width"]) -> np.ndarray:
    """Values in 0..1 in the layout of imshow: grey as RGB, of four channels the first three."""
    shown = np.repeat(image, 3, axis=0) if len(image) == 1 else image[:3]
    return np.clip(np.moveaxis(shown, 0, -1), 0, 1)


def write_figure(figure: Figure, path: Path) -> None:
    """Write the figure in the format of the ending of `path`; the same figure gives the same bytes.

    Raises:
        ConfigError: if the ending is unknown, or the figure is too large for PNG.
        FileWriteError: if the disk does not take it.
    """
    check_figure_path(path)
    ending = path.suffix.lower()
    if ending == ".png" and max(figure.get_size_inches()) * DPI > _MAX_PIXELS:
        raise ConfigError(f"{path}: the figure would be higher than {_MAX_PIXELS} pixels; show less of it")
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending[1:], dpi=DPI, metadata=ENDINGS[ending])
    write_atomically(path, buffer.getvalue())
