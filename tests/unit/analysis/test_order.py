import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from seriatim.analysis.order import OrderReport, collect_orders, kendall_tau, summarise_orders
from seriatim.core.errors import DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.catalogue import open_source


def of_labels(*rows):
    return Instances.from_label_map(np.array(rows))


def of_planes(*planes):
    nothing = Instance((0, 0, 0, 0), np.zeros((0, 0), dtype=bool))
    masks = [np.array(plane, dtype=bool) for plane in planes]
    return Instances(masks[0].shape, [Instance.from_mask(mask) or nothing for mask in masks])


def test_objects_emitted_from_right_to_left():
    assert summarise_orders([of_labels([3, 0, 2, 1])]).right_to_left == 1.0
    assert summarise_orders([of_labels([1, 0, 2, 3])]).right_to_left == -1.0


def test_objects_emitted_from_bottom_to_top_and_large_to_small():
    found = summarise_orders([of_labels([2, 0], [2, 0], [1, 1], [1, 1])])
    assert found == OrderReport(1.0, 1.0, 1.0, num_images=1, num_left_out=0)


def test_ties_count_neither_way():
    found = summarise_orders([of_labels([1, 2, 0], [0, 3, 0])])
    assert found.right_to_left == pytest.approx(-2 / 3)
    assert found.bottom_to_top == pytest.approx(-2 / 3)
    assert found.large_to_small == 0.0


def test_the_number_is_the_mean_over_images():
    found = summarise_orders([of_labels([2, 0, 1]), of_labels([1, 0, 2]), of_labels([3, 2, 1])])
    assert found.right_to_left == pytest.approx(1 / 3)


def test_images_with_fewer_than_two_objects_are_left_out_and_counted():
    two, single, empty = of_labels([2, 1]), of_labels([1, 0]), of_labels([0, 0])
    assert summarise_orders([two, single, empty]) == OrderReport(1.0, 0.0, 0.0, num_images=1, num_left_out=2)
    assert summarise_orders([single, empty]) == OrderReport(None, None, None, num_images=0, num_left_out=2)
    with pytest.raises(DataError, match="at least one image"):
        summarise_orders([])


def test_empty_masks_have_no_place():
    assert summarise_orders([of_planes([[0, 0, 1]], [[0, 0, 0]], [[1, 0, 0]])]).right_to_left == 1.0
    assert summarise_orders([of_planes([[0, 0, 1]], [[0, 0, 0]])]).num_left_out == 1


def test_overlapping_masks_count_at_full_extent():
    assert summarise_orders([of_planes([[0, 1, 0, 0]], [[1, 1, 1, 1]])]).right_to_left == -1.0  # centres 1 and 1.5


@given(values=st.permutations(range(7)))
def test_equals_scipy_where_nothing_ties(values):
    assert kendall_tau(np.array(values, dtype=float)) == pytest.approx(kendalltau(np.arange(7), values).statistic)


def test_one_value_has_no_order():
    with pytest.raises(DataError, match="at least two"):
        kendall_tau(np.array([1.0]))


class LeftToRight:
    """Gives the leaves of every rosette from left to right."""

    class_names = ()

    def find(self, index, sample):
        found = Instances.from_label_map(sample.labels)
        return found[np.argsort([one.box[1] + np.nonzero(one.mask)[1].mean() for one in found])]


def test_the_images_of_a_data_set_are_taken_one_by_one():
    done = []
    report = collect_orders(LeftToRight(), open_source("rosettes:3"), progress=lambda *numbers: done.append(numbers))
    assert (report.right_to_left, report.num_images, report.num_left_out) == (-1.0, 3, 0)
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert report.as_json()["right_to_left"] == -1.0
