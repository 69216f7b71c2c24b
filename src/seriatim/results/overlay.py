"""Format `overlay`: the image with the outline of every object, and its number in the order found where it fits."""

import math
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from seriatim.core.instances import Instance, Instances
from seriatim.core.shapes import box_slices
from seriatim.data.encoding import encode_png
from seriatim.results.drawing import colour_of, draw_outlines, shown_pixels
from seriatim.results.interface import File, Format, OverlayStyle, SegmentedImage


def encode_overlay(image: SegmentedImage) -> Iterator[File]:
    """The overlay, as PNG."""
    overlay = draw_overlay(image.pixels, image.instances, image.overlay)
    yield f"{image.stem}.overlay.png", encode_png(overlay, compress_level=4)


FORMAT = Format(image=encode_overlay)

FILL = 0.35
"""Opacity of a filled object."""

ROOM = 0.6
"""Share of the largest circle inside an object that its number may take, in diameters."""

SMALLEST, LARGEST = 8, 24
"""Sizes of the numbers in pixels; a smaller one could not be read."""


def draw_overlay(pixels: np.ndarray, instances: Instances, style: OverlayStyle = "outline") -> Image.Image:
    """The image as a person sees it, with what was found.

    Args:
        pixels: of the image, as stored.
        instances: found in it.
        style: `plain` draws thin outlines alone; `outline` adds the number of every object that has room for it; `filled` fills the objects half
            transparently too.
    """
    overlay = shown_pixels(pixels)
    if style == "filled":
        for number, instance in enumerate(instances, start=1):
            window = overlay[box_slices(instance.box)]
            window[instance.mask] = (window[instance.mask] * (1 - FILL) + np.array(colour_of(number)) * FILL).astype(
                np.uint8
            )
    draw_outlines(overlay, instances, max(1, round(min(instances.size) / 1000)))
    picture = Image.fromarray(overlay)
    if style != "plain":
        draw = ImageDraw.Draw(picture)
        for number, instance in enumerate(instances, start=1):
            _draw_number(draw, number, instance)
    return picture


def _draw_number(draw: ImageDraw.ImageDraw, number: int, instance: Instance) -> None:
    """Write the number of an object where the object is deepest, as large as it fits inside; not at all where it would hide the object."""
    if not instance.mask.any():
        return
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(instance.mask, 1)))[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    room = float(depth[y, x]) * ROOM
    font = ImageFont.load_default(LARGEST)
    left, top, right, bottom = font.getbbox(str(number))
    size = int(min(LARGEST, LARGEST * 2 * room / math.hypot(right - left, bottom - top)))
    if size < SMALLEST:
        return
    draw.text(
        (instance.box[1] + float(x) + 0.5, instance.box[0] + float(y) + 0.5),
        str(number),
        fill=colour_of(number),
        font=ImageFont.load_default(size),
        anchor="mm",
        stroke_width=1,
        stroke_fill=(0, 0, 0),
    )
