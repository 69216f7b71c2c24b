"""The classes of synthetic scenes: what each is called, how its form is drawn, and how it may lie in the picture.

The order is fixed, since `num_classes = C` means the first C of them; the default five are the first five.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from seriatim.data import scene_beings, scene_streets, scene_things
from seriatim.data.scene_contours import Part


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A class of objects.

    Attributes:
        name: what data sets call it.
        form: draws one example, from chance and the width of the finest line that shows, in lengths of the object.
        stands: whether it stands on the ground.
        turn: largest rotation in radians, either way.
    """

    name: str
    form: Callable[[np.random.Generator, float], list[Part]]
    stands: bool = True
    turn: float = 0.1


KINDS: tuple[Kind, ...] = (
    Kind("person", scene_beings.person),
    Kind("car", scene_streets.car),
    Kind("dog", scene_beings.dog),
    Kind("bird", scene_beings.bird, stands=False, turn=0.3),
    Kind("tree", scene_beings.tree),
    Kind("house", scene_streets.house, turn=0.06),
    Kind("bicycle", scene_streets.bicycle),
    Kind("boat", scene_streets.boat, turn=0.15),
    Kind("bottle", scene_things.bottle, turn=0.2),
    Kind("chair", scene_things.chair),
    Kind("aeroplane", scene_streets.aeroplane, stands=False, turn=0.5),
    Kind("cup", scene_things.cup),
    Kind("fish", scene_beings.fish, stands=False, turn=0.4),
    Kind("mushroom", scene_beings.mushroom),
    Kind("umbrella", scene_things.umbrella, turn=0.35),
    Kind("traffic light", scene_streets.traffic_light),
    Kind("lamp", scene_things.lamp),
    Kind("flower", scene_beings.flower, turn=0.15),
    Kind("ball", scene_things.ball, turn=3.14),
    Kind("kite", scene_things.kite, stands=False, turn=0.6),
)
"""Class k is entry k - 1."""

CLASS_NAMES: tuple[str, ...] = tuple(kind.name for kind in KINDS)
"""Of all twenty classes."""
