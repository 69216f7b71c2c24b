"""RSIS (arXiv:1712.00617), eq. 1 to 6, each against numbers worked out here with plain numpy loops or by hand."""

import math

import numpy as np
import pytest
import torch

from seriatim.losses.matching import hungarian
from seriatim.losses.soft_iou import soft_iou, soft_iou_costs
from seriatim.losses.stopping import first_steps, stop_costs
from seriatim.models.rsis import RSIS, RSISConfig, RSISObjectiveConfig, RSISOutput, objective

LN2 = math.log(2)


# --- eq. 1 and 2: the recurrent decoder ---------------------------------------------------------------------------------------


def convolve(planes, weight, bias=None):
    """3 x 3 correlation with zeros around, by the definition."""
    channels, height, width = planes.shape
    padded = np.zeros((channels, height + 2, width + 2))
    padded[:, 1:-1, 1:-1] = planes
    result = np.zeros((len(weight), height, width))
    for row in range(height):
        for column in range(width):
            window = padded[:, row : row + 3, column : column + 3]
            result[:, row, column] = np.tensordot(weight, window, axes=3)
    return result if bias is None else result + bias.reshape(-1, 1, 1)


def upsample_by_2(planes):
    """Bilinear, sample centres at (i + 1/2) / 2 - 1/2, clamped at the border."""
    channels, height, width = planes.shape
    result = np.zeros((channels, 2 * height, 2 * width))
    for row in range(2 * height):
        for column in range(2 * width):
            y, x = max((row + 0.5) / 2 - 0.5, 0), max((column + 0.5) / 2 - 0.5, 0)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
            fy, fx = y - y0, x - x0
            top = (1 - fx) * planes[:, y0, x0] + fx * planes[:, y0, x1]
            bottom = (1 - fx) * planes[:, y1, x0] + fx * planes[:, y1, x1]
            result[:, row, column] = (1 - fy) * top + fy * bottom
    return result


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def convlstm(inputs, hidden, cell, weight, bias):
    """Shi et al. without peepholes; gates in the order i, f, o, g."""
    gates = convolve(np.concatenate((inputs, hidden)), weight, bias)
    enter, keep, show, candidate = np.split(gates, 4)
    cell = sigmoid(keep) * cell + sigmoid(enter) * np.tanh(candidate)
    return sigmoid(show) * np.tanh(cell), cell


@pytest.fixture(scope="module")
def decoder():
    """Two levels of a network in float64, their features, and their states over three steps."""
    torch.manual_seed(2)
    network = RSIS(RSISConfig(encoder="test_resnet", width=8, levels=2)).double().eval()
    for layer in network.convlstms:
        torch.nn.init.uniform_(layer.constant.bias, -0.5, 0.5)
    images = torch.rand(1, 3, 128, 96, dtype=torch.float64)
    with torch.no_grad():
        features = [level[0].numpy() for level in network.encoder(images)[:2]]
        memory = network.encode(images)
        state, states = network.initial_state(memory, 1), []
        for _ in range(3):
            _, state = network.step(memory, state)
            states.append([level.hidden[0].numpy() for level in state.cells])
    return network, features, states


def projected(network, features, level):
    projection = network.projections[level]
    return convolve(features[level], projection.weight.detach().numpy(), projection.bias.detach().numpy())


def numpy_states(network, features):
    """h_{0,t} by eq. 2 and h_{1,t} by eq. 1, for t = 1, 2, 3."""
    parts = [{name: value.detach().numpy() for name, value in layer.named_parameters()} for layer in network.convlstms]
    width = 8
    first = np.concatenate((parts[0]["constant.weight"], parts[0]["changing.weight"]), axis=1)
    moving = parts[1]["changing.weight"]
    second = np.concatenate((moving[:, :width], parts[1]["constant.weight"], moving[:, width:]), axis=1)
    skips = [projected(network, features, level) for level in range(2)]
    hidden = [np.zeros((width, *skip.shape[1:])) for skip in skips]
    cell = [np.zeros_like(one) for one in hidden]
    states = []
    for _ in range(3):
        hidden[0], cell[0] = convlstm(skips[0], hidden[0], cell[0], first, parts[0]["constant.bias"])
        joined = np.concatenate((upsample_by_2(hidden[0]), skips[1]))
        hidden[1], cell[1] = convlstm(joined, hidden[1], cell[1], second, parts[1]["constant.bias"])
        states.append(list(hidden))
    return states


def test_equation_1_every_level_reads_the_upsampled_level_below_beside_its_skip(decoder):
    network, features, states = decoder
    for ours, worked in zip(states, numpy_states(network, features), strict=True):
        np.testing.assert_allclose(ours[1], worked[1], rtol=0, atol=1e-10)


