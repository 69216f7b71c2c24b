import numpy as np

from seriatim.analysis.order import ORDERS, OrderReport
from seriatim.analysis.pairs import PATTERNS, Group
from seriatim.core.instances import Instances
from seriatim.plots.canvas import Rectangle
from seriatim.plots.order import draw_pairs, draw_sequences, sequence_colours


def texts(figure):
    return [one.get_text() for one in figure.texts] + [one.get_text() for axes in figure.axes for one in axes.texts]


def report_of(*label_maps, num_examples=2):
    report = OrderReport(num_examples)
    for number, labels in enumerate(label_maps):
        labels = np.array(labels)
        report.add(Instances.from_label_map(labels), f"image-{number}", np.zeros((3, *labels.shape), dtype=np.float32))
    return report


def test_a_row_an_order_tells_tau_and_shows_the_best_images_numbered():
    told = texts(draw_sequences(report_of([[2, 0, 1]], [[1, 0, 2]], [[1, 0, 2]]), "a title"))
    for order in ORDERS:
        assert order.replace("_", " ") in told
    assert "mean τ = -0.333\n95 %: -1.000 to +1.000\n3 images" in told
    assert "image-0\nτ = +1.00, 2 objects" in told
    assert told.count("1") == told.count("2") == 2 * len(ORDERS)


def test_the_line_joins_the_centres_in_the_order_emitted():
    figure = draw_sequences(report_of([[3, 0, 1, 2, 2]]), "t")
    [line, *_] = [line for axes in figure.axes for line in axes.lines]
    assert line.get_xdata().tolist() == [2.0, 3.5, 0.0]


def test_data_without_two_objects_say_so():
    told = texts(draw_sequences(report_of([[1, 0]]), "t"))
    assert told.count("no image with two objects") == len(ORDERS)
    assert told.count("τ not defined") == len(ORDERS)


def test_colours_go_from_dark_to_light():
    light = [sum(int(colour[place : place + 2], 16) for place in (1, 3, 5)) for colour in sequence_colours(5)]
    assert light == sorted(light)
    assert len(sequence_colours(1)) == 1


def test_the_bars_of_a_group_are_its_shares():
    counts = dict.fromkeys(PATTERNS, 0) | {"right_to_left": 30, "left_to_right": 10}
    figure = draw_pairs([Group("all pairs", 40, counts)], "t")
    assert {"all pairs", "40 pairs", "75", "25", "right to left", "small to large"} <= set(texts(figure))
    bars = [
        (bar.get_x(), bar.get_width())
        for axes in figure.axes
        for bar in axes.patches
        if isinstance(bar, Rectangle) and axes.get_xlim() == (-100.0, 100.0)
    ]
    assert (0, 75.0) in bars
    assert (-25.0, 25.0) in bars


def test_a_group_without_pairs_is_drawn_empty():
    assert "0 pairs" in texts(draw_pairs([Group("same class", 0, dict.fromkeys(PATTERNS, 0))], "t"))
