"""Shapes of vehicles in synthetic scenes: cars, boats, bicycles and aeroplanes.

Each function draws one example in a frame of its own: (y, x), y downwards, about one unit long, facing +x. `thin` is the width of the
finest line that is visible.
"""

import math
from itertools import pairwise

import numpy as np

from seriatim.data.synthetic.curves import box, curve, ellipse, limb, polygon, ring, scaled
from seriatim.data.synthetic.drawing import Part, accent, detail, main, second


def car(rng: np.random.Generator, thin: float) -> list[Part]:
    """From the side: a saloon, a hatchback, a van or a pickup, with windows, wheels and lights."""
    low, high = rng.uniform(0.13, 0.2), rng.uniform(0.12, 0.18)  # body and cabin
    wheel = rng.uniform(0.075, 0.1)
    style = rng.integers(4)
    front, back = [(0.12, 0.3), (0.1, 0.44), (0.26, 0.46), (0.22, 0.08)][style]  # feet of the wind screens
    slope_front, slope_back = rng.uniform(0.06, 0.14), rng.uniform(0.02, 0.12)
    if style == 2:
        high, slope_front, slope_back = high + 0.07, 0.08, 0.02
    elif style == 3:
        slope_back = 0.02
    roof_front, roof_back = front - slope_front + 0.02, -back + slope_back
    hood = rng.uniform(0.0, 0.05)
    upper = [(-low + hood, 0.49), (-low, front), (-low, -0.2), (-low + hood * 0.5, -0.49)]
    body = curve([*upper, (0.0, -0.5), (0.03, -0.45), (0.03, 0.46), (0.0, 0.5)], 1)
    cabin = polygon(
        [(-low + 0.02, front + 0.02), (-low - high, roof_front), (-low - high, roof_back), (-low + 0.02, -back)]
    )
    sill, top = -low - 0.01, -low - high + 0.03
    share = (sill + low) / -high, (top + low) / -high
    windows = []
    edges = [[front + 0.02, roof_front], [-back, roof_back]]
    cuts = np.linspace(0.0, 1.0, (2, 3, 4, 2)[style])
    for near, far in pairwise(cuts):
        corners = []
        for y, up, order in ((sill, share[0], (near, far)), (top, share[1], (far, near))):
            right, left = (one + (other - one) * up for one, other in edges)
            right, left = right - 0.022, left + 0.022
            gap = 0.012
            corners += [(y, right + (left - right) * cut + (gap if cut == far else -gap) * 0.5) for cut in order]
        windows.append(polygon(corners))
    parts = [main(cabin), main(body), accent(*windows)]
    if style == 1 or rng.random() < 0.3:
        parts.append(second(box(-low * 0.5, -0.49, -low * 0.32, 0.49)))
    lights = (ellipse(-low * 0.65, 0.47, 0.028, 0.022), box(-low * 0.75, -0.495, -low * 0.5, -0.465))
    parts.append(detail(*lights))
    if rng.random() < 0.5:
        parts.append(second(box(-low * 0.78, -0.02, -low * 0.68, 0.05)))
    for x in (0.29, -0.29):
        parts.append(second(ellipse(0.03, x, wheel * 1.15, wheel * 1.15)))
        parts.append(accent(ellipse(0.04, x, wheel, wheel)))
        parts.append(detail(ellipse(0.04, x, wheel * 0.5, wheel * 0.5)))
    return parts


