"""Which refinement is taken, and which losses count."""

import torch

from seriatim.nn.reversible_gate import counted_refinements, optimal_refinements


def test_the_highest_confidence_is_taken_of_equal_ones_the_first():
    confidences = torch.tensor([[0.1, 0.9, 0.3], [0.4, 0.9, 0.2], [0.4, 0.1, 0.8], [0.3, 0.9, 0.1]])
    assert optimal_refinements(confidences).tolist() == [1, 0, 2]


def test_no_gradient_passes_through_the_choice():
    assert not optimal_refinements(torch.rand(3, 2, requires_grad=True)).requires_grad


def test_refinements_up_to_the_chosen_one_count():
    assert counted_refinements(torch.tensor([0, 2, 3]), 4).T.tolist() == [
        [True, False, False, False],
        [True, True, True, False],
        [True, True, True, True],
    ]


def test_no_proposal_has_no_choice():
    assert optimal_refinements(torch.zeros(4, 0)).tolist() == []
    assert counted_refinements(torch.zeros(0, dtype=torch.long), 4).shape == (4, 0)
