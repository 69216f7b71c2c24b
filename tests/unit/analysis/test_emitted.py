import numpy as np
import pytest

from seriatim.analysis.emitted import as_emitted
from seriatim.inference.model_folder import ModelDescription
from seriatim.inference.predictor import Predictor
from seriatim.models import catalogue

RSIS = {
    "encoder": "resnet18",
    "encoder_depth": 2,
    "levels": 2,
    "width": 8,
    "mask_threshold": 0.45,
    "min_area_fraction": 0.0,
    "stop_threshold": 0.0,
    "max_steps": 3,
    "input_channels": 1,
}


@pytest.fixture(scope="module")
def predictor():
    """Its masks cover each other almost wholly, so that the rule for overlaps drops all but the first."""
    description = ModelDescription.parse(
        {
            "model": {"name": "rsis", "config": RSIS},
            "preparation": {"channels": 1},
            "inference": {"solid": True, "min_area": 5},
        }
    )
    return Predictor(catalogue.build("rsis", RSIS, seed=1), description)


def test_masks_stay_as_the_steps_emit_them(predictor):
    image = np.random.default_rng(0).random((1, 40, 64), dtype=np.float32)
    emitted = as_emitted(predictor).predict_values(image)
    assert len(predictor.predict_values(image)) < 3
    assert [one.step for one in emitted] == [0, 1, 2]
    assert emitted.masks().sum(axis=0).max() == 3


def test_the_model_itself_is_not_changed(predictor):
    assert as_emitted(predictor).network is predictor.network
    assert predictor.description.inference.overlaps == "earlier"
    assert predictor.description.inference.solid
