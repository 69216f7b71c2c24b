"""Shapes of living things in synthetic scenes: people, dogs, birds and trees.

Each function draws one example in a frame of its own: (y, x), y downwards, about one unit long, facing +x. `thin` is the width of the
finest line that is visible.
"""

import math

import numpy as np

from seriatim.data.synthetic.curves import Point, curve, ellipse, joint, limb, mirrored, polygon, scaled
from seriatim.data.synthetic.drawing import Part, accent, detail, main, second


def person(rng: np.random.Generator, thin: float) -> list[Part]:
    """Standing, walking, running or waving, from the side or from the front, in trousers or a skirt."""
    stout = rng.uniform(0.8, 1.35)
    child = rng.uniform(1.0, 1.45)  # a larger head
    frontal = rng.random() < 0.4
    head = 0.068 * child
    neck = (0.055 + 2 * head, 0.0)
    lean = 0.0 if frontal else rng.uniform(-0.03, 0.1)
    hip = (neck[0] + rng.uniform(0.27, 0.33), -lean)
    across = (0.085 if frontal else 0.045) * stout
    arm_width, leg_width = max(0.05 * stout, thin), max(0.078 * stout, thin)
    shoulder_y = neck[0] + 0.035
    arms = _arms(rng, (shoulder_y, neck[1]), across if frontal else 0.0, frontal, arm_width)
    legs = _legs(rng, hip, 0.045 * stout if frontal else 0.0, frontal, leg_width)
    waist, low = hip[0] - 0.1, hip[0] + 0.05
    front, back = (across * rng.uniform(0.75, 1.15) for _ in range(2))
    right = [(shoulder_y, across + 0.025), (waist, hip[1] + front), (low, hip[1] + across + 0.01)]
    left = [(low, hip[1] - across - 0.01), (waist, hip[1] - back), (shoulder_y, -across - 0.025)]
    torso = curve([(neck[0], -0.02), (neck[0] + 0.005, 0.025), *right, *left])
    middle = (neck[0] - 0.015 - head, 0.0 if frontal else 0.012)
    parts = [arms[0], *legs]
    if rng.random() < 0.25:
        hem, reach = hip[0] + rng.uniform(0.12, 0.28), across + rng.uniform(0.05, 0.13)
        corners = [(hip[0] - 0.1, hip[1] - across), (hip[0] - 0.1, hip[1] + across), (hem, hip[1] + reach)]
        parts.append(second(polygon([*corners, (hem, hip[1] - reach)])))
    parts.append(main(torso))
    parts.append(detail(*limb([(neck[0] + 0.01, 0.0), middle], [0.05, 0.05])))
    parts.append(detail(ellipse(*middle, head * 1.15, head * 0.95)))
    parts += _hair(rng, middle, head, frontal)
    return [*parts, arms[1]]


def _arms(rng: np.random.Generator, shoulder: Point, across: float, frontal: bool, width: float) -> tuple[Part, Part]:
    """The far and the near arm: hanging, bent, raised or stretched out."""
    arms = []
    pose = rng.integers(5)
    for side in (-1.0, 1.0):
        start = (shoulder[0], shoulder[1] + side * across)
        upper = rng.uniform(0.1, 0.4) if frontal else side * rng.uniform(0.0, 0.7)
        bend = rng.uniform(0.0, 0.5)
        if pose == 1 and side > 0:
            upper, bend = rng.uniform(2.0, 2.8), rng.uniform(0.0, 0.7)
        elif pose == 2:
            upper, bend = rng.uniform(1.2, 2.6), rng.uniform(-0.3, 0.6)
        elif pose == 3:
            bend = rng.uniform(0.9, 1.9)
        facing = side if frontal else 1.0
        elbow = joint(start, 0.155, facing * upper)
        hand = joint(elbow, 0.14, facing * (upper + bend))
        lines = limb([start, elbow, hand], [width * 1.1, width * 0.9, width * 0.75])
        arms.append((main if pose % 2 else second)(*lines, ellipse(*hand, width * 0.5, width * 0.5)))
    return arms[0], arms[1]


