"""Forms of things of daily use in synthetic scenes: bottles, chairs, cups, umbrellas, lamps, balls and kites.

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
    Point,
    box,
    ellipse,
    hole,
    limb,
    polygon,
    profile,
)


def bottle(rng: np.random.Generator, thin: float) -> list[Part]:
    """Wide or slender, with shoulders, a neck, a cap and often a label."""
    half = rng.uniform(0.12, 0.21)
    neck = half * rng.uniform(0.3, 0.5)
    shoulder, collar = rng.uniform(0.32, 0.5), rng.uniform(0.16, 0.26)
    waist = half * rng.uniform(0.82, 1.0)
    rows = [(0.06, neck), (collar, neck), (shoulder, half), (0.65, waist), (0.93, half), (1.0, half * 0.92)]
    rows += [(1.0, half * 0.5)]
    parts = [Part((profile(rows),), MAIN)]
    cap = rng.uniform(0.06, 0.11)
    parts.append(Part((box(0.0, -neck * 1.15, cap, neck * 1.15),), ACCENT))
    if rng.random() < 0.7:
        top = shoulder + 0.08
        bottom = min(0.92, top + rng.uniform(0.15, 0.3))
        parts.append(Part((box(top, -half * 0.97, bottom, half * 0.97),), SECOND))
        if rng.random() < 0.5:
            parts.append(Part((ellipse((top + bottom) / 2, 0.0, 0.06, half * 0.45),), DETAIL))
    if rng.random() < 0.6:
        x = -half * 0.6
        shine = limb([(shoulder + 0.06, x), (0.85, x)], [max(0.025, thin), max(0.02, thin)])
        parts.append(Part(shine, DETAIL))
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
    parts = [Part(tuple(legs), SECOND)]
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
    parts += [Part(tuple(posts), SECOND), Part(tuple(boards), MAIN)]
    corners = [(seat - depth, left + back_shift), (seat - depth, right + back_shift), (seat, right), (seat, left)]
    front = []
    for x in (left + post / 2, right - post / 2):
        front += limb([(seat, x), (0.98, x)], [post, post * 0.8])
    edge = box(seat, left, seat + post, right)
    return [*parts, Part(tuple(front), SECOND), Part((polygon(corners),), MAIN), Part((edge,), DETAIL)]


def cup(rng: np.random.Generator, thin: float) -> list[Part]:
    """A mug or a tea cup with its handle, seen a little from above; some stand on a saucer."""
    wide, high = rng.uniform(0.3, 0.4), rng.uniform(0.42, 0.75)
    foot = wide * rng.uniform(0.55, 1.0)
    lid = wide * rng.uniform(0.14, 0.32)
    belly = wide * rng.uniform(0.85, 1.05) if foot < wide * 0.8 else wide
    parts = []
    if rng.random() < 0.35:
        parts.append(Part((ellipse(high, 0.0, lid * 0.8 + 0.02, wide * 1.55),), SECOND))
    grip, bar = rng.uniform(0.14, 0.22), max(rng.uniform(0.05, 0.075), thin)
    handle = (
        ellipse(high * 0.48, wide * 0.98, grip * 1.15, grip),
        hole(ellipse(high * 0.48, wide * 0.98, max(grip * 1.15 - bar, 0.02), max(grip - bar, 0.02))),
    )
    parts.append(Part(handle, SECOND))
    bottom = lid * foot / wide
    body = [(0.0, -wide), (0.0, wide), (high * 0.6, belly), (high, foot), (high + bottom * 0.7, foot * 0.5)]
    left = [(high + bottom * 0.7, -foot * 0.5), (high, -foot), (high * 0.6, -belly)]
    parts.append(Part((polygon([*body, *left]),), MAIN))
    if rng.random() < 0.5:
        y = high * rng.uniform(0.3, 0.6)
        parts.append(
            Part(
                (
                    polygon(
                        [(y, -belly * 0.98), (y, belly * 0.98), (y + 0.09, belly * 0.95), (y + 0.09, -belly * 0.95)]
                    ),
                ),
                DETAIL,
            )
        )
    parts.append(Part((ellipse(0.0, 0.0, lid, wide),), DETAIL))
    return [*parts, Part((ellipse(0.015, 0.0, lid * 0.72, wide * 0.84),), ACCENT)]


def umbrella(rng: np.random.Generator, thin: float) -> list[Part]:
    """Open: a domed canopy of panels with a scalloped edge, a shaft and a hooked handle."""
    high, reach = rng.uniform(0.3, 0.48), 0.5
    line = max(rng.uniform(0.022, 0.035), thin)
    hook = rng.uniform(0.045, 0.075)
    end = rng.uniform(0.82, 0.98)
    shaft = limb([(-0.05, 0.0), (end, 0.0)], [line, line])
    bend = [
        (end, 0.0),
        (end + hook, hook * 0.35),
        (end + hook * 1.2, hook),
        (end + hook, hook * 1.65),
        (end + hook * 0.3, hook * 2),
    ]
    count = int(rng.integers(3, 7))
    ribs = np.linspace(-reach, reach, count + 1).tolist()
    panels: list[list[np.ndarray]] = [[], []]
    for index, (left, right) in enumerate(pairwise(ribs)):
        corners = [
            (_dome(left + (right - left) * share, high, reach), left + (right - left) * share)
            for share in np.linspace(0, 1, 6).tolist()
        ]
        middle = (left + right) / 2
        sag = 0.09 / count + 0.03
        lower = [
            (high, right),
            (high - sag, middle + (right - left) * 0.2),
            (high - sag, middle - (right - left) * 0.2),
            (high, left),
        ]
        panels[index % 2].append(polygon([*corners, *lower]))
    second = SECOND if rng.random() < 0.6 else MAIN
    parts = [Part(shaft, DETAIL), Part(limb(bend, [line * 1.5] * 5), ACCENT)]
    return [*parts, Part(tuple(panels[0]), MAIN), Part(tuple(panels[1]), second)]


def _dome(x: float, high: float, reach: float) -> float:
    share = x / reach
    return high * (1 - math.sqrt(max(0.0, 1 - share * share)) * 0.55 - 0.45 * (1 - share * share))


def lamp(rng: np.random.Generator, thin: float) -> list[Part]:
    """A shade on a stem with a foot: on a table or standing on the floor."""
    top, bottom = rng.uniform(0.07, 0.17), rng.uniform(0.2, 0.3)
    high = rng.uniform(0.24, 0.4)
    line = max(rng.uniform(0.03, 0.05), thin)
    foot, length = rng.uniform(0.12, 0.22), rng.uniform(0.75, 1.1)
    parts = [Part(limb([(high - 0.05, 0.0), (length, 0.0)], [line, line]), SECOND)]
    if rng.random() < 0.45:  # a bulging body
        belly = rng.uniform(0.08, 0.15)
        middle = (high + length) / 2
        rows = [(high + 0.06, line), (middle, belly), (length - 0.03, belly * 0.7), (length, foot * 0.6)]
        parts.append(Part((profile(rows),), DETAIL))
    base = [(length - 0.06, -foot * 0.35), (length - 0.06, foot * 0.35), (length, foot), (length + 0.02, foot)]
    parts.append(Part((polygon([*base, (length + 0.02, -foot), (length, -foot)]),), SECOND))
    shade = polygon([(0.0, -top), (0.0, top), (high, bottom), (high, -bottom)])
    parts.append(Part((shade,), MAIN))
    if rng.random() < 0.6:
        share = 0.85
        edge = top + (bottom - top) * share
        hem = polygon([(high * share, -edge), (high * share, edge), (high, bottom), (high, -bottom)])
        parts.append(Part((hem,), ACCENT))
    return parts


def ball(rng: np.random.Generator, thin: float) -> list[Part]:
    """A beach ball, a football, a ball with seams, or one with a band."""
    parts = [Part((ellipse(0.0, 0.0, 0.5, 0.5),), MAIN)]
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
        parts += [Part(tuple(wedges), SECOND), Part((ellipse(*middle, 0.07, 0.07),), ACCENT)]
    elif style == 1:
        patches = [_pentagon((0.0, 0.0), 0.17, turn)]
        lines = []
        for index in range(5):
            angle = turn + 2 * math.pi * index / 5
            near, far = ((share * math.sin(angle), share * math.cos(angle)) for share in (0.16, 0.36))
            lines += limb([near, far], [line, line])
            side = angle + math.pi / 5
            patches.append(ellipse(0.425 * math.sin(side), 0.425 * math.cos(side), 0.085, 0.045, side))
        parts.append(Part((*patches, *lines), ACCENT))
    elif style == 2:
        seams = []
        for bend in (-0.22, 0.0, 0.22):
            arc = [(y, bend * (1 - 4 * y * y) * 1.3) for y in np.linspace(-0.48, 0.48, 9).tolist()]
            turned = [
                (y * math.cos(turn) + x * math.sin(turn), x * math.cos(turn) - y * math.sin(turn)) for y, x in arc
            ]
            seams += limb(turned, [line] * 9)
        parts.append(Part(tuple(seams), ACCENT))
    else:
        sin, cos = math.sin(turn), math.cos(turn)
        band = [(0.14, 0.47), (0.14, -0.47), (-0.14, -0.47), (-0.14, 0.47)]
        parts.append(Part((polygon([(y * cos + x * sin, x * cos - y * sin) for y, x in band]),), SECOND))
        parts.append(Part((_pentagon((0.0, 0.0), 0.11, turn),), ACCENT))
    return parts


def _pentagon(middle: Point, radius: float, turn: float) -> np.ndarray:
    angles = [turn + 2 * math.pi * index / 5 for index in range(5)]
    return polygon([(middle[0] + radius * math.sin(angle), middle[1] + radius * math.cos(angle)) for angle in angles])


def kite(rng: np.random.Generator, thin: float) -> list[Part]:
    """A diamond in four fields with its spars, and a tail with bows."""
    half, cross = rng.uniform(0.2, 0.28), rng.uniform(0.15, 0.24)
    long = rng.uniform(0.48, 0.62)
    top, low, left, right = (0.0, 0.0), (long, 0.0), (cross, -half), (cross, half)
    middle = (cross, 0.0)
    line = max(0.02, thin)
    wave = rng.uniform(0.05, 0.12) * (1 if rng.random() < 0.5 else -1)
    tail = [(long + 0.075 * step, wave * math.sin(1.35 * step)) for step in range(6)]
    parts = [Part(limb(tail, [line] * 6), ACCENT)]
    bows = []
    for step in (2, 4, 5):
        y, x = tail[step]
        size = 0.05
        bows += [polygon([(y, x), (y - size, x + side * 0.065), (y + size, x + side * 0.065)]) for side in (-1.0, 1.0)]
    parts.append(Part(tuple(bows), DETAIL))
    fields = [polygon([top, right, middle]), polygon([middle, low, left])]
    others = [polygon([top, middle, left]), polygon([middle, right, low])]
    second = SECOND if rng.random() < 0.7 else MAIN
    parts += [Part(tuple(fields), MAIN), Part(tuple(others), second)]
    if rng.random() < 0.6:
        spars = (*limb([top, low], [line, line]), *limb([left, right], [line, line]))
        parts.append(Part(spars, ACCENT))
    return parts
