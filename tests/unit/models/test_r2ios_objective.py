"""Which proposals an image trains on, and what each look at them is trained towards; eq. 1 itself is in `tests/equations`."""

import pytest
import torch

from seriatim.core.errors import ConfigError
from seriatim.models.r2ios_objective import (
    R2IOSObjectiveConfig,
    Refinement,
    count_optimal,
    draw,
    find_collapse,
    label,
    make_goals,
    make_proposals,
    objective,
    read_truth,
)

SCALE = (0.1, 0.1, 0.2, 0.2)
LABELS = torch.zeros(20, 30, dtype=torch.long)
LABELS[2:10, 2:10] = 1
LABELS[5:15, 12:20] = 3  # the second object has no pixel in this crop
CLASSES = torch.tensor([4, 1, 2, 0])
TRUTH = read_truth(LABELS, CLASSES, 5)
EMPTY = read_truth(torch.zeros(20, 30, dtype=torch.long), torch.zeros(0, dtype=torch.long), 5)


def test_objects_without_a_pixel_are_left_out_and_the_others_keep_their_classes():
    assert TRUTH.classes.tolist() == [4, 2]
    assert TRUTH.objects.boxes.tolist() == [[2, 2, 10, 10], [5, 12, 15, 20]]


def test_a_model_without_classes_has_objects_of_class_1():
    assert read_truth(LABELS, CLASSES, 0).classes.tolist() == [1, 1]


@pytest.mark.parametrize(("classes", "unknown"), [([4, 1, 6], 6), ([0, 1, 2], 0)])
def test_a_class_that_the_model_does_not_know_is_refused(classes, unknown):
    with pytest.raises(ConfigError, match=f"an object of the data is of class {unknown}"):
        read_truth(LABELS, torch.tensor(classes), 5)


def test_labels_are_of_the_own_image_alone():
    boxes = torch.tensor([[2.0, 2, 10, 9], [2.0, 2, 10, 9], [5.0, 12, 15, 20], [0.0, 0, 20, 30]])
    classes, targets = label(boxes, torch.tensor([0, 1, 1, 1]), [EMPTY, TRUTH], 0.5)
    assert classes.tolist() == [0, 4, 2, 0]
    assert targets.tolist() == [boxes[0].tolist(), [2, 2, 10, 10], [5, 12, 15, 20], boxes[3].tolist()]


def test_an_overlap_of_exactly_the_limit_is_foreground():
    classes, _ = label(torch.tensor([[2.0, 2, 10, 6]]), torch.tensor([0]), [TRUTH], 0.5)
    assert classes.tolist() == [4]


def test_goals_are_those_of_the_box_as_it_lies_now():
    boxes = torch.tensor([[0.0, 0, 20, 30], [6.0, 2, 14, 10]])
    goals = make_goals(
        boxes, torch.tensor([0, 1]), [EMPTY, TRUTH], label(boxes, torch.tensor([0, 1]), [EMPTY, TRUTH], 0.3), SCALE, 2
    )
    assert goals.classes.tolist() == [0, 4]
    assert goals.offsets.tolist() == [[0.0] * 4, [-5.0, 0.0, 0.0, 0.0]]  # up by 4 of 8 pixels
    assert goals.masks.tolist() == [[[0, 0], [0, 0]], [[1, 1], [0, 0]]]


def test_the_true_boxes_are_drawn_too_where_that_is_asked_for():
    proposals = torch.tensor([[0.0, 0, 4, 4]])
    for is_added, count in ((True, 3), (False, 1)):
        weights = R2IOSObjectiveConfig(add_truth=is_added, foreground_fraction=1.0)
        assert len(draw(proposals, TRUTH, weights, torch.Generator())) == count
    assert draw(torch.zeros(0, 4), EMPTY, R2IOSObjectiveConfig(), torch.Generator()).shape == (0, 4)


def test_proposals_of_the_truth_are_moved_copies_of_every_object_and_false_boxes():
    weights = R2IOSObjectiveConfig(box_copies=6, box_jitter=0.05, false_boxes=10.0)
    boxes = make_proposals(TRUTH, (20, 30), weights, torch.Generator().manual_seed(0))
    assert len(boxes) == 2 * (6 + 10)
    overlaps = label(boxes, torch.zeros(32, dtype=torch.long), [TRUTH], 0.5)[0]
    assert sorted(overlaps[:12].tolist()) == [2] * 6 + [4] * 6
    assert (overlaps[12:] == 0).any()
    assert len(make_proposals(EMPTY, (20, 30), weights, torch.Generator())) == 0


def test_proposals_that_the_edge_of_the_image_cuts_below_a_pixel_are_left_out():
    labels = torch.zeros(20, 30, dtype=torch.long)
    labels[19, 3:9] = 1
    weights = R2IOSObjectiveConfig(box_copies=200, box_jitter=0.5, false_boxes=0.0)
    truth = read_truth(labels, torch.tensor([1]), 1)
    boxes = make_proposals(truth, (20, 30), weights, torch.Generator().manual_seed(0))
    assert 0 < len(boxes) < 200
    assert (boxes[:, 2:] - boxes[:, :2] >= 1).all()


def test_the_histogram_is_of_the_foreground_alone_and_empty_without_any():
    optimal = torch.tensor([0, 2, 2, 1, 0])
    shares = count_optimal(optimal, torch.tensor([1, 2, 1, 2, 0]), 4)
    assert shares == {"optimal_1": 0.25, "optimal_2": 0.25, "optimal_3": 0.5, "optimal_4": 0.0}
    assert count_optimal(optimal, torch.zeros(5, dtype=torch.long), 4) == {}


@pytest.mark.parametrize(("share", "is_reported"), [(0.97, False), (0.98, True), (1.0, True)])
def test_a_gate_that_takes_one_look_of_nearly_all_proposals_is_reported(share, is_reported):
    remark = find_collapse({"optimal_1": 0.0, "optimal_2": share, "optimal_3": 1 - share, "other": 1.0})
    assert (remark is not None) == is_reported
    if remark is not None:
        assert f"look 2 of {round(100 * share)} %" in remark


def test_one_look_and_an_image_without_foreground_are_no_collapse():
    assert find_collapse({"optimal_1": 1.0}) is None
    assert find_collapse({}) is None


def look_of(count):
    return Refinement(
        torch.zeros(count, 4),
        torch.zeros(count, 6, requires_grad=True),
        torch.zeros(count, 6, 4, requires_grad=True),
        torch.zeros(count, 2, 3, 3, requires_grad=True),
        torch.zeros(count, 4),
    )


def test_no_proposals_cost_nothing_and_still_have_a_gradient():
    none = torch.zeros(0, 4)
    images = torch.zeros(0, dtype=torch.long)
    goals = make_goals(none, images, [EMPTY], label(none, images, [EMPTY], 0.5), SCALE, 3)
    terms = objective([look_of(0)] * 2, [goals] * 2, R2IOSObjectiveConfig())
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert total.item() == 0


def test_a_term_of_weight_0_is_left_out_and_others_are_weighted():
    boxes, images = torch.tensor([[2.0, 2, 10, 9]]), torch.tensor([0])
    goals = make_goals(boxes, images, [TRUTH], label(boxes, images, [TRUTH], 0.5), SCALE, 3)
    once = objective([look_of(1)], [goals], R2IOSObjectiveConfig())
    weighted = objective([look_of(1)], [goals], R2IOSObjectiveConfig(location=0.0, segmentation=3.0))
    assert set(weighted) == {"classification", "segmentation"}
    assert weighted["segmentation"].item() == pytest.approx(3 * once["segmentation"].item())
