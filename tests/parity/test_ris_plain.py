"""RIS against a plain second implementation, written from the paper alone and without any caching.

Origin: this file. Nothing is stored; both implementations run in float64 on the same weights.
"""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from seriatim.models.ris import RIS, RISConfig

NUM_STEPS = 4


def make(**settings):
    torch.manual_seed(0)
    network = RIS(RISConfig.parse({"channels": 6, **settings})).double().eval()
    for name, parameter in network.named_parameters():
        if name.endswith("bias") and not name.startswith(
            "encoder."
        ):  # some begin at 0, which would hide one that is left out
            torch.nn.init.uniform_(parameter, -0.3, 0.3)
        if name.startswith("convlstms") and name.endswith(
            "weight"
        ):  # larger than at the start, so that the steps differ
            torch.nn.init.uniform_(parameter, -0.4, 0.4)
    return network


def sigmoid(values):
    return 1 / (1 + torch.exp(-values))


def normalised(images):
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    channels = images.shape[1]
    if channels == 1:
        mean, std = [0.5], [0.25]
    if channels == 4:
        mean, std = [*mean, 0.5], [*std, 0.25]
    as_float32 = [torch.tensor(one).double().view(1, -1, 1, 1) for one in (mean, std)]
    return (images - as_float32[0]) / as_float32[1]


