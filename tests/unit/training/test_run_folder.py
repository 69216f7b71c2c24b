import json

import pytest

from seriatim.core.errors import ConfigError, DataError, FileWriteError
from seriatim.training.recipe import Recipe
from seriatim.training.run_folder import RunFolder
from seriatim.training.splits import Splits, open_splits


def recipe_of(**parts):
    values = {"data": {"source": "rosettes:4"}, "model": {"name": "rsis"}, "stages": [{"name": "a", "iterations": 3}]}
    return Recipe.parse({**values, **parts})


@pytest.fixture
def run(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.create(recipe_of())
    return folder


def test_a_new_folder_holds_the_resolved_recipe_and_the_environment(run):
    assert sorted(path.name for path in run.path.iterdir()) == [
        "checkpoints",
        "config.toml",
        "environment.json",
        "metrics.jsonl",
        "samples",
    ]
    environment = json.loads((run.path / "environment.json").read_text())
    assert {"command", "python", "cores", "commit", "packages"} <= set(environment)
    assert environment["packages"]["torch"]
    run.check_resumable(recipe_of())


def test_an_existing_run_is_refused(run):
    with pytest.raises(ConfigError, match="holds a run already; continue it with --resume"):
        run.create(recipe_of())


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"seed": 1}, "seed was 0, is 1"),
        ({"optimizer": {"learning_rate": 0.5}}, r"optimizer\.learning_rate was 0\.001, is 0\.5"),
        ({"model": {"name": "rsis", "config": {"width": 8}}}, r"model\.config\.width was None, is 8"),
        ({"stages": [{"name": "a", "iterations": 4}]}, "stages was"),
        ({"data": {"source": "rosettes:4", "test": "rosettes:2"}}, r"data\.test was None, is 'rosettes:2'"),
    ],
)
def test_another_recipe_is_refused_and_the_first_setting_that_differs_named(run, parts, message):
    with pytest.raises(ConfigError, match=f"was started with another recipe: {message}"):
        run.check_resumable(recipe_of(**parts))


def test_the_log_grows_by_lines_and_can_be_cut_back(run):
    first = run.log({"iteration": 1, "total": 0.5})
    second = run.log({"iteration": 2, "total": 0.25})
    assert run.log_path.stat().st_size == second
    run.truncate_log(first)
    assert [json.loads(line) for line in run.log_path.read_text().splitlines()] == [{"iteration": 1, "total": 0.5}]
    run.truncate_log(10**6)
    assert run.log_path.stat().st_size == first


def test_a_log_that_cannot_be_written_is_named(run):
    run.log_path.unlink()
    run.log_path.mkdir()
    with pytest.raises(FileWriteError, match=r"metrics\.jsonl: could not write 17 bytes"):
        run.log({"iteration": 1})


def test_a_damaged_list_of_images_is_refused(run):
    splits = open_splits(recipe_of().data)
    for text in ("", "[]", "{}", '{"training": 4, "validation": 0, "left_out": [{"part": "x"}]}'):
        run.images_path.write_text(text)
        with pytest.raises(DataError, match=r"images\.json: is damaged"):
            run.usable_images(splits)


def test_an_image_that_was_left_out_must_still_be_at_its_place(run):
    splits = open_splits(recipe_of().data)
    left_out = {"part": "training", "index": 1, "name": "rosette-000001", "reason": "broken"}
    run.images_path.write_text(json.dumps({"training": 4, "validation": 0, "left_out": [left_out]}))
    usable = run.usable_images(splits)
    assert [usable.training.name(index) for index in range(3)] == ["rosette-000000", "rosette-000002", "rosette-000003"]
    run.images_path.write_text(
        json.dumps({"training": 4, "validation": 0, "left_out": [{**left_out, "name": "other"}]})
    )
    with pytest.raises(DataError, match="other: was image 1 of the training part"):
        run.usable_images(splits)


def test_parts_may_come_from_sources_of_their_own():
    data = {"source": "rosettes:9", "num_validation": 2, "num_test": 3}
    splits = open_splits(recipe_of(data=data).data)
    assert [len(part) for part in splits] == [4, 2, 3]
    assert all(part.generated for part in splits)
    splits = open_splits(
        recipe_of(data={"source": "rosettes:9", "validation": "rosettes:5@50", "test": "rosettes:1@70"}).data
    )
    assert isinstance(splits, Splits)
    assert [len(part) for part in splits] == [9, 5, 1]
    assert splits.validation.name(0) == "rosette-000050"
