"""The rendering of synthetic scenes: grounds, the paints of objects, shadows and the camera.

Colours, textures and light do not depend on the class, so that only shape and parts identify it. A canvas is float32, (channels, height,
width), in screen values. Whole planes are computed with plain IEEE arithmetic only, without sines and powers, whose last digits differ
between machines.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64, UInt8
from scipy import ndimage

from seriatim.data.synthetic.drawing import Drawing
from seriatim.data.synthetic.noise import Plane, smooth_noise

_LUMA = np.array((0.3, 0.59, 0.11))
_STRONGEST_GROUND = 0.55  # how far colours of the ground may be from grey
_MIN_CONTRAST = 0.2  # between an object's colours and what lies behind it, as a distance in colour space


def draw_colors(rng: np.random.Generator, count: int, strongest: float = 0.85) -> Float64[np.ndarray, "count 3"]:
    """Random colours of every hue, from grey to `strongest` (0..1), from dark to light."""
    value, strength, sector = rng.random((3, count, 1))
    strength = np.where(strength < 0.2, 0.05, (strength - 0.2) * (strongest / 0.8))
    sector = 6 * sector
    rising = np.concatenate((np.abs(sector - 3) - 1, 2 - np.abs(sector - 2), 2 - np.abs(sector - 4)), axis=1)
    return (0.12 + 0.83 * value) * (1 - strength * (1 - np.clip(rising, 0, 1)))


def draw_far_color(rng: np.random.Generator, others: Sequence[np.ndarray], distance: float) -> np.ndarray:
    """The first of twelve random colours that differs from all others by the distance, or the one that differs most."""
    colors = draw_colors(rng, 12)
    apart = colors[:, None] - np.stack(others)
    nearest = np.sqrt(np.square(apart).sum(axis=2)).min(axis=1)
    return colors[int(np.argmax(np.minimum(nearest, distance)))]


def paint_ground(
    rng: np.random.Generator, height: int, width: int, horizon: int | None
) -> Float32[np.ndarray, "3 height width"]:
    """Paint the background: sky over ground if there is a horizon, otherwise a single texture.

    Args:
        rng: random generator.
        height: pixels.
        width: pixels.
        horizon: row of the horizon.
    """
    color, far = draw_colors(rng, 2, _STRONGEST_GROUND)
    canvas = _texture(rng, height, width, color)
    if horizon is None:
        return canvas
    if abs(float(((far - color) * _LUMA).sum())) < 0.15:
        far = np.clip(far + (0.25 if far.mean() < 0.5 else -0.25), 0.05, 1)
    edge = np.full(width, horizon, np.float32)
    if rng.random() < 0.5:  # hills
        hills = smooth_noise(rng, 1, width, rng.uniform(0.1, 0.5) * width)[0]
        edge += hills * np.float32(rng.uniform(0.02, 0.1) * height)
    else:  # a straight line, a little tilted
        edge += _ramp(width, rng.uniform(-0.04, 0.04) * width)
    rows = np.arange(height, dtype=np.float32)[:, None]
    sky = np.clip(edge - rows, 0, 1)
    canvas += (_texture(rng, height, width, far) - canvas) * sky
    return canvas


def _texture(rng: np.random.Generator, height: int, width: int, color: np.ndarray) -> np.ndarray:
    """A surface of one main colour: a gradient, noise of several sizes, patches of a second colour, or a pattern."""
    second = color + rng.uniform(-0.2, 0.2) + rng.uniform(-0.1, 0.1, 3)
    if rng.random() < 0.2:
        second = draw_colors(rng, 1, _STRONGEST_GROUND)[0]
    style = rng.integers(5)
    unit = max(height, width) / 256
    if style == 0:
        share = _slant((height, width), (rng.uniform(-1, 1), rng.uniform(-1, 1)), 0.5) - np.float32(0.5)
    elif style == 1:
        share = smooth_noise(rng, height, width, rng.uniform(25, 80) * unit) * np.float32(0.5) + np.float32(0.4)
    elif style == 2:
        field = smooth_noise(rng, height, width, rng.uniform(18, 60) * unit)
        share = np.clip(field * np.float32(rng.uniform(2, 12)) + np.float32(rng.uniform(-0.5, 1)), 0, 1)
    elif style == 3:
        share = pattern(rng, height, width, rng.uniform(12, 50) * unit)
        second = color + rng.uniform(-0.15, 0.15) + rng.uniform(-0.05, 0.05, 3)
    else:
        share = np.zeros((height, width), np.float32)
    tone = np.ones((height, width), np.float32)
    for cell, most in ((rng.uniform(30, 60), 0.12), (rng.uniform(8, 20), 0.14), (rng.uniform(2, 5), 0.16)):
        amount = rng.uniform(0, most) * (rng.random() < 0.75)
        if amount:
            tone += np.float32(amount) * smooth_noise(rng, height, width, cell * unit)
    planes = np.empty((3, height, width), np.float32)
    for plane, one, other in zip(planes, color, second, strict=True):
        plane[:] = (np.float32(one) + np.float32(other - one) * share) * tone
    return planes


def pattern(rng: np.random.Generator, height: int, width: int, period: float) -> Plane:
    """Stripes, checks, dots or noise of the period in pixels, as shares 0..1 of a second colour."""
    style = rng.integers(4)
    if style == 3:
        field = smooth_noise(rng, height, width, max(2.0, 0.5 * period))
        return np.clip(field * np.float32(3) + np.float32(rng.uniform(0, 1)), 0, 1)
    turn = rng.uniform(0, math.pi)
    sin, cos = math.sin(turn) / period, math.cos(turn) / period
    ys = np.arange(height, dtype=np.float32)[:, None]
    xs = np.arange(width, dtype=np.float32)[None, :]
    shift_u, shift_v = rng.random(2)
    u = _to_middle(ys * np.float32(cos) - xs * np.float32(sin) + np.float32(shift_u))
    edge = np.float32(2 * period)  # from 0 to 1 within half a pixel either way
    wide = np.float32(rng.uniform(0.18, 0.32))
    if style == 0:
        return np.clip((wide - u) * edge + np.float32(0.5), 0, 1)
    v = _to_middle(ys * np.float32(sin) + xs * np.float32(cos) + np.float32(shift_v))
    if style == 1:
        one, other = (np.clip((np.float32(0.25) - side) * edge + np.float32(0.5), 0, 1) for side in (u, v))
        return one + other - 2 * one * other
    return np.clip((wide - np.sqrt(u * u + v * v)) * edge + np.float32(0.5), 0, 1)


def _to_middle(position: Plane) -> Plane:
    """Distance, 0..0.5, to the nearest whole number."""
    return np.abs(position - np.rint(position))


def cast_shadow(canvas: np.ndarray, drawing: Drawing, strength: float, shift: tuple[int, int], soft: float) -> None:
    """Darken what lies behind a drawing in its shape, moved by whole pixels and blurred.

    Args:
        canvas: changed in place.
        drawing: the object that casts the shadow; its margin leaves room for it.
        strength: 0..1.
        shift: rows and columns, at most the margin.
        soft: standard deviation of the blur in pixels.
    """
    shadow = ndimage.gaussian_filter(drawing.alpha, soft, truncate=2.0, mode="constant")
    inside, part = drawing.window(canvas.shape[1], canvas.shape[2], shift)
    canvas[:, *inside] *= 1 - np.float32(strength) * shadow[part]


def paint_object(rng: np.random.Generator, canvas: np.ndarray, drawing: Drawing, light: tuple[float, float]) -> None:
    """Paint a drawing in random colours on the canvas, lit from the direction `light`.

    Args:
        rng: random generator.
        canvas: changed in place.
        drawing: a form on the pixels.
        light: (y, x) towards the lamp, of a length of at most 1.
    """
    height, width = drawing.alpha.shape
    inside, part = drawing.window(canvas.shape[1], canvas.shape[2])
    behind = canvas[:, *inside]
    colors = _draw_colors(rng, behind.mean(axis=(1, 2), dtype=np.float64))
    surfaces = [_surface(rng, height, width, color, textured) for color, textured in colors]
    tones = rng.uniform(0.88, 1.12, len(drawing.paints)).astype(np.float32)
    body = np.zeros((3, height, width), np.float32)
    for cover, paint, tone in zip(drawing.coverage, drawing.paints, tones, strict=True):
        rows, columns = np.flatnonzero(cover.any(axis=1)), np.flatnonzero(cover.any(axis=0))
        if not rows.size:
            continue
        window = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        share = cover[window]
        shade = _slant(share.shape, light, 0.16) * tone
        surface = surfaces[paint]
        color = surface[:, *window] if surface.shape[1] > 1 else surface
        area = body[:, *window]
        area *= 1 - share
        area += color * (shade * share)
    volume = _slant((height, width), light, 0.2) + _swelling(drawing.alpha, light)
    behind *= 1 - drawing.alpha[part]
    behind += body[:, *part] * np.clip(volume[part], np.float32(0.4), np.float32(1.6))


def _swelling(alpha: Plane, light: tuple[float, float]) -> Plane | float:
    """The change of light on a body that rises from its outline: its blurred shape, taken as heights."""
    radius = 0.07 * min(alpha.shape)
    if radius < 1:
        return 0.0
    heights = ndimage.gaussian_filter(alpha, radius, truncate=2.0)
    lit = np.zeros_like(heights)
    lit[1:-1] += np.float32(1.25 * light[0] * radius) * (heights[:-2] - heights[2:])
    lit[:, 1:-1] += np.float32(1.25 * light[1] * radius) * (heights[:, :-2] - heights[:, 2:])
    return lit


def _draw_colors(rng: np.random.Generator, behind: np.ndarray) -> list[tuple[np.ndarray, bool]]:
    """The four paints, and whether each is textured: all far from the colour behind, the last two also from the others."""
    main = draw_far_color(rng, [behind], 1.5 * _MIN_CONTRAST)
    second = main * rng.uniform(0.6, 0.85) if rng.random() < 0.25 else draw_far_color(rng, [behind], _MIN_CONTRAST)
    detail = draw_far_color(rng, [main, second, behind], 1.25 * _MIN_CONTRAST)
    accent = draw_far_color(rng, [main, second, detail, behind], 1.25 * _MIN_CONTRAST)
    return [(main, rng.random() < 0.6), (second, rng.random() < 0.3), (detail, False), (accent, False)]


def _surface(rng: np.random.Generator, height: int, width: int, color: np.ndarray, textured: bool) -> np.ndarray:
    """The colour of every pixel, or of all at once (3, 1, 1) where there is no texture."""
    plain = color.astype(np.float32)[:, None, None]
    if not textured:
        return plain
    other = np.clip(color + rng.uniform(-0.3, 0.3, 3), 0.05, 1).astype(np.float32)[:, None, None]
    period = max(3.5, rng.uniform(0.06, 0.25) * max(height, width))
    return plain + (other - plain) * pattern(rng, height, width, period)


def _slant(shape: tuple[int, ...], light: tuple[float, float], depth: float) -> Plane:
    """1 in the middle, brighter towards the lamp."""
    return 1 + _ramp(shape[0], light[0] * depth)[:, None] + _ramp(shape[1], light[1] * depth)


def _ramp(length: int, reach: float) -> np.ndarray:
    """Evenly spaced values from about -reach to reach."""
    return (np.arange(length, dtype=np.float32) - np.float32(0.5 * length)) * np.float32(2 * reach / length)


def photograph(rng: np.random.Generator, canvas: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    """Photograph the canvas: uneven light, haze, white balance, exposure, blur, noise; a few images are grey."""
    height, width = canvas.shape[1:]
    falloff = _slant((height, width), (rng.uniform(-1, 1), rng.uniform(-1, 1)), rng.uniform(0.0, 0.25))
    balance = (1 + rng.uniform(-0.08, 0.08, 3)) * rng.uniform(0.75, 1.2)
    haze = rng.uniform(0.0, 0.2) if rng.random() < 0.25 else 0.0
    sigma = rng.uniform(0.3, 0.8) if rng.random() < 0.8 else rng.uniform(0.8, 1.3)
    noise = np.float32(rng.uniform(0.0, 0.035))
    if rng.random() < 0.06:
        grey = canvas * _LUMA.astype(np.float32)[:, None, None]
        canvas = np.broadcast_to(grey[0] + grey[1] + grey[2], canvas.shape)
    image = np.empty((height, width, 3), np.uint8)
    shared = rng.random((height, width), dtype=np.float32) - np.float32(0.5)
    for channel in range(3):
        light = falloff * np.float32(balance[channel] * (1 - haze))
        plane = np.clip(canvas[channel], 0, 1) * light + np.float32(0.8 * haze)
        plane = ndimage.gaussian_filter(plane, sigma, truncate=2.5)
        grain = shared + (rng.random((height, width), dtype=np.float32) - np.float32(0.5))
        image[..., channel] = np.rint(np.clip(plane + grain * (2 * noise), 0, 1) * 255)
    return image
