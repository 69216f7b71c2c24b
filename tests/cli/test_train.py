import json

import numpy as np
import pytest
import torch
from PIL import Image

from seriatim.core.tensor_files import load_tensors

RECIPE = """
[data]
source = "folder:nowhere"
num_validation = 1

[preparation]
channels = 1

[augmentation]
crop_size = [32, 32]

[model]
name = "rsis"

[model.config]
encoder = "resnet18"
encoder_depth = 2
levels = 2
width = 8
input_channels = 1
max_steps = 2

[[stages]]
name = "masks"
iterations = 2
weights = { mask = 1.0 }

[runtime]
batch_size = 2
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def data(tmp_path):
    labels = np.zeros((48, 48), dtype=np.uint16)
    labels[4:20, 4:20], labels[26:44, 20:44] = 1, 2
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
    for name in ("a", "b", "c"):
        Image.fromarray((labels > 0).astype(np.uint8) * 180).save(tmp_path / "data" / "images" / f"{name}.png")
        Image.fromarray(labels).save(tmp_path / "data" / "labels" / f"{name}.png")
    return tmp_path / "data"


def test_a_recipe_becomes_a_run_folder_whose_model_segments(run, recipe, data, tmp_path):
    code, out, err = run(
        "train", recipe, "--out", tmp_path / "run", "--set", f"data.source=folder:{data}", "--device", "cpu"
    )
    assert code == 0, err
    assert out.strip() == str(tmp_path / "run" / "model")
    assert "iteration 2/2" in err
    for name in ("config.toml", "environment.json", "metrics.jsonl", "model/model.safetensors", "samples/00000002.png"):
        assert (tmp_path / "run" / name).is_file(), name
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2, 2]
    image = data / "images" / "a.png"
    assert run("segment", image, "--model", tmp_path / "run", "--out", tmp_path / "out", "--device", "cpu")[0] == 0


def test_a_second_run_into_the_same_folder_is_refused_and_a_resumed_one_is_not(run, recipe, data, tmp_path):
    words = ("train", recipe, "--out", tmp_path / "run", "--set", f"data.source=folder:{data}", "--device", "cpu")
    assert run(*words)[0] == 0
    code, _, err = run(*words)
    assert code == 2
    assert "--resume" in err
    assert run(*words, "--resume")[0] == 0


def test_a_run_can_begin_with_the_weights_of_another(run, recipe, data, tmp_path):
    words = ("train", recipe, "--set", f"data.source=folder:{data}", "--device", "cpu")
    assert run(*words, "--out", tmp_path / "first")[0] == 0
    still = ("--set", "optimizer.learning_rate=1e-30", "--set", "optimizer.weight_decay=0", "--set", "seed=7")
    begun = ("--set", f"model.weights={tmp_path / 'first'}")
    assert run(*words, *still, *begun, "--out", tmp_path / "second")[0] == 0
    first, second = (load_tensors(tmp_path / name / "model" / "model.safetensors")[0] for name in ("first", "second"))
    assert all(
        torch.equal(first[name], second[name])
        for name, _ in first.items()
        if "running" not in name and "batches" not in name
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nuclie",), "did you mean 'nuclei'"),
        (("nuclei", "--set", "optimizer.learn_rate=1"), "did you mean 'learning_rate'"),
        (("nuclei", "--set", "seed"), "expected KEY=VALUE"),
        (("nuclei", "--set", "data.source=folder:nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(run, tmp_path, words, told):
    code, out, err = run("train", *words, "--out", tmp_path / "run")
    assert code in (1, 2)
    assert told in err
    assert out == ""
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()
