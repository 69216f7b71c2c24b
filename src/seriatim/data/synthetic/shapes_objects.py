"""Shapes of things that people make, in synthetic scenes: cars, houses, bicycles and boats; and clutter that is no object.

Each function draws one example in a frame of its own: (y, x), y downwards, about one unit long, facing +x. `thin` is the width of the
finest line that is visible.
"""

import math
from itertools import pairwise

import numpy as np

from seriatim.data.synthetic.curves import box, curve, ellipse, hole, limb, polygon, ring
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
        parts.append(accent(box(-wall - roof * rng.uniform(0.85, 1.1), x, -wall, x + 0.09)))
    parts.append(main(box(-wall, -half, 0.0, half)))
    peak = [(-wall - roof, ridge), (-wall - roof, -ridge)]
    if style == 2 and rng.random() < 0.5:
        peak = [(-wall - roof, half), (-wall - roof * 0.5, -half)]
    parts.append(second(polygon([(-wall, -half - eaves), (-wall, half + eaves), *peak])))
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
    parts += [accent(*doors), detail(*panes)]
    if size > 1.5 * thin:
        crosses = []
        for pane in panes:
            (y0, x0), (y1, x1) = pane.min(axis=0).tolist(), pane.max(axis=0).tolist()
            for bar in ([(y0, (x0 + x1) / 2), (y1, (x0 + x1) / 2)], [((y0 + y1) / 2, x0), ((y0 + y1) / 2, x1)]):
                crosses += limb(bar, [0.014, 0.014])
        parts.append(accent(*crosses))
    if style == 0 and rng.random() < 0.4:
        parts.append(detail(ellipse(-wall - roof * 0.4, 0.0, 0.05, 0.05)))
    return parts


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


def draw_clutter(rng: np.random.Generator) -> list[Part]:
    """The form of something that is no object: a stone, a stick, a board, a crescent or a heap of scraps."""
    style = rng.integers(5)
    if style == 0:
        angles = np.linspace(0, 2 * math.pi, int(rng.integers(5, 10)), endpoint=False)
        radii = rng.uniform(0.25, 0.55, len(angles))
        polar = zip(angles.tolist(), radii.tolist(), strict=True)
        return [main(curve([(radius * 0.7 * math.sin(angle), radius * math.cos(angle)) for angle, radius in polar]))]
    if style == 1:
        bends = np.stack((np.linspace(-0.5, 0.5, 4), rng.uniform(-0.12, 0.12, 4)), axis=1)
        return [main(*limb(bends, rng.uniform(0.03, 0.08, 4).tolist()))]
    if style == 2:
        tall = rng.uniform(0.1, 0.5)
        board = box(-tall, -0.5, tall, 0.5)
        return [main(board), second(box(-tall * 0.2, -0.5, tall * rng.uniform(0.0, 0.3), 0.5))]
    if style == 3:
        return [main(ellipse(0.0, 0.0, 0.4, 0.5), hole(ellipse(-0.05, rng.uniform(0.08, 0.15), 0.33, 0.34)))]
    scraps = [polygon(rng.uniform(-0.25, 0.25, (3, 2)) + rng.uniform(-0.3, 0.3, 2)) for _ in range(4)]
    return [main(*scraps[:2]), second(*scraps[2:])]
