"""Synthetic rosette plants seen from above, with one label per leaf, for training and tests without real data.

The pictures imitate the set A1 of the CVPPP leaf segmentation challenge: one plant in one pot on dark soil with moss,
under directional light. Everything is drawn from numbers; no photograph was used.

A picture is made in three parts. `_grow_leaves` settles the geometry: leaves in order of age, each turned by about the
golden angle, and none of them hidden. `_paint_ground` and `_paint_leaf` put colour, light and shadow on a canvas in
linear light, from the lowest leaf (the oldest) to the highest (the youngest). `_photograph` adds what a camera adds.

Lengths are in pixels unless a name says otherwise. A canvas is float32, (channels, height, width).
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, UInt8
from scipy import ndimage

from seriatim.core.errors import ConfigError

MIN_VISIBLE_PIXELS = 40
"""No leaf of a rosette shows fewer pixels than this."""

_MIN_SIDE = 64
_MAX_LEAVES = 40
_GOLDEN_ANGLE = math.radians(137.508)
_REFERENCE_SIDE = 500  # texture sizes below are given for this length of the shorter side
_MIN_VISIBLE_FRACTION = 0.22  # of the leaf's own area; less looks like a scrap, not like a leaf
_MAX_REPAIRS = 400

_Plane = np.ndarray  # float32, (height, width) of the canvas or of a box in it


class Rosette(NamedTuple):
    """A picture of a plant and the leaf that each of its pixels shows.

    Attributes:
        image: RGB.
        labels: 0 background, 1..N the leaves from the oldest (lowest) to the youngest (highest); N is the number of
            leaves, and every leaf shows at least `MIN_VISIBLE_PIXELS`. A leaf is its blade and its petiole.
    """

    image: UInt8[np.ndarray, "height width 3"]
    labels: Int32[np.ndarray, "height width"]


def make_rosette(seed: int, height: int = 500, width: int = 530, num_leaves: int | None = None) -> Rosette:
    """One synthetic plant in its pot. The same arguments give the same arrays, whatever else drew random numbers.

    Args:
        seed: any integer from 0.
        height: at least 64. The plant and all textures scale with the shorter side.
        width: at least 64.
        num_leaves: 1 to 40; None draws 5 to 20 with a mean of about 14.

    Raises:
        ConfigError: a size, count or seed outside these ranges, or more leaves than a small picture can show.

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
    scene = _draw_scene(rng, height, width, num_leaves)
    leaves, labels = _grow_leaves(rng, scene, num_leaves)
    canvas = _paint_ground(rng, scene)
    fine_noise = _noise(rng, height, width, 2.2 * scene.unit)
    for number, leaf in enumerate(leaves, start=1):
        _paint_leaf(rng, scene, canvas, fine_noise, leaf, height_rank=number / num_leaves)
    return Rosette(_photograph(rng, scene, canvas), labels)


# ---------------------------------------------------------------------------------------------------------------------
# Scene


@dataclasses.dataclass(frozen=True, slots=True)
class _Scene:
    """What all parts of one picture share."""

    height: int
    width: int
    unit: float  # length of what is one pixel in a picture with a shorter side of 500
    center_y: float
    center_x: float
    radius: float  # of the plant
    light: tuple[float, float, float]  # y, x, z of the unit vector towards the lamp
    ambient: float  # share of the light that comes from everywhere
    gloss: float
    greens: np.ndarray  # (3 ages, 3 channels), linear: young, mature, old leaf of this plant
    hue_spread: float


