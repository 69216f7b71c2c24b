"""The gallery of images by their number of objects, with truth and predictions.

Source: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (arXiv:1511.08250), appendix C, Fig. 9 and 10.
"""

from collections.abc import Sequence

from seriatim.analysis.gallery import Found, GalleryGroup, GalleryImage
from seriatim.core.instances import Instances
from seriatim.plots.canvas import (
    CYCLE,
    FAINT,
    Figure,
    add_axes,
    draw_image,
    draw_objects,
    fit,
    frame_image,
    new_figure,
    shorten,
    write_text,
)

_MARGIN, _TITLE, _PANEL, _GAP, _BLOCK_GAP = 0.3, 0.5, 1.4, 0.06, 0.28
_HEADING, _CAPTION = 0.4, 0.34


def draw_gallery(groups: Sequence[GalleryGroup], title: str) -> Figure:
    """A column of images for every group, each image with the truth, the prediction and, where there is one, the refined prediction.

    Args:
        groups: at least one.
        title: of the figure.
    """
    rows = max(len(group.images) for group in groups)
    panels = ["image", "truth", "found"]
    if any(image.refined is not None for group in groups for image in group.images):
        panels.append("found, with CRF")
    block = len(panels) * (_PANEL + _GAP)
    pitch = _PANEL + _CAPTION
    figure = new_figure(
        2 * _MARGIN + len(groups) * (block + _BLOCK_GAP), _TITLE + _HEADING + rows * pitch + 0.25 + _MARGIN
    )
    write_text(figure, _MARGIN, 0.16, title, size=11.0, weight="bold")
    for column, group in enumerate(groups):
        left = _MARGIN + column * (block + _BLOCK_GAP)
        text = f"{group.name}  ({group.num_images} image{'' if group.num_images == 1 else 's'})"
        write_text(figure, left, _TITLE, text, size=9.5, weight="bold")
        for number, name in enumerate(panels):
            write_text(figure, left + number * (_PANEL + _GAP), _TITLE + 0.2, name, size=7.5, colour=FAINT)
        for row, image in enumerate(group.images):
            _draw_image(figure, left, _TITLE + _HEADING + row * pitch, image)
    note = "The first images of each group, not the best. Colours follow the order of the objects. SBD: symmetric best Dice."
    write_text(figure, _MARGIN, _TITLE + _HEADING + rows * pitch, note, size=7.0, colour=FAINT)
    return figure


def _draw_image(figure: Figure, left: float, top: float, image: GalleryImage) -> None:
    parts: list[Instances | None] = [None, image.truth, image.plain.instances]
    captions = [shorten(image.name, 18), f"{len(image.truth)} objects", _told(image.plain)]
    if image.refined is not None:
        parts.append(image.refined.instances)
        captions.append(_told(image.refined))
    height, width = fit(image.truth.size, _PANEL)
    for number, (objects, caption) in enumerate(zip(parts, captions, strict=True)):
        x = left + number * (_PANEL + _GAP)
        axes = add_axes(figure, x, top, width, height)
        draw_image(axes, image.pixels)
        if objects is not None:
            draw_objects(axes, objects, [CYCLE[place % len(CYCLE)] for place in range(len(objects))])
        frame_image(axes, image.truth.size)
        write_text(figure, x, top + height + 0.03, caption, size=7.0, colour=FAINT)


def _told(found: Found) -> str:
    return f"{len(found.instances)} found, SBD {found.sbd:.2f}"
