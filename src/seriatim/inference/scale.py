"""The scale at which a network looks at an image: such that the objects, as it sees them itself, have the diameter that it was trained on."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from seriatim.data.preparation import rescale

WINDOW = 256
"""Side of the windows that the scale is estimated from, in pixels of the network."""

MIN_SCALE, MAX_SCALE = 0.25, 4.0
"""Range of the scale."""

NEAR = (0.6, 1.7)
"""A factor in this range is taken without a second look."""

KEPT = 1.15
"""An image is not rescaled by less than this factor either way."""


def estimate_scale(
    image: Float32[np.ndarray, "channels height width"],
    diameter: float,
    estimate_diameters: Callable[[Float32[np.ndarray, "windows channels height width"]], np.ndarray],
) -> float:
    """The factor by which the image is to be rescaled so that its median object has `diameter`; 1 where it is near enough.

    Up to four windows spread over the image are looked at, once at its own scale and, if that proves far from the right one, once more at the
    scale found.

    Args:
        image: prepared.
        diameter: wanted, in pixels of the network.
        estimate_diameters: gives the diameters of all objects of a batch of windows.
    """
    scale = 1.0
    for _ in range(2):
        found = estimate_diameters(_windows(image, scale))
        if not len(found):
            break
        factor = diameter / float(np.median(found))
        scale = float(np.clip(scale * factor, MIN_SCALE, MAX_SCALE))
        if NEAR[0] <= factor <= NEAR[1]:
            break
    return 1.0 if 1 / KEPT <= scale <= KEPT else scale


def _windows(
    image: Float32[np.ndarray, "channels height width"], scale: float
) -> Float32[np.ndarray, "windows channels window_height window_width"]:
    """One to four windows at `scale`, in the image's quarters, or all of an image that is small."""
    spans = []
    for extent in image.shape[1:]:
        wanted = round(WINDOW / scale)
        spans.append(
            [(0, extent)]
            if extent <= 1.5 * wanted
            else [(start, start + wanted) for start in _quarters(extent, wanted)]
        )
    crops = [image[:, y0:y1, x0:x1] for y0, y1 in spans[0] for x0, x1 in spans[1]]
    size = (max(1, round(crops[0].shape[1] * scale)), max(1, round(crops[0].shape[2] * scale)))
    padding = [(0, 0), (0, 0), *((0, -extent % 32) for extent in size)]
    return np.pad(np.stack([rescale(crop, size) for crop in crops]), padding, mode="reflect")


def _quarters(extent: int, length: int) -> list[int]:
    """Where two windows begin so that each lies in the middle of its half."""
    return [min(max(round(centre * extent - length / 2), 0), extent - length) for centre in (0.25, 0.75)]
