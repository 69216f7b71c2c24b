"""Denormals count as zero only where that is asked for, and oneDNN is kept off the matrix tiles."""

import os
import subprocess
import sys

import pytest
import torch

from seriatim.core.platform import SAFE, VARIABLE, avoid_matrix_tiles, denormals_as_zero, has_matrix_tiles

WITH = "processor\t: 0\nmodel name\t: some\nflags\t\t: fpu avx512f amx_bf16 avx512_bf16 amx_tile amx_int8\n"
WITHOUT = "processor\t: 0\nmodel name\t: amx_tile\nflags\t\t: fpu avx512f avx512_bf16\n"


def is_kept():
    return bool((torch.tensor([1e-40]) * 1 > 0).all())


def test_small_numbers_are_zero_within_and_kept_before_and_after():
    assert is_kept()
    with denormals_as_zero():
        assert not is_kept()
        with denormals_as_zero():
            assert not is_kept()
        assert not is_kept(), "the inner one leaves the outer one as it was"
    assert is_kept()


def test_an_error_within_leaves_all_as_before():
    with pytest.raises(RuntimeError, match="within"), denormals_as_zero():
        raise RuntimeError("within")
    assert is_kept()


def test_a_function_can_be_wrapped():
    assert denormals_as_zero()(is_kept)() is False
    assert is_kept()


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
from seriatim.core.platform import avoid_matrix_tiles
avoid_matrix_tiles()
images = torch.randn(8, 128, 32, 32).contiguous(memory_format=torch.channels_last).requires_grad_()
weight = torch.randn(256, 128, 1, 1, requires_grad=True)
with torch.autocast("cpu", torch.bfloat16):
    torch.nn.functional.conv2d(images, weight, stride=2).float().sum().backward()
"""


@pytest.mark.not_quick
def test_a_fresh_process_that_has_imported_torch_already_survives_the_faulty_kernel():
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
