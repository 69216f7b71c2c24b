import math

import pytest
import torch

from seriatim.losses.stopping import first_steps, stop_costs


def test_the_first_n_steps_are_positive_and_one_more_is_counted():
    present, counted = first_steps(torch.tensor([0, 2, 5]), 4)
    assert present.int().tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1]]
    assert counted.int().tolist() == [[1, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_the_loss_is_a_sum_over_the_counted_steps():
    logits = torch.tensor([[2.0, -1.0, 0.5, 99.0]])
    present, counted = first_steps(torch.tensor([2]), 4)
    softplus = [math.log1p(math.exp(-2.0)), math.log1p(math.exp(1.0)), math.log1p(math.exp(0.5))]
    assert (stop_costs(logits, present) * counted).sum().item() == pytest.approx(sum(softplus), rel=1e-6)


def test_very_sure_and_wrong_stays_finite():
    present, counted = first_steps(torch.tensor([1]), 2)
    assert (stop_costs(torch.tensor([[-500.0, 500.0]]), present) * counted).sum().item() == pytest.approx(1000)