def _draw_scene(rng: np.random.Generator, height: int, width: int, num_leaves: int) -> _Scene:
    side = min(height, width)
    unit = side / _REFERENCE_SIDE
    center_y = height / 2 + side * rng.uniform(-0.035, 0.035)
    center_x = width / 2 + side * rng.uniform(-0.035, 0.035)
    to_border = min(center_y, center_x, height - center_y, width - center_x)
    # More leaves come with age and so with size; small pictures leave no room for small plants.
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
    return _Scene(
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


# ---------------------------------------------------------------------------------------------------------------------
# Geometry


@dataclasses.dataclass(frozen=True, slots=True)
class _Leaf:
    """The form of one leaf. Its axis leaves the centre of the plant at `angle` and bends sidewards."""

    age: float  # 0 the youngest, 1 the oldest of the plant
    angle: float  # of the axis, from x to y
    start: float  # distance from the centre of the plant to the foot of the petiole
    length: float  # petiole and blade
    half_width: float  # of the blade at its widest
    petiole_half_width: float
    petiole_share: float  # of the length
    bend: float  # sideward shift of the tip, in lengths
    base_power: float  # higher: the blade narrows more slowly towards the petiole
    tip_power: float  # 0.5 is a round tip, higher is more pointed
    margin: tuple[tuple[float, float, float, float], ...]  # waves of the margin: count, size, phase left, phase right


class _Outline(NamedTuple):
    """One leaf on the pixels of its box, which also holds a border of `pad` pixels for the shadow."""

    leaf: _Leaf
    box: tuple[int, int, int, int]  # y0, x0, y1, x1, inside the picture
    along: Float32[np.ndarray, "height width"]  # 0 at the foot of the petiole, 1 at the tip
    across: Float32[np.ndarray, "height width"]  # signed distance from the midrib
    reach: Float32[np.ndarray, "height width"]  # distance from midrib to margin on this side at this height
    depth: Float32[np.ndarray, "height width"]  # about the distance to the margin, positive inside


def _grow_leaves(
    rng: np.random.Generator, scene: _Scene, num_leaves: int
) -> tuple[list[_Outline], Int32[np.ndarray, "height width"]]:
    """Outlines from the lowest leaf to the highest, and the label map; a leaf that shows too little grows elsewhere."""
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
        # What a leaf must show shrinks slowly, so that crowded plants settle too.
        fraction = _MIN_VISIBLE_FRACTION * max(0.0, 1 - attempt / (0.75 * _MAX_REPAIRS))
        wanted = np.maximum(MIN_VISIBLE_PIXELS, fraction * areas)
        hidden = np.flatnonzero(visible < wanted)
        if not hidden.size:
            return outlines, labels
        # The highest one first: what lies on top of the others decides what the others can show.
        worst = int(hidden[-1])
        outlines[worst] = _outline(scene, _regrow(rng, scene, outlines[worst].leaf, labels, areas[worst]))
    raise ConfigError(
        f"rosette num_leaves: {num_leaves} leaves of {MIN_VISIBLE_PIXELS} visible pixels did not fit into "
        f"{scene.height} x {scene.width}; ask for fewer leaves or a larger picture"
    )


@dataclasses.dataclass(frozen=True, slots=True)
class _Habit:
    """What the leaves of one plant have in common."""

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
    rng: np.random.Generator, scene: _Scene, habit: _Habit, age: float, angle: float, num_leaves: int
) -> _Leaf:
    """A leaf of the given age: it grows to its full length until it is middle-aged; the very first leaves stay small."""
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
    return _Leaf(
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
    scene: _Scene,
    leaf: _Leaf,
    labels: Int32[np.ndarray, "height width"],
    area: float,
) -> _Leaf:
    """The leaf turned towards where most of it would lie on free ground, and somewhat larger."""
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


def _outline(scene: _Scene, leaf: _Leaf) -> _Outline:
    """The leaf on the pixel grid: where along and across it each pixel of its box lies, and how deep inside."""
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
    return _Outline(leaf, (y0, x0, y1, x1), along, across, reach, depth)


def _half_widths(leaf: _Leaf, rows: np.ndarray) -> np.ndarray:
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


# ---------------------------------------------------------------------------------------------------------------------
# Textures


def _noise(rng: np.random.Generator, height: int, width: int, cell: float) -> _Plane:
    """Smooth random values of mean 0 and a deviation near 0.5, whose bumps are about `cell` pixels wide."""
    if cell <= 1:
        return rng.random((height, width), dtype=np.float32) * np.float32(1.6) - np.float32(0.8)
    grid_height = int(height / cell) + 3
    grid_width = int(width / cell) + 3
    grid = rng.standard_normal((grid_height, grid_width), dtype=np.float32) * np.float32(0.75)
    rows, row_share = _grid_positions(height, cell, rng.random())
    columns, column_share = _grid_positions(width, cell, rng.random())
    tall = grid[rows] + (grid[rows + 1] - grid[rows]) * row_share[:, None]
    left = tall[:, columns]
    return left + (tall[:, columns + 1] - left) * column_share


def _grid_positions(length: int, cell: float, shift: float) -> tuple[np.ndarray, np.ndarray]:
    position = np.arange(length, dtype=np.float32) / np.float32(cell) + np.float32(shift)
    whole = np.floor(position)
    share = position - whole
    return whole.astype(np.intp), share * share * (3 - 2 * share)


def _ramp(values: _Plane, low: float, high: float) -> _Plane:
    """0 below `low`, 1 above `high`, smooth between."""
    share = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return share * share * (3 - 2 * share)


