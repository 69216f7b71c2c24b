from matplotlib.colors import to_hex

from seriatim.analysis.recurrence import Comparison
from seriatim.evaluation.score_table import Row
from seriatim.plots.canvas import BLUE, GREEN, GREY, VERMILION
from seriatim.plots.recurrence import draw_recurrence

PLAIN = Comparison("undisturbed", [Row("SBD", 0.8)], 1.0, None, 0.5, None)


def texts(figure):
    return [one.get_text() for one in figure.texts]


def dots(figure):
    return [
        (float(line.get_xdata()[0]), to_hex(line.get_color()))
        for axes in figure.axes
        for line in axes.lines
        if line.get_marker() == "o"
    ]


def test_a_dot_is_the_change_and_its_colour_says_whether_the_interval_holds_zero():
    worse = Comparison("state zeroed", [Row("SBD", 0.3, None, (-0.6, -0.4))], 0.25, (-0.8, -0.7), 4.5, (3.5, 4.5))
    same = Comparison("stop forced", [Row("SBD", 0.9, None, (-0.1, 0.3))], 1.0, (0.0, 0.0), 0.5, None)
    better = Comparison("true count", [Row("SBD", 0.9, None, (0.05, 0.15))], 1.0, (0.0, 0.0), 0.25, (-0.5, -0.1))
    figure = draw_recurrence([PLAIN, worse, same, better], "a title", "a note")
    told = texts(figure)
    for wanted in ("a title", "a note", "change in SBD", "undisturbed: 0.800", "state zeroed", "-0.500", "+4.000"):
        assert wanted in told
    found = [(round(change, 6), colour) for change, colour in dots(figure)]
    assert found[:3] == [(-0.5, VERMILION), (0.1, GREY), (0.1, GREEN)]
    assert found[3] == (-0.75, BLUE)
    assert found[6] == (4.0, VERMILION)
    assert found[8] == (-0.25, GREEN)


def test_a_ratio_that_is_not_defined_has_no_dot():
    empty = Comparison("undisturbed", [Row("SBD", 0.0)], None, None, 0.0, None)
    other = Comparison("state zeroed", [Row("SBD", 0.0, None, (0.0, 0.0))], None, None, 0.0, (0.0, 0.0))
    figure = draw_recurrence([empty, other], "t")
    assert "not defined" in texts(figure)
    assert len(dots(figure)) == 2
