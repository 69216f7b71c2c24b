"""A loss that is not finite, signals, and what the loop leaves behind; whole runs are in `tests/runs`."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from seriatim.core.errors import ConfigError, DataError, StoppedBySignal, TrainingDivergedError
from seriatim.core.tensor_files import load_tensors
from seriatim.inference.model_folder import read_model_folder
from seriatim.models.rsis import RSIS
from seriatim.training import validation
from seriatim.training.checkpoint import checkpoints
from seriatim.training.loop import train
from seriatim.training.recipe import DataConfig, Recipe

TINY = {"encoder": "test_resnet", "encoder_depth": 2, "levels": 2, "width": 8, "max_steps": 2}


@pytest.fixture
def recipe():
    return Recipe.parse(
        {
            "data": {"source": "rosettes:4@50"},
            "preparation": {"longest_side": 64},
            "augmentation": {"crop_size": [32, 32]},
            "model": {"name": "rsis", "config": TINY},
            "stages": [{"name": "a", "iterations": 2}, {"name": "b", "iterations": 2, "weights": {"stop": 0.5}}],
            "runtime": {"batch_size": 1, "save_every": 100},
        }
    )


def test_a_loss_that_is_not_finite_stops_the_run_and_names_iteration_term_and_image(recipe, tmp_path, monkeypatch):
    losses = RSIS.losses

    def broken(self, batch, weights, context):
        terms = losses(self, batch, weights, context)
        return terms | {"stop": terms["stop"] * torch.inf} if "stop" in terms else terms

    monkeypatch.setattr(RSIS, "losses", broken)
    message = r"iteration 2: the loss is not finite \(stop (inf|nan)\); images: rosette-0000\d\d; the last checkpoint, of iteration 2, is kept"
    with pytest.raises(TrainingDivergedError, match=message):
        train(recipe, tmp_path / "run", device="cpu")
    assert [path.stem for path in checkpoints(tmp_path / "run" / "checkpoints")] == ["00000002"]


def test_every_iteration_is_logged_and_every_stage_ends_with_a_checkpoint(recipe, tmp_path):
    seen = []
    folder = train(recipe, tmp_path / "run", watch=lambda state, losses: seen.append(losses), device="cpu")
    log = [json.loads(line) for line in folder.log_path.read_text().splitlines()]
    assert [line["stage"] for line in log] == ["a", "a", "b", "b"]
    assert [line["total"] for line in log] == [losses["total"] for losses in seen]
    assert log[-1]["total"] == pytest.approx(log[-1]["mask"] + log[-1]["stop"])
    assert log[-1]["stop"] > 0
    assert [path.stem for path in checkpoints(folder.checkpoints)] == ["00000002", "00000004"]


def test_every_stage_is_validated_at_its_end_and_its_best_model_replaces_that_of_the_stage_before(
    recipe, tmp_path, monkeypatch
):
    scores = iter([0.9, 0.1])
    monkeypatch.setattr(validation, "score_images", lambda *_: {"nuclei_score": next(scores)})
    with_validation = recipe.model_copy(update={"data": DataConfig(source="rosettes:4@50", num_validation=1)})
    folder = train(with_validation, tmp_path / "run", device="cpu")
    log = [json.loads(line) for line in folder.log_path.read_text().splitlines()]
    assert [(line["stage"], line["score"]) for line in log if "score" in line] == [("a", 0.9), ("b", 0.1)]
    last, _ = load_tensors(checkpoints(folder.checkpoints)[-1])
    model, _ = read_model_folder(folder.model)
    assert all(torch.equal(last[f"network.{name}"], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_writes_a_checkpoint_and_the_handlers_are_restored(recipe, tmp_path, number):
    around = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored
    before = signal.getsignal(number)
    with pytest.raises(StoppedBySignal, match=f"stopped by signal {int(number)}"):
        train(recipe, tmp_path / "run", watch=lambda *_: signal.raise_signal(number), device="cpu")
    assert signal.getsignal(number) is before
    signal.signal(signal.SIGHUP, around)
    # the signal arrives after the first iteration, and the second is the one that ends
    assert [path.stem for path in checkpoints(tmp_path / "run" / "checkpoints")] == ["00000002"]


def test_a_run_in_another_thread_leaves_the_signals_alone(recipe, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def watch(*_):
        seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=train, args=(recipe, tmp_path / "run", False, watch, "cpu"))
    thread.start()
    thread.join()
    assert seen == [before] * 4


def test_weights_that_are_not_finite_are_never_saved_and_the_checkpoint_before_is_kept(recipe, tmp_path, monkeypatch):
    step = torch.optim.Adam.step

    def diverge(self, *given):
        step(self, *given)
        diverge.calls += 1
        if diverge.calls == 3:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(torch.nan)

    diverge.calls = 0
    monkeypatch.setattr(torch.optim.Adam, "step", diverge)
    every = recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update={"save_every": 1})})
    with pytest.raises(
        TrainingDivergedError,
        match=r"iteration 3: .* is not finite after the update; the last checkpoint, of iteration 2, is kept",
    ):
        train(every, tmp_path / "run", device="cpu")
    found = checkpoints(tmp_path / "run" / "checkpoints")
    assert [path.stem for path in found] == ["00000001", "00000002"]
    assert all(value.isfinite().all() for path in found for value in load_tensors(path)[0].values())
    monkeypatch.undo()
    assert (
        json.loads(train(every, tmp_path / "run", resume=True, device="cpu").log_path.read_text().splitlines()[-1])[
            "iteration"
        ]
        == 4
    )


@pytest.mark.parametrize("rate", [1e2, 1e4, 1e6])
def test_whatever_the_learning_rate_a_finite_checkpoint_is_left(recipe, tmp_path, rate):
    wild = recipe.model_copy(
        update={"optimizer": recipe.optimizer.model_copy(update={"name": "sgd", "learning_rate": rate})}
    )
    with contextlib.suppress(TrainingDivergedError):
        train(wild, tmp_path / "run", device="cpu")
    found = checkpoints(tmp_path / "run" / "checkpoints")
    assert found
    assert all(value.isfinite().all() for path in found for value in load_tensors(path)[0].values())


def test_a_run_that_could_not_begin_does_not_hinder_the_corrected_one(recipe, tmp_path, monkeypatch):
    def refuse(*_):
        raise DataError("no image holds an object")

    monkeypatch.setattr("seriatim.training.run_folder.check_images", refuse)
    with pytest.raises(DataError):
        train(recipe, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    train(recipe, tmp_path / "run", device="cpu")


TRAINED = """
import json, signal, sys
from pathlib import Path
from seriatim.core.errors import StoppedBySignal
from seriatim.training.loop import train
from seriatim.training.recipe import Recipe

