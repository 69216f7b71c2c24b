import itertools
import math

import pytest
import torch

from seriatim.losses.segments import label_cross_entropy, label_iou_cost, match_segments, reorder_target


def random_map(count, size, generator):
    return torch.randint(0, count + 1, size, generator=generator)


def total_of(pairs, pred, pred_classes, target, target_classes):
    """The sum of the IoUs of pairs (label of the prediction, label of the truth) of one class."""
    counted, total = target >= 0, 0.0
    for one, other in pairs:
        if pred_classes[one - 1] == target_classes[other - 1]:
            first, second = (pred == one) & counted, (target == other) & counted
            total += int((first & second).sum()) / max(int((first | second).sum()), 1)
    return total


@pytest.mark.parametrize("seed", range(8))
def test_the_matching_is_the_best_of_all_permutations(seed):
    generator = torch.Generator().manual_seed(seed)
    num_pred, num_target = 4, 3
    pred, target = random_map(num_pred, (5, 6), generator), random_map(num_target, (5, 6), generator)
    target[0, :2] = -1
    classes = torch.randint(1, 3, (num_pred + num_target,), generator=generator)
    pred_classes, target_classes = classes[:num_pred], classes[num_pred:]
    matched = match_segments(pred, pred_classes, target, target_classes).tolist()
    ours = total_of([(one, n + 1) for n, one in enumerate(matched) if one], pred, pred_classes, target, target_classes)
    best = max(
        total_of(zip(chosen, range(1, num_target + 1), strict=True), pred, pred_classes, target, target_classes)
        for chosen in itertools.permutations(range(1, num_pred + 1), num_target)
    )
    assert ours == pytest.approx(best)
    assert len({one for one in matched if one}) == sum(one > 0 for one in matched)


def test_segments_of_other_classes_and_without_common_pixels_are_left_over():
    pred, target = torch.tensor([[1, 1, 2, 2, 0, 0]]), torch.tensor([[1, 1, 0, 0, 2, 2]])
    assert match_segments(pred, torch.tensor([2, 1]), target, torch.tensor([1, 1])).tolist() == [0, 0]
    assert match_segments(pred, torch.tensor([1, 1]), target, torch.tensor([1, 1])).tolist() == [1, 0]


def test_void_pixels_count_in_neither_map():
    pred, target, ones = (
        torch.tensor([[1, 1, 1, 2, 2]]),
        torch.tensor([[-1, -2, 1, 1, 0]]),
        torch.ones(2, dtype=torch.long),
    )
    assert match_segments(pred, ones, target, ones[:1]).tolist() == [
        1
    ]  # 1/2 and 1/3; with the void as background 1/4 and 1/3


@pytest.mark.parametrize(("num_pred", "num_target"), [(0, 2), (2, 0), (0, 0)])
def test_without_segments_nothing_is_matched(num_pred, num_target):
    pred = torch.full((2, 3), num_pred)
    target = torch.full((2, 3), num_target)
    ones = torch.ones(5, dtype=torch.long)
    assert match_segments(pred, ones[:num_pred], target, ones[:num_target]).tolist() == [0] * num_target


def test_padded_objects_are_matched_with_nothing():
    target = torch.tensor([[1, 1, 0]])
    assert match_segments(target, torch.tensor([1]), target, torch.tensor([1, 0, 0])).tolist() == [1, 0, 0]
    assert reorder_target(target, torch.tensor([2, 0, 0])).tolist() == [[2, 2, 0]]


def test_cross_entropy_is_the_mean_or_sum_over_the_counted_pixels():
    probs = torch.tensor([[[0.5, 0.25, 0.1]], [[0.25, 0.5, 0.1]], [[0.25, 0.25, 0.8]]])
    target = torch.tensor([[0, 2, -2]])
    expected = math.log(2) + math.log(4)
    assert float(label_cross_entropy(probs.log(), target)) == pytest.approx(expected / 2)
    assert float(label_cross_entropy(probs.log(), target, "sum")) == pytest.approx(expected)


def test_iou_cost_is_the_mean_over_the_objects_of_the_truth():
    probs = torch.tensor([[[0.5, 0.1, 0.2, 0.0]], [[0.5, 0.9, 0.0, 0.0]], [[0.0, 0.0, 0.8, 1.0]]])
    target = torch.tensor([[1, 1, 0, -1]])
    # of label 1: 1.4 / (1.4 + 2 - 1.4); label 2 has no object, and the last pixel does not count
    assert float(label_iou_cost(probs.log(), target)) == pytest.approx(1 - 1.4 / 2, abs=1e-5)
    two = torch.tensor([[1, 1, 2, -1]])
    assert float(label_iou_cost(probs.log(), two)) == pytest.approx((1 - 0.7 + 1 - 0.8) / 2, abs=1e-5)


def test_without_a_pixel_or_an_object_the_costs_are_0_with_a_gradient():
    logits = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(0)).requires_grad_()
    void = torch.full((2, 2), -1)
    for cost in (label_cross_entropy(logits, void), label_iou_cost(logits, void), label_iou_cost(logits, 0 * void)):
        assert float(cost.detach()) == 0
        cost.backward()
        assert not logits.grad.any()