def plain_leaf_network(weights, images, stride, bilinear):
    """Sec. 4.3: 30 x 9 x 9, then four times 30 x 3 x 3, each with a ReLU."""
    values = normalised(images)
    if bilinear:
        size = [extent // stride for extent in images.shape[-2:]]
        values = F.interpolate(values, size=size, mode="bilinear", align_corners=False, antialias=True)
    values = F.conv2d(F.pad(values, (4, 4, 4, 4)), weights["encoder.first.weight"], weights["encoder.first.bias"])
    values = torch.clamp(values if bilinear else values[:, :, ::stride, ::stride], min=0)
    for number in range(4):
        name = f"encoder.others.{number}"
        values = F.conv2d(F.pad(values, (1, 1, 1, 1)), weights[f"{name}.weight"], weights[f"{name}.bias"])
        values = torch.clamp(values, min=0)
    return values


def plain_upsampling(values, weight):
    """A transposed convolution of 4 x 4, stride 2, padding 1, by its definition: every cell adds its kernel to the plane."""
    batch, _, height, width = values.shape
    plane = values.new_zeros(batch, weight.shape[1], 2 * height + 2, 2 * width + 2)
    for row, column in itertools.product(range(height), range(width)):
        stamp = torch.einsum("bi,ioyx->boyx", values[:, :, row, column], weight)
        plane[:, :, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4] += stamp
    return plane[:, :, 1:-1, 1:-1]


def plain_fcn8s(weights, images):
    """Long et al.: thirteen convolutions, five poolings, fc6 and fc7 as convolutions, and three depths scored and added."""
    values, number, pooled = normalised(images), 0, []
    for count in (2, 2, 3, 3, 3):
        for _ in range(count):
            name = f"encoder.features.{number}"
            values = F.conv2d(values, weights[f"{name}.weight"], weights[f"{name}.bias"], padding=1).clamp(min=0)
            number += 2
        values = F.max_pool2d(values, 2)
        number += 1
        pooled.append(values)
    for name, padding in (("fc6", 3), ("fc7", 0)):
        values = F.conv2d(
            values, weights[f"encoder.{name}.weight"], weights[f"encoder.{name}.bias"], padding=padding
        ).clamp(min=0)
    fused = None
    for number, feature in enumerate((values, pooled[3], pooled[2])):
        name = f"last.scores.{number}"
        score = F.conv2d(feature, weights[f"{name}.weight"], weights[f"{name}.bias"])
        if fused is not None:
            up = plain_upsampling(fused, weights[f"last.upsamplings.{number - 1}.weight"])
            score = score + up[:, :, : score.shape[2], : score.shape[3]]
        fused = score
    return fused


def continued(images, multiple):
    """Whole cells: rows and columns are mirrored at the last ones, or these repeated in an image too small for that."""
    sides = [(extent, -extent % multiple) for extent in images.shape[-2:]]
    mirrors = all(missing < extent for extent, missing in sides)
    rows, columns = (
        [*range(extent), *(extent - 2 - step if mirrors else extent - 1 for step in range(missing))]
        for extent, missing in sides
    )
    return images[:, :, rows][:, :, :, columns]


def plain_run(network, images):
    """Masks, logits of the confidence and hidden states of every step: each ConvLSTM convolves [x_t | h_{t-1}] with one weight tensor."""
    weights, config = network.state_dict(), network.config
    height, width = images.shape[-2:]
    if config.fcn == "leaf":
        edge = config.stride
        b = plain_leaf_network(weights, continued(images, edge), config.stride, config.subsampling == "bilinear")
    else:
        edge = 8
        b = plain_fcn8s(weights, continued(images, 32))
    rows, columns = math.ceil(height / edge), math.ceil(width / edge)
    b = b[:, :, :rows, :columns]  # cells that hold nothing of the image take no part
    hidden = [torch.zeros_like(b) for _ in range(config.depth)]
    cell = [torch.zeros_like(b) for _ in range(config.depth)]
    outputs = []
    for _ in range(NUM_STEPS):
        x = b
        for layer in range(config.depth):
            name = f"convlstms.{layer}"
            weight = weights[f"{name}.changing.weight"]
            bias = weights[f"{name}.constant.bias"] if layer == 0 else weights[f"{name}.bias"].flatten()
            if layer == 0:
                weight = torch.cat((weights[f"{name}.constant.weight"], weight), dim=1)
            gates = F.conv2d(torch.cat((x, hidden[layer]), dim=1), weight, bias, padding=config.kernel_size // 2)
            enter, keep, show, candidate = gates.split(config.channels, dim=1)
            cell[layer] = sigmoid(keep) * cell[layer] + sigmoid(enter) * torch.tanh(candidate)
            hidden[layer] = sigmoid(show) * torch.tanh(cell[layer])
            x = hidden[layer]
        response = (weights["inhibition.convolution.weight"][0, :, 0, 0].view(1, -1, 1, 1) * x).sum(dim=1)
        response = response + weights["inhibition.convolution.bias"]
        shares = torch.exp(response) / torch.exp(response).sum(dim=(1, 2), keepdim=True)
        small = sigmoid(torch.log(shares) + weights["inhibition.threshold"])
        whole = F.interpolate(small[:, None], scale_factor=edge, mode="bilinear", align_corners=False)[:, 0]
        mask = whole[:, :height, :width]
        largest = x.flatten(2).max(dim=2).values
        confidence = largest @ weights["confidence.weight"].T + weights["confidence.bias"]
        outputs.append((mask, confidence[:, 0]))
    masks, confidences = (torch.stack(parts, dim=1) for parts in zip(*outputs, strict=True))
    return masks, confidences, hidden


@torch.no_grad()
def compare(network, batch, size):
    chance = torch.Generator().manual_seed(1)
    images = torch.rand(batch, network.config.input_channels, *size, dtype=torch.float64, generator=chance)
    masks, confidences, hidden = plain_run(network, images)
    output = network(images, NUM_STEPS)
    assert output.mask_probs.dtype == output.confidence_logits.dtype == torch.float64
    assert output.mask_probs.shape == (batch, NUM_STEPS, *size)
    torch.testing.assert_close(output.mask_probs, masks, rtol=0, atol=1e-9)
    torch.testing.assert_close(output.confidence_logits, confidences, rtol=0, atol=1e-9)
    memory = network.encode(images)
    state = network.initial_state(memory, batch)
    for _ in range(NUM_STEPS):
        _, state = network.step(memory, state)
    for ours, plain in zip(state.cells, hidden, strict=True):
        torch.testing.assert_close(ours.hidden, plain, rtol=0, atol=1e-9)
    assert (
        confidences[:, 0] - confidences[:, 1]
    ).abs().max() > 1e-6  # the steps are not all alike, so that recurrence is seen


@pytest.mark.parametrize(("depth", "kernel_size"), [(depth, kernel) for depth in (1, 2, 3) for kernel in (1, 3)])
def test_every_depth_and_kernel_equals_the_plain_network(depth, kernel_size):
    compare(make(depth=depth, kernel_size=kernel_size), 2, (50, 65))


@pytest.mark.parametrize("subsampling", ["convolution", "bilinear"])
@pytest.mark.parametrize("input_channels", [1, 3, 4])
def test_every_number_of_channels_and_both_ways_to_shrink_equal_the_plain_network(input_channels, subsampling):
    compare(make(input_channels=input_channels, subsampling=subsampling), 1, (41, 33))


@pytest.mark.parametrize("size", [(1, 1), (4, 23), (30, 30)])
def test_any_size_equals_the_plain_network(size):
    compare(make(stride=3), 1, size)


@pytest.mark.parametrize(("input_channels", "size"), [(3, (64, 32)), (4, (37, 50))])
def test_fcn8s_equals_the_plain_network(input_channels, size):
    compare(make(fcn="fcn8s", fc_channels=8, kernel_size=1, input_channels=input_channels), 1, size)