def _legs(rng: np.random.Generator, hip: Point, across: float, frontal: bool, width: float) -> list[Part]:
    """Both legs with their feet: together, striding or running."""
    stride = rng.choice([0.08, 0.4, 0.75])
    thigh, shin = rng.uniform(0.2, 0.24), rng.uniform(0.2, 0.24)
    legs = []
    for side in (-1.0, 1.0):
        start = (hip[0] + 0.02, hip[1] + side * across)
        if frontal:
            angle, bend = side * rng.uniform(0.02, 0.25), 0.0
        else:
            angle = side * stride * rng.uniform(0.7, 1.0)
            bend = rng.uniform(0.0, 0.35) + (stride if side < 0 else 0.0) * rng.uniform(0.2, 1.0)
        knee = joint(start, thigh, angle)
        ankle = joint(knee, shin, angle - bend)
        toe = (ankle[0] + 0.012, ankle[1] + (side * 0.03 if frontal else 0.065))
        legs.append(second(*limb([start, knee, ankle], [width * 1.15, width * 0.85, width * 0.65])))
        legs.append(accent(*limb([ankle, toe], [width * 0.7, width * 0.55])))
    return legs


def _hair(rng: np.random.Generator, middle: Point, head: float, frontal: bool) -> list[Part]:
    """Short or long hair, a hat, or nothing."""
    y, x = middle
    style = rng.integers(5)
    if style == 0:
        return []
    if style == 1:  # a hat with a brim
        top, brim = y - head * 1.5, y - head * 0.45
        crown = polygon([(top, x - head * 0.7), (top, x + head * 0.7), (brim, x + head), (brim, x - head)])
        return [accent(crown, *limb([(brim, x - head * 1.3), (brim, x + head * 1.5)], [0.02, 0.02]))]
    back = -0.2 * head if frontal else -0.75 * head
    down = y + head * (rng.uniform(0.8, 2.2) if style == 2 else -0.1)
    front = scaled([(-1.3, -0.9), (-1.45, 0.4), (-0.6, 1.15), (-0.35, 0.3)], head, head)
    corners = [(y + dy, x + dx) for dy, dx in front]
    corners += [(y, x + back), (down, x + back), (down, x - head * 1.3)]
    return [accent(curve(corners))]


def dog(rng: np.random.Generator, thin: float) -> list[Part]:
    """An animal on four legs from the side, from a dachshund to a foal: legs, neck, ears and tail differ."""
    leg, girth = rng.uniform(0.2, 0.42), rng.uniform(0.09, 0.15)
    half = rng.uniform(0.26, 0.34)
    width = max(rng.uniform(0.045, 0.07), thin)
    head_size = rng.uniform(0.075, 0.1)
    rise = rng.uniform(0.25, 1.25)
    head = joint((-girth * 0.35, half * 0.9), rng.uniform(0.16, 0.27), math.pi - rise)
    parts = [_four_legs(rng, side, half, girth, leg, width) for side in (0, 1)]
    tail = [(-girth * 0.4, -half * 0.95), joint((-girth * 0.4, -half), 0.12, -rng.uniform(0.5, 2.6))]
    tail.append(joint(tail[1], rng.uniform(0.05, 0.15), -rng.uniform(0.5, 3.0)))
    back = [(-1.0, -1.0), (-0.85, 0.0), (-1.05, 1.0), (0.4, 1.2)]
    belly = [(1.15, 0.7), (rng.uniform(0.5, 0.95), -0.4), (0.8, -1.05), (-0.2, -1.2)]
    body = curve(scaled([*back, *belly], girth, half))
    snout = joint(head, head_size * rng.uniform(1.4, 2.1), rng.uniform(1.0, 1.55))
    neck = limb([(-girth * 0.2, half * 0.8), head], [girth * 1.5, head_size * 1.3])
    near = parts.pop()
    parts += [
        main(*limb(tail, [max(0.05, thin), max(0.04, thin), max(0.025, thin)])),
        main(body, *neck),
        near,
        main(ellipse(*head, head_size, head_size * 1.15), *limb([head, snout], [head_size * 1.3, head_size])),
        _dog_ear(rng, head, head_size, thin),
        accent(ellipse(snout[0] - 0.02, snout[1] + head_size * 0.35, 0.022, 0.025)),
        accent(ellipse(head[0] - head_size * 0.2, head[1] + head_size * 0.45, 0.016, 0.016)),
    ]
    if rng.random() < 0.35:  # a patch or a collar
        spot = ellipse(
            -girth * 0.3, rng.uniform(-0.6, 0.4) * half, girth * rng.uniform(0.4, 0.7), half * rng.uniform(0.25, 0.5)
        )
        parts.insert(-4, second(spot))
    return parts


