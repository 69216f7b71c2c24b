"""Format `overlay`: the image with the outline of every object and its number in the order found."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from seriatim.core.instances import Instance, Instances
from seriatim.data.encoding import encode_png
from seriatim.results.drawing import colour_of, draw_outlines, shown_pixels
from seriatim.results.interface import File, Format, SegmentedImage


def encode_overlay(image: SegmentedImage) -> Iterator[File]:
    """The overlay, as PNG."""
    overlay = draw_overlay(image.pixels, image.instances)
    yield f"{image.stem}.overlay.png", encode_png(overlay, compress_level=4)


FORMAT = Format(image=encode_overlay)


def draw_overlay(pixels: np.ndarray, instances: Instances) -> Image.Image:
    """The image as a person sees it, with numbered outlines; an object without pixels has no place for its number.

    Args:
        pixels: of the image, as stored.
        instances: found in it.
    """
    overlay = shown_pixels(pixels)
    draw_outlines(overlay, instances, max(1, round(min(instances.size) / 700)))
    picture = Image.fromarray(overlay)
    draw = ImageDraw.Draw(picture)
    size = _font_size(instances)
    font = ImageFont.load_default(size)
    for number, instance in enumerate(instances, start=1):
        if not instance.mask.any():
            continue
        draw.text(
            _deepest_pixel(instance),
            str(number),
            fill=colour_of(number),
            font=font,
            anchor="mm",
            stroke_width=max(1, round(size / 9)),
            stroke_fill=(0, 0, 0),
        )
    return picture


def _font_size(instances: Instances) -> int:
    """In pixels: fits the median object, and can be read."""
    side = float(np.median(np.sqrt(instances.areas))) if len(instances) else 0.0
    return int(np.clip(round(0.5 * side), 10, 36))


def _deepest_pixel(instance: Instance) -> tuple[float, float]:
    """(x, y) of the pixel that lies deepest inside the object."""
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(instance.mask, 1)))[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return instance.box[1] + float(x) + 0.5, instance.box[0] + float(y) + 0.5
