"""The geometry of a synthetic rosette: the plant's size, the light, the position of each leaf, and which leaf each pixel shows.

Leaves are ordered by age, each turned by about the golden angle, the youngest on top; none is fully hidden. Lengths are in pixels unless a
name says otherwise.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from seriatim.core.errors import ConfigError

MIN_VISIBLE_PIXELS = 40
"""No leaf of a rosette shows fewer pixels than this."""

_GOLDEN_ANGLE = math.radians(137.508)
_REFERENCE_SIDE = 500  # texture sizes are given for this length of the shorter side
_MIN_VISIBLE_FRACTION = 0.22  # of the leaf's own area; less looks like a scrap, not like a leaf
_MAX_REPAIRS = 400


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """Settings that all parts of one image share."""

    height: int
    width: int
    unit: float  # length that is one pixel in an image with a shorter side of 500
    center_y: float
    center_x: float
    radius: float  # of the plant
    light: tuple[float, float, float]  # y, x, z of the unit vector towards the lamp
    ambient: float  # share of the light that comes from all directions
    gloss: float
    greens: np.ndarray  # (3 ages, 3 channels), linear: young, mature, old leaf of this plant
    hue_spread: float


def draw_scene(rng: np.random.Generator, height: int, width: int, num_leaves: int) -> Scene:
    """Draw the size and place of the plant, the light, and the greens of its leaves."""
    side = min(height, width)
    unit = side / _REFERENCE_SIDE
    center_y = height / 2 + side * rng.uniform(-0.035, 0.035)
    center_x = width / 2 + side * rng.uniform(-0.035, 0.035)
    to_border = min(center_y, center_x, height - center_y, width - center_x)
    # Older plants have more leaves and are larger; in small images all plants are large.
    grown = min(1.0, max(0.0, (num_leaves - 4) / 14))
    radius = to_border * np.clip(rng.normal(0.64 + 0.24 * grown, 0.11), 0.45, 0.95)
    if side < 200:
        radius = max(radius, to_border * 0.85)
    azimuth = rng.uniform(0, 2 * math.pi)
    elevation = math.radians(rng.uniform(42, 66))
    light = (
        math.cos(elevation) * math.sin(azimuth),
        math.cos(elevation) * math.cos(azimuth),
        math.sin(elevation),
    )
    tint = 1 + rng.normal(0, 1, 3) * (0.06, 0.02, 0.07)
    greens = np.array([(136, 166, 82), (98, 138, 66), (112, 136, 64)]) / 255 * tint
    faded = rng.uniform(0, 0.22)  # plants differ in how strong their green is
    greens = np.square(greens * (1 - faded) + greens.mean(axis=1, keepdims=True) * faded)
    return Scene(
        height=height,
        width=width,
        unit=unit,
        center_y=center_y,
        center_x=center_x,
        radius=float(radius),
        light=light,
        ambient=rng.uniform(0.3, 0.5),
        gloss=rng.uniform(0.02, 0.1),
        greens=greens,
        hue_spread=rng.uniform(0.025, 0.055),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Leaf:
    """The shape of one leaf. Its axis leaves the centre of the plant at `angle` and bends sideways."""

    age: float  # 0 the youngest, 1 the oldest of the plant
    angle: float  # of the axis, from x to y
    start: float  # distance from the centre of the plant to the foot of the petiole
    length: float  # petiole and blade
    half_width: float  # of the blade at its widest
    petiole_half_width: float
    petiole_share: float  # of the length
    bend: float  # sideways shift of the tip, in lengths
    base_power: float  # higher: the blade narrows more slowly towards the petiole
    tip_power: float  # 0.5 is a round tip, higher is more pointed
    margin: tuple[tuple[float, float, float, float], ...]  # waves of the margin: count, size, phase left, phase right


class Outline(NamedTuple):
    """One leaf on the pixels of its box, which includes a border for the shadow."""

    leaf: Leaf
    box: tuple[int, int, int, int]  # y0, x0, y1, x1, inside the image
    along: Float32[np.ndarray, "height width"]  # 0 at the foot of the petiole, 1 at the tip
    across: Float32[np.ndarray, "height width"]  # signed distance from the midrib
    reach: Float32[np.ndarray, "height width"]  # distance from midrib to margin on this side at this height
    depth: Float32[np.ndarray, "height width"]  # about the distance to the margin, positive inside


def grow_leaves(
    rng: np.random.Generator, scene: Scene, num_leaves: int
) -> tuple[list[Outline], Int32[np.ndarray, "height width"]]:
    """Outlines from the lowest leaf to the highest, and the label map; a leaf that is too hidden is moved."""
    first_angle = rng.uniform(0, 2 * math.pi)
    turn = _GOLDEN_ANGLE * (1 if rng.random() < 0.5 else -1)
    habit = _draw_habit(rng)
    outlines = []
    for index in range(num_leaves):
        age = 1 - index / max(1, num_leaves - 1)
        angle = first_angle + index * turn + rng.normal(0, 0.13)
        outlines.append(_outline(scene, _draw_leaf(rng, scene, habit, age, angle, num_leaves)))

    for attempt in range(_MAX_REPAIRS):
        labels = np.zeros((scene.height, scene.width), np.int32)
        areas = np.zeros(num_leaves)
        for number, outline in enumerate(outlines, start=1):
            y0, x0, y1, x1 = outline.box
            covered = outline.depth > 0
            areas[number - 1] = np.count_nonzero(covered)
            labels[y0:y1, x0:x1][covered] = number
        visible = np.bincount(labels.ravel(), minlength=num_leaves + 1)[1:]
        # The required visible fraction shrinks slowly, so that crowded plants succeed too.
        fraction = _MIN_VISIBLE_FRACTION * max(0.0, 1 - attempt / (0.75 * _MAX_REPAIRS))
        wanted = np.maximum(MIN_VISIBLE_PIXELS, fraction * areas)
        hidden = np.flatnonzero(visible < wanted)
        if not hidden.size:
            return outlines, labels
        # The highest first: its place decides how much the leaves below can show.
        worst = int(hidden[-1])
        outlines[worst] = _outline(scene, _regrow(rng, scene, outlines[worst].leaf, labels, areas[worst]))
    raise ConfigError(
        f"rosette num_leaves: {num_leaves} leaves of {MIN_VISIBLE_PIXELS} visible pixels did not fit into "
        f"{scene.height} x {scene.width}; ask for fewer leaves or a larger image"
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Habit:
    """Settings that the leaves of one plant share."""

    slenderness: float  # half width of the blade over its length
    petiole_share: float
    base_power: float
    tip_power: float
    waviness: float


def _draw_habit(rng: np.random.Generator) -> _Habit:
    return _Habit(
        slenderness=rng.uniform(0.26, 0.38),
        petiole_share=rng.uniform(0.26, 0.44),
        base_power=rng.uniform(0.7, 1.2),
        tip_power=rng.uniform(0.48, 0.7),
        waviness=rng.uniform(0.008, 0.04),
    )


def _draw_leaf(
    rng: np.random.Generator, scene: Scene, habit: _Habit, age: float, angle: float, num_leaves: int
) -> Leaf:
    """Draw a leaf of the given age: leaves grow until middle age, and the oldest leaves stay small."""
    growth = min(1.0, age / 0.62)
    growth = growth * growth * (3 - 2 * growth) * 0.4 + growth * 0.6
    smallest = 0.15 if num_leaves > 4 else 0.45
    relative = smallest + (1 - smallest) * growth
    if age > 0.75 and num_leaves > 6:
        relative *= 1 - 0.3 * (age - 0.75) / 0.25
    length = scene.radius * relative * np.clip(rng.normal(0.96, 0.09), 0.7, 1.04)
    petiole_share = (habit.petiole_share + rng.normal(0, 0.035)) * (0.35 + 0.65 * growth)
    blade = length * (1 - petiole_share)
    half_width = blade * habit.slenderness * np.clip(rng.normal(1.0, 0.09), 0.72, 1.3)
    if age > 0.8:
        half_width *= 1.1
    waves = tuple(
        (count, rng.normal(0, habit.waviness) / (1 + 0.25 * order), *rng.uniform(0, 2 * math.pi, 2))
        for order, count in enumerate((1.3, 2.7, 4.4, 7.1))
    )
    # Below this length and width a leaf cannot show the pixels it must.
    shortest = 2.1 * math.sqrt(MIN_VISIBLE_PIXELS)
    length = max(length, shortest)
    half_width = max(half_width, 0.24 * shortest)
    return Leaf(
        age=age,
        angle=angle,
        start=scene.radius * 0.012 * rng.random(),
        length=float(length),
        half_width=float(half_width),
        petiole_half_width=float(max(0.7, scene.radius * rng.uniform(0.010, 0.0145) * (0.55 + 0.45 * growth))),
        petiole_share=float(petiole_share),
        bend=float(np.clip(rng.normal(0, 0.07), -0.2, 0.2)),
        base_power=float(habit.base_power * np.clip(rng.normal(1, 0.1), 0.7, 1.3)),
        tip_power=float(habit.tip_power * np.clip(rng.normal(1, 0.06), 0.85, 1.2)),
        margin=waves,
    )


def _regrow(
    rng: np.random.Generator,
    scene: Scene,
    leaf: Leaf,
    labels: Int32[np.ndarray, "height width"],
    area: float,
) -> Leaf:
    """The leaf turned to where most of it lies on free ground, and somewhat larger."""
    tiny = area < 1.6 * MIN_VISIBLE_PIXELS
    length = min(leaf.length * (1.2 if tiny else rng.uniform(1.0, 1.12)), scene.radius * 1.04)
    half_width = min(leaf.half_width * (1.2 if tiny else 1.0), 0.45 * length)
    angles = leaf.angle + rng.uniform(-1.3, 1.3, 10)
    distances = leaf.start + length * np.linspace(max(0.3, leaf.petiole_share), 1.0, 8)
    ys = np.clip(scene.center_y + np.sin(angles)[:, None] * distances, 0, scene.height - 1).astype(int)
    xs = np.clip(scene.center_x + np.cos(angles)[:, None] * distances, 0, scene.width - 1).astype(int)
    free = (labels[ys, xs] == 0).sum(axis=1) - 0.8 * np.abs(angles - leaf.angle)
    return dataclasses.replace(
        leaf,
        angle=float(angles[int(np.argmax(free))]),
        length=float(length),
        half_width=float(half_width),
        bend=leaf.bend * 0.7,
    )


def _outline(scene: Scene, leaf: Leaf) -> Outline:
    """The leaf on the pixel grid: position along and across it, and depth inside it, for each pixel of its box."""
    num_rows = max(256, int(4 * leaf.length))
    rows = np.linspace(0, 1, num_rows, dtype=np.float32)
    widths = _half_widths(leaf, rows)  # (2 sides, rows)
    steepness = np.clip(np.gradient(widths, leaf.length / (num_rows - 1), axis=1), -3, 3)
    norms = 1 / np.sqrt(1 + steepness * steepness)

    cos, sin = math.cos(leaf.angle), math.sin(leaf.angle)
    foot_y = scene.center_y + leaf.start * sin
    foot_x = scene.center_x + leaf.start * cos
    axis_u = rows * leaf.length
    axis_v = leaf.bend * leaf.length * rows * rows
    edge_v = np.concatenate([axis_v - widths[0], axis_v + widths[1]])
    edge_u = np.concatenate([axis_u, axis_u])
    edge_y = foot_y + edge_u * sin + edge_v * cos
    edge_x = foot_x + edge_u * cos - edge_v * sin
    pad = _shadow_pad(scene)
    y0 = min(max(0, math.floor(edge_y.min()) - pad), scene.height - 1)
    x0 = min(max(0, math.floor(edge_x.min()) - pad), scene.width - 1)
    y1 = max(y0 + 1, min(scene.height, math.ceil(edge_y.max()) + pad + 1))
    x1 = max(x0 + 1, min(scene.width, math.ceil(edge_x.max()) + pad + 1))

    ys = np.arange(y0, y1, dtype=np.float32)[:, None] + np.float32(0.5 - foot_y)
    xs = np.arange(x0, x1, dtype=np.float32)[None, :] + np.float32(0.5 - foot_x)
    u = (xs * np.float32(cos) + ys * np.float32(sin)) / np.float32(leaf.length)
    along = np.clip(u, 0, 1)
    across = ys * np.float32(cos) - xs * np.float32(sin) - np.float32(leaf.bend * leaf.length) * along * along
    lookup = (along * np.float32(num_rows - 1)).astype(np.int32) + (across > 0) * np.int32(num_rows)
    reach = widths.ravel().astype(np.float32)[lookup]
    depth = (reach - np.abs(across)) * norms.ravel().astype(np.float32)[lookup]
    beyond = np.abs(u - along) * np.float32(leaf.length)
    depth = np.where(beyond > 0, -np.hypot(np.minimum(depth, 0), beyond), depth)
    return Outline(leaf, (y0, x0, y1, x1), along, across, reach, depth)


def _half_widths(leaf: Leaf, rows: np.ndarray) -> np.ndarray:
    """Distance from the midrib to the left and the right margin (2, rows), for positions 0..1 along the leaf."""
    blade = np.clip((rows - leaf.petiole_share) / (1 - leaf.petiole_share), 0, 1)
    peak = leaf.base_power / (leaf.base_power + leaf.tip_power)
    highest = peak**leaf.base_power * (1 - peak) ** leaf.tip_power
    profile = leaf.half_width / highest * blade**leaf.base_power * (1 - blade) ** leaf.tip_power
    petiole = leaf.petiole_half_width * (1 - 0.85 * blade) * np.sqrt(np.clip((1 - rows) * 8, 0, 1))
    petiole = petiole * (1 + 0.5 * np.exp(-rows * 14))
    sides = []
    for side in (0, 1):
        wave = np.ones_like(rows)
        for count, size, *phases in leaf.margin:
            wave = wave + size * np.sin(2 * math.pi * count * blade + phases[side])
        sides.append(np.hypot(profile * wave, petiole))
    return np.stack(sides)


def _shadow_pad(scene: Scene) -> int:
    return math.ceil(0.17 * scene.radius) + 2