def _four_legs(rng: np.random.Generator, side: int, half: float, girth: float, leg: float, width: float) -> Part:
    """A fore and a hind leg of one side, as one part."""
    contours = []
    for place, backward in ((half * 0.8, -1.0), (-half * 0.82, 1.0)):
        swing = rng.uniform(-0.5, 0.5) if rng.random() < 0.6 else rng.uniform(-0.1, 0.1)
        hip = (girth * 0.35, place + (0.03 if side else -0.03))
        knee = joint(hip, leg * 0.55, swing)
        paw = joint(knee, leg * 0.55, swing + backward * rng.uniform(0.0, 0.45))
        contours += limb([hip, knee, paw], [width * 1.8, width * 1.05, width * 0.85])
        contours += limb([paw, (paw[0], paw[1] + 0.04)], [width * 0.85, width * 0.7])
    return (main if side else second)(*contours)


def _dog_ear(rng: np.random.Generator, head: Point, size: float, thin: float) -> Part:
    y, x = head
    if rng.random() < 0.5:  # pricked
        tip = (y - size * rng.uniform(1.6, 2.4), x - size * rng.uniform(0.0, 0.6))
        return detail(polygon([(y - size * 0.5, x - size * 0.8), tip, (y - size * 0.7, x + size * 0.25)]))
    end = (y + size * rng.uniform(0.6, 1.3), x - size * rng.uniform(0.5, 1.0))
    return detail(*limb([(y - size * 0.6, x - size * 0.3), end], [max(size * 0.5, thin), max(size * 0.75, thin)]))


def bird(rng: np.random.Generator, thin: float) -> list[Part]:
    """Perched on its legs with a folded wing, or flying with spread ones."""
    flying = rng.random() < 0.45
    half, girth = rng.uniform(0.24, 0.3), rng.uniform(0.11, 0.17)
    tilt = rng.uniform(-0.15, 0.15) if flying else rng.uniform(-0.75, -0.25)
    head_size = rng.uniform(0.085, 0.115)
    cos, sin = math.cos(tilt), math.sin(tilt)
    head = (half * 0.95 * sin - girth * 0.45, half * 0.95 * cos)
    tail = (-half * 1.05 * sin, -half * 1.05 * cos)
    fan = rng.uniform(0.04, 0.1)
    length = rng.uniform(0.15, 0.32)
    end = (tail[0] - length * sin, tail[1] - length * cos)
    beak = rng.uniform(0.09, 0.2)
    nose = (head[0] + rng.uniform(0.0, 0.06), head[1] + head_size + beak)
    root = tail[1] + 0.08
    feathers = [(tail[0] - 0.03, root), (end[0] - fan, end[1]), (end[0] + fan, end[1] + 0.03), (tail[0] + 0.05, root)]
    parts = [second(polygon(feathers))]
    if flying:
        parts.append(second(_spread_wing(rng, -0.02, -1.0)))
    else:
        ground = girth + rng.uniform(0.12, 0.3)
        for x in (-0.05, 0.05):
            foot = (ground, x + rng.uniform(-0.03, 0.06))
            stick = max(0.022, thin)
            lines = limb([(girth * 0.7, x), foot, (foot[0], foot[1] + 0.06)], [stick, stick, stick])
            parts.append(accent(*lines))
    parts += [
        accent(polygon([(head[0] - 0.045, head[1] + 0.04), nose, (head[0] + 0.045, head[1] + 0.03)])),
        main(ellipse(0.0, 0.0, girth, half, tilt), ellipse(*head, head_size, head_size)),
        detail(ellipse(girth * 0.35, half * 0.25, girth * 0.6, half * 0.6, tilt)),
        accent(ellipse(head[0] - 0.02, head[1] + head_size * 0.4, 0.02, 0.02)),
    ]
    if flying:
        parts.append(second(_spread_wing(rng, 0.06, 1.0 if rng.random() < 0.5 else -1.0)))
    else:
        back = (-half * 0.95 * sin - 0.02, -half * 1.1 * cos)
        wing = [(-girth * 0.55, half * 0.45), (girth * 0.35, half * 0.3), (girth * 0.3, -half * 0.4), back]
        parts.append(second(curve([*wing, (-girth * 0.6, -half * 0.2)])))
    return parts


