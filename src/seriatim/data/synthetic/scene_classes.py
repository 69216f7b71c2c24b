"""The classes of synthetic scenes: the name of each, the function that draws its shape, and how it may lie in the image.

The order is fixed, because `num_classes = C` means the first C classes; the default is the first five.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from seriatim.data.synthetic import shapes_living, shapes_objects
from seriatim.data.synthetic.drawing import Part


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A class of objects.

    Attributes:
        name: what data sets call it.
        form: draws one example, from a random generator and the width of the finest visible line in lengths of the object.
        stands: whether it stands on the ground.
        turn: largest rotation in radians, either way.
    """

    name: str
    form: Callable[[np.random.Generator, float], list[Part]]
    stands: bool = True
    turn: float = 0.1


KINDS: tuple[Kind, ...] = (
    Kind("person", shapes_living.person),
    Kind("car", shapes_objects.car),
    Kind("dog", shapes_living.dog),
    Kind("bird", shapes_living.bird, stands=False, turn=0.3),
    Kind("tree", shapes_living.tree),
    Kind("house", shapes_objects.house, turn=0.06),
    Kind("bicycle", shapes_objects.bicycle),
    Kind("boat", shapes_objects.boat, turn=0.15),
)
"""Class k is entry k - 1."""

CLASS_NAMES: tuple[str, ...] = tuple(kind.name for kind in KINDS)
"""The names of all classes."""
