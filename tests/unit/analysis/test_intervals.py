import numpy as np
import pytest

from seriatim.analysis.intervals import as_list, interval_of_mean, interval_of_ratio_change


def test_the_mean_of_two_images_lies_between_them():
    assert interval_of_mean(np.array([0.0, 1.0])) == (0.0, 1.0)  # a quarter of the draws takes each image twice


def test_more_images_give_a_narrower_interval_around_the_mean():
    values = np.array([0.0, 1.0] * 50)
    low, high = interval_of_mean(values)
    assert low == pytest.approx(0.4, abs=0.03)  # 0.5 +- 1.96 * 0.5 / sqrt(100)
    assert high == pytest.approx(0.6, abs=0.03)


def test_one_image_has_no_interval():
    assert interval_of_mean(np.array([1.0])) is None
    assert interval_of_ratio_change(np.ones(1), np.ones(1), np.ones(1)) is None
    assert as_list(None) is None
    assert as_list((0.0, 1.0)) == [0.0, 1.0]


def test_the_change_of_a_ratio_is_of_the_sums():
    change = interval_of_ratio_change(np.array([2.0, 4.0]), np.array([1.0, 2.0]), np.array([2.0, 4.0]))
    assert change == (-0.5, -0.5)


def test_draws_without_a_target_are_left_out():
    assert interval_of_ratio_change(np.array([0.0, 0.0]), np.array([3.0, 1.0]), np.array([0.0, 1.0])) == (1.0, 4.0)
    assert interval_of_ratio_change(np.zeros(2), np.ones(2), np.zeros(2)) is None
