import tomllib

import pytest

from seriatim.core.config import to_toml
from seriatim.core.errors import ConfigError
from seriatim.training.recipe import Recipe, load_recipe, names

LEAST = {"data": {"source": "rosettes:4"}, "model": {"name": "rsis"}, "stages": [{"name": "a", "iterations": 3}]}


def test_recipes_that_ship_are_found_by_name():
    assert {"leaves", "nuclei"} <= set(names())
    assert load_recipe("leaves").model.name == "rsis"


@pytest.mark.parametrize("name", names())
def test_a_recipe_comes_back_from_the_config_of_its_run_folder(name):
    recipe = load_recipe(name)
    assert Recipe.parse(tomllib.loads(to_toml(recipe.model_dump(mode="json")))) == recipe


def test_overrides_lie_over_the_file():
    recipe = load_recipe(
        "leaves", ["optimizer.learning_rate=0.5", "data.source=folder:elsewhere", "stages.0.iterations=7"]
    )
    assert recipe.optimizer.learning_rate == 0.5
    assert recipe.data.source == "folder:elsewhere"
    assert recipe.num_iterations == 7
    assert recipe.stages[0].weights == load_recipe("leaves").stages[0].weights


def test_an_unknown_recipe_is_refused_with_a_near_one():
    with pytest.raises(ConfigError, match="leavs: no such recipe; did you mean 'leaves'"):
        load_recipe("leavs")


def test_a_file_is_taken_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(LEAST))
    assert load_recipe(str(path)).num_iterations == 3
    with pytest.raises(ConfigError, match=r"other\.toml: no such file"):
        load_recipe(str(tmp_path / "other.toml"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.learn_rate=1", r"mine\.toml: optimizer\.learn_rate: unknown key; did you mean 'learning_rate'"),
        ("stages.0.iteration=1", r"stages\.0\.iteration: unknown key; did you mean 'iterations'"),
        ("runtime.batch_size=0", r"runtime\.batch_size: .*greater than or equal to 1 \(got: 0\)"),
        ("optimizer.schedule=cosin", r"optimizer\.schedule: .*'cosine'.* \(got: 'cosin'\)"),
        ("validation.protocol=coc", r"protocol: no protocol with a single number is called 'coc'; did you mean 'coco'"),
        ("validation.protocol=proposals", r"protocol: no protocol with a single number is called 'proposals'"),
        (
            "optimizer.encoder_learning_rate=1",
            r"optimizer\.encoder_learning_rate: unknown key; did you mean 'learning_rate'",
        ),
        ("data.test_boxes=boxes.json", r"data: test_boxes is given without data\.test; .* in data\.boxes"),
        ("stages=[]", r"stages: .*at least 1 item"),
        ("sed=1", "sed: unknown key; did you mean 'seed'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_file_and_key(tmp_path, override, message):
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(LEAST))
    with pytest.raises(ConfigError, match=message):
        load_recipe(str(path), [override])


def test_the_iterations_of_all_stages_add_up():
    two = {**LEAST, "stages": [{"name": "a", "iterations": 3}, {"name": "b", "iterations": 4}]}
    assert Recipe.parse(two).num_iterations == 7


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"optimizer": {"schedule": "plateau"}}, "^mine: optimizer.schedule: plateau needs validation images"),
        (
            {"stages": [{"name": "few", "iterations": 1, "curriculum": {}}]},
            r"^mine: stages\.few\.curriculum: needs validation images",
        ),
    ],
)
def test_plateaus_that_nobody_would_see_are_refused(change, told):
    for data in ({"num_validation": 1}, {"validation": "rosettes:1"}):
        Recipe.parse({**LEAST, "data": {"source": "rosettes:4", **data}, **change})
    with pytest.raises(ConfigError, match=told):
        Recipe.parse({**LEAST, **change}, "mine")


@pytest.mark.parametrize("override", ["seed=-1", "seed=4294967296", "data.split_seed=-1"])
def test_a_seed_out_of_range_is_refused_by_its_name(override):
    name = override.partition("=")[0]
    with pytest.raises(ConfigError, match=rf"{name}: Input should be"):
        load_recipe("leaves", [override])
