"""The pictures of a run fit its network."""

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import ConfigError
from seriatim.data.synthetic import RosetteSource
from seriatim.training.loop import train
from seriatim.training.recipe import Recipe
from seriatim.training.splits import Splits, check_classes


class TwentyClasses(RosetteSource):
    """As VOC has them."""

    class_names = tuple(f"class {number}" for number in range(1, 21))


def test_a_network_with_the_classes_of_the_pictures_is_taken():
    check_classes(Splits(RosetteSource(2), RosetteSource(0), RosetteSource(1)), 1)
    check_classes(Splits(TwentyClasses(2), TwentyClasses(1), TwentyClasses(1)), 20)


def test_a_network_without_classes_takes_pictures_of_any():
    check_classes(Splits(TwentyClasses(2), RosetteSource(1), RosetteSource(0)), None)


def test_a_part_without_pictures_has_no_say():
    check_classes(Splits(TwentyClasses(2), RosetteSource(0), RosetteSource(0)), 20)


@pytest.mark.parametrize("part", Splits._fields)
def test_a_network_with_other_classes_is_refused_with_both_numbers(part):
    splits = Splits(RosetteSource(2), RosetteSource(2), RosetteSource(2))._replace(**{part: TwentyClasses(2)})
    message = rf"num_classes: is 1, but the {part} pictures have 20 \(class 1, .*class 5, \.\.\.\); set it to 20"
    with pytest.raises(ConfigError, match=message):
        check_classes(splits, 1)


def test_a_run_over_pictures_of_other_classes_is_refused_before_anything_is_written(tmp_path):
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
    message = r"model\.config\.num_classes: is 20, but the training pictures have 1 \(object\); set it to 1"
    with pytest.raises(ConfigError, match=message):
        train(recipe, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
