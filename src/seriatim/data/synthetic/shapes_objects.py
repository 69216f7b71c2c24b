"""Shapes of things that do not move by themselves: household goods, houses, traffic lights, and clutter that is no object.

Each function draws one example in a frame of its own: (y, x), y downwards, about one unit long, facing +x. `thin` is the width of the
finest line that is visible.
"""

import math
from itertools import pairwise

import numpy as np

from seriatim.data.synthetic.curves import box, curve, ellipse, hole, limb, mirrored, polygon, profile, scaled, turned
from seriatim.data.synthetic.drawing import Part, accent, detail, main, second


def bottle(rng: np.random.Generator, thin: float) -> list[Part]:
    """Wide or slender, with shoulders, a neck, a cap and often a label."""
    half = rng.uniform(0.12, 0.21)
    neck = half * rng.uniform(0.3, 0.5)
    shoulder, collar = rng.uniform(0.32, 0.5), rng.uniform(0.16, 0.26)
    waist = half * rng.uniform(0.82, 1.0)
    rows = [(0.06, neck), (collar, neck), (shoulder, half), (0.65, waist), (0.93, half), (1.0, half * 0.92)]
    rows += [(1.0, half * 0.5)]
    parts = [main(profile(rows))]
    cap = rng.uniform(0.06, 0.11)
    parts.append(accent(box(0.0, -neck * 1.15, cap, neck * 1.15)))
    if rng.random() < 0.7:
        top = shoulder + 0.08
        bottom = min(0.92, top + rng.uniform(0.15, 0.3))
        parts.append(second(box(top, -half * 0.97, bottom, half * 0.97)))
        if rng.random() < 0.5:
            parts.append(detail(ellipse((top + bottom) / 2, 0.0, 0.06, half * 0.45)))
    if rng.random() < 0.6:
        x = -half * 0.6
        parts.append(detail(*limb([(shoulder + 0.06, x), (0.85, x)], [max(0.025, thin), max(0.02, thin)])))
    return parts


def chair(rng: np.random.Generator, thin: float) -> list[Part]:
    """Seen from obliquely in front: four legs, a seat and a back of slats or of one board."""
    wide, seat = rng.uniform(0.36, 0.5), rng.uniform(0.5, 0.58)
    back_shift, depth = rng.uniform(0.08, 0.2), rng.uniform(0.08, 0.16)
    post = max(rng.uniform(0.035, 0.06), thin)
    left, right = -wide / 2, wide / 2
    lean = rng.uniform(-0.04, 0.06)
    rear = [(seat - depth, left + back_shift), (seat - depth, right + back_shift)]
    top = [(0.0, x + lean) for _, x in rear]
    legs = []
    for y, x in rear:
        legs += limb([(y, x), (0.98 - depth, x + lean * 0.5)], [post, post * 0.8])
    parts = [second(*legs)]
    posts = [contour for foot, tip in zip(rear, top, strict=True) for contour in limb([foot, tip], [post, post])]
    style = rng.integers(3)
    boards = []
    if style == 0:
        low = (seat - depth) * rng.uniform(0.55, 0.85)
        share = low / (seat - depth)
        lower = [(low, tip[1] + (foot[1] - tip[1]) * share) for foot, tip in zip(rear, top, strict=True)]
        boards.append(polygon([(0.01, top[0][1]), (0.01, top[1][1]), lower[1], lower[0]]))
    elif style == 1:
        for y in (0.03, 0.16, 0.29):
            boards += limb([(y, top[0][1]), (y, top[1][1])], [post * 1.2, post * 1.2])
    else:
        boards += limb([(0.02, top[0][1]), (0.02, top[1][1])], [post * 1.4, post * 1.4])
        for share in (0.25, 0.5, 0.75):
            x = top[0][1] + (top[1][1] - top[0][1]) * share
            boards += limb([(0.02, x), (seat - depth, x - lean)], [post * 0.8, post * 0.8])
    parts += [second(*posts), main(*boards)]
    corners = [(seat - depth, left + back_shift), (seat - depth, right + back_shift), (seat, right), (seat, left)]
    front = []
    for x in (left + post / 2, right - post / 2):
        front += limb([(seat, x), (0.98, x)], [post, post * 0.8])
    edge = box(seat, left, seat + post, right)
    return [*parts, second(*front), main(polygon(corners)), detail(edge)]


