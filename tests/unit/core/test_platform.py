"""Numbers below the smallest normal one count as zero where that is asked for, and only there."""

import pytest
import torch

from seriatim.core.platform import denormals_as_zero


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
