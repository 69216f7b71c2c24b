import pytest
import torch

from seriatim.core.batch import Prompts
from seriatim.core.errors import ConfigError
from seriatim.nn.detections import read_detections, true_boxes


def prompts_of(boxes, scores=None, class_ids=None):
    count = len(boxes)
    return Prompts(
        torch.tensor(boxes, dtype=torch.float32).reshape(count, 4),
        torch.ones(count) if scores is None else torch.tensor(scores),
        torch.ones(count, dtype=torch.long) if class_ids is None else torch.tensor(class_ids),
        torch.zeros(0, 2),
    )


def test_a_box_with_whole_edges_covers_its_half_open_ranges():
    detections = read_detections(prompts_of([(1, 2, 3, 5)]), (4, 6), 1)
    assert torch.outer(detections.rows[0], detections.columns[0]).nonzero().tolist() == [
        [row, column] for row in (1, 2) for column in (2, 3, 4)
    ]
    assert detections.pixel_box(0) == (1, 2, 3, 5)
    assert detections.areas.tolist() == [6]


def test_a_pixel_belongs_to_a_box_if_its_centre_does():
    detections = read_detections(prompts_of([(0.4, 0.6, 1.5, 2.6)]), (4, 4), 1)
    assert detections.pixel_box(0) == (0, 1, 1, 3)


def test_boxes_without_a_pixel_of_the_image_are_left_out():
    boxes = [(0, 0, 0, 4), (2, 2, 2, 2), (0.6, 0.6, 1.4, 1.4), (-9, -9, -1, -1), (4, 0, 8, 4), (0, 0, 1, 1)]
    assert read_detections(prompts_of(boxes), (4, 4), 1).numbers.tolist() == [5]


def test_a_box_that_reaches_beyond_the_image_is_cut_and_keeps_its_edges():
    detections = read_detections(prompts_of([(-3, 1, 2, 99)]), (4, 5), 1)
    assert detections.pixel_box(0) == (0, 1, 2, 5)
    assert detections.edges.tolist() == [[-3, 1, 2, 99]]


def test_the_best_come_first_and_of_equal_ones_the_earlier():
    boxes = [(0, 0, 2, 2)] * 4
    detections = read_detections(prompts_of(boxes, [0.5, 0.9, 0.5, 0.1]), (4, 4), 1)
    assert detections.numbers.tolist() == [1, 0, 2, 3]
    assert detections.scores.tolist() == pytest.approx([0.9, 0.5, 0.5, 0.1])
    assert read_detections(prompts_of(boxes, [0.5, 0.9, 0.5, 0.1]), (4, 4), 1, 0.5, 2).numbers.tolist() == [1, 0]


def test_an_unknown_class_is_the_only_class_and_else_an_error():
    unknown = prompts_of([(0, 0, 2, 2)], class_ids=[0])
    assert read_detections(unknown, (4, 4), 1).class_ids.tolist() == [1]
    with pytest.raises(ConfigError, match=r"box 0 has a class that this model does not know \(1\.\.2\): 0"):
        read_detections(unknown, (4, 4), 2)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (prompts_of([(0, 0, 1, 1), (0, 0, 2, 2)], class_ids=[1, 4]), "box 1 has a class"),
        (prompts_of([(0, 0, float("nan"), 1)]), "box 0 has edges that are not finite"),
        (prompts_of([(3, 0, 1, 1)]), "box 0 ends before it begins"),
        (prompts_of([(0, 0, 1, 1)], [1.5]), "box 0 has a score outside"),
        (prompts_of([(0, 0, 1, 1)], [float("nan")]), "box 0 has a score outside"),
    ],
)
def test_what_is_no_detection_is_refused_with_its_number(given, words):
    with pytest.raises(ConfigError, match=words):
        read_detections(given, (4, 4), 3)


def test_no_box_gives_no_detection():
    detections = read_detections(Prompts.none(), (4, 5), 3)
    assert len(detections) == 0
    assert detections.rows.shape == (0, 4)
    assert detections.areas.shape == (0,)


def test_sums_over_boxes_equal_loops():
    detections = read_detections(prompts_of([(0, 1, 3, 3), (1, 0, 4, 5), (2, 2, 3, 3)]), (4, 5), 1)
    plane = torch.rand(4, 5, generator=torch.Generator().manual_seed(0))
    boxes = [detections.pixel_box(number) for number in range(3)]
    expected = [float(plane[y0:y1, x0:x1].sum()) for y0, x0, y1, x1 in boxes]
    assert detections.box_sums(plane).tolist() == pytest.approx(expected)


def test_true_boxes_are_those_of_the_visible_pixels_and_leave_out_absent_objects():
    labels = torch.tensor([[0, 3, 3, -1], [0, 0, 3, 1]])
    boxes = true_boxes(labels, torch.tensor([2, 4, 1, 0]))
    assert boxes.boxes.tolist() == [[1, 3, 2, 4], [0, 1, 2, 3]]
    assert boxes.class_ids.tolist() == [2, 1]
    assert boxes.scores.tolist() == [1, 1]
    assert len(true_boxes(0 * labels, torch.zeros(0, dtype=torch.long)).boxes) == 0
