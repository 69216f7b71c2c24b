"""Forms of what stands in streets, floats and flies in synthetic scenes: cars, houses, bicycles, boats, aeroplanes, traffic lights.

Each function draws one example in a frame of its own: (y, x), y downwards, about one unit long. `thin` is the width of the finest line that
still shows.
"""

import math
from itertools import pairwise

import numpy as np

from seriatim.data.synthetic.scene_contours import (
    ACCENT,
    DETAIL,
    MAIN,
    SECOND,
    Part,
    box,
    curve,
    ellipse,
    limb,
    polygon,
    ring,
)


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
    body = curve(
        [
            (-low + hood, 0.49),
            (-low, front),
            (-low, -0.2),
            (-low + hood * 0.5, -0.49),
            (0.0, -0.5),
            (0.03, -0.45),
            (0.03, 0.46),
            (0.0, 0.5),
        ],
        1,
    )
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
    parts = [Part((cabin,), MAIN), Part((body,), MAIN), Part(tuple(windows), ACCENT)]
    if style == 1 or rng.random() < 0.3:
        parts.append(Part((box(-low * 0.5, -0.49, -low * 0.32, 0.49),), SECOND))
    lights = (ellipse(-low * 0.65, 0.47, 0.028, 0.022), box(-low * 0.75, -0.495, -low * 0.5, -0.465))
    parts.append(Part(lights, DETAIL))
    if rng.random() < 0.5:
        parts.append(Part((box(-low * 0.78, -0.02, -low * 0.68, 0.05),), SECOND))
    for x in (0.29, -0.29):
        parts.append(Part((ellipse(0.03, x, wheel * 1.15, wheel * 1.15),), SECOND))
        parts.append(Part((ellipse(0.04, x, wheel, wheel),), ACCENT))
        parts.append(Part((ellipse(0.04, x, wheel * 0.5, wheel * 0.5),), DETAIL))
    return parts


def house(rng: np.random.Generator, thin: float) -> list[Part]:
    """Walls, a gabled, hipped or lean-to roof, a door, windows and often a chimney."""
    wide, wall, roof = rng.uniform(0.55, 0.95), rng.uniform(0.3, 0.5), rng.uniform(0.18, 0.42)
    half = wide / 2
    eaves = rng.uniform(0.03, 0.08)
    style = rng.integers(3)
    ridge = (0.0, half * rng.uniform(0.35, 0.75), half * 0.85)[style]
    parts = []
    if rng.random() < 0.6:
        x = rng.uniform(0.2, 0.6) * half
        parts.append(Part((box(-wall - roof * rng.uniform(0.85, 1.1), x, -wall, x + 0.09),), ACCENT))
    parts.append(Part((box(-wall, -half, 0.0, half),), MAIN))
    peak = [(-wall - roof, ridge), (-wall - roof, -ridge)]
    if style == 2 and rng.random() < 0.5:
        peak = [(-wall - roof, half), (-wall - roof * 0.5, -half)]
    parts.append(Part((polygon([(-wall, -half - eaves), (-wall, half + eaves), *peak]),), SECOND))
    door = rng.uniform(0.1, 0.15)
    columns = int(rng.integers(2, 5))
    places = (np.arange(columns) + 0.5) / columns * wide - half
    entrance = int(rng.integers(columns))
    size = min(0.3 * wide / columns, 0.075)
    panes, doors = [], []
    for column, x in enumerate(places.tolist()):
        if column == entrance:
            doors.append(box(-min(0.24, wall * 0.65), x - door / 2, 0.0, x + door / 2))
        else:
            panes.append(box(-wall * 0.66, x - size, -wall * 0.66 + 2.2 * size, x + size))
    parts += [Part(tuple(doors), ACCENT), Part(tuple(panes), DETAIL)]
    if size > 1.5 * thin:
        crosses = []
        for pane in panes:
            (y0, x0), (y1, x1) = pane.min(axis=0), pane.max(axis=0)
            crosses += limb([(float(y0), float((x0 + x1) / 2)), (float(y1), float((x0 + x1) / 2))], [0.014, 0.014])
            crosses += limb([(float((y0 + y1) / 2), float(x0)), (float((y0 + y1) / 2), float(x1))], [0.014, 0.014])
        parts.append(Part(tuple(crosses), ACCENT))
    if style == 0 and rng.random() < 0.4:
        parts.append(Part((ellipse(-wall - roof * 0.4, 0.0, 0.05, 0.05),), DETAIL))
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
        mast = Part(limb([(0.02, x), (-tall - 0.03, x)], [line * 1.4, line]), ACCENT)
        main = polygon([(-tall, x - 0.015), (foot, x - 0.015), (foot, x - rng.uniform(0.25, 0.42))])
        parts = [mast, Part((main,), MAIN)]
        if rng.random() < 0.8:
            reach = rng.uniform(0.7, 1.0)
            jib = polygon([(-tall * reach, x + 0.02), (foot * 0.8, x + rng.uniform(0.2, 0.36)), (foot, x + 0.02)])
            parts.append(Part((jib,), DETAIL if rng.random() < 0.5 else MAIN))
        if rng.random() < 0.4:
            flag = [(-tall - 0.03, x), (-tall + 0.03, x), (-tall, x - 0.12)]
            parts.append(Part((polygon(flag),), SECOND))
    else:
        high = rng.uniform(0.12, 0.2)
        left, right = -rng.uniform(0.2, 0.36), rng.uniform(0.08, 0.26)
        funnel = rng.uniform(left + 0.1, 0.0)
        parts = [
            Part((box(-high - rng.uniform(0.12, 0.24), funnel, -high, funnel + 0.09),), ACCENT),
            Part((polygon([(0.02, left), (-high, left), (-high, right - 0.04), (0.02, right)]),), MAIN),
        ]
        ports = [ellipse(-high * 0.55, x, 0.03, 0.03) for x in np.arange(left + 0.07, right - 0.05, 0.1).tolist()]
        parts.append(Part(tuple(ports), DETAIL))
        if rng.random() < 0.5:
            line = max(0.018, thin)
            parts.insert(0, Part(limb([(0.0, right - 0.1), (-high - 0.25, right - 0.1)], [line, line]), ACCENT))
    return [*parts, Part((hull,), SECOND), Part((rail,), DETAIL)]


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
        parts.append(Part(tuple(spokes), DETAIL))
    parts += [Part(ring(*hub, radius, tyre), ACCENT) for hub in (back, front)]
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
    return [*parts, Part(tuple(frame), MAIN), Part(saddle, SECOND), Part(bar, SECOND), Part(pedals, DETAIL)]