def test_equation_2_the_first_level_reads_its_skip_alone(decoder):
    network, features, states = decoder
    for ours, worked in zip(states, numpy_states(network, features), strict=True):
        np.testing.assert_allclose(ours[0], worked[0], rtol=0, atol=1e-10)


# --- eq. 3: soft IoU ------------------------------------------------------------------------------------------------------------


def test_equation_3_on_numbers_worked_by_hand():
    # p g: 0.8 + 0.4 = 1.2;  p + g - p g: (0.8 + 1 - 0.8) + (0.4 + 1 - 0.4) + 0.5 + 0 = 2.5;  1 - 1.2 / 2.5 = 0.52
    probs, mask = torch.tensor([0.8, 0.4, 0.5, 0.0]).double(), torch.tensor([1.0, 1.0, 0.0, 0.0]).double()
    assert soft_iou(probs, mask).item() == pytest.approx(0.52, abs=1e-6)
    assert soft_iou_costs(probs[None, None], mask[None, None]).item() == pytest.approx(0.52, abs=1e-6)


@pytest.mark.parametrize(
    ("probs", "mask", "cost"), [([1, 1, 0], [1, 1, 0], 0.0), ([0, 0, 1], [1, 1, 0], 1.0), ([1, 1, 1], [0, 0, 1], 2 / 3)]
)
def test_equation_3_is_the_jaccard_distance_of_hard_masks(probs, mask, cost):
    assert soft_iou(torch.tensor(probs).double(), torch.tensor(mask).double()).item() == pytest.approx(cost, abs=1e-5)


# --- eq. 4 to 6: the objective --------------------------------------------------------------------------------------------------


def logit(prob):
    return math.log(prob / (1 - prob))


def case(dtype=torch.float64):
    """One image of 1 x 4 pixels with two objects (columns 0-1, column 3) and four steps.

    Step 0 lies on object 2, step 1 on object 1, steps 2 and 3 beyond the objects: step 2 would fit object 1 perfectly.
    """
    probs = torch.tensor(
        [[0.1, 0.1, 0.2, 0.9], [0.8, 0.7, 0.1, 0.1], [0.99, 0.99, 0.01, 0.01], [0.5, 0.5, 0.5, 0.5]], dtype=dtype
    )
    masks = torch.log(probs / (1 - probs)).view(1, 4, 1, 4)
    classes = torch.tensor([[[1.0, 0.0, 2.0], [0.5, 0.25, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 0.0]]], dtype=dtype)
    stops = torch.tensor([[logit(0.9), logit(0.6), logit(0.3), logit(0.8)]], dtype=dtype)
    for one in (masks, classes, stops):
        one.requires_grad_()
    output = RSISOutput(masks, classes, stops, torch.ones(1, 4))
    labels = torch.tensor([[[1, 1, 0, 2]]])
    return output, labels, torch.tensor([[2, 3]])  # object 1 is of class 2, object 2 of class 3


def costs_of_case():
    # step 0 with object 2: 0.9 / (0.1 + 0.1 + 0.2 + 1);  step 1 with object 1: 1.5 / (1 + 1 + 0.1 + 0.1)
    return 1 - 0.9 / 1.4, 1 - 1.5 / 2.2


def test_equation_4_sums_the_soft_iou_of_the_matched_pairs_of_the_first_n_steps():
    output, labels, classes = case()
    terms = objective(output, labels, classes, RSISObjectiveConfig())
    assert set(terms) == {"mask"}
    assert terms["mask"].item() == pytest.approx(sum(costs_of_case()), abs=1e-5)


def test_equation_4_gives_no_gradient_to_steps_beyond_the_objects():
    output, labels, classes = case()
    objective(output, labels, classes, RSISObjectiveConfig())["mask"].backward()
    gradient = output.mask_logits.grad[0].flatten(1).abs().sum(dim=1)
    assert (gradient[:2] > 0).all()
    assert gradient[2:].tolist() == [0.0, 0.0]


def test_equation_4_leaves_objects_unmatched_that_no_step_is_left_for():
    output, labels, classes = case()
    short = RSISOutput(
        output.mask_logits[:, :1], output.class_logits[:, :1], output.stop_logits[:, :1], torch.ones(1, 1)
    )
    assert objective(short, labels, classes, RSISObjectiveConfig())["mask"].item() == pytest.approx(
        costs_of_case()[0], abs=1e-5
    )


