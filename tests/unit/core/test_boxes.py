import numpy as np
import pytest

from seriatim.core.boxes import Boxes
from seriatim.core.errors import ShapeError


def boxes_at(*edges):
    numbers = np.arange(1, len(edges) + 1)
    return Boxes(np.array(edges, dtype=np.float64).reshape(-1, 4), numbers / 10, numbers)


@pytest.mark.parametrize(
    ("edges", "scores", "class_ids", "message"),
    [
        (np.zeros((2, 3)), np.zeros(2), np.zeros(2, int), r"shape \(boxes, 4\), got \(2, 3\)"),
        (np.zeros(4), np.zeros(1), np.zeros(1, int), "shape"),
        (np.zeros((2, 4)), np.zeros(1), np.zeros(2, int), "2 scores"),
        (np.zeros((2, 4)), np.zeros(2), np.zeros((2, 1), int), "2 class_ids"),
        (np.zeros((1, 4), int), np.zeros(1), np.zeros(1, int), "floats"),
        (np.zeros((1, 4)), np.zeros(1), np.zeros(1), "integers"),
        (
            np.array([[0, 0, 1, 1], [0, np.nan, 1, 1]]),
            np.zeros(2),
            np.zeros(2, int),
            "box 1 has edges that are not finite",
        ),
        (np.array([[0, 0, np.inf, 1]]), np.zeros(1), np.zeros(1, int), "not finite"),
        (np.array([[2.0, 0, 1, 1]]), np.zeros(1), np.zeros(1, int), "ends before it begins"),
        (np.array([[0, 2.0, 1, 1]]), np.zeros(1), np.zeros(1, int), "ends before it begins"),
        (np.zeros((1, 4)), np.array([1.5]), np.zeros(1, int), "score outside 0..1"),
        (np.zeros((1, 4)), np.array([np.nan]), np.zeros(1, int), "score outside 0..1"),
        (np.zeros((1, 4)), np.zeros(1), np.array([-1]), "negative class"),
    ],
)
def test_what_are_no_boxes_is_refused(edges, scores, class_ids, message):
    with pytest.raises(ShapeError, match=message):
        Boxes(edges, scores, class_ids)


def test_a_quarter_turn_and_back_gives_the_same_boxes():
    boxes = boxes_at((1, 2, 5, 9), (0.5, 0.25, 0.5, 3))
    turn = np.array([[0.0, 1.0, 3.0], [-1.0, 0.0, 7.0]])
    back = np.array([[0.0, -1.0, 7.0], [1.0, 0.0, -3.0]])
    assert boxes.transform(turn).edges.tolist() == [[5, 2, 12, 6], [3.25, 6.5, 6, 6.5]]
    np.testing.assert_allclose(boxes.transform(turn).transform(back).edges, boxes.edges)


def test_a_rotated_box_is_the_box_around_its_corners():
    turned = boxes_at((-1, -1, 1, 1)).transform(np.array([[1.0, -1.0, 0.0], [1.0, 1.0, 0.0]]))
    assert turned.edges.tolist() == [[-2, -2, 2, 2]]


def test_clipping_keeps_scores_and_classes_with_their_boxes_and_drops_empty_ones():
    clipped = boxes_at((-5, -5, -1, -1), (-2, 3, 4, 50), (1, 1, 1, 2), (8, 8, 20, 20), (10, 0, 12, 3)).clip((10, 20))
    assert clipped.edges.tolist() == [[0, 3, 4, 20], [8, 8, 10, 20]]
    assert clipped.scores.tolist() == [0.2, 0.4]
    assert clipped.class_ids.tolist() == [2, 4]


def test_shifting_scaling_and_selecting():
    boxes = boxes_at((1, 2, 3, 4), (5, 6, 7, 8))
    assert boxes.shift((10.0, -1.0)).edges.tolist() == [[11, 1, 13, 3], [15, 5, 17, 7]]
    assert boxes.scale((2.0, 0.5)).edges.tolist() == [[2, 1, 6, 2], [10, 3, 14, 4]]
    assert boxes.select(np.array([False, True])).class_ids.tolist() == [2]
    assert boxes.select(np.array([1, 0])).scores.tolist() == [0.2, 0.1]


def test_no_box_goes_through_everything():
    none = Boxes.none()
    for one in (none.transform(np.eye(2, 3)), none.clip((3, 3)), none.shift((1.0, 1.0)), none.scale((2.0, 2.0))):
        assert one.edges.shape == (0, 4)
    assert none.to_prompts().boxes.shape == (0, 4)


def test_prompts_are_the_same_boxes_as_tensors():
    prompts = boxes_at((1, 2, 3, 4.5)).to_prompts()
    assert prompts.boxes.tolist() == [[1, 2, 3, 4.5]]
    assert str(prompts.boxes.dtype) == str(prompts.scores.dtype) == "torch.float32"
    assert prompts.class_ids.tolist() == [1]
    assert prompts.points.shape == (0, 2)