def boat(rng: np.random.Generator, thin: float) -> list[Part]:
    """A hull with a mast and sails, or with a cabin and a funnel."""
    deep = rng.uniform(0.1, 0.18)
    bow = rng.uniform(0.02, 0.08)
    keel = rng.uniform(0.24, 0.36)
    corners = [(-bow, 0.5), (0.0, 0.0), (0.0, -0.47), (deep * 0.6, -0.45), (deep, -keel), (deep, keel * 0.8)]
    hull = polygon([*corners, (deep * 0.5, 0.38)])
    rail = polygon([(-bow, 0.5), (0.0, 0.0), (0.0, -0.47), (0.035, -0.46), (0.035, 0.0), (0.035 - bow, 0.46)])
    if rng.random() < 0.55:
        tall = rng.uniform(0.55, 0.9)
        x = rng.uniform(-0.05, 0.1)
        line = max(0.022, thin)
        foot = -rng.uniform(0.05, 0.1)
        mast = accent(*limb([(0.02, x), (-tall - 0.03, x)], [line * 1.4, line]))
        mainsail = polygon([(-tall, x - 0.015), (foot, x - 0.015), (foot, x - rng.uniform(0.25, 0.42))])
        parts = [mast, main(mainsail)]
        if rng.random() < 0.8:
            reach = rng.uniform(0.7, 1.0)
            jib = polygon([(-tall * reach, x + 0.02), (foot * 0.8, x + rng.uniform(0.2, 0.36)), (foot, x + 0.02)])
            parts.append((detail if rng.random() < 0.5 else main)(jib))
        if rng.random() < 0.4:
            flag = [(-tall - 0.03, x), (-tall + 0.03, x), (-tall, x - 0.12)]
            parts.append(second(polygon(flag)))
    else:
        high = rng.uniform(0.12, 0.2)
        left, right = -rng.uniform(0.2, 0.36), rng.uniform(0.08, 0.26)
        funnel = rng.uniform(left + 0.1, 0.0)
        parts = [
            accent(box(-high - rng.uniform(0.12, 0.24), funnel, -high, funnel + 0.09)),
            main(polygon([(0.02, left), (-high, left), (-high, right - 0.04), (0.02, right)])),
        ]
        ports = [ellipse(-high * 0.55, x, 0.03, 0.03) for x in np.arange(left + 0.07, right - 0.05, 0.1).tolist()]
        parts.append(detail(*ports))
        if rng.random() < 0.5:
            line = max(0.018, thin)
            parts.insert(0, accent(*limb([(0.0, right - 0.1), (-high - 0.25, right - 0.1)], [line, line])))
    return [*parts, second(hull), detail(rail)]


def bicycle(rng: np.random.Generator, thin: float) -> list[Part]:
    """From the side: two wheels with spokes, frame, saddle and handlebar."""
    radius, base = rng.uniform(0.19, 0.24), rng.uniform(0.52, 0.6)
    tyre = max(rng.uniform(0.028, 0.05), thin)
    tube = max(rng.uniform(0.028, 0.04), thin)
    back, front = (0.0, -base / 2), (0.0, base / 2)
    crank = (rng.uniform(0.0, 0.04), -0.03)
    seat = (-rng.uniform(0.22, 0.28), -0.13)
    head = (-rng.uniform(0.22, 0.28), base / 2 - rng.uniform(0.08, 0.13))
    parts = []
    if thin < 0.022:
        spokes = []
        start = rng.uniform(0, 1)
        for hub in (back, front):
            for index in range(5):
                turn = start + math.pi * index / 5
                y, x = radius * 0.95 * math.sin(turn), radius * 0.95 * math.cos(turn)
                spokes += limb([(hub[0] + y, hub[1] + x), (hub[0] - y, hub[1] - x)], [thin * 0.6, thin * 0.6])
        parts.append(detail(*spokes))
    parts += [accent(*ring(*hub, radius, tyre)) for hub in (back, front)]
    mixte = rng.random() < 0.3
    lines = [[crank, head], [seat, crank], [crank, back], [back, seat], [front, head]]
    lines.append([(crank[0] * 0.5 + seat[0] * 0.5, crank[1] * 0.5 + seat[1] * 0.5) if mixte else seat, head])
    frame = [contour for line in lines for contour in limb(line, [tube, tube])]
    post, stem = (seat[0] - 0.07, seat[1] - 0.02), (head[0] - 0.09, head[1] - 0.02)
    frame += [*limb([seat, post], [tube, tube]), *limb([head, stem], [tube, tube])]
    saddle = limb([(post[0], post[1] - 0.07), (post[0], post[1] + 0.06)], [tube * 1.9, tube * 1.2])
    grip = (stem[0] + rng.uniform(-0.06, 0.06), stem[1] + rng.uniform(-0.08, 0.1))
    bar = limb([stem, grip], [tube * 1.2, tube * 1.2])
    pedals = (ellipse(*crank, 0.05, 0.05), *limb([crank, (crank[0] + 0.09, crank[1] + 0.06)], [tube, tube]))
    return [*parts, main(*frame), second(*saddle), second(*bar), detail(*pedals)]