def aeroplane(rng: np.random.Generator, thin: float) -> list[Part]:
    """From the side with one wing towards us, or from above."""
    girth = rng.uniform(0.05, 0.085)
    if rng.random() < 0.45:
        return _plane_from_above(rng, girth)
    half = 0.5
    hull = curve(
        [
            (0.0, half),
            (-girth, half * 0.85),
            (-girth, -half * 0.5),
            (-girth * 0.5, -half),
            (0.0, -half),
            (girth, -half * 0.4),
            (girth, half * 0.8),
        ]
    )
    fin = rng.uniform(0.16, 0.26)
    tail = polygon(
        [
            (-girth * 0.6, -half * 0.68),
            (-girth - fin, -half * 1.0),
            (-girth - fin, -half * 1.14),
            (-girth * 0.3, -half * 1.0),
        ]
    )
    sweep, drop = rng.uniform(0.16, 0.32), rng.uniform(0.2, 0.34)
    wing = polygon([(girth * 0.2, 0.12), (drop, 0.0 - sweep), (drop, -0.09 - sweep), (girth * 0.4, -0.12)])
    far = polygon(
        [
            (-girth * 0.7, 0.1),
            (-girth - drop * 0.45, -sweep * 0.7),
            (-girth - drop * 0.45, -0.06 - sweep * 0.7),
            (-girth * 0.7, -0.05),
        ]
    )
    small = polygon([(0.0, -half * 0.7), (0.1, -half * 0.95), (0.1, -half * 1.08), (0.0, -half * 0.92)])
    size = girth * 0.26
    panes = [ellipse(-girth * 0.3, x, size, size) for x in np.linspace(-0.26, 0.3, 6).tolist()]
    cockpit = polygon([(-girth * 0.85, half * 0.72), (-girth * 0.3, half * 0.88), (-girth * 0.25, half * 0.7)])
    parts = [Part((far,), SECOND), Part((tail,), SECOND), Part((hull,), MAIN), Part((*panes, cockpit), ACCENT)]
    if rng.random() < 0.6:
        parts.append(Part((ellipse(drop * 0.75, -sweep * 0.5, 0.032, 0.075),), DETAIL))
    return [*parts, Part((wing, small), SECOND)]


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
    return [Part(tuple(engines), DETAIL), Part(tuple(contours), SECOND), Part((hull,), MAIN), Part((cockpit,), ACCENT)]


def traffic_light(rng: np.random.Generator, thin: float) -> list[Part]:
    """A box with three lamps, of which one may shine, on a pole or without one."""
    wide, high = rng.uniform(0.17, 0.25), rng.uniform(0.44, 0.6)
    parts = []
    if rng.random() < 0.7:
        line = max(rng.uniform(0.04, 0.07), thin)
        parts.append(Part(limb([(high - 0.03, 0.0), (1.0, 0.0)], [line, line]), SECOND))
        if rng.random() < 0.5:
            parts.append(Part((box(0.95, -wide * 0.5, 1.0, wide * 0.5),), SECOND))
    if rng.random() < 0.4:
        parts.append(Part((box(-0.03, -wide * 0.72, high + 0.03, wide * 0.72),), SECOND))
    corner = wide * 0.2
    outline = [
        (0.0, -wide / 2 + corner),
        (0.0, wide / 2 - corner),
        (corner, wide / 2),
        (high - corner, wide / 2),
        (high, wide / 2 - corner),
        (high, -wide / 2 + corner),
        (high - corner, -wide / 2),
        (corner, -wide / 2),
    ]
    parts.append(Part((polygon(outline),), MAIN))
    size = min(wide * 0.36, high / 6.6)
    shining = rng.integers(3)
    for index in range(3):
        y = high * (index + 0.5) / 3
        parts.append(Part((ellipse(y, 0.0, size, size),), ACCENT if index == shining else DETAIL))
        if rng.random() < 0.5:
            visor = [
                (y - size * 1.25, -size * 1.1),
                (y - size * 1.25, size * 1.1),
                (y - size * 0.6, size),
                (y - size * 0.6, -size),
            ]
            parts.append(Part((polygon(visor),), SECOND))
    return parts
