"""Synthetic scenes of several classes: people, cars, animals and other compound shapes, to train multi-class systems without downloads.

Every object is drawn from random numbers: a shape with its own parts, pose and proportions (`scene_classes.py`), in colours and textures that
do not depend on its class (`scene_rendering.py`), so that only shape and parts identify it. A scene shows 1 to 12 objects of 28 to 130 pixels
(in an image of 256 x 256; sizes grow with the shorter side): some scenes hold a single object, some many small ones. Nearer objects cover
farther ones and tend to stand lower and to be larger; the border may cut objects, and clutter lies among them.

An object's mask is its visible pixels, as COCO annotates them, and no two masks share a pixel. An object that would show less than 15 % of
itself or fewer than 20 pixels is not painted at all.

This project never trains on seeds below 1000; they are reserved for tests and reported numbers.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from seriatim.core.errors import ConfigError
from seriatim.core.instances import Instance, Instances
from seriatim.data.synthetic.drawing import Drawing, draw
from seriatim.data.synthetic.scene_classes import CLASS_NAMES, KINDS
from seriatim.data.synthetic.scene_rendering import cast_shadow, paint_ground, paint_object, photograph
from seriatim.data.synthetic.shapes_objects import draw_clutter

MIN_CLASSES, MAX_CLASSES = 3, len(KINDS)
"""How many classes a scene may draw from."""

MIN_VISIBLE_PIXELS = 20
"""No object of a scene shows fewer pixels than this."""

MIN_VISIBLE_SHARE = 0.15
"""No object shows a smaller share of its pixels; pixels outside the image count as hidden."""

MAX_OBJECTS = 12

_MIN_SIDE = 64
_SMALLEST, _LARGEST = 28.0, 130.0  # longer side of an object, in an image with a shorter side of 256
_MIN_LENGTH = 12.0  # pixels, in small images too
_REFERENCE_SIDE = 256


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """An image and the objects that are visible in it.

    Attributes:
        image: RGB.
        objects: visible masks with their classes (`class_id` from 1), from the nearest to the farthest.
        class_names: of the classes that the scene was drawn from.
    """

    image: UInt8[np.ndarray, "height width 3"]
    objects: Instances
    class_names: tuple[str, ...]

    @property
    def labels(self) -> Int32[np.ndarray, "height width"]:
        """0 background, 1..N the objects from the nearest to the farthest."""
        return self.objects.label_map()


class _Plan(NamedTuple):
    """Settings that all parts of one scene share."""

    height: int
    width: int
    unit: float  # length that is one pixel in an image with a shorter side of 256
    horizon: int | None
    num_objects: int
    num_clutter: int
    sizes: tuple[float, float]
    gathering: float  # probability that an object is placed beside another
    light: tuple[float, float]


class _Thing(NamedTuple):
    """Something to be painted; class 0 is clutter."""

    class_id: int
    drawing: Drawing


def make_scene(seed: int, num_classes: int = 5, size: tuple[int, int] = (256, 256)) -> Scene:
    """One synthetic scene. The same arguments give the same bytes on every machine.

    Args:
        seed: any integer from 0; never train on seeds below 1000.
        num_classes: 3 to 8, the first of `scene_classes.CLASS_NAMES`; all are equally likely.
        size: (height, width) in pixels, each at least 64.

    Raises:
        ConfigError: an argument outside these ranges.

    >>> scene = make_scene(seed=3, num_classes=3, size=(96, 128))
    >>> scene.image.shape, scene.class_names, len(scene.objects) == scene.labels.max()
    ((96, 128, 3), ('person', 'car', 'dog'), np.True_)
    """
    check_scene(seed, num_classes, size)
    rng = np.random.default_rng(seed)
    plan = _draw_plan(rng, *size)
    things, objects = _arrange(rng, plan, num_classes)
    canvas = paint_ground(rng, plan.height, plan.width, plan.horizon)
    shade = rng.uniform(0.15, 0.5) if rng.random() < 0.7 else 0.0
    for thing in reversed(things):
        margin = _margin(plan)
        if shade:
            shift = (round(-plan.light[0] * margin * 0.5), round(-plan.light[1] * margin * 0.5))
            cast_shadow(canvas, thing.drawing, shade, shift, 0.25 * margin)
        paint_object(rng, canvas, thing.drawing, plan.light)
    return Scene(photograph(rng, canvas), objects, CLASS_NAMES[:num_classes])


def check_scene(seed: int, num_classes: int, size: tuple[int, int]) -> None:
    """Refuse what `make_scene` cannot make.

    Raises:
        ConfigError: an argument outside its range.
    """
    if seed < 0:
        raise ConfigError(f"scene seed: expected an integer from 0, got {seed}")
    if not MIN_CLASSES <= num_classes <= MAX_CLASSES:
        raise ConfigError(f"scene classes: expected {MIN_CLASSES} to {MAX_CLASSES}, got {num_classes}")
    if min(size) < _MIN_SIDE:
        raise ConfigError(f"scene size: expected at least {_MIN_SIDE} x {_MIN_SIDE}, got {size[0]} x {size[1]}")


def _draw_plan(rng: np.random.Generator, height: int, width: int) -> _Plan:
    """Draw the number and the sizes of objects: one alone, many small ones, or a mixed scene."""
    kind = rng.random()
    if kind < 0.12:
        count, sizes = 1, (60.0, _LARGEST)
    elif kind < 0.34:
        count, sizes = int(rng.integers(6, MAX_OBJECTS + 1)), (_SMALLEST, 56.0)
    elif kind < 0.8:
        count, sizes = int(rng.integers(2, 8)), (48.0, _LARGEST)
    else:
        count, sizes = int(rng.integers(3, 10)), (_SMALLEST, _LARGEST)
    turn = rng.uniform(0, 2 * math.pi)
    return _Plan(
        height=height,
        width=width,
        unit=min(height, width) / _REFERENCE_SIDE,
        horizon=round(height * rng.uniform(0.25, 0.6)) if rng.random() < 0.5 else None,
        num_objects=count,
        sizes=sizes,
        gathering=rng.uniform(0.2, 0.7),
        num_clutter=int(rng.integers(0, 7)) if rng.random() < 0.7 else 0,
        light=(-abs(math.sin(turn)) * 0.9, math.cos(turn) * 0.9),
    )


def _arrange(rng: np.random.Generator, plan: _Plan, num_classes: int) -> tuple[list[_Thing], Instances]:
    """The things to paint, and the visible masks of those that are objects, both from the nearest to the farthest."""
    taken = np.zeros((plan.height, plan.width), bool)
    things: list[_Thing] = []
    found: list[Instance] = []
    centers: list[tuple[float, float]] = []
    depths = np.sort(rng.random(plan.num_objects))[::-1].tolist()
    clutter = np.bincount(rng.integers(0, plan.num_objects, plan.num_clutter), minlength=plan.num_objects).tolist()
    for nearness, num_behind in zip(depths, clutter, strict=True):
        class_id = int(rng.integers(num_classes)) + 1
        for _ in range(4):
            drawing, center = _place(rng, plan, class_id, nearness, centers)
            visible, share = _visible(drawing, taken)
            if visible is not None and visible.area >= MIN_VISIBLE_PIXELS and share >= MIN_VISIBLE_SHARE:
                things.append(_Thing(class_id, drawing))
                found.append(dataclasses.replace(visible, class_id=class_id, step=len(found)))
                _cover(taken, drawing)
                centers.append(center)
                break
        _add_clutter(rng, plan, taken, things, num_behind)
    if not found:  # the border or clutter may have hidden every one
        return _arrange(rng, plan, num_classes)
    return things, Instances((plan.height, plan.width), found)


def _place(
    rng: np.random.Generator, plan: _Plan, class_id: int, nearness: float, centers: list[tuple[float, float]]
) -> tuple[Drawing, tuple[float, float]]:
    """Draw an example of a class: large and low if it is near, sometimes beside another object."""
    kind = KINDS[class_id - 1]
    low, high = (math.log(length) for length in plan.sizes)
    share = min(1.0, max(0.0, 0.5 * nearness + 0.6 * rng.random()))
    length = max(math.exp(low + (high - low) * share) * plan.unit, _MIN_LENGTH)
    y, x = rng.uniform(0.02, 0.98) * plan.height, rng.uniform(0.02, 0.98) * plan.width
    on_ground = False
    if centers and rng.random() < plan.gathering:
        beside = centers[int(rng.integers(len(centers)))]
        y, x = beside[0] + rng.uniform(-0.5, 0.35) * length, beside[1] + rng.uniform(-0.9, 0.9) * length
    elif plan.horizon is not None and kind.stands:
        on_ground = True
        y = plan.horizon + (plan.height - plan.horizon) * min(max(nearness + rng.uniform(-0.2, 0.3), 0.08), 1.1)
    y = min(max(y, 0.0), plan.height + (0.25 * length if on_ground else 0.0))
    x = min(max(x, 0.0), float(plan.width))
    turn = rng.uniform(-kind.turn, kind.turn)
    parts = kind.form(rng, 1.1 / length)
    mirror = bool(rng.random() < 0.5)
    return draw(parts, length, turn, mirror, (y, x), on_ground, _margin(plan)), (y, x)


def _add_clutter(rng: np.random.Generator, plan: _Plan, taken: np.ndarray, things: list[_Thing], count: int) -> None:
    """Add clutter behind the things that are already there and in front of those that follow."""
    for _ in range(count):
        length = math.exp(rng.uniform(math.log(8.0), math.log(70.0))) * plan.unit
        center = (rng.uniform(0, plan.height), rng.uniform(0, plan.width))
        parts = draw_clutter(rng)
        drawing = draw(parts, length, rng.uniform(-1.6, 1.6), bool(rng.random() < 0.5), center, False, _margin(plan))
        things.append(_Thing(0, drawing))
        _cover(taken, drawing)


def _margin(plan: _Plan) -> int:
    return max(2, round(5 * plan.unit))


def _visible(drawing: Drawing, taken: np.ndarray) -> tuple[Instance | None, float]:
    """The part of a drawing that is inside the image and not covered, and its share of the whole."""
    inside, part = drawing.window(*taken.shape)
    mask = drawing.mask
    visible = Instance.from_mask(mask[part] & ~taken[inside], offset=(inside[0].start, inside[1].start))
    return visible, 0.0 if visible is None else visible.area / int(np.count_nonzero(mask))


def _cover(taken: np.ndarray, drawing: Drawing) -> None:
    inside, part = drawing.window(*taken.shape)
    taken[inside] |= drawing.mask[part]
