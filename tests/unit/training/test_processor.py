import os
import subprocess
import sys

import pytest

from seriatim.training.processor import SAFE, VARIABLE, avoid_matrix_tiles, has_matrix_tiles

WITH = "processor\t: 0\nmodel name\t: some\nflags\t\t: fpu avx512f amx_bf16 avx512_bf16 amx_tile amx_int8\n"
WITHOUT = "processor\t: 0\nmodel name\t: amx_tile\nflags\t\t: fpu avx512f avx512_bf16\n"


@pytest.fixture
def described(tmp_path):
    def write(text):
        path = tmp_path / "cpuinfo"
        path.write_text(text)
        return path

    return write


def test_where_the_processor_has_matrix_tiles_they_are_avoided(described, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert avoid_matrix_tiles(described(WITH))
    assert os.environ[VARIABLE] == SAFE == "AVX512_CORE_BF16"


def test_the_users_own_choice_stays(described, monkeypatch):
    monkeypatch.setenv(VARIABLE, "ALL")
    assert not avoid_matrix_tiles(described(WITH))
    assert os.environ[VARIABLE] == "ALL"


def test_a_processor_without_them_and_a_system_that_tells_nothing_are_left_alone(described, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    for path in (described(WITHOUT), tmp_path / "missing"):
        assert not avoid_matrix_tiles(path)
        assert VARIABLE not in os.environ
        assert not has_matrix_tiles(path)


def test_the_tests_run_with_it():
    assert VARIABLE in os.environ or not has_matrix_tiles()


PROGRAM = """
import torch
from seriatim.training.processor import avoid_matrix_tiles
avoid_matrix_tiles()
images = torch.randn(8, 128, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
weight = torch.randn(256, 128, 1, 1, requires_grad=True)
with torch.autocast("cpu", torch.bfloat16):
    torch.nn.functional.conv2d(images, weight, stride=2).float().sum().backward()
"""


def test_a_fresh_process_that_has_imported_torch_already_survives_the_faulty_kernel():
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
