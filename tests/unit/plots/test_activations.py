import numpy as np

from seriatim.analysis.activations import MAP_SIDE, ActivationReport
from seriatim.core.instances import Instances
from seriatim.plots.activations import LEAST, MOST, draw_activations


def texts(figure):
    return [one.get_text() for one in figure.texts] + [one.get_text() for axes in figure.axes for one in axes.texts]


def make(num_images=2):
    report = ActivationReport(num_examples=1)
    labels = np.zeros((8, 12), dtype=np.int32)
    labels[1:4, 1:4], labels[5:8, 8:12] = 1, 2
    for number in range(num_images):
        report.add(
            Instances.from_label_map(labels),
            {
                "before": {"f1": np.array([1.0, 2.0]), "f0": np.array([1.0, 2.0])},
                "after": {"f1": np.array([1.0, 2.0]), "f0": np.array([4.0, 3.0])},
            },
            f"image-{number}",
            np.zeros((3, 8, 12), dtype=np.float32),
        )
    return report


def test_every_level_has_its_numbers_and_the_note_says_what_before_is():
    told = texts(draw_activations(make(), "a title", "before training: seed 7"))
    for wanted in ("a title", "before training: seed 7", "$f_1$", "$f_0$", "-1.000\n-1.000", "-1.000\n+1.000"):
        assert wanted in told
    assert "image-0" in told
    assert "image-1" not in told


def test_the_maps_are_shares_of_the_images_on_one_scale():
    figure = draw_activations(make(4), "t", "")
    shown = [
        axes.images[0] for axes in figure.axes if axes.images and axes.images[0].get_array().shape == (MAP_SIDE,) * 2
    ]
    assert len(shown) == 4
    assert {image.get_clim() for image in shown} == {(0.0, 1.0)}
    assert all(image.get_array().max() == 1.0 for image in shown)


def test_the_most_and_the_least_active_object_stand_out():
    figure = draw_activations(make(), "t", "")
    numbers = [[text.get_text() for text in axes.texts] for axes in figure.axes if len(axes.images) == 2]
    assert numbers == [["2", "1"], ["1", "2"]]  # the most active first: before and after training
    assert MOST != LEAST
