import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from seriatim.analysis.order import OrderReport, collect_orders, kendall_tau
from seriatim.core.errors import DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.catalogue import open_source
from seriatim.data.subsets import Subset


def of_labels(*rows):
    return Instances.from_label_map(np.array(rows))


def of_planes(*planes):
    nothing = Instance((0, 0, 0, 0), np.zeros((0, 0), dtype=bool))
    masks = [np.array(plane, dtype=bool) for plane in planes]
    return Instances(masks[0].shape, [Instance.from_mask(mask) or nothing for mask in masks])


def report_of(*images):
    report = OrderReport()
    for instances in images:
        report.add(instances)
    return report


def means(*images):
    return {order: tau.mean for order, tau in report_of(*images).summarise().items()}


def test_objects_emitted_from_right_to_left():
    assert means(of_labels([3, 0, 2, 1]))["right_to_left"] == 1.0
    assert means(of_labels([1, 0, 2, 3]))["right_to_left"] == -1.0


def test_objects_emitted_from_bottom_to_top_and_large_to_small():
    found = means(of_labels([2, 0], [2, 0], [1, 1], [1, 1]))
    assert found == {"right_to_left": 1.0, "bottom_to_top": 1.0, "large_to_small": 1.0}


def test_ties_count_neither_way():
    found = means(of_labels([1, 2, 0], [0, 3, 0]))
    assert found["right_to_left"] == pytest.approx(-2 / 3)
    assert found["bottom_to_top"] == pytest.approx(-2 / 3)
    assert found["large_to_small"] == 0.0


def test_the_number_is_the_mean_over_images_with_an_interval():
    tau = report_of(of_labels([2, 0, 1]), of_labels([1, 0, 2]), of_labels([3, 2, 1])).summarise()["right_to_left"]
    assert tau.mean == pytest.approx(1 / 3)
    assert tau.interval == (-1.0, 1.0)
    assert report_of(of_labels([2, 1])).summarise()["right_to_left"].interval is None


def test_images_with_fewer_than_two_objects_are_left_out_and_counted():
    two, single, empty = of_labels([2, 1]), of_labels([1, 0]), of_labels([0, 0])
    told = report_of(two, single, empty).as_json()
    assert (told["right_to_left"], told["num_images"], told["num_left_out"]) == (1.0, 1, 2)
    told = report_of(single, empty).as_json()
    assert (told["right_to_left"], told["num_images"], told["num_left_out"]) == (None, 0, 2)


def test_empty_masks_have_no_place():
    assert means(of_planes([[0, 0, 1]], [[0, 0, 0]], [[1, 0, 0]]))["right_to_left"] == 1.0
    assert report_of(of_planes([[0, 0, 1]], [[0, 0, 0]])).num_left_out == 1


def test_overlapping_masks_count_at_full_extent():
    assert means(of_planes([[0, 1, 0, 0]], [[1, 1, 1, 1]]))["right_to_left"] == -1.0  # centres 1 and 1.5


@given(values=st.permutations(range(7)))
def test_equals_scipy_where_nothing_ties(values):
    assert kendall_tau(np.array(values, dtype=float)) == pytest.approx(kendalltau(np.arange(7), values).statistic)


def test_one_value_has_no_order():
    with pytest.raises(DataError, match="at least two"):
        kendall_tau(np.array([1.0]))


def test_the_examples_are_the_images_that_follow_an_order_best_and_those_with_many_objects_come_first():
    image = np.zeros((3, 1, 8), dtype=np.float32)
    report = OrderReport(num_examples=2)
    for name, labels in (
        ("two", [2, 0, 0, 0, 0, 0, 0, 1]),
        ("reversed", [1, 0, 2, 0, 3, 0, 4, 0]),
        ("mixed", [4, 0, 3, 0, 1, 0, 2, 0]),
        ("best", [4, 0, 3, 0, 2, 0, 1, 0]),
    ):
        report.add(of_labels(labels), name, image)
    assert [one.name for one in report.examples["right_to_left"]] == ["best", "mixed"]
    assert [one.tau for one in report.examples["right_to_left"]] == [1.0, pytest.approx(2 / 3)]
    assert [len(report.examples[order]) for order in report.examples] == [2, 2, 2]


class LeftToRight:
    """Gives the leaves of every rosette from left to right."""

    class_names = ("leaf",)

    def find(self, index, sample):
        found = Instances.from_label_map(sample.labels)
        return found[np.argsort([one.box[1] + np.nonzero(one.mask)[1].mean() for one in found])]


def test_the_images_of_a_data_set_are_taken_one_by_one():
    done = []
    source = open_source("rosettes:3")
    report = collect_orders(LeftToRight(), source, 1, progress=lambda *numbers: done.append(numbers))
    told = report.as_json()
    assert (told["right_to_left"], told["num_images"], told["num_left_out"]) == (-1.0, 3, 0)
    assert told["pairs"]["all pairs"]["right_to_left"] == 0.0 < told["pairs"]["all pairs"]["num_pairs"]
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert len(report.examples["large_to_small"]) == 1
    with pytest.raises(DataError, match="at least one image"):
        collect_orders(LeftToRight(), Subset(source, []))
