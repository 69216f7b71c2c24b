"""The overlay: the image as a person sees it, with the outline of every object and its number in the order found."""

import colorsys
import io
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from seriatim.core.instances import Instance, Instances
from seriatim.data.images import to_float_image
from seriatim.data.preparation import to_channels
from seriatim.results.segmented import File, SegmentedImage


def encode_overlay(image: SegmentedImage) -> Iterator[File]:
    """The image with the outline of every object and its number in the order found, as PNG."""
    file = io.BytesIO()
    draw_overlay(image.pixels, image.instances).save(file, format="PNG", compress_level=4)
    yield f"{image.stem}.overlay.png", file.getvalue()


def draw_overlay(pixels: np.ndarray, instances: Instances) -> Image.Image:
    """The image as a person sees it, with numbered outlines in the order found; an object without a pixel has no place for its number.

    Args:
        pixels: as stored; those of 8 bits are shown as they are, others are stretched between the percentiles 0.5 and 99.8.
        instances: found in it.
    """
    overlay = draw_outlines(pixels, instances, max(1, round(min(instances.size) / 700)))
    draw = ImageDraw.Draw(overlay)
    size = _font_size(instances)
    font = ImageFont.load_default(size)
    for number, instance in enumerate(instances, start=1):
        if not instance.mask.any():
            continue
        draw.text(
            _middle(instance),
            str(number),
            fill=colour_of(number),
            font=font,
            anchor="mm",
            stroke_width=max(1, round(size / 9)),
            stroke_fill=(0, 0, 0),
        )
    return overlay


def draw_outlines(pixels: np.ndarray, instances: Instances, thickness: int) -> Image.Image:
    """The image as a person sees it, with outlines in the colours of the order found.

    Args:
        pixels: as for `draw_overlay`.
        instances: found in it.
        thickness: of the outlines, in pixels; they lie inside the objects.
    """
    shown = as_shown(pixels)
    for number, instance in enumerate(instances, start=1):
        y0, x0, y1, x1 = instance.box
        shown[y0:y1, x0:x1][_outline(instance.mask, thickness)] = colour_of(number)
    return Image.fromarray(shown)


def as_shown(pixels: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels of any type as a person sees them: RGB of 8 bits, transparency laid on white."""
    values = to_channels(to_float_image(pixels), 3)
    if pixels.dtype not in (np.uint8, np.bool_):
        low, high = np.percentile(values, (0.5, 99.8))
        values = (values - low) / max(high - low, 1e-6)
    return np.ascontiguousarray(np.moveaxis((np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8), 0, -1))


def _outline(mask: Bool[np.ndarray, "height width"], thickness: int) -> Bool[np.ndarray, "height width"]:
    inside = ndimage.binary_erosion(mask, np.ones((3, 3), dtype=bool), iterations=thickness)
    return np.logical_and(mask, np.logical_not(inside))


def colour_of(number: int) -> tuple[int, int, int]:
    """A light colour; hues of neighbouring numbers lie far apart on the wheel, and blue is lightened to be seen on black."""
    rgb = np.array(colorsys.hsv_to_rgb(number * 0.618034 % 1.0, (0.75, 0.55, 0.9)[number % 3], 1.0))
    luminance = float(rgb @ (0.2126, 0.7152, 0.0722))
    rgb += (1 - rgb) * max(0.0, (0.45 - luminance) / (1 - luminance))
    red, green, blue = (round(255 * float(value)) for value in rgb)
    return red, green, blue


def _font_size(instances: Instances) -> int:
    """Fits the median object, within what can be read."""
    side = float(np.median(np.sqrt(instances.areas))) if len(instances) else 0.0
    return int(np.clip(round(0.5 * side), 10, 36))


def _middle(instance: Instance) -> tuple[float, float]:
    """(x, y) of the pixel that lies deepest inside the object."""
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(instance.mask, 1)))[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return instance.box[1] + float(x) + 0.5, instance.box[0] + float(y) + 0.5