def test_equation_5_is_the_negative_log_likelihood_of_the_matched_classes():
    output, labels, classes = case()
    terms = objective(output, labels, classes, RSISObjectiveConfig(classification=0.1))
    # step 0 stands for object 2 of class 3: logits (1, 0, 2);  step 1 for object 1 of class 2: logits (0.5, 0.25, 0)
    first = -math.log(math.exp(2.0) / (math.exp(1.0) + 1 + math.exp(2.0)))
    second = -math.log(math.exp(0.25) / (math.exp(0.5) + math.exp(0.25) + 1))
    assert terms["classification"].item() == pytest.approx(0.1 * (first + second), rel=1e-6)
    terms["classification"].backward()
    assert output.class_logits.grad[0, 2:].abs().sum() == 0


def test_equation_6_as_meant_is_binary_cross_entropy_over_n_plus_1_steps():
    output, labels, classes = case()
    terms = objective(output, labels, classes, RSISObjectiveConfig(stop=0.5))
    # objects at steps 0 and 1 (0.9, 0.6), none at step 2 (0.3), step 3 not counted
    assert terms["stop"].item() == pytest.approx(0.5 * -(math.log(0.9) + math.log(0.6) + math.log(0.7)), rel=1e-6)
    terms["stop"].backward()
    gradient = output.stop_logits.grad[0]
    # d/dz BCE = sigmoid(z) - target
    np.testing.assert_allclose(gradient.numpy(), 0.5 * np.array([0.9 - 1, 0.6 - 1, 0.3, 0.0]), atol=1e-7)


def test_equation_6_is_not_as_printed():
    # as printed, both terms hold log(o), so that the last step would be pushed up instead of down
    present, counted = first_steps(torch.tensor([1]), 2)
    low, high = ((stop_costs(torch.tensor([[3.0, last]]), present) * counted).sum().item() for last in (-5.0, 5.0))
    assert low < high


def test_equation_6_of_an_image_without_objects_asks_the_first_step_to_stop():
    present, counted = first_steps(torch.tensor([0]), 3)
    assert present.tolist() == [[False, False, False]]
    assert counted.tolist() == [[True, False, False]]
    assert (stop_costs(torch.zeros(1, 3), present) * counted).sum().item() == pytest.approx(LN2, rel=1e-6)


def test_the_total_is_the_weighted_sum_and_means_are_those_of_the_released_code():
    output, labels, classes = case()
    summed = objective(output, labels, classes, RSISObjectiveConfig(mask=2.0, classification=0.1, stop=0.5))
    means = objective(
        output, labels, classes, RSISObjectiveConfig(mask=2.0, classification=0.1, stop=0.5, reduction="mean")
    )
    assert means["mask"].item() == pytest.approx(summed["mask"].item() / 2)  # two matched pairs
    assert means["classification"].item() == pytest.approx(summed["classification"].item() / 2)
    assert means["stop"].item() == pytest.approx(summed["stop"].item() / 3)  # three counted steps
    assert summed["mask"].item() == pytest.approx(2 * sum(costs_of_case()), abs=1e-5)


def test_pixels_to_ignore_count_neither_in_prediction_nor_in_truth():
    output, labels, classes = case()
    labels[0, 0, 2] = -1  # where step 0 says 0.2 and step 1 says 0.1
    expected = (1 - 0.9 / 1.2) + (1 - 1.5 / 2.1)
    assert objective(output, labels, classes, RSISObjectiveConfig())["mask"].item() == pytest.approx(expected, abs=1e-5)


def test_the_terms_are_means_over_the_images_of_a_batch():
    output, labels, classes = case()
    twice = RSISOutput(
        *(torch.cat((part, part)) for part in (output.mask_logits, output.class_logits, output.stop_logits)),
        torch.ones(2, 4),
    )
    empty = torch.cat((labels, torch.zeros_like(labels)))
    padded = torch.cat((classes, torch.zeros_like(classes)))
    terms = objective(twice, empty, padded, RSISObjectiveConfig(stop=1.0))
    assert terms["mask"].item() == pytest.approx(sum(costs_of_case()) / 2, abs=1e-5)
    one = -(math.log(0.9) + math.log(0.6) + math.log(0.7))
    assert terms["stop"].item() == pytest.approx((one - math.log(0.1)) / 2, rel=1e-6)


def test_the_assignment_is_optimal_and_not_greedy():
    # greedy takes 0.1 and is left with 0.9 (1.0 in all); the best pairs cost 0.2 + 0.3
    costs = torch.tensor([[[0.1, 0.2], [0.3, 0.9]]])
    assert hungarian(costs, torch.tensor([2])).tolist() == [[1, 0]]
