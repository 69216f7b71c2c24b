import itertools

import pytest
import torch

from seriatim.losses.matching import hungarian, match_steps
from seriatim.losses.soft_iou import soft_iou_costs


def total(costs, assignment):
    return sum(costs[step][target] for step, target in enumerate(assignment) if target >= 0)


@pytest.mark.parametrize(("num_steps", "num_targets"), [(4, 4), (5, 3), (3, 5), (1, 4), (4, 1)])
def test_the_assignment_is_the_best_of_all_permutations_over_the_first_steps(num_steps, num_targets):
    for seed in range(20):
        costs = torch.rand(1, num_steps, num_targets, generator=torch.Generator().manual_seed(seed))
        found = hungarian(costs, torch.tensor([num_targets]))[0].tolist()
        table, used = costs[0].tolist(), min(num_steps, num_targets)
        best = min(total(table, chosen) for chosen in itertools.permutations(range(num_targets), used))
        assert total(table, found) == pytest.approx(best, abs=1e-6)
        assert found[used:] == [-1] * (num_steps - used)
        assert len(set(found[:used])) == used


def test_padding_is_never_assigned():
    costs = torch.ones(2, 3, 4)
    costs[:, :, 2:] = -5  # padding that would be the best
    assert set(hungarian(costs, torch.tensor([2, 1])).flatten().tolist()) == {0, 1, -1}


def test_an_image_without_objects_has_no_pairs():
    assert hungarian(torch.rand(2, 3, 2), torch.tensor([0, 2]))[0].tolist() == [-1, -1, -1]
    assert hungarian(torch.zeros(1, 3, 0), torch.tensor([0])).tolist() == [[-1, -1, -1]]


def test_costs_that_are_no_numbers_do_not_stop_the_assignment():
    costs = torch.full((1, 2, 2), float("nan"))
    assert sorted(hungarian(costs, torch.tensor([2]))[0].tolist()) == [0, 1]


def test_no_gradient_is_needed():
    costs = torch.rand(1, 2, 2, requires_grad=True)
    assert not hungarian(costs, torch.tensor([2])).requires_grad


def test_pairs_are_matched_by_the_costs_that_are_asked_for():
    probs = torch.tensor([[[[0.9, 0.1, 0.1]], [[0.2, 0.6, 0.6]]]])
    labels = torch.tensor([[[1, 2, 2]]])
    usual = match_steps(probs, labels, torch.tensor([2]), 1)
    other = match_steps(
        probs, labels, torch.tensor([2]), 1, pair_costs=lambda preds, masks: -soft_iou_costs(preds, masks)
    )
    assert (usual.targets.tolist(), other.targets.tolist()) == ([[0, 1]], [[1, 0]])
    assert other.costs[0, 0] == -soft_iou_costs(probs.flatten(2), torch.tensor([[[0.0, 1.0, 1.0]]]))[0, 0, 0]