signal.signal(signal.SIGHUP, signal.SIG_DFL)
recipe, run, going = Recipe.parse(json.loads(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
try:
    train(recipe, run, watch=lambda *_: going.touch(), device="cpu")
except StoppedBySignal as stop:
    sys.exit(stop.number)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_the_whole_group_writes_a_checkpoint_also_with_workers_and_leaves_none_of_them(
    recipe, tmp_path, number
):
    many = recipe.model_copy(
        update={
            "stages": [recipe.stages[0].model_copy(update={"iterations": 500})],
            "runtime": recipe.runtime.model_copy(update={"num_workers": 2}),
        }
    )
    words = (many.model_dump_json(), tmp_path / "run", tmp_path / "going")
    child = subprocess.Popen([sys.executable, "-c", TRAINED, *map(str, words)], start_new_session=True)
    while not (tmp_path / "going").exists():
        assert child.poll() is None
        time.sleep(0.01)
    with pytest.raises(ConfigError, match="is in use by a training"):
        train(many, tmp_path / "run", resume=True, device="cpu")
    os.killpg(child.pid, number)
    assert child.wait(timeout=60) == number
    assert int(checkpoints(tmp_path / "run" / "checkpoints")[-1].stem) > 0
    assert not list((tmp_path / "run").glob(".*"))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(child.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("a worker is left")