def aeroplane(rng: np.random.Generator, thin: float) -> list[Part]:
    """From the side with one wing towards us, or from above."""
    girth = rng.uniform(0.05, 0.085)
    if rng.random() < 0.45:
        return _plane_from_above(rng, girth)
    half = 0.5
    side = [(0.0, 1.0), (-1.0, 0.85), (-1.0, -0.5), (-0.5, -1.0), (0.0, -1.0), (1.0, -0.4), (1.0, 0.8)]
    hull = curve(scaled(side, girth, half))
    top = -girth - rng.uniform(0.16, 0.26)
    tail = polygon([(-girth * 0.6, -half * 0.68), (top, -half), (top, -half * 1.14), (-girth * 0.3, -half)])
    sweep, drop = rng.uniform(0.16, 0.32), rng.uniform(0.2, 0.34)
    wing = polygon([(girth * 0.2, 0.12), (drop, 0.0 - sweep), (drop, -0.09 - sweep), (girth * 0.4, -0.12)])
    tip = -girth - drop * 0.45
    far = polygon([(-girth * 0.7, 0.1), (tip, -sweep * 0.7), (tip, -0.06 - sweep * 0.7), (-girth * 0.7, -0.05)])
    small = polygon([(0.0, -half * 0.7), (0.1, -half * 0.95), (0.1, -half * 1.08), (0.0, -half * 0.92)])
    size = girth * 0.26
    panes = [ellipse(-girth * 0.3, x, size, size) for x in np.linspace(-0.26, 0.3, 6).tolist()]
    cockpit = polygon([(-girth * 0.85, half * 0.72), (-girth * 0.3, half * 0.88), (-girth * 0.25, half * 0.7)])
    parts = [second(far), second(tail), main(hull), accent(*panes, cockpit)]
    if rng.random() < 0.6:
        parts.append(detail(ellipse(drop * 0.75, -sweep * 0.5, 0.032, 0.075)))
    return [*parts, second(wing, small)]


def _plane_from_above(rng: np.random.Generator, girth: float) -> list[Part]:
    span, chord, sweep = rng.uniform(0.38, 0.5), rng.uniform(0.12, 0.2), rng.uniform(0.0, 0.28)
    contours, engines = [], []
    for side in (-1.0, 1.0):
        wing = [(0.0, 0.14), (side * span, 0.1 - sweep), (side * span, 0.02 - sweep), (0.0, 0.14 - chord * 1.4)]
        tail = [(0.0, -0.34), (side * span * 0.4, -0.42 - sweep * 0.2), (side * span * 0.4, -0.48 - sweep * 0.2)]
        contours += [polygon(wing), polygon([*tail, (0.0, -0.47)])]
        engines.append(ellipse(side * span * 0.45, 0.13 - sweep * 0.45, 0.03, 0.07))
    hull = curve([(0.0, 0.52), (-girth, 0.4), (-girth, -0.2), (-0.02, -0.5), (0.02, -0.5), (girth, -0.2), (girth, 0.4)])
    cockpit = ellipse(0.0, 0.36, girth * 0.55, 0.045)
    return [detail(*engines), second(*contours), main(hull), accent(cockpit)]
