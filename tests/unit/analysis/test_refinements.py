"""Every look at the proposals of an image: where each lies, what the gate takes, and the order of the proposals."""

import json

import numpy as np
import pytest

from seriatim.analysis.refinements import summarise_refinements, trace_refinements
from seriatim.core.boxes import Boxes
from seriatim.core.errors import ConfigError
from seriatim.inference.model_folder import ModelDescription
from seriatim.inference.predictor import Predictor
from seriatim.models import catalogue

TINY = {"trunk": "pyramid", "encoder": "test_resnet", "encoder_depth": 4, "pyramid_channels": 8, "fc_channels": 16}
TINY |= {"mask_side": 6, "mask_channels": 8, "hidden": 12, "box_side": 3, "num_classes": 2}
BOXES = Boxes.of([(4, 4, 30, 30), (10, 20, 38, 58), (0, 0, 12, 12)])


def make(name="r2ios", config=TINY, **parts):
    description = ModelDescription.parse(
        {"model": {"name": name, "config": config}, "class_names": ["a", "b"], **parts}
    )
    return Predictor(catalogue.build(name, config, seed=1), description)


def image_of(height=40, width=60):
    return np.random.default_rng(0).random((3, height, width), dtype=np.float32)


def test_each_look_reads_the_box_that_the_one_before_moved_to():
    predictor = make()
    trace = trace_refinements(predictor, image_of(), BOXES)
    assert trace.boxes.shape == (5, 3, 4)
    assert trace.masks.shape == (4, 3, 6, 6)
    assert trace.class_probs.shape == (4, 3, 3)
    np.testing.assert_allclose(trace.class_probs.sum(axis=2), 1, atol=1e-5)
    assert sorted(map(tuple, trace.boxes[0].tolist())) == sorted(map(tuple, BOXES.edges.tolist()))
    moves = (trace.boxes[1:] != trace.boxes[:-1]).any(axis=2)
    assert np.array_equal(moves, trace.class_probs.argmax(axis=2) > 0)


def test_the_gate_takes_the_highest_confidence_and_the_best_proposal_is_first():
    trace = trace_refinements(make(), image_of(), BOXES)
    confidences = trace.class_probs[:, :, 1:].max(axis=2)
    assert trace.optimal.tolist() == confidences.argmax(axis=0).tolist()
    taken = confidences.max(axis=0).tolist()
    assert taken == sorted(taken, reverse=True)


def test_the_numbers_can_be_json_and_count_what_each_look_is_taken_by():
    trace = trace_refinements(make(), image_of(), BOXES)
    told = json.loads(json.dumps(summarise_refinements(trace)))
    assert sum(told["taken"]) == 3
    assert [len(one["looks"]) for one in told["proposals"]] == [4, 4, 4]
    assert told["proposals"][0]["taken"] == trace.optimal[0] + 1


def test_an_image_without_proposals_has_none():
    trace = trace_refinements(make(), image_of(), Boxes.none())
    assert summarise_refinements(trace)["taken"] == [0, 0, 0, 0]


def test_another_model_is_refused():
    detector = make("detector", {"encoder": "test_resnet", "encoder_depth": 4, "channels": 32, "num_classes": 2})
    with pytest.raises(ConfigError, match="refines no proposals"):
        trace_refinements(detector, image_of(), BOXES)
