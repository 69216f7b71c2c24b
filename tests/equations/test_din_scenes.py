"""What the figures of the DIN paper show, on the made scenes of `examples/din_figures.py`: semantic scores by hand, no training."""

import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def figures():
    """The names of the example."""
    return runpy.run_path(str(ROOT / "examples" / "din_figures.py"))


def overlaps(figures, scene, terms, unary=False):
    """IoU of each true object with the label of its box."""
    return figures["overlap"](scene, figures["label_map"](scene, figures["look"](scene, terms), unary))


@pytest.mark.parametrize("terms", ["box", "box+global", "box+global+shape"])
def test_figure_3_false_detections_get_no_pixel_though_their_scores_are_the_best(figures, terms):
    scene = figures["false_detections"]()
    trace = figures["look"](scene, terms)
    labels = figures["label_map"](scene, trace)
    assert scene.boxes.scores[1:3].min() > scene.boxes.scores[0]
    assert np.unique(labels).tolist() == [0, 1]
    assert figures["overlap"](scene, labels)[0] > 0.98


def test_recalibrated_scores_put_the_true_detection_first_and_the_false_ones_below_one_half(figures):
    trace = figures["look"](figures["false_detections"](), "box")
    assert trace.boxes.scores[0] == pytest.approx(0.8)
    assert trace.recalibrated[0] > 0.7
    assert (trace.recalibrated[1:] < 0.5).all()
    assert (trace.recalibrated[1:] < trace.boxes.scores[1:] - 0.2).all()


def test_figure_3_overlapping_boxes_of_one_class_are_told_apart_by_colour(figures):
    scene = figures["overlapping_boxes"]()
    assert max(overlaps(figures, scene, "box", unary=True)) < 0.75, "the better score takes all that both boxes hold"
    assert min(overlaps(figures, scene, "box")) > 0.98


def test_figure_4_the_global_term_recovers_what_a_small_box_leaves_out(figures):
    scene = figures["small_box"]()
    assert overlaps(figures, scene, "box")[0] < 0.65
    assert min(overlaps(figures, scene, "box+global")) > 0.98


def test_figure_5_the_shape_term_tells_objects_of_one_class_and_colour_apart(figures):
    scene = figures["occlusion"]()
    assert max(overlaps(figures, scene, "box+global")) < 0.8
    assert min(overlaps(figures, scene, "box+global+shape")) > 0.95


def test_figure_6_the_matched_truth_is_in_the_order_of_the_prediction(figures):
    scene = figures["overlapping_boxes"]()
    trace = figures["look"](scene, "box")
    assert (trace.owners() != scene.truth).mean() > 0.3, "the better score, not the truth, is first"
    assert (trace.owners() == figures["matched_truth"](scene, trace)).mean() > 0.98


def test_the_example_writes_the_figures(figures, tmp_path, capsys):
    assert figures["main"](["--out", str(tmp_path)]) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written] == [f"figure_{number}.png" for number in range(2, 7)]
    assert all(path.stat().st_size > 1000 for path in written)
