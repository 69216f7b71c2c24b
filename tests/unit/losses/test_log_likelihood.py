import math

import pytest
import torch

from seriatim.losses.log_likelihood import log_likelihood_costs


def test_the_matrix_equals_pair_by_pair():
    chance = torch.Generator().manual_seed(0)
    probs = torch.rand(2, 4, 30, generator=chance, dtype=torch.float64)
    masks = (torch.rand(2, 3, 30, generator=chance) < 0.4).double()
    costs = log_likelihood_costs(probs, masks)
    for image in range(2):
        for step in range(4):
            for target in range(3):
                p, g = probs[image, step], masks[image, target]
                plain = -(g * p.log() + (1 - g) * (1 - p).log()).mean()
                assert costs[image, step, target].item() == pytest.approx(plain.item(), abs=1e-9)


def test_probabilities_of_0_and_1_cost_little_where_right_and_a_finite_amount_where_wrong():
    probs, masks = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
    right, wrong = log_likelihood_costs(probs, masks)[0, 0].tolist()
    assert right == pytest.approx(0, abs=1e-5)
    assert wrong == pytest.approx(-math.log(1e-6), rel=1e-4)


def test_the_gradient_is_that_of_the_formula():
    chance = torch.Generator().manual_seed(1)
    probs = (0.1 + 0.8 * torch.rand(1, 2, 6, generator=chance, dtype=torch.float64)).requires_grad_()
    masks = (torch.rand(1, 2, 6, generator=chance) < 0.5).double()
    assert torch.autograd.gradcheck(log_likelihood_costs, (probs, masks))
