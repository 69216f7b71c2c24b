"""A run that two processes share, as torchrun starts them."""

import json
import subprocess
import sys

import pytest

from seriatim.inference.predictor import load
from seriatim.training.checkpoint import checkpoints

RECIPE = """
[data]
source = "rosettes:6@50"
num_validation = 1

[preparation]
longest_side = 64

[augmentation]
crop_size = [32, 32]

[model]
name = "rsis"
config = { encoder = "test_resnet", encoder_depth = 2, levels = 2, width = 8, max_steps = 2 }

[[stages]]
name = "a"
iterations = 2
curriculum = { start = 1, patience = 1 }
group_learning_rates = { encoder = 0 }

[[stages]]
name = "b"
iterations = 2

[validation]
every = 1
num_batches = 1
num_images = 1

[runtime]
batch_size = 2
threads = 1
"""


@pytest.mark.slow
def test_two_processes_train_and_one_of_them_writes(tmp_path):
    (tmp_path / "two.toml").write_text(RECIPE)
    words = ["train", str(tmp_path / "two.toml"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "seriatim", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    log = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in log if "total" in line] == [1, 2, 3, 4]
    assert [line["iteration"] for line in log if "validation_loss" in line] == [1, 2, 3, 4]
    assert all(line["total"] != 0 for line in log if "total" in line)
    assert len(checkpoints(tmp_path / "run" / "checkpoints")) == 2
    assert load(tmp_path / "run", "cpu").class_names == ("leaf",)
