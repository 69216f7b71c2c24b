"""How large the objects of a image are, as the network itself sees it, and the scale that follows from that."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Float32
from scipy.ndimage import maximum_filter

from seriatim.core.dense_maps import OFFSET_UNIT, DenseMaps
from seriatim.data.preparation import rescale

WINDOW = 256
"""Side of the windows that are looked at, in pixels of the network."""

_SEED = 0.5
_SMALLEST, _LARGEST = 0.25, 4.0
_NEAR = (0.6, 1.7)
_KEPT = 1.15


def estimate_scale(
    image: Float32[np.ndarray, "channels height width"],
    diameter: float,
    dense_maps: Callable[[Float32[np.ndarray, "windows channels height width"]], DenseMaps],
) -> float:
    """The factor by which the image is to be rescaled so that its median object has `diameter`; 1 where it is near enough.

    Up to four windows spread over the image are looked at, once at its own scale and, if that proves far from the right one, once more at
    the scale found. Every object has one vote: the diameter at the best seed within its radius.

    Args:
        image: prepared.
        diameter: wanted, in pixels of the network.
        dense_maps: the network's maps of a batch of windows.
    """
    scale = 1.0
    for _ in range(2):
        windows = _windows(image, scale)
        found = predicted_diameters(dense_maps(windows), (windows.shape[2], windows.shape[3]))
        if not len(found):
            break
        factor = diameter / float(np.median(found))
        scale = float(np.clip(scale * factor, _SMALLEST, _LARGEST))
        if _NEAR[0] <= factor <= _NEAR[1]:
            break
    return 1.0 if 1 / _KEPT <= scale <= _KEPT else scale


def predicted_diameters(maps: DenseMaps, size: tuple[int, int]) -> Float[np.ndarray, " objects"]:
    """The diameter in pixels of every object, one an object, of a batch of windows of `size` pixels."""
    seeds = maps.seed_logits.float().sigmoid().cpu().numpy()
    diameters = OFFSET_UNIT * 2.0 ** maps.log2_diameters.float().clamp(-2, 5).cpu().numpy()
    stride = np.array((size[0] / seeds.shape[1], size[1] / seeds.shape[2]))
    found = []
    for seed, diameter in zip(seeds, diameters, strict=True):
        rows, columns = np.nonzero((seed > _SEED) & (seed == maximum_filter(seed, size=3)))
        order = np.argsort(-seed[rows, columns], kind="stable")
        places = np.stack((rows, columns), axis=1)[order] * stride
        sizes = diameter[rows, columns][order]
        while len(places):
            found.append(float(sizes[0]))
            apart = np.hypot(*(places - places[0]).T) > sizes[0] / 2
            apart[0] = False
            places, sizes = places[apart], sizes[apart]
    return np.array(found)


def _windows(
    image: Float32[np.ndarray, "channels height width"], scale: float
) -> Float32[np.ndarray, "windows channels window_height window_width"]:
    """One to four windows at `scale`, in the image's quarters, or all of a image that is small."""
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
