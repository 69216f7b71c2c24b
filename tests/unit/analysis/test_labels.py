import json

import numpy as np
import pytest

from seriatim.analysis.labels import summarise_labels, trace_labels
from seriatim.core.boxes import Boxes
from seriatim.core.errors import ConfigError
from seriatim.inference.model_folder import ModelDescription
from seriatim.inference.predictor import Predictor
from seriatim.models import catalogue

TINY = {
    "fcn": "pyramid",
    "encoder": "test_resnet",
    "encoder_depth": 2,
    "pyramid_channels": 4,
    "num_classes": 2,
    "templates_per_bin": 1,
    "template_side": 6,
}
BOXES = Boxes.of([(4, 4, 30, 30), (10, 20, 38, 58)], [0.9, 0.6], [1, 2])


def make(config=TINY, name="din", **parts):
    description = ModelDescription.parse(
        {"model": {"name": name, "config": config}, "class_names": ["a", "b"], **parts}
    )
    return Predictor(catalogue.build(name, config, seed=1), description)


def image_of(height=40, width=60):
    return np.random.default_rng(0).random((3, height, width), dtype=np.float32)


def test_terms_unaries_and_iterations_are_there_for_every_label():
    trace = trace_labels(make(), image_of(), BOXES)
    assert list(trace.terms) == ["box", "global", "shape"]
    assert {planes.shape for planes in trace.terms.values()} == {(3, 40, 60)}
    assert len(trace.iterations) == 3
    for probs in (trace.unary_probs, *trace.iterations, trace.semantic_probs):
        np.testing.assert_allclose(probs.sum(axis=0), 1, atol=1e-5)
    inside = np.zeros((40, 60), dtype=bool)
    y0, x0, y1, x1 = trace.boxes.edges[0].astype(int)
    inside[y0:y1, x0:x1] = True
    assert (trace.terms["box"][1][inside] > 0).all()
    assert not trace.terms["box"][1][~inside].any()
    expected = trace.semantic_probs[trace.boxes.class_ids[0]]
    np.testing.assert_allclose(trace.terms["global"][1], expected, atol=1e-6)


def test_terms_that_a_network_does_not_have_are_left_out():
    trace = trace_labels(make({**TINY, "use_global": False, "use_shape": False}), image_of(), BOXES)
    assert list(trace.terms) == ["box"]


def test_the_numbers_count_the_pixels_of_the_label_map_and_can_be_json():
    trace = trace_labels(make(), image_of(), BOXES)
    told = json.loads(json.dumps(summarise_labels(trace)))
    owners = trace.owners()
    assert [one["area"] for one in told["labels"]] == [int((owners == label).sum()) for label in (1, 2)]
    assert sorted(one["score"] for one in told["labels"]) == pytest.approx([0.6, 0.9])
    assert len(told["changed_pixels"]) == 3


def test_boxes_of_a_large_image_are_those_of_the_tile():
    predictor = make(inference={"tile_size": 64, "overlap": 16})
    boxes = Boxes.of([(0, 0, 20, 20), (50, 50, 90, 90)], class_ids=[1, 1])
    trace = trace_labels(predictor, image_of(100, 100), boxes, tile=3)
    y0, x0, *_ = trace.box
    assert trace.num_tiles == 4
    assert trace.boxes.edges.tolist() == [[50 - y0, 50 - x0, 90 - y0, 90 - x0]]
    with pytest.raises(ConfigError, match="tile 5: the image has 4"):
        trace_labels(predictor, image_of(100, 100), boxes, tile=4)


def test_a_model_without_labels_is_refused():
    tiny = {"fcn": "leaf", "channels": 6, "input_channels": 3}
    with pytest.raises(ConfigError, match="model 'ris': makes no labels from boxes"):
        trace_labels(make(tiny, "ris"), image_of(), BOXES)
