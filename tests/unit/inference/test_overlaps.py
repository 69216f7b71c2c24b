from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from seriatim.core.instances import Instance
from seriatim.inference.overlaps import OverlapResolver, resolve_overlaps


def test_a_contested_pixel_stays_with_the_object_found_first():
    resolver = OverlapResolver((4, 10))
    first = Instance((0, 0, 4, 6), np.ones((4, 6), dtype=bool))
    second = Instance((0, 4, 4, 10), np.ones((4, 6), dtype=bool))
    assert resolver.claim(first) is first
    left = resolver.claim(second)
    assert left is not None
    assert left.box == (0, 6, 4, 10)


def test_an_object_that_is_mostly_taken_is_dropped():
    resolver = OverlapResolver((4, 10), max_hidden=0.5)
    resolver.claim(Instance((0, 0, 4, 6), np.ones((4, 6), dtype=bool)))
    assert resolver.claim(Instance((0, 2, 4, 7), np.ones((4, 5), dtype=bool))) is None
    assert resolver.claim(Instance((0, 3, 4, 9), np.ones((4, 6), dtype=bool))) is not None


def test_an_object_of_too_few_pixels_is_dropped():
    resolver = OverlapResolver((4, 10), min_area=5)
    assert resolver.claim(Instance((0, 0, 2, 2), np.ones((2, 2), dtype=bool))) is None


def test_a_solid_object_is_its_largest_part_without_holes():
    mask = np.zeros((9, 20), dtype=bool)
    mask[:, :9] = True
    mask[3:6, 3:6] = False
    mask[2:4, 15:18] = True
    left = OverlapResolver((9, 20), solid=True).claim(Instance((0, 0, 9, 20), mask))
    assert left is not None
    assert left.box == (0, 0, 9, 9)
    assert left.mask.all()
    assert OverlapResolver((9, 20)).claim(Instance((0, 0, 9, 20), mask)).mask is mask


def test_filling_a_hole_takes_nothing_from_the_object_inside():
    resolver = OverlapResolver((9, 9), solid=True)
    inner = Instance((3, 3, 6, 6), np.ones((3, 3), dtype=bool))
    ring = np.ones((9, 9), dtype=bool)
    ring[3:6, 3:6] = False
    assert resolver.claim(inner) is inner
    left = resolver.claim(Instance((0, 0, 9, 9), ring))
    assert left is not None
    assert np.array_equal(left.mask, ring)


def bars(*scores):
    """Bars of 4 x 6 pixels, each 4 pixels to the right of the one before."""
    return [
        Instance((0, 4 * number, 4, 4 * number + 6), np.ones((4, 6), dtype=bool), score, step=number)
        for number, score in enumerate(scores)
    ]


@pytest.mark.parametrize(
    ("rule", "columns"),
    [
        ("earlier", [(0, 6), (6, 10), (10, 14)]),
        ("later", [(0, 4), (4, 8), (8, 14)]),
        ("score", [(0, 4), (4, 10), (10, 14)]),
        ("keep", [(0, 6), (4, 10), (8, 14)]),
    ],
)
def test_the_rule_says_who_keeps_a_contested_pixel_and_the_order_stays(rule, columns):
    kept = list(resolve_overlaps(bars(0.2, 0.9, 0.5), (4, 14), rule))
    assert [(one.box[1], one.box[3]) for one in kept] == columns
    assert [one.step for one in kept] == [0, 1, 2]


@pytest.mark.parametrize("rule", ["earlier", "later", "score"])
def test_with_a_largest_hidden_share_of_1_every_object_stays_that_has_a_pixel_left(rule):
    nearly = [
        Instance((0, 0, 4, 9), np.ones((4, 9), dtype=bool), 0.9),
        Instance((0, 1, 4, 10), np.ones((4, 9), dtype=bool), 0.8),
    ]
    assert sorted(one.area for one in resolve_overlaps(nearly, (4, 10), rule, max_hidden=1.0)) == [4, 36]
    assert [one.area for one in resolve_overlaps(nearly, (4, 10), rule)] == [36]
    wholly = [nearly[0], nearly[0]]
    assert [one.area for one in resolve_overlaps(wholly, (4, 10), rule, max_hidden=1.0)] == [36]


def test_of_equal_scores_the_earlier_keeps_a_contested_pixel():
    first, second = resolve_overlaps(bars(0.5, 0.5), (4, 14), "score")
    assert (first.area, second.area) == (24, 16)


def test_with_kept_overlaps_a_hidden_object_stays_and_a_small_one_goes():
    twice = [bars(0.5)[0], bars(0.5)[0]]
    assert len(list(resolve_overlaps(twice, (4, 6), "keep"))) == 2
    assert len(list(resolve_overlaps(twice, (4, 6), "earlier"))) == 1
    assert not list(resolve_overlaps(twice, (4, 6), "keep", min_area=25))


@pytest.mark.parametrize("rule", ["earlier", "later", "score", "keep"])
def test_objects_that_the_least_area_costs_are_counted(rule):
    found = [Instance((0, 0, 1, width), np.ones((1, width), dtype=bool), 0.5) for width in (3, 2, 1)]
    apart = [replace(one, box=(2 * row, 0, 2 * row + 1, one.box[3])) for row, one in enumerate(found)]
    tally = Counter()
    kept = list(resolve_overlaps(apart, (6, 3), rule, min_area=3, tally=tally))
    assert (len(kept), tally["too_small"]) == (1, 2)
