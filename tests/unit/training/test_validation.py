"""The one number that picks the best model, under each protocol that a recipe may name."""

from typing import get_args

import numpy as np
import pytest

from seriatim.core.instances import Instance, Instances
from seriatim.data.catalogue import open_source
from seriatim.data.source import Source
from seriatim.inference.predictor import Predictor
from seriatim.training.recipe import ValidationConfig
from seriatim.training.validation import SCORES, score_images


class Oracle(Predictor):
    """Finds the truth of the scenes in their order, with the classes shifted by `shift`."""

    def __init__(self, source: Source, shift: int = 0) -> None:
        self.truth = iter([source.read(index) for index in range(len(source))])
        self.shift = shift
        self.class_names = source.class_names

    def predict_values(self, image: np.ndarray) -> Instances:
        sample = next(self.truth)
        found = Instances.from_label_map(sample.labels)
        classes = (sample.classes - 1 + self.shift) % 5 + 1
        named = [
            Instance(one.box, one.mask, class_id=int(name), step=one.step)
            for one, name in zip(found, classes, strict=True)
        ]
        return Instances(found.size, named)


@pytest.mark.parametrize("protocol", get_args(ValidationConfig.model_fields["protocol"].annotation))
def test_every_protocol_of_a_recipe_gives_one_to_the_truth(protocol):
    source = open_source("scenes:3@900,size=64x64")
    score, numbers = score_images(Oracle(source), source, protocol, num_images=3)
    assert score == pytest.approx(1.0)
    assert numbers[f"{protocol}_score"] == score
    assert protocol in SCORES


def test_the_protocol_coco_asks_for_the_right_class():
    source = open_source("scenes:3@900,size=64x64")
    score, numbers = score_images(Oracle(source, shift=1), source, "coco", num_images=3)
    assert score < 0.5
    assert numbers["coco_AP"] < 0.5


def test_scenes_need_no_check_of_their_files():
    assert open_source("scenes:3").generated
