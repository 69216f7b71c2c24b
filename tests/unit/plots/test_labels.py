import numpy as np
import pytest

from seriatim.analysis.labels import LabelTrace
from seriatim.core.boxes import Boxes
from seriatim.plots.canvas import write_figure
from seriatim.plots.labels import draw_labels


def trace_of(count=3, size=(20, 30)):
    random = np.random.default_rng(0)
    planes = random.random((count + 1, *size)).astype(np.float32)
    probs = planes / planes.sum(axis=0)
    starts = random.random((count, 2)) * 8
    boxes = Boxes.of(np.concatenate((starts, starts + 10), axis=1), np.full(count, 0.75), np.ones(count, dtype=int))
    semantic = np.full((2, *size), 0.5, dtype=np.float32)
    terms = {"box": planes, "global": planes}
    recalibrated = np.full(count, 0.5, dtype=np.float32)
    image = random.random((3, *size)).astype(np.float32)
    return LabelTrace("din", image, (0, 0, *size), 0, 1, boxes, recalibrated, semantic, terms, probs, (probs, probs))


def texts(figure):
    return [one.get_text() for one in figure.texts]


def test_there_is_a_row_for_every_label_and_a_column_for_every_map():
    figure = draw_labels(trace_of(), "a title")
    assert len(figure.axes) == 4 + 4 * 5
    assert {"a title", "background", "box", "global", "unary", "iteration 2"} <= set(texts(figure))
    assert "3: class 1\nscore 0.75\nrecalibrated 0.50" in texts(figure)
    assert all(len(axes.patches) == 1 for axes in figure.axes[4 + 5 :])


def test_the_score_of_every_detection_stands_beside_the_recalibrated_one():
    figure = draw_labels(trace_of(), "a title")
    marked = [line for line in figure.axes[3].lines if line.get_marker() == "o"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in marked] == [
        (score, label) for label in (1, 2, 3) for score in (0.75, 0.5)
    ]
    assert figure.axes[3].get_ylim()[0] > figure.axes[3].get_ylim()[1], "the first on top"


def test_labels_beyond_the_number_asked_for_are_counted():
    figure = draw_labels(trace_of(), "a title", num_labels=1)
    assert len(figure.axes) == 4 + 2 * 5
    assert "and 2 more" in texts(figure)


@pytest.mark.parametrize("count", [0, 1])
def test_images_with_few_boxes_are_drawn(tmp_path, count):
    write_figure(draw_labels(trace_of(count), "few"), tmp_path / "few.png")
    assert (tmp_path / "few.png").stat().st_size > 1000
