"""What happens before the first iteration: processes, checks, and the state to begin with."""

import pytest
import torch

from seriatim.core.errors import ConfigError
from seriatim.training.checkpoint import save_checkpoint
from seriatim.training.recipe import Recipe, RuntimeConfig
from seriatim.training.run import launch, prepare
from seriatim.training.stages import resolve_stages

TINY = {"encoder": "test_resnet", "encoder_depth": 2, "levels": 2, "width": 8, "max_steps": 2}


def recipe_of(**parts):
    values = {
        "data": {"source": "rosettes:4@50", "num_validation": 1},
        "preparation": {"longest_side": 64},
        "augmentation": {"crop_size": [32, 32]},
        "model": {"name": "rsis", "config": TINY},
        "stages": [
            {"name": "a", "iterations": 3, "curriculum": {"start": 2}},
            {"name": "b", "iterations": 4, "batch_size": 2},
        ],
        "runtime": {"batch_size": 1},
    }
    return Recipe.parse({**values, **parts})


def test_a_batch_that_the_processes_cannot_share_evenly_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match=r"runtime\.batch_size: 1 crops cannot be shared evenly by 2 processes"):
        launch(resolve_stages(recipe_of()), RuntimeConfig(), "cpu")


def test_a_new_run_begins_with_the_first_stage_and_its_folder(tmp_path):
    run, state = prepare(recipe_of(), tmp_path / "run", resume=False, device="cpu")
    assert (state.iteration, state.stage, state.num_objects) == (0, 0, 2)
    assert (tmp_path / "run" / "config.toml").is_file()
    assert [len(part) for part in run.splits] == [3, 1, 0]
    run.log(state, {"total": 0.5})
    assert run.folder.log_path.read_text() == '{"iteration": 0, "num_objects": 2, "total": 0.5}\n'
    assert state.log_bytes == run.folder.log_path.stat().st_size


def test_the_batches_of_a_stage_continue_where_the_state_stands(tmp_path):
    run, state = prepare(recipe_of(), tmp_path / "run", resume=False, device="cpu")
    first = list(run.batches(state))
    assert [len(batch.images) for batch in first] == [1, 1, 1]
    state.stage_iteration, state.crops_drawn = 2, 2
    [last] = run.batches(state)
    assert torch.equal(last.images, first[2].images)
    state.stage, state.stage_iteration = 1, 0
    assert [len(batch.images) for batch in run.batches(state)] == [2, 2, 2, 2]


def test_the_randomness_of_an_iteration_depends_on_seed_and_iteration(tmp_path):
    run, _ = prepare(recipe_of(), tmp_path / "run", resume=False, device="cpu")
    other, _ = prepare(recipe_of(seed=1), tmp_path / "other", resume=False, device="cpu")
    seeds = [one.generator(iteration).initial_seed() for one in (run, other) for iteration in (0, 1)]
    assert seeds == [0, 64, 1_000_003, 1_000_067]


def test_a_resumed_run_takes_weights_and_counters_from_its_checkpoint(tmp_path):
    run, state = prepare(recipe_of(), tmp_path / "run", resume=False, device="cpu")
    run.log(state, {})
    state.iteration = 2
    with torch.no_grad():
        next(run.network.parameters()).zero_()
    save_checkpoint(run.folder.checkpoints, run.network, run.optimizer, state)
    run.log(state, {"total": 1.0})
    resumed, restored = prepare(recipe_of(), tmp_path / "run", resume=True, device="cpu")
    assert restored == state.__class__(**{**vars(state), "log_bytes": restored.log_bytes})
    assert len(run.folder.log_path.read_text().splitlines()) == 1
    assert not next(resumed.network.parameters()).any()


def test_a_group_that_the_model_does_not_have_is_refused_before_anything_is_written(tmp_path):
    recipe = recipe_of(optimizer={"group_learning_rates": {"encoders": 0.0}})
    with pytest.raises(ConfigError, match="did you mean 'encoder'"):
        prepare(recipe, tmp_path / "run", resume=False, device="cpu")
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_names_a_wrong_folder_or_recipe_before_missing_data(tmp_path):
    missing = recipe_of(data={"source": f"folder:{tmp_path / 'nowhere'}", "num_validation": 1})
    with pytest.raises(ConfigError, match="holds no run to resume"):
        prepare(missing, tmp_path / "run", resume=True, device="cpu")
    assert not (tmp_path / "run").exists()
    prepare(recipe_of(), tmp_path / "run", resume=False, device="cpu")
    with pytest.raises(ConfigError, match=r"started with another recipe: data\.source was 'rosettes:4@50'"):
        prepare(missing, tmp_path / "run", resume=True, device="cpu")
