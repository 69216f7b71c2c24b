"""The pixels that shapes cover, against areas worked by hand."""

import math

import numpy as np
import pytest

from seriatim.data.synthetic.curves import box, curve, ellipse, hole, limb, polygon, ring
from seriatim.data.synthetic.drawing import ACCENT, MAIN, Part, accent, detail, draw, main, second


def area_of(*contours, length=40.0, turn=0.0, mirror=False):
    return float(draw([Part(contours, MAIN)], length, turn, mirror, (30.0, 30.0), False).coverage.sum())


def test_a_square_covers_its_pixels_and_no_other():
    drawing = draw([Part((box(0.0, 0.0, 1.0, 1.0),), MAIN)], 8.0, 0.0, False, (10.0, 20.0), False)
    rows, columns = np.nonzero(drawing.mask)
    assert (rows.min() + drawing.y0, rows.max() + drawing.y0) == (6, 13)
    assert (columns.min() + drawing.x0, columns.max() + drawing.x0) == (16, 23)
    assert np.array_equal(np.unique(drawing.coverage), [0.0, 1.0])
    assert drawing.mask.sum() == 64


def test_half_a_pixel_is_half_covered():
    drawing = draw([Part((box(0.0, 0.0, 1.0, 1.0),), MAIN)], 8.0, 0.0, False, (10.0, 20.5), False)
    assert drawing.coverage.sum() == 64
    assert sorted(np.unique(drawing.coverage).tolist()) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("turn", [0.0, 0.3, 2.0])
def test_areas_are_those_of_geometry_however_the_form_is_turned(turn, mirror):
    width = 40.0 if turn == 0.0 else None
    drawing = draw([Part((ellipse(0.0, 0.0, 0.5, 0.5),), MAIN)], 40.0, turn, mirror, (30.0, 30.0), False)
    assert drawing.coverage.sum() == pytest.approx(math.pi * 400, rel=0.03)
    if width:
        assert area_of(polygon([(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)]), mirror=mirror) == pytest.approx(800, rel=0.01)


def test_a_hole_is_not_covered_and_overlapping_curves_count_once():
    outer, inner = box(0.0, 0.0, 1.0, 1.0), box(0.25, 0.25, 0.75, 0.75)
    assert area_of(outer, hole(inner)) == pytest.approx(1200)
    assert area_of(outer, inner) == pytest.approx(1600)
    assert area_of(*ring(0.0, 0.0, 0.5, 0.1)) == pytest.approx(math.pi * 400 * (1 - 0.64), rel=0.03)
    assert area_of(*ring(0.0, 0.0, 0.5, 0.6)) == pytest.approx(math.pi * 400, rel=0.03)


def test_the_way_in_which_corners_are_listed_does_not_matter():
    corners = [(0.0, 0.0), (0.2, 1.0), (0.9, 0.8), (1.0, 0.1)]
    assert np.array_equal(polygon(corners), polygon(corners[::-1])) or area_of(polygon(corners)) == area_of(
        polygon(corners[::-1])
    )
    assert area_of(polygon(corners), hole(box(0.4, 0.4, 0.6, 0.6))) < area_of(polygon(corners[::-1]))


def test_a_limb_has_the_area_of_its_line_and_round_ends():
    lines = limb([(0.0, 0.0), (0.0, 0.8)], [0.2, 0.2])
    assert area_of(*lines) == pytest.approx(1600 * (0.16 + math.pi * 0.01), rel=0.02)


def test_the_smooth_curve_stays_inside_its_corners():
    smooth = curve([(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0)], rounds=3)
    assert smooth.min() >= 0
    assert smooth.max() <= 1
    assert 0.75 < area_of(smooth) / 1600 < 1


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_the_longer_side_has_the_asked_length_and_lies_where_it_was_put(turn):
    parts = [Part((box(0.0, 0.0, 0.3, 1.0),), MAIN)]
    drawing = draw(parts, 50.0, turn, False, (100.0, 60.0), False)
    rows, columns = np.nonzero(drawing.mask)
    assert columns.max() - columns.min() + 1 == pytest.approx(50, abs=1)
    assert (columns.max() + columns.min() + 1) / 2 + drawing.x0 == pytest.approx(60, abs=1)
    assert (rows.max() + rows.min() + 1) / 2 + drawing.y0 == pytest.approx(100, abs=1)
    standing = draw(parts, 50.0, turn, False, (100.0, 60.0), True)
    assert np.nonzero(standing.mask)[0].max() + standing.y0 == pytest.approx(99, abs=1)


def test_mirrored_forms_are_mirrored():
    parts = [Part((polygon([(0.0, 0.0), (0.0, 1.0), (1.0, 0.0)]),), MAIN), Part((box(0.0, 0.7, 0.1, 0.9),), ACCENT)]
    plain, mirrored = (draw(parts, 16.0, 0.0, mirror, (20.0, 20.0), False) for mirror in (False, True))
    np.testing.assert_allclose(plain.coverage, mirrored.coverage[:, :, ::-1], atol=1e-6)
    assert plain.paints == (MAIN, ACCENT)


def test_parts_together_cover_as_painting_one_over_the_other_does():
    parts = [Part((box(0.0, 0.0, 1.0, 0.53),), MAIN), Part((box(0.0, 0.47, 1.0, 1.0),), ACCENT)]
    drawing = draw(parts, 9.3, 0.2, False, (10.0, 10.0), False)
    np.testing.assert_allclose(drawing.alpha, 1 - np.prod(1 - drawing.coverage, axis=0), atol=1e-6)


def test_the_window_cuts_what_lies_outside_the_image():
    parts = [Part((box(0.0, 0.0, 1.0, 1.0),), MAIN)]
    image = np.zeros((20, 30), dtype=int)
    for center, pixels in (((0.0, 0.0), 16), ((20.0, 15.0), 32), ((-90.0, 5.0), 0), ((9.0, 300.0), 0)):
        drawing = draw(parts, 8.0, 0.0, False, center, False, margin=3)
        inside, part = drawing.window(*image.shape)
        assert image[inside].shape == drawing.mask[part].shape
        assert drawing.mask[part].sum() == pixels
    inside, part = draw(parts, 8.0, 0.0, False, (0.0, 0.0), False).window(20, 30, shift=(2, 1))
    assert image[inside].shape == (7, 6)


def test_each_paint_has_a_function_that_makes_a_part_of_it():
    square = box(0.0, 0.0, 1.0, 1.0)
    assert [make(square, square).paint for make in (main, second, detail, accent)] == [0, 1, 2, 3]
    assert len(main(square, square).contours) == 2