def _slope(plane: _Plane, light: tuple[float, float, float]) -> _Plane:
    """How much the plane, read as heights, falls off towards the lamp: positive where it is lit."""
    lit = np.zeros_like(plane)
    lit[1:] -= np.float32(light[0]) * (plane[1:] - plane[:-1])
    lit[:, 1:] -= np.float32(light[1]) * (plane[:, 1:] - plane[:, :-1])
    return lit


def _linear(rgb: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    """A colour 0..255 as shown on a screen, in the linear light of the canvas; the screen's curve is taken as a square."""
    return np.square(np.asarray(rgb) / 255)


def _blend(canvas: np.ndarray, colors: np.ndarray, share: _Plane) -> None:
    """Mixes `colors`, one per channel or a whole canvas, into the canvas in place."""
    for channel in range(3):
        color = colors[channel] if colors.ndim == 3 else np.float32(colors[channel])
        canvas[channel] += (color - canvas[channel]) * share


# ---------------------------------------------------------------------------------------------------------------------
# Ground


def _paint_ground(rng: np.random.Generator, scene: _Scene) -> Float32[np.ndarray, "3 height width"]:
    """Soil with moss in a pot with a rim, on a black tray."""
    height, width, unit, light = scene.height, scene.width, scene.unit, scene.light
    broad = _noise(rng, height, width, 90 * unit)
    clumps = _noise(rng, height, width, 22 * unit)
    crumbs = _noise(rng, height, width, 9 * unit)
    grains = _noise(rng, height, width, 4 * unit)
    dust = _noise(rng, height, width, 2 * unit)

    # Soil: a rough surface lit from the side.
    relief = clumps * np.float32(3.2) + crumbs * np.float32(2.2) + grains * np.float32(1.1) + dust * np.float32(0.5)
    light_on_soil = _slope(relief, light) * np.float32(0.85 * max(unit, 0.6))
    pits = _ramp(0.6 * crumbs + 0.6 * grains + 0.3 * clumps, -0.3, -1.3)
    tone = (1 + 0.2 * broad + 0.2 * clumps + 0.2 * crumbs + 0.25 * grains + 0.3 * dust) * (1 - 0.5 * pits)
    tone = np.clip(tone * (1 + light_on_soil), 0.12, 3.0)
    gray = rng.random()
    soil = _linear(np.array((88, 72, 58)) * (1 - gray) + np.array((84, 79, 73)) * gray)
    soil *= rng.uniform(0.45, 1.15)
    canvas = soil.astype(np.float32)[:, None, None] * tone
    if rng.random() < 0.7:  # pale grains of sand and perlite
        bright = _ramp(dust + 0.4 * grains, rng.uniform(1.35, 1.7), 2.0)
        _blend(canvas, _linear((178, 168, 150)) * rng.uniform(0.5, 1.0), bright)

    # Moss: patches with ragged borders, and a fine velvet of its own.
    spread = 0.75 * broad + 0.5 * _noise(rng, height, width, 45 * unit) + 0.35 * clumps + 0.3 * crumbs + 0.22 * grains
    threshold = rng.choice([-0.1, 0.25, 0.6, 1.2], p=[0.2, 0.35, 0.3, 0.15]) + rng.normal(0, 0.1)
    moss = _ramp(spread, threshold, threshold + 0.45) * np.float32(rng.uniform(0.55, 0.95))
    velvet = _noise(rng, height, width, 2.8 * unit)
    moss_tone = 1 + 0.3 * grains + 0.4 * velvet + 0.25 * crumbs + 0.15 * clumps
    moss_tone = moss_tone * (1 + _slope(velvet + crumbs * np.float32(1.8), light) * np.float32(0.8))
    green = _linear(np.array((82, 100, 46)) + rng.normal(0, 1, 3) * (6, 5, 6)) * rng.uniform(0.6, 1.15)
    moss_color = green.astype(np.float32)[:, None, None] * np.clip(moss_tone, 0.2, 2.5)
    _blend(canvas, moss_color, moss)

    _paint_pot(rng, scene, canvas, crumbs, dust)
    return canvas


def _paint_pot(rng: np.random.Generator, scene: _Scene, canvas: np.ndarray, crumbs: _Plane, dust: _Plane) -> None:
    """The rim of the pot and the tray outside it; the rim may lie partly or wholly outside the picture."""
    side = min(scene.height, scene.width)
    radius = side * rng.uniform(0.49, 0.58)
    rim = side * rng.uniform(0.014, 0.026)
    roundness = rng.choice([2.0, 5.0, 9.0], p=[0.35, 0.3, 0.35])
    turn = rng.normal(0, 0.03)
    ys = (np.arange(scene.height, dtype=np.float32) - np.float32(scene.height / 2 + side * rng.normal(0, 0.02)))[
        :, None
    ]
    xs = (np.arange(scene.width, dtype=np.float32) - np.float32(scene.width / 2 + side * rng.normal(0, 0.02)))[None, :]
    turned_y = np.abs(ys * np.float32(math.cos(turn)) + xs * np.float32(math.sin(turn))) / np.float32(radius)
    turned_x = np.abs(xs * np.float32(math.cos(turn)) - ys * np.float32(math.sin(turn))) / np.float32(radius)
    if roundness == 2.0:
        norm = np.hypot(turned_y, turned_x)
    else:
        power = np.float32(roundness)
        larger = np.maximum(np.maximum(turned_y, turned_x), np.float32(1e-3))
        smaller = np.minimum(turned_y, turned_x)
        norm = larger * (1 + (smaller / larger) ** power) ** np.float32(1 / roundness)
    outside = (norm - 1) * np.float32(radius)  # distance outwards from the inner edge of the rim

    # The rim stands above the soil: it shades the soil on the lamp's side, and soil lies lower towards the wall.
    distance = np.hypot(ys, xs) + 1
    facing = (ys * np.float32(scene.light[0]) + xs * np.float32(scene.light[1])) / distance
    fall = side * 0.035
    shade = _ramp(outside, -fall, 0.0) * (0.45 + 0.3 * _ramp(facing, -0.3, 0.5))
    canvas *= 1 - shade

    gray = rng.uniform(0.008, 0.03)
    tray = np.float32(gray) * (1 + 0.2 * dust + 0.35 * crumbs)
    tray = tray * (0.55 + 0.45 * _ramp(outside, rim, rim + 0.1 * side))
    plastic = np.stack([tray, tray, tray * np.float32(1.06)])
    if rng.random() < 0.5:  # ribs of the tray
        pitch = side * rng.uniform(0.05, 0.12)
        along = ys if rng.random() < 0.5 else xs
        ribs = np.cos(along * np.float32(2 * math.pi / pitch)) ** 8
        plastic *= 1 + np.float32(rng.uniform(0.3, 0.9)) * ribs
    _blend(canvas, plastic, _ramp(outside, rim - 0.8, rim + 0.8))

    ring = _ramp(outside, -0.8, 0.8) * (1 - _ramp(outside, rim - 0.8, rim + 0.8))
    bulge = np.exp(-np.square((outside - np.float32(0.45 * rim)) / np.float32(0.28 * rim)))
    lit = np.float32(gray) * (1.3 + bulge * (1.5 + 3.0 * _ramp(-facing, -0.4, 0.6)))
    _blend(canvas, np.stack([lit, lit, lit * np.float32(1.05)]), ring)


# ---------------------------------------------------------------------------------------------------------------------
# Leaves


def _shadow_pad(scene: _Scene) -> int:
    return math.ceil(0.17 * scene.radius) + 2


def _paint_leaf(
    rng: np.random.Generator,
    scene: _Scene,
    canvas: np.ndarray,
    fine_noise: _Plane,
    outline: _Outline,
    height_rank: float,
) -> None:
    """Darkens what lies below the leaf, then lays the lit leaf on it. `height_rank` is 1 for the highest leaf."""
    y0, x0, y1, x1 = outline.box
    _cast_shadow(rng, scene, canvas[:, y0:y1, x0:x1], outline, height_rank)

    inside = outline.depth > -0.6
    rows = np.flatnonzero(inside.any(axis=1))
    columns = np.flatnonzero(inside.any(axis=0))
    if not rows.size:
        return
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    color = _light_leaf(rng, scene, fine_noise, outline, part)
    area = canvas[:, y0 + rows[0] : y0 + rows[-1] + 1, x0 + columns[0] : x0 + columns[-1] + 1]
    _blend(area, color, np.clip(outline.depth[part] + np.float32(0.5), 0, 1))


def _cast_shadow(
    rng: np.random.Generator, scene: _Scene, area: np.ndarray, outline: _Outline, height_rank: float
) -> None:
    """Shades the area of the leaf's box: a shifted shadow from the lamp and a soft dark seam around the leaf."""
    light_y, light_x, light_z = scene.light
    lift = scene.radius * (0.045 + 0.045 * height_rank) * rng.uniform(0.75, 1.25)
    reach = min(lift / light_z, 0.12 * scene.radius)
    soft = max(1.0, 0.28 * lift)
    shift_y, shift_x = round(-light_y * reach), round(-light_x * reach)
    shadow = _ramp(_shifted(outline.depth, shift_y, shift_x), -soft, soft)
    seam = _ramp(outline.depth, -max(2.0, 0.05 * scene.radius), 1.5)
    shadow = np.float32(0.98 * (1 - scene.ambient)) * shadow
    shade = (1 - shadow) * (1 - np.float32(0.3) * seam * seam)
    area *= shade


def _shifted(plane: _Plane, shift_y: int, shift_x: int) -> _Plane:
    """The plane moved down and right by whole pixels; what comes in from outside is far outside any leaf."""
    height, width = plane.shape
    moved = np.full_like(plane, -1e3)
    moved[max(0, shift_y) : height + min(0, shift_y), max(0, shift_x) : width + min(0, shift_x)] = plane[
        max(0, -shift_y) : height + min(0, -shift_y), max(0, -shift_x) : width + min(0, -shift_x)
    ]
    return moved


def _light_leaf(
    rng: np.random.Generator, scene: _Scene, fine_noise: _Plane, outline: _Outline, part: tuple[slice, slice]
) -> Float32[np.ndarray, "3 height width"]:
    """Colour of the leaf in linear light on a part of its box: green, veins, blotches, shading and gloss."""
    leaf = outline.leaf
    along, across, reach, depth = (
        plane[part] for plane in (outline.along, outline.across, outline.reach, outline.depth)
    )
    height, width = along.shape
    share = leaf.petiole_share
    blade = np.clip((along - np.float32(share)) * np.float32(1 / (1 - share)), 0, 1)
    on_blade = _ramp(blade, 0.0, 0.22)
    off_axis = np.abs(across)
    side = np.where(across > 0, np.float32(1), np.float32(-1))
    relative = np.clip(off_axis / np.maximum(reach, np.float32(0.7)), 0, 1)
    blade_length = leaf.length * (1 - share)

    # Side veins leave the midrib in pairs, a little out of step, and run forward to the margin.
    spacing = blade_length / rng.uniform(5.0, 7.0)
    phase = (blade * np.float32(blade_length) - np.float32(rng.uniform(0.55, 0.95)) * off_axis) / np.float32(spacing)
    phase += side * np.float32(rng.uniform(0.08, 0.25)) + np.float32(rng.random())
    slow = _noise(rng, height, width, max(4.0, 0.22 * leaf.length))
    phase += np.float32(0.22) * slow
    to_vein = np.abs(phase - np.rint(phase)) * np.float32(spacing)
    fade = min(1.0, max(0.0, (spacing - 2.5) / 6))
    vein_width = max(0.8, 0.035 * leaf.half_width)
    veins = np.exp(-np.square(to_vein / np.float32(vein_width))) * (1 - relative * relative) * on_blade
    rib_width = np.maximum(np.float32(leaf.petiole_half_width) * (1 - np.float32(0.72) * blade), np.float32(0.6))
    midrib = np.exp(-np.square(off_axis / (np.float32(0.8) * rib_width))) * (1 - np.float32(0.6) * blade)

    # Heights: rise and droop of the axis, curl of the sides, furrow of the midrib, pillows between veins, bumps.
    rise = rng.normal(0.12 + 0.2 * (1 - leaf.age), 0.12)
    droop = rng.normal(0.5, 0.2)
    curl = rng.normal(0.35, 0.28)
    furrow = rng.uniform(0.12, 0.32)
    pillow = rng.uniform(0.04, 0.2) * fade
    tilt = rng.normal(0, 0.12)
    slope_u = np.float32(rise) - np.float32(droop) * blade
    wave = np.sin(phase * np.float32(2 * math.pi)) * np.float32(pillow) * on_blade * (1 - relative * np.float32(0.6))
    slope_u = slope_u + wave
    slope_v = side * (
        np.float32(furrow) * np.exp(off_axis * np.float32(-1 / (0.22 * leaf.half_width + 0.5))) * on_blade
        - np.float32(curl) * relative * relative * on_blade
        - np.float32(1.1) * relative * (1 - on_blade)
        - np.float32(0.8) * wave
    ) + np.float32(tilt)
    bumps = _noise(rng, height, width, max(3.0, 0.1 * leaf.length))
    slope_u += np.float32(0.09) * bumps + np.float32(0.1) * slow
    slope_v += np.float32(0.09) * _noise(rng, height, width, max(3.0, 0.1 * leaf.length)) - np.float32(0.1) * slow

    light_y, light_x, light_z = scene.light
    cos, sin = math.cos(leaf.angle), math.sin(leaf.angle)
    light_u = np.float32(light_x * cos + light_y * sin)
    light_v = np.float32(light_y * cos - light_x * sin)
    normal_z = 1 / np.sqrt(1 + slope_u * slope_u + slope_v * slope_v)
    facing = np.clip((np.float32(light_z) - slope_u * light_u - slope_v * light_v) * normal_z, 0, None)
    diffuse = np.float32(scene.ambient) * (0.4 + 0.6 * normal_z) + np.float32((1 - scene.ambient) / light_z) * facing
    half_z = math.sqrt((1 + light_z) / 2)  # halfway between lamp and camera, which looks straight down
    half_u, half_v = light_u / np.float32(2 * half_z), light_v / np.float32(2 * half_z)
    mirror = np.clip((np.float32(half_z) - slope_u * half_u - slope_v * half_v) * normal_z, 0, 1)
    for _ in range(4):  # to the power of 16: a dull shine
        mirror = mirror * mirror
    gloss = np.float32(scene.gloss * rng.uniform(0.5, 1.4)) * mirror * (0.8 + 0.5 * fine_noise[:height, :width])
    gloss = np.clip(gloss, 0, None)

    young = min(1.0, max(0.0, 1 - leaf.age / 0.45))
    old = max(0.0, (leaf.age - 0.7) / 0.3) * rng.random()
    base = (
        scene.greens[1] * (1 - young - old * (1 - young))
        + scene.greens[0] * young
        + scene.greens[2] * old * (1 - young)
    )
    base = base * (1 + rng.normal(0, 1, 3) * (1.3 * scene.hue_spread, scene.hue_spread, scene.hue_spread))
    base = base * np.clip(rng.normal(1, 0.1), 0.75, 1.3)
    pale = base * (1.45, 1.28, 1.5)
    stalk = base * (1.25, 1.02, 1.0)
    speckle = fine_noise[-height:, -width:]
    tone = 1 + np.float32(0.07) * bumps + np.float32(0.09) * slow + np.float32(0.05) * speckle
    tone = tone - np.float32(0.12) * _ramp(-depth, -0.12 * leaf.half_width - 1.0, 0.5)
    lit = tone * diffuse
    pale_share = np.clip(np.float32(0.75) * midrib + np.float32(0.42 * fade) * veins, 0, 1)
    yellow = np.float32(0.16) * np.clip(slow - bumps * np.float32(0.5), 0, 1)
    color = np.empty((3, height, width), np.float32)
    for channel in range(3):
        green = np.float32(base[channel]) * on_blade + np.float32(stalk[channel]) * (1 - on_blade)
        green += (np.float32(pale[channel]) - green) * pale_share
        if channel == 0:
            green = green * (1 + yellow)
        color[channel] = green * lit + gloss
    return color


# ---------------------------------------------------------------------------------------------------------------------
# Camera


def _photograph(rng: np.random.Generator, scene: _Scene, canvas: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    """What a camera makes of the canvas: uneven light, white balance, exposure, blur, noise, the curve of a screen."""
    height, width = scene.height, scene.width
    ys = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    xs = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    strength = rng.uniform(0.03, 0.16)
    light = 1 + np.float32(strength * scene.light[0]) * ys + np.float32(strength * scene.light[1]) * xs
    light = light - np.float32(rng.uniform(0.02, 0.1)) * (ys * ys + xs * xs)
    balance = (1 + rng.normal(0, 0.035, 3)) * rng.uniform(0.85, 1.25)
    sigma = rng.uniform(0.45, 0.95) * min(1.6, max(0.6, scene.unit))
    noise = rng.uniform(0.006, 0.02)
    luminance = rng.standard_normal((height, width), dtype=np.float32) * np.float32(noise)
    image = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        plane = canvas[channel] * (light * np.float32(balance[channel]))
        plane = ndimage.gaussian_filter(plane, sigma, truncate=2.5)
        plane = np.sqrt(np.clip(plane + np.float32(0.0012), 0, None)) + luminance
        plane += rng.standard_normal((height, width), dtype=np.float32) * np.float32(0.5 * noise)
        image[..., channel] = np.rint(np.clip(plane, 0, 1) * 255)
    return image
