"""The figure of every look: a panel for each look at each proposal, with its boxes, and the look that is taken in bold."""

import numpy as np

from seriatim.analysis.refinements import RefinementTrace
from seriatim.plots.refinements import draw_refinements


def trace_of(count):
    boxes = np.tile(np.array([4.0, 4, 20, 24], dtype=np.float32), (3, count, 1))
    boxes[1:] += 2
    probs = np.tile(np.array([0.2, 0.8], dtype=np.float32), (2, count, 1))
    masks = np.ones((2, count, 4, 4), dtype=np.float32)
    image = np.zeros((3, 40, 60), dtype=np.float32)
    return RefinementTrace("r2ios", image, (0, 0, 40, 60), 0, 1, boxes, probs, masks, np.ones(count, dtype=np.int64))


def texts_of(figure):
    return [(text.get_text(), text.get_weight()) for text in figure.texts]


def test_a_row_for_each_proposal_and_the_rest_is_counted():
    figure = draw_refinements(trace_of(5), "title", 3)
    assert len(figure.axes) == 3 * 2
    texts = texts_of(figure)
    assert ("and 2 more", "normal") in texts
    assert texts.count(("class 1, 0.80", "bold")) == texts.count(("class 1, 0.80", "normal")) == 3


def test_each_panel_has_the_box_that_is_read_and_the_one_that_follows():
    figure = draw_refinements(trace_of(1), "title")
    first, second = figure.axes
    assert [(one.get_x(), one.get_y()) for one in first.patches[:2]] == [(3.5, 3.5), (5.5, 5.5)]
    assert [(one.get_x(), one.get_y()) for one in second.patches[:2]] == [(5.5, 5.5), (5.5, 5.5)]


def test_no_proposal_draws_no_panel():
    assert not draw_refinements(trace_of(0), "title").axes
