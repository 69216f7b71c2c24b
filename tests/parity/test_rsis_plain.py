"""RSIS against a plain second implementation, written from the paper's equations alone and without any caching.

Origin: this file. Nothing is stored; both implementations run in float64 on the same weights.
"""

import itertools

import pytest
import torch
from torch.nn import functional as F

from seriatim.models.rsis import RSIS, RSISConfig

SKIP_MODES = ("concat", "sum", "mult", "none")
NUM_STEPS = 3


def make(**settings):
    torch.manual_seed(0)
    values = {"encoder": "test_resnet", "width": 16, "num_classes": 3, **settings}
    network = RSIS(RSISConfig.parse(values)).double().eval()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):  # biases begin at 0, which would hide a bias that is left out
            torch.nn.init.uniform_(parameter, -0.3, 0.3)
    return network


def sigmoid(values):
    return 1 / (1 + torch.exp(-values))


class PlainRSIS:
    """The paper's network: at every step each ConvLSTM convolves [x_t | h_{t-1}], x_t = [B2(h_{i-1,t}) | S_i], with one weight tensor."""

    def __init__(self, network):
        self.network = network
        self.mode = network.config.skip_mode

    def weights(self, level):
        """One (weight, bias) for the concatenated input, put together from the network's parts."""
        layer = self.network.convlstms[level]
        if layer.constant is None:
            return layer.changing.weight, layer.bias.flatten()
        changing = layer.changing.weight.shape[1] - layer.hidden_channels
        upsampled, hidden = layer.changing.weight[:, :changing], layer.changing.weight[:, changing:]
        return torch.cat((upsampled, layer.constant.weight, hidden), dim=1), layer.constant.bias

    def run(self, images, num_steps):
        network = self.network
        mean = torch.tensor((0.485, 0.456, 0.406), dtype=torch.float64).view(1, 3, 1, 1)
        std = torch.tensor((0.229, 0.224, 0.225), dtype=torch.float64).view(1, 3, 1, 1)
        features = network.encoder.trunk((images - mean.float().double()) / std.float().double())
        features = features[::-1][: network.config.levels]
        skips = []
        for level, feature in enumerate(features):
            projected = level == 0 or self.mode != "none"
            skips.append(network.projections[level](feature) if projected else None)
        hidden, cell = [None] * len(features), [None] * len(features)
        outputs = []
        for _ in range(num_steps):
            for level, feature in enumerate(features):
                x = skips[level]
                if level:
                    up = F.interpolate(hidden[level - 1], size=feature.shape[-2:], mode="bilinear", align_corners=False)
                    match self.mode:
                        case "concat":
                            x = torch.cat((up, skips[level]), dim=1)
                        case "sum":
                            x = up + skips[level]
                        case "mult":
                            x = up * skips[level]
                        case "none":
                            x = up
                weight, bias = self.weights(level)
                width = weight.shape[0] // 4
                before = (
                    hidden[level] if hidden[level] is not None else torch.zeros(len(images), width, *feature.shape[-2:])
                )
                memory = (
                    cell[level] if cell[level] is not None else torch.zeros(len(images), width, *feature.shape[-2:])
                )
                gates = F.conv2d(torch.cat((x, before.double()), dim=1), weight, bias, padding=1)
                enter, keep, show, candidate = gates.split(width, dim=1)
                cell[level] = sigmoid(keep) * memory.double() + sigmoid(enter) * torch.tanh(candidate)
                hidden[level] = sigmoid(show) * torch.tanh(cell[level])
            mask = (network.mask_head.weight[0, :, 0, 0].view(1, -1, 1, 1) * hidden[-1]).sum(dim=1, keepdim=True)
            mask = mask + network.mask_head.bias
            mask = F.interpolate(mask, size=images.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
            pooled = torch.cat([one.flatten(2).max(dim=2).values for one in hidden], dim=1)
            classes = pooled @ network.class_head.weight.T + network.class_head.bias
            stop = (pooled @ network.stop_head.weight.T + network.stop_head.bias)[:, 0]
            outputs.append((mask, classes, stop))
        return [torch.stack(parts, dim=1) for parts in zip(*outputs, strict=True)], hidden


@torch.no_grad()
def compare(network, batch, size):
    images = torch.rand(batch, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (masks, classes, stops), hidden = PlainRSIS(network).run(images, NUM_STEPS)
    output = network(images, NUM_STEPS)
    assert output.mask_logits.dtype == torch.float64
    assert output.mask_logits.shape == (batch, NUM_STEPS, *size)
    torch.testing.assert_close(output.mask_logits, masks, rtol=0, atol=1e-9)
    torch.testing.assert_close(output.class_logits, classes, rtol=0, atol=1e-9)
    torch.testing.assert_close(output.stop_logits, stops, rtol=0, atol=1e-9)
    memory = network.encode(images)
    state = network.initial_state(memory, batch)
    for _ in range(NUM_STEPS):
        _, state = network.step(memory, state)
    for ours, plain in zip(state.cells, hidden, strict=True):
        torch.testing.assert_close(ours.hidden, plain, rtol=0, atol=1e-9)
    assert (masks[:, 0] - masks[:, 1]).abs().max() > 1e-6  # the steps are not all alike, so that recurrence is seen


@pytest.mark.parametrize(("skip_mode", "levels"), [(mode, levels) for mode in SKIP_MODES for levels in range(1, 6)])
def test_every_skip_mode_and_depth_equals_the_plain_network(skip_mode, levels):
    compare(make(skip_mode=skip_mode, levels=levels), 1, (65, 79))


@pytest.mark.parametrize(("widths", "skip_mode"), list(itertools.product(("paper", "release"), ("concat", "mult"))))
def test_both_sets_of_widths_equal_the_plain_network(widths, skip_mode):
    network = make(widths=widths, skip_mode=skip_mode)
    expected = [16, 16, 8, 4, 2] if widths == "paper" else [16, 8, 4, 2, 1]
    assert [layer.hidden_channels for layer in network.convlstms] == expected
    compare(network, 3, (65, 79))


@pytest.mark.parametrize("size", [(33, 64), (64, 64), (1, 5), (48, 31)])
def test_any_size_equals_the_plain_network(size):
    compare(make(), 3, size)


def test_a_vgg_whose_finest_level_has_the_size_of_the_image_equals_the_plain_network():
    network = make(encoder="vgg11")
    levels = network.encode(torch.zeros(1, 3, 33, 40, dtype=torch.float64)).level_sizes
    assert levels == [(2, 2), (4, 5), (8, 10), (16, 20), (33, 40)]
    compare(network, 1, (33, 40))


def test_skips_behind_batch_norm_equal_the_plain_network():
    network = make(skip_batch_norm=True)
    for projection in network.projections:
        projection[1].running_mean.uniform_(-1, 1)
        projection[1].running_var.uniform_(0.5, 2)
    compare(network, 1, (65, 79))


def test_skips_have_the_width_of_the_hidden_state_that_they_join():
    network = make(width=64)
    assert [projection.out_channels for projection in network.projections] == [64, 64, 64, 32, 16]
