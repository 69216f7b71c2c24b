"""The one number that picks the best model, under each protocol that a recipe may name."""

from dataclasses import replace

import numpy as np
import pytest

from seriatim.core.instances import Instance, Instances
from seriatim.data.catalogue import open_source
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.inference.predictor import Predictor
from seriatim.training.recipe import ValidationConfig
from seriatim.training.scores import NUMBERS
from seriatim.training.validation import score_images


class Oracle(Predictor):
    """Finds the truth of the scenes in their order, with the classes shifted by `shift`."""

    def __init__(self, source: Source, shift: int = 0) -> None:
        self.truth = iter([source.read(index) for index in range(len(source))])
        self.shift = shift
        self.class_names = source.class_names

    def predict_values(self, image: np.ndarray, progress=None, boxes=None) -> Instances:
        sample = next(self.truth)
        found = Instances.from_label_map(sample.labels)
        classes = (sample.classes - 1 + self.shift) % 5 + 1
        named = [
            Instance(one.box, one.mask, class_id=int(name), step=one.step)
            for one, name in zip(found, classes, strict=True)
        ]
        return Instances(found.size, named)


def config_of(protocol, num_images=3):
    return ValidationConfig(protocol=protocol, num_images=num_images)


@pytest.mark.parametrize("protocol", NUMBERS)
def test_every_protocol_of_a_recipe_gives_one_to_the_truth(protocol):
    source = open_source("scenes:3@900,size=64x64")
    numbers = score_images(Oracle(source), source, config_of(protocol))
    assert numbers[f"{protocol}_score"] == pytest.approx(1.0)


def test_the_protocol_coco_asks_for_the_right_class():
    source = open_source("scenes:3@900,size=64x64")
    numbers = score_images(Oracle(source, shift=1), source, config_of("coco"))
    assert numbers["coco_score"] < 0.5
    assert numbers["coco_AP"] < 0.5


def test_counts_that_are_off_are_logged():
    source = open_source("scenes:3@900,size=64x64")
    assert score_images(Oracle(source), source, config_of("nuclei")) == {"nuclei_score": 1.0, "nuclei_absDiC": 0.0}
    assert score_images(Oracle(source), source, config_of("cvppp")) == {"cvppp_score": 1.0, "cvppp_absDiC": 0.0}


def test_images_without_a_target_score_zero():
    class WithoutObjects(Subset):
        def read(self, index):
            sample = super().read(index)
            return replace(sample, labels=np.zeros_like(sample.labels), classes=sample.classes[:0])

    source = WithoutObjects(open_source("rosettes:2"), range(2))
    assert score_images(Oracle(source), source, config_of("sds")) == {"sds_score": 0.0}


def test_nothing_is_scored_where_no_images_are_asked_for():
    source = open_source("scenes:3@900,size=64x64")
    assert score_images(Oracle(source), source, config_of("nuclei", num_images=0)) == {}
