import pytest
import torch

from seriatim.losses.soft_iou import soft_iou, soft_iou_costs


@pytest.mark.parametrize(
    ("probs", "mask", "cost"),
    [
        ([1, 1, 0, 0], [1, 0, 0, 0], 1 - 1 / 2),
        ([0.5, 0.5, 0.5, 0.5], [1, 1, 0, 0], 1 - 1 / 3),
        ([0.25, 0, 0, 0], [1, 0, 0, 0], 1 - 0.25),
        ([0, 0, 0, 0], [0, 0, 0, 0], 1.0),
        ([0, 0, 0, 0], [1, 0, 0, 0], 1.0),
    ],
)
def test_worked_numbers(probs, mask, cost):
    assert soft_iou(torch.tensor(probs).double(), torch.tensor(mask).double()).item() == pytest.approx(cost, abs=1e-5)


def test_the_matrix_equals_pair_by_pair():
    chance = torch.Generator().manual_seed(0)
    probs = torch.rand(2, 5, 30, generator=chance, dtype=torch.float64)
    masks = (torch.rand(2, 3, 30, generator=chance) < 0.4).double()
    costs = soft_iou_costs(probs, masks)
    for image in range(2):
        for step in range(5):
            for target in range(3):
                p, g = probs[image, step], masks[image, target]
                plain = 1 - (p * g).sum() / (p + g - p * g).sum()
                assert costs[image, step, target].item() == pytest.approx(plain.item(), abs=1e-6)
                assert soft_iou(p, g).item() == pytest.approx(plain.item(), abs=1e-6)


def test_an_image_without_targets_has_an_empty_matrix_that_can_be_differentiated():
    probs = torch.rand(1, 3, 8, requires_grad=True)
    costs = soft_iou_costs(probs, torch.zeros(1, 0, 8))
    assert costs.shape == (1, 3, 0)
    costs.sum().backward()
    assert probs.grad.abs().sum() == 0


def test_the_gradient_is_that_of_the_formula():
    chance = torch.Generator().manual_seed(1)
    probs = torch.rand(1, 2, 6, generator=chance, dtype=torch.float64, requires_grad=True)
    masks = (torch.rand(1, 2, 6, generator=chance) < 0.5).double()
    assert torch.autograd.gradcheck(soft_iou_costs, (probs, masks))
