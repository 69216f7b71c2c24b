"""The images of a run fit its network."""

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import ConfigError
from seriatim.data.synthetic.sources import RosetteSource
from seriatim.training.loop import train
from seriatim.training.recipe import DataConfig, Recipe
from seriatim.training.splits import Splits, check_classes


class TwentyClasses(RosetteSource):
    """As VOC has them."""

    class_names = tuple(f"class {number}" for number in range(1, 21))


class TwentyOthers(RosetteSource):
    """As many, other ones."""

    class_names = tuple(f"kind {number}" for number in range(1, 21))


def test_a_network_with_the_classes_of_the_images_is_taken():
    check_classes(Splits(RosetteSource(2), RosetteSource(0), RosetteSource(1)), 1)
    check_classes(Splits(TwentyClasses(2), TwentyClasses(1), TwentyClasses(1)), 20)


def test_a_network_without_classes_takes_images_of_any():
    check_classes(Splits(TwentyClasses(2), RosetteSource(1), RosetteSource(0)), None)


def test_a_part_without_images_has_no_say():
    check_classes(Splits(TwentyClasses(2), RosetteSource(0), RosetteSource(0)), 20)


def test_a_network_with_other_classes_is_refused_with_both_numbers():
    message = r"num_classes: is 1, but the training images have 20 \(class 1, .*class 5, \.\.\.\); set it to 20"
    with pytest.raises(ConfigError, match=message):
        check_classes(Splits(TwentyClasses(2), RosetteSource(2), RosetteSource(2)), 1)


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("other", [RosetteSource, TwentyOthers])
def test_images_of_other_classes_beside_those_of_the_training_are_refused(part, other):
    splits = Splits(TwentyClasses(2), TwentyClasses(2), TwentyClasses(2))._replace(**{part: other(2)})
    with pytest.raises(
        ConfigError, match=rf"^data\.{part}: its {len(other.class_names)} classes .* --set data\.{part}="
    ):
        check_classes(splits, 20)


def test_a_single_class_may_have_any_name():
    renamed = RosetteSource(1)
    renamed.class_names = ("plant part",)
    check_classes(Splits(RosetteSource(1), renamed, RosetteSource(1)), 1)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_part_from_the_source_and_of_its_own_is_refused(part):
    data = {"source": "rosettes:9", f"num_{part}": 2, part: "rosettes:2"}
    with pytest.raises(
        ConfigError, match=rf"{part} images come from the source .*--set data\.num_{part}= or --set data\.{part}="
    ):
        DataConfig.parse(data)


def test_a_run_over_images_of_other_classes_is_refused_before_anything_is_written(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
        for name in "ab":
            Image.fromarray(np.ones((32, 32), dtype=np.uint8)).save(tmp_path / "data" / part / f"{name}.png")
    recipe = Recipe.parse(
        {
            "data": {"source": f"folder:{tmp_path / 'data'}"},
            "model": {"name": "rsis", "config": {"num_classes": 20, "encoder": "no such encoder"}},
            "stages": [{"name": "masks", "iterations": 1}],
        }
    )
    message = r"model\.config\.num_classes: is 20, but the training images have 1 \(object\); set it to 1"
    with pytest.raises(ConfigError, match=message):
        train(recipe, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
