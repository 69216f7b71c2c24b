"""The rendering of a synthetic rosette: ground, leaves and camera, on a canvas in linear light.

A canvas is float32, (channels, height, width). Leaves are painted from the lowest (the oldest) to the highest (the youngest); each casts a
shadow on what lies below it.
"""

import math

import numpy as np
from jaxtyping import Float32, UInt8
from scipy import ndimage

from seriatim.data.synthetic.noise import Plane, smooth_noise
from seriatim.data.synthetic.rosette_geometry import Outline, Scene


def _ramp(values: Plane, low: float, high: float) -> Plane:
    """0 below `low`, 1 above `high`, smooth between."""
    share = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return share * share * (3 - 2 * share)


def _slope(plane: Plane, light: tuple[float, float, float]) -> Plane:
    """The slope of the plane, taken as heights, towards the lamp: positive where it is lit."""
    lit = np.zeros_like(plane)
    lit[1:] -= np.float32(light[0]) * (plane[1:] - plane[:-1])
    lit[:, 1:] -= np.float32(light[1]) * (plane[:, 1:] - plane[:, :-1])
    return lit


def _linear(rgb: np.ndarray | tuple[int, int, int]) -> np.ndarray:
    """A screen colour 0..255 in the linear light of the canvas; the screen's curve is approximated by a square."""
    return np.square(np.asarray(rgb) / 255)


def _blend(canvas: np.ndarray, colors: np.ndarray, share: Plane) -> None:
    """Mix `colors`, one per channel or a whole canvas, into the canvas in place."""
    for channel in range(3):
        color = colors[channel] if colors.ndim == 3 else np.float32(colors[channel])
        canvas[channel] += (color - canvas[channel]) * share


def paint_ground(rng: np.random.Generator, scene: Scene) -> Float32[np.ndarray, "3 height width"]:
    """Soil with moss in a pot with a rim, on a black tray."""
    height, width, unit, light = scene.height, scene.width, scene.unit, scene.light
    broad = smooth_noise(rng, height, width, 90 * unit)
    clumps = smooth_noise(rng, height, width, 22 * unit)
    crumbs = smooth_noise(rng, height, width, 9 * unit)
    grains = smooth_noise(rng, height, width, 4 * unit)
    dust = smooth_noise(rng, height, width, 2 * unit)

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
    spread = (
        0.75 * broad + 0.5 * smooth_noise(rng, height, width, 45 * unit) + 0.35 * clumps + 0.3 * crumbs + 0.22 * grains
    )
    threshold = rng.choice([-0.1, 0.25, 0.6, 1.2], p=[0.2, 0.35, 0.3, 0.15]) + rng.normal(0, 0.1)
    moss = _ramp(spread, threshold, threshold + 0.45) * np.float32(rng.uniform(0.55, 0.95))
    velvet = smooth_noise(rng, height, width, 2.8 * unit)
    moss_tone = 1 + 0.3 * grains + 0.4 * velvet + 0.25 * crumbs + 0.15 * clumps
    moss_tone = moss_tone * (1 + _slope(velvet + crumbs * np.float32(1.8), light) * np.float32(0.8))
    green = _linear(np.array((82, 100, 46)) + rng.normal(0, 1, 3) * (6, 5, 6)) * rng.uniform(0.6, 1.15)
    moss_color = green.astype(np.float32)[:, None, None] * np.clip(moss_tone, 0.2, 2.5)
    _blend(canvas, moss_color, moss)

    _paint_pot(rng, scene, canvas, crumbs, dust)
    return canvas


def _paint_pot(rng: np.random.Generator, scene: Scene, canvas: np.ndarray, crumbs: Plane, dust: Plane) -> None:
    """The rim of the pot and the tray outside it; the rim may lie partly or wholly outside the image."""
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


def paint_leaf(
    rng: np.random.Generator,
    scene: Scene,
    canvas: np.ndarray,
    fine_noise: Plane,
    outline: Outline,
    height_rank: float,
) -> None:
    """Darken what lies below the leaf, then paint the lit leaf. `height_rank` is 1 for the highest leaf."""
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
    rng: np.random.Generator, scene: Scene, area: np.ndarray, outline: Outline, height_rank: float
) -> None:
    """Shade the area of the leaf's box: a shifted shadow from the lamp and a soft dark seam around the leaf."""
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


def _shifted(plane: Plane, shift_y: int, shift_x: int) -> Plane:
    """The plane moved down and right by whole pixels; new pixels count as far outside any leaf."""
    height, width = plane.shape
    moved = np.full_like(plane, -1e3)
    moved[max(0, shift_y) : height + min(0, shift_y), max(0, shift_x) : width + min(0, shift_x)] = plane[
        max(0, -shift_y) : height + min(0, -shift_y), max(0, -shift_x) : width + min(0, -shift_x)
    ]
    return moved


def _light_leaf(
    rng: np.random.Generator, scene: Scene, fine_noise: Plane, outline: Outline, part: tuple[slice, slice]
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
    slow = smooth_noise(rng, height, width, max(4.0, 0.22 * leaf.length))
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
    bumps = smooth_noise(rng, height, width, max(3.0, 0.1 * leaf.length))
    slope_u += np.float32(0.09) * bumps + np.float32(0.1) * slow
    slope_v += np.float32(0.09) * smooth_noise(rng, height, width, max(3.0, 0.1 * leaf.length)) - np.float32(0.1) * slow

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


def photograph(rng: np.random.Generator, scene: Scene, canvas: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    """Photograph the canvas: uneven light, white balance, exposure, blur, noise, the curve of a screen."""
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
