"""The classes of synthetic scenes: what each is called, how its form is drawn, and how it may lie in the image.

The order is fixed, since `num_classes = C` means the first C of them; the default five are the first five.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from seriatim.data.synthetic import shapes_creatures, shapes_things, shapes_vehicles
from seriatim.data.synthetic.scene_contours import Part


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
    Kind("person", shapes_creatures.person),
    Kind("car", shapes_vehicles.car),
    Kind("dog", shapes_creatures.dog),
    Kind("bird", shapes_creatures.bird, stands=False, turn=0.3),
    Kind("tree", shapes_creatures.tree),
    Kind("house", shapes_vehicles.house, turn=0.06),
    Kind("bicycle", shapes_vehicles.bicycle),
    Kind("boat", shapes_vehicles.boat, turn=0.15),
    Kind("bottle", shapes_things.bottle, turn=0.2),
    Kind("chair", shapes_things.chair),
    Kind("aeroplane", shapes_vehicles.aeroplane, stands=False, turn=0.5),
    Kind("cup", shapes_things.cup),
    Kind("fish", shapes_creatures.fish, stands=False, turn=0.4),
    Kind("mushroom", shapes_creatures.mushroom),
    Kind("umbrella", shapes_things.umbrella, turn=0.35),
    Kind("traffic light", shapes_vehicles.traffic_light),
    Kind("lamp", shapes_things.lamp),
    Kind("flower", shapes_creatures.flower, turn=0.15),
    Kind("ball", shapes_things.ball, turn=3.14),
    Kind("kite", shapes_things.kite, stands=False, turn=0.6),
)
"""Class k is entry k - 1."""

CLASS_NAMES: tuple[str, ...] = tuple(kind.name for kind in KINDS)
"""Of all twenty classes."""
