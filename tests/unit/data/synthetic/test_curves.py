import math

import numpy as np
import pytest

from seriatim.data.synthetic.curves import hole, joint, limb, mirrored, polygon, scaled, turned


def test_bones_hang_down_and_swing_forward():
    assert joint((1.0, 1.0), 2.0, 0.0) == (3.0, 1.0)
    assert joint((0.0, 0.0), 1.0, math.pi / 2) == pytest.approx((0.0, 1.0))


def doubled_area(contour):
    y, x = contour.T
    return float((y * np.roll(x, -1) - x * np.roll(y, -1)).sum())


def test_a_curve_turns_the_same_way_whatever_the_order_of_its_corners_and_a_hole_the_other_way():
    corners = [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 0.0)]
    assert doubled_area(polygon(corners)) == doubled_area(polygon(corners[::-1])) == 2
    assert doubled_area(hole(polygon(corners))) == -2


def test_a_half_is_mirrored_and_a_table_scaled_without_rounding():
    half = [(0.1, 0.3), (0.7, 0.9)]
    assert mirrored(half) == [(0.1, 0.3), (0.7, 0.9), (0.7, -0.9), (0.1, -0.3)]
    assert scaled(half, 0.3, -3.0) == [(0.1 * 0.3, 0.3 * -3.0), (0.7 * 0.3, 0.9 * -3.0)]


def test_a_quarter_turn_takes_x_to_y():
    np.testing.assert_allclose(turned(np.array([(0.0, 1.0)]), math.pi / 2), [(1.0, 0.0)], atol=1e-12)


def test_a_limb_has_one_contour_for_each_stretch_even_of_no_length():
    contours = limb([(0.0, 0.0), (0.0, 0.0), (1.0, 0.0)], [0.2, 0.2, 0.1])
    assert len(contours) == 2
    assert all(np.isfinite(contour).all() for contour in contours)
    assert contours[0][:, 1].max() == pytest.approx(0.1)
