"""Rings of masks and masks of rings; shapely is the independent judge of what a valid polygon is."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seriatim.core.errors import DataError
from seriatim.core.instances import Instance
from seriatim.data.masks import outlines as module
from seriatim.data.masks.outlines import (
    as_one_ring,
    check_ring,
    draw_object,
    fill_rings,
    instance_outlines,
    outlines,
    rasterise,
    rings_of,
)


def plane(instance, size):
    full = np.zeros(size, dtype=bool)
    if instance is not None:
        y0, x0, y1, x1 = instance.box
        full[y0:y1, x0:x1] = instance.mask
    return full


def mask_of(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


masks = st.tuples(st.integers(1, 9), st.integers(1, 9)).flatmap(lambda shape: arrays(bool, shape))


@settings(max_examples=300, deadline=None)
@given(masks)
def test_outlines_give_exactly_the_mask_back_whatever_the_mask(mask):
    parts = outlines(mask)
    if not mask.any():
        assert parts == []
        return
    assert (plane(fill_rings(rings_of(parts), mask.shape), mask.shape) == mask).all()
    assert (rasterise(as_one_ring(rings_of(parts)), mask.shape) == mask).all()


@settings(max_examples=300, deadline=None)
@given(masks)
def test_outlines_are_valid_polygons_of_the_area_of_the_mask(mask):
    polygons = [shapely.Polygon(part.outer, part.holes) for part in outlines(mask)]
    assert all(polygon.is_valid for polygon in polygons)
    assert shapely.MultiPolygon(polygons).is_valid
    assert sum(polygon.area for polygon in polygons) == mask.sum()


def test_a_hole_belongs_to_the_part_round_it_and_runs_the_other_way():
    mask = mask_of("###.###", "#.#.#.#", "###.###")
    parts = outlines(mask, origin=(10, 20))
    assert [len(part.holes) for part in parts] == [1, 1]
    for part, x in zip(parts, (20, 24), strict=True):
        assert part.outer.tolist() == [[x, 10], [x + 3, 10], [x + 3, 13], [x, 13]]
        assert shapely.LinearRing(part.outer).is_ccw is True  # in shapely's plane y points upwards
        assert shapely.LinearRing(part.holes[0]).is_ccw is False
        assert part.holes[0].min(axis=0).tolist() == [x + 1, 11]


def test_pixels_that_touch_in_a_corner_are_two_parts_and_an_island_in_a_hole_is_its_own():
    assert len(outlines(mask_of("#.", ".#"))) == len(outlines(mask_of(".#", "#."))) == 2
    nested = outlines(mask_of("#####", "#...#", "#.#.#", "#...#", "#####"))
    assert sorted(len(part.holes) for part in nested) == [0, 1]


def test_a_hole_that_touches_the_outside_in_a_corner_is_still_a_hole():
    [part] = outlines(mask_of("####", "#.##", "##..", "####"))
    assert len(part.holes) == 1
    assert len(part.outer) == 8


def test_only_corners_are_kept():
    assert [len(part.outer) for part in outlines(np.ones((50, 70), dtype=bool))] == [4]


def test_an_instance_has_its_outlines_where_it_lies():
    instance = Instance((3, 5, 4, 7), np.ones((1, 2), dtype=bool))
    assert instance_outlines(instance)[0].outer.tolist() == [[5, 3], [7, 3], [7, 4], [5, 4]]


def test_a_pixel_counts_if_its_centre_lies_inside():
    ring = np.array([[0.6, 0.4], [2.6, 0.4], [2.6, 1.4], [0.6, 1.4]])
    assert rasterise(ring, (3, 4)).astype(int).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_polygons_that_share_a_side_share_no_pixel_and_leave_none_out():
    corner = np.array([[0.0, 0.0], [8.0, 0.0], [8.0, 8.0], [0.0, 8.0]])
    first, second = rasterise(corner[[0, 1, 2]], (8, 8)), rasterise(corner[[0, 2, 3]], (8, 8))
    assert not (first & second).any()
    assert (first | second).all()


def test_the_way_round_and_the_start_of_a_ring_do_not_matter():
    ring = np.random.default_rng(3).uniform(-3, 23, (7, 2))
    expected = rasterise(ring, (20, 20))
    assert expected.any()
    for other in (ring[::-1], np.roll(ring, 3, axis=0)):
        assert (rasterise(other, (20, 20)) == expected).all()


def test_what_lies_outside_the_image_is_cut_off():
    ring = np.array([[-50, -50], [50, -50], [50, 50], [-50, 50]])
    assert rasterise(ring, (4, 6)).all()
    assert fill_rings([ring + 200], (4, 6)) is None


def test_an_object_smaller_than_a_pixel_keeps_one_and_one_outside_none():
    tiny = np.array([[3.1, 2.6], [3.3, 2.6], [3.3, 2.9]])
    assert fill_rings([tiny], (10, 10)) is None
    assert draw_object([tiny], (10, 10), class_id=4).box == (2, 3, 3, 4)
    assert draw_object([tiny], (10, 10), class_id=4).class_id == 4
    assert draw_object([tiny - 4], (10, 10)) is None


def test_many_sides_over_one_place_keep_their_parity():
    square = np.array([[0, 0], [2, 0], [2, 2], [0, 2]])
    assert fill_rings([square] * 256, (4, 4)) is None
    assert fill_rings([square] * 257, (4, 4)).area == 4


@pytest.mark.parametrize(
    ("ring", "message"),
    [
        ([[0, 0], [1, 1]], "has 2 corners"),
        ([[0, 0], [1, np.nan], [1, 0]], "not finite"),
        ([[0, 0], [np.inf, 1], [1, 0]], "not finite"),
        ([[0, 0], [1e10, 1], [1, 0]], "beyond 1e"),
        ([[0, 0], [1, 1], [2, 2], [3, 3]], "on one line"),
        ([[1, 1], [1, 1], [1, 1]], "on one line"),
    ],
)
def test_a_ring_that_cannot_be_drawn_says_why(ring, message):
    with pytest.raises(DataError, match=f"here: .*{message}"):
        check_ring(np.array(ring, dtype=np.float64), "here")


def test_a_small_triangle_and_a_figure_of_eight_pass():
    check_ring(np.array([[0.1, 0.1], [0.1001, 0.1], [0.1, 0.1001]]), "here")
    check_ring(np.array([[0, 0], [1, 1], [1, 0], [0, 1]]), "here")


def test_an_outline_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(module, "MAX_CROSSINGS", 10)
    with pytest.raises(DataError, match="crosses 12 rows of pixels, more than 10"):
        rasterise(np.array([[0, 0], [6, 0], [6, 6], [0, 6]]), (9, 9))
