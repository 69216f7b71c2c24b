"""Synthetic rosette plants seen from above, with one label per leaf, for training and tests without real data.

The images imitate the set A1 of the CVPPP leaf segmentation challenge: one plant in one pot on dark soil with moss,
under directional light. Everything is drawn from random numbers; no photograph was used.

The geometry is drawn first (`rosette_geometry.py`), then colour, light, shadow and camera (`rosette_rendering.py`).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from seriatim.core.errors import ConfigError
from seriatim.data.synthetic.noise import smooth_noise
from seriatim.data.synthetic.rosette_geometry import MIN_VISIBLE_PIXELS as MIN_VISIBLE_PIXELS
from seriatim.data.synthetic.rosette_geometry import draw_scene, grow_leaves
from seriatim.data.synthetic.rosette_rendering import paint_ground, paint_leaf, photograph

_MIN_SIDE = 64
_MAX_LEAVES = 40


class Rosette(NamedTuple):
    """An image of a plant and the leaf that each of its pixels shows.

    Attributes:
        image: RGB.
        labels: 0 background, 1..N the leaves from the oldest (lowest) to the youngest (highest); N is the number of
            leaves, and every leaf shows at least `MIN_VISIBLE_PIXELS`. A leaf is its blade and its petiole.
    """

    image: UInt8[np.ndarray, "height width 3"]
    labels: Int32[np.ndarray, "height width"]


def make_rosette(seed: int, height: int = 500, width: int = 530, num_leaves: int | None = None) -> Rosette:
    """One synthetic plant in its pot. The same arguments give the same arrays; global random state is neither used nor changed.

    Args:
        seed: any integer from 0.
        height: at least 64. The plant and all textures scale with the shorter side.
        width: at least 64.
        num_leaves: 1 to 40; None draws 5 to 20 with a mean of about 14.

    Raises:
        ConfigError: a size, count or seed outside these ranges, or more leaves than a small image can show.

    >>> rosette = make_rosette(seed=3, height=96, width=100, num_leaves=6)
    >>> rosette.image.shape, rosette.labels.shape, int(rosette.labels.max())
    ((96, 100, 3), (96, 100), 6)
    """
    if seed < 0:
        raise ConfigError(f"rosette seed: expected an integer from 0, got {seed}")
    if height < _MIN_SIDE or width < _MIN_SIDE:
        raise ConfigError(f"rosette size: expected at least {_MIN_SIDE} x {_MIN_SIDE}, got {height} x {width}")
    if num_leaves is not None and not 1 <= num_leaves <= _MAX_LEAVES:
        raise ConfigError(f"rosette num_leaves: expected 1 to {_MAX_LEAVES}, got {num_leaves}")

    rng = np.random.default_rng(seed)
    if num_leaves is None:
        num_leaves = 5 + round(15 * rng.beta(2.4, 1.7))
    scene = draw_scene(rng, height, width, num_leaves)
    leaves, labels = grow_leaves(rng, scene, num_leaves)
    canvas = paint_ground(rng, scene)
    fine_noise = smooth_noise(rng, height, width, 2.2 * scene.unit)
    for number, leaf in enumerate(leaves, start=1):
        paint_leaf(rng, scene, canvas, fine_noise, leaf, height_rank=number / num_leaves)
    return Rosette(photograph(rng, scene, canvas), labels)