def cup(rng: np.random.Generator, thin: float) -> list[Part]:
    """A mug or a tea cup with its handle, seen a little from above; some stand on a saucer."""
    wide, high = rng.uniform(0.3, 0.4), rng.uniform(0.42, 0.75)
    foot = wide * rng.uniform(0.55, 1.0)
    lid = wide * rng.uniform(0.14, 0.32)
    belly = wide * rng.uniform(0.85, 1.05) if foot < wide * 0.8 else wide
    parts = []
    if rng.random() < 0.35:
        parts.append(second(ellipse(high, 0.0, lid * 0.8 + 0.02, wide * 1.55)))
    grip, bar = rng.uniform(0.14, 0.22), max(rng.uniform(0.05, 0.075), thin)
    handle = (
        ellipse(high * 0.48, wide * 0.98, grip * 1.15, grip),
        hole(ellipse(high * 0.48, wide * 0.98, max(grip * 1.15 - bar, 0.02), max(grip - bar, 0.02))),
    )
    parts.append(second(*handle))
    bottom = lid * foot / wide
    body = [(0.0, wide), (high * 0.6, belly), (high, foot), (high + bottom * 0.7, foot * 0.5)]
    parts.append(main(polygon(mirrored(body))))
    if rng.random() < 0.5:
        y = high * rng.uniform(0.3, 0.6)
        parts.append(detail(polygon(mirrored([(y, belly * 0.98), (y + 0.09, belly * 0.95)]))))
    parts.append(detail(ellipse(0.0, 0.0, lid, wide)))
    return [*parts, accent(ellipse(0.015, 0.0, lid * 0.72, wide * 0.84))]


def umbrella(rng: np.random.Generator, thin: float) -> list[Part]:
    """Open: a domed canopy of panels with a scalloped edge, a shaft and a hooked handle."""
    high, reach = rng.uniform(0.3, 0.48), 0.5
    line = max(rng.uniform(0.022, 0.035), thin)
    hook = rng.uniform(0.045, 0.075)
    end = rng.uniform(0.82, 0.98)
    shaft = limb([(-0.05, 0.0), (end, 0.0)], [line, line])
    bend = scaled([(0.0, 0.0), (1.0, 0.35), (1.2, 1.0), (1.0, 1.65), (0.3, 2.0)], hook, hook)
    count = int(rng.integers(3, 7))
    ribs = np.linspace(-reach, reach, count + 1).tolist()
    panels: list[list[np.ndarray]] = [[], []]
    for index, (left, right) in enumerate(pairwise(ribs)):
        width, middle = right - left, (left + right) / 2
        upper = [left + width * share for share in np.linspace(0, 1, 6).tolist()]
        corners = [(_dome(x, high, reach), x) for x in upper]
        low = high - (0.09 / count + 0.03)
        lower = [(high, right), (low, middle + width * 0.2), (low, middle - width * 0.2), (high, left)]
        panels[index % 2].append(polygon([*corners, *lower]))
    other = second if rng.random() < 0.6 else main
    parts = [detail(*shaft), accent(*limb([(end + y, x) for y, x in bend], [line * 1.5] * 5))]
    return [*parts, main(*panels[0]), other(*panels[1])]


def _dome(x: float, high: float, reach: float) -> float:
    share = x / reach
    return high * (1 - math.sqrt(max(0.0, 1 - share * share)) * 0.55 - 0.45 * (1 - share * share))


def lamp(rng: np.random.Generator, thin: float) -> list[Part]:
    """A shade on a stem with a foot: on a table or standing on the floor."""
    top, bottom = rng.uniform(0.07, 0.17), rng.uniform(0.2, 0.3)
    high = rng.uniform(0.24, 0.4)
    line = max(rng.uniform(0.03, 0.05), thin)
    foot, length = rng.uniform(0.12, 0.22), rng.uniform(0.75, 1.1)
    parts = [second(*limb([(high - 0.05, 0.0), (length, 0.0)], [line, line]))]
    if rng.random() < 0.45:  # a bulging body
        belly = rng.uniform(0.08, 0.15)
        middle = (high + length) / 2
        rows = [(high + 0.06, line), (middle, belly), (length - 0.03, belly * 0.7), (length, foot * 0.6)]
        parts.append(detail(profile(rows)))
    base = [(length - 0.06, foot * 0.35), (length, foot), (length + 0.02, foot)]
    parts.append(second(polygon(mirrored(base))))
    parts.append(main(polygon(mirrored([(0.0, top), (high, bottom)]))))
    if rng.random() < 0.6:
        share = 0.85
        edge = top + (bottom - top) * share
        parts.append(accent(polygon(mirrored([(high * share, edge), (high, bottom)]))))
    return parts


