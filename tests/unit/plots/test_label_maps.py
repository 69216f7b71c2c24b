import numpy as np
import pytest

from seriatim.core.boxes import Boxes
from seriatim.plots.canvas import CYCLE, write_figure
from seriatim.plots.label_maps import LabelRow, draw_label_maps


def row(titles=("truth", "found"), size=(20, 30)):
    image = np.random.default_rng(0).random((3, *size)).astype(np.float32)
    labels = np.zeros(size, dtype=np.int64)
    labels[2:8, 3:9], labels[10:18, 12:28], labels[0] = 1, 3, -1
    return LabelRow(image, Boxes.of([(2, 3, 8, 9), (10, 12, 18, 28)]), dict.fromkeys(titles, labels))


def test_every_image_stands_with_its_boxes_beside_its_label_maps():
    figure = draw_label_maps([row(), row(("truth", "found", "matched"))], "a title")
    assert [one.get_text() for one in figure.texts] == [
        "a title",
        *("image and boxes", "truth", "found"),
        *("image and boxes", "truth", "found", "matched"),
    ]
    assert len(figure.axes) == 3 + 4
    assert [len(axes.patches) for axes in figure.axes] == [2, 0, 0, 2, 0, 0, 0]


@pytest.mark.parametrize("present", [(1, 3), (3,)])
def test_a_label_has_its_colour_whether_or_not_the_others_have_pixels(present):
    one = row()
    labels = np.where(np.isin(one.maps["truth"], present), one.maps["truth"], 0)
    figure = draw_label_maps([LabelRow(one.image, one.boxes, {"found": labels})], "a title")
    tint = figure.axes[1].images[1].get_array()
    red, green, blue = (int(CYCLE[2][place : place + 2], 16) / 255 for place in (1, 3, 5))
    assert np.allclose(tint[12, 20], (red, green, blue, 0.35))
    assert tint[0, 0, 3] == 0, "a negative label is no object"


def test_a_map_without_objects_is_drawn(tmp_path):
    one = row()
    nothing = LabelRow(one.image, Boxes.none(), {"found": np.zeros_like(one.maps["truth"])})
    write_figure(draw_label_maps([nothing], "nothing"), tmp_path / "nothing.png")
    assert (tmp_path / "nothing.png").stat().st_size > 1000