def _spread_wing(rng: np.random.Generator, x: float, up: float) -> np.ndarray:
    """A wing from the body at x outwards, upwards where `up` is negative, swept back."""
    span, sweep = rng.uniform(0.35, 0.55), rng.uniform(0.05, 0.35)
    tip = (up * span, x - sweep)
    return curve([(0.0, x + 0.13), (up * span * 0.6, x + 0.1), tip, tip, (up * span * 0.45, x - 0.14), (0.0, x - 0.13)])


def tree(rng: np.random.Generator, thin: float) -> list[Part]:
    """A broad-leaved tree, a conifer or a poplar: trunk and crown."""
    style = rng.integers(3)
    trunk = rng.uniform(0.05, 0.1)
    sway = rng.uniform(-0.04, 0.04)
    if style == 1:
        return _conifer(rng, trunk)
    bottom = rng.uniform(0.58, 0.74)
    parts = [second(*limb([(0.4, sway), (0.97, 0.0)], [trunk * 0.7, trunk * 1.25]))]
    if rng.random() < 0.5:
        for side in (-1.0, 1.0):
            fork = [(bottom + 0.05, 0.0), (bottom - 0.15, side * rng.uniform(0.1, 0.22))]
            parts.append(second(*limb(fork, [trunk * 0.6, max(trunk * 0.35, thin)])))
    if style == 0:
        reach = rng.uniform(0.2, 0.34)
        middle = bottom * 0.5
        lumps = [ellipse(middle, sway, middle * 0.85, reach)]
        for turn in np.linspace(0.0, 2 * math.pi, rng.integers(5, 9), endpoint=False) + rng.uniform(0, 1):
            y = middle + middle * 0.62 * math.sin(turn)
            x = sway + reach * 0.8 * math.cos(turn)
            lumps.append(ellipse(y, x, rng.uniform(0.1, 0.17), rng.uniform(0.11, 0.18)))
        parts.append(main(*lumps))
        if rng.random() < 0.5:
            return parts
        lit = [
            ellipse(middle * rng.uniform(0.5, 1.3), sway + reach * rng.uniform(-0.6, 0.6), 0.07, 0.09) for _ in range(3)
        ]
        return [*parts, detail(*lit)]
    width = rng.uniform(0.12, 0.18)
    crown = mirrored([(0.15, width * 0.9), (0.5, width * 1.25), (bottom + 0.08, width * 0.8)])
    return [*parts, main(curve([(-0.1, sway), *crown]))]


def _conifer(rng: np.random.Generator, trunk: float) -> list[Part]:
    """Trunk and two to four tiers of branches."""
    tiers = int(rng.integers(2, 5))
    foot = rng.uniform(0.76, 0.88)
    reach = rng.uniform(0.22, 0.36)
    parts = [second(*limb([(0.5, 0.0), (0.98, 0.0)], [trunk, trunk * 1.1]))]
    for tier in reversed(range(tiers)):
        low = foot * (tier + 1) / tiers
        top = max(0.0, low - foot / tiers * 1.7)
        half = reach * (0.45 + 0.55 * (tier + 1) / tiers)
        corners = [(top, 0.0), (low - 0.015, half), (low + 0.02, half * 0.5), (low - 0.01, 0.0)]
        left = [(low + 0.02, -half * 0.5), (low - 0.015, -half)]
        parts.append(main(polygon([*corners, *left])))
    return parts