def ball(rng: np.random.Generator, thin: float) -> list[Part]:
    """A beach ball, a football, a ball with seams, or one with a band."""
    parts = [main(ellipse(0.0, 0.0, 0.5, 0.5))]
    style = rng.integers(4)
    turn = rng.uniform(0, 2 * math.pi)
    line = max(0.035, thin)
    if style == 0:
        wedges = []
        count = int(rng.integers(3, 5))
        middle = (rng.uniform(-0.15, 0.15), rng.uniform(-0.15, 0.15))
        for index in range(count):
            angles = turn + math.pi * (2 * index + np.linspace(0.0, 1.0, 5)) / count
            arc = [(0.5 * math.sin(angle), 0.5 * math.cos(angle)) for angle in angles.tolist()]
            wedges.append(polygon([middle, *arc]))
        parts += [second(*wedges), accent(ellipse(*middle, 0.07, 0.07))]
    elif style == 1:
        patches = [_pentagon(0.17, turn)]
        lines = []
        for index in range(5):
            angle = turn + 2 * math.pi * index / 5
            near, far = ((share * math.sin(angle), share * math.cos(angle)) for share in (0.16, 0.36))
            lines += limb([near, far], [line, line])
            side = angle + math.pi / 5
            patches.append(ellipse(0.425 * math.sin(side), 0.425 * math.cos(side), 0.085, 0.045, side))
        parts.append(accent(*patches, *lines))
    elif style == 2:
        seams = []
        for bend in (-0.22, 0.0, 0.22):
            arc = np.array([(y, bend * (1 - 4 * y * y) * 1.3) for y in np.linspace(-0.48, 0.48, 9).tolist()])
            seams += limb(turned(arc, turn), [line] * 9)
        parts.append(accent(*seams))
    else:
        band = np.array([(0.14, 0.47), (0.14, -0.47), (-0.14, -0.47), (-0.14, 0.47)])
        parts.append(second(polygon(turned(band, turn))))
        parts.append(accent(_pentagon(0.11, turn)))
    return parts


def _pentagon(radius: float, turn: float) -> np.ndarray:
    angles = [turn + 2 * math.pi * index / 5 for index in range(5)]
    return polygon([(radius * math.sin(angle), radius * math.cos(angle)) for angle in angles])


def kite(rng: np.random.Generator, thin: float) -> list[Part]:
    """A diamond in four fields with its spars, and a tail with bows."""
    half, cross = rng.uniform(0.2, 0.28), rng.uniform(0.15, 0.24)
    long = rng.uniform(0.48, 0.62)
    top, low, left, right = (0.0, 0.0), (long, 0.0), (cross, -half), (cross, half)
    middle = (cross, 0.0)
    line = max(0.02, thin)
    wave = rng.uniform(0.05, 0.12) * (1 if rng.random() < 0.5 else -1)
    tail = [(long + 0.075 * step, wave * math.sin(1.35 * step)) for step in range(6)]
    parts = [accent(*limb(tail, [line] * 6))]
    bows = []
    for step in (2, 4, 5):
        y, x = tail[step]
        size = 0.05
        bows += [polygon([(y, x), (y - size, x + side * 0.065), (y + size, x + side * 0.065)]) for side in (-1.0, 1.0)]
    parts.append(detail(*bows))
    fields = [polygon([top, right, middle]), polygon([middle, low, left])]
    others = [polygon([top, middle, left]), polygon([middle, right, low])]
    other = second if rng.random() < 0.7 else main
    parts += [main(*fields), other(*others)]
    if rng.random() < 0.6:
        spars = (*limb([top, low], [line, line]), *limb([left, right], [line, line]))
        parts.append(accent(*spars))
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


def traffic_light(rng: np.random.Generator, thin: float) -> list[Part]:
    """A box with three lamps, of which one may shine, on a pole or without one."""
    wide, high = rng.uniform(0.17, 0.25), rng.uniform(0.44, 0.6)
    parts = []
    if rng.random() < 0.7:
        line = max(rng.uniform(0.04, 0.07), thin)
        parts.append(second(*limb([(high - 0.03, 0.0), (1.0, 0.0)], [line, line])))
        if rng.random() < 0.5:
            parts.append(second(box(0.95, -wide * 0.5, 1.0, wide * 0.5)))
    if rng.random() < 0.4:
        parts.append(second(box(-0.03, -wide * 0.72, high + 0.03, wide * 0.72)))
    corner = wide * 0.2
    half = wide / 2
    outline = [(0.0, half - corner), (corner, half), (high - corner, half), (high, half - corner)]
    parts.append(main(polygon(mirrored(outline))))
    size = min(wide * 0.36, high / 6.6)
    shining = rng.integers(3)
    for index in range(3):
        y = high * (index + 0.5) / 3
        parts.append((accent if index == shining else detail)(ellipse(y, 0.0, size, size)))
        if rng.random() < 0.5:
            parts.append(second(polygon(mirrored([(y - size * 1.25, size * 1.1), (y - size * 0.6, size)]))))
    return parts


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
