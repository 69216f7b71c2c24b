"""What every picture of objects starts from: pixels that a screen shows, and outlines in colours that can be told apart."""

import colorsys
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy import ndimage

from seriatim.core.instances import Instance
from seriatim.core.shapes import box_slices
from seriatim.data.images import to_float_image
from seriatim.data.preparation import to_channels

Colour = tuple[int, int, int]
"""Red, green and blue, 0..255."""


def shown_pixels(pixels: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    """Stored pixels of any type as a person sees them: 8 bits as they are, others stretched."""
    return to_rgb(to_float_image(pixels), None if pixels.dtype in (np.uint8, np.bool_) else 1e-6)


def to_rgb(
    image: Float32[np.ndarray, "channels height width"], min_range: float | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """The image in RGB of 8 bits; transparency is laid on white.

    Args:
        image: values in 0..1; 1, 3 or 4 channels.
        min_range: stretch the values between the percentiles 0.5 and 99.8, taken to be at least this far apart; None does not stretch.
    """
    values = to_channels(image, 3)
    if min_range is not None:
        low, high = np.percentile(values, (0.5, 99.8))
        values = (values - low) / max(high - low, min_range)
    return np.ascontiguousarray(np.moveaxis((np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8), 0, -1))


def draw_outlines(
    picture: UInt8[np.ndarray, "height width 3"],
    instances: Iterable[Instance],
    thickness: int,
    colours: Iterable[Colour] | None = None,
) -> None:
    """Draw the outline of every object into a picture.

    Args:
        picture: changed in place.
        instances: of the same size.
        thickness: of the outlines, in pixels; they lie inside the objects.
        colours: of the objects; by default those of their numbers in the order found.
    """
    instances = list(instances)
    chosen = [colour_of(number + 1) for number in range(len(instances))] if colours is None else colours
    for instance, colour in zip(instances, chosen, strict=True):
        picture[box_slices(instance.box)][_outline(instance.mask, thickness)] = colour


def _outline(mask: Bool[np.ndarray, "height width"], thickness: int) -> Bool[np.ndarray, "height width"]:
    inside = ndimage.binary_erosion(mask, np.ones((3, 3), dtype=bool), iterations=thickness)
    return np.logical_and(mask, np.logical_not(inside))


def colour_of(number: int) -> Colour:
    """A light colour; hues of neighbouring numbers lie far apart on the wheel, and blue is lightened to be seen on black."""
    rgb = np.array(colorsys.hsv_to_rgb(number * 0.618034 % 1.0, (0.75, 0.55, 0.9)[number % 3], 1.0))
    luminance = float(rgb @ (0.2126, 0.7152, 0.0722))
    rgb += (1 - rgb) * max(0.0, (0.45 - luminance) / (1 - luminance))
    red, green, blue = (round(255 * float(value)) for value in rgb)
    return red, green, blue
