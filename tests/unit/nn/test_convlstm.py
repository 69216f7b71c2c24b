import pytest
import torch
from torch.nn import functional as F

from seriatim.nn.convlstm import ConvLSTM, ConvLSTMState

SIZE = (5, 7)


def gate_by_gate(layer, inputs, weight, bias, state):
    """(i, f, o, g) = W * [x | h] + b, a gate and a channel at a time."""
    x = torch.cat((inputs, state.hidden), dim=1)
    width = layer.hidden_channels
    gates = []
    for number in range(4):
        channels = []
        for channel in range(number * width, (number + 1) * width):
            channels.append(
                F.conv2d(x, weight[channel : channel + 1], bias[channel : channel + 1], padding=weight.shape[-1] // 2)
            )
        gates.append(torch.cat(channels, dim=1))
    enter, keep, show = (1 / (1 + torch.exp(-gate)) for gate in gates[:3])
    cell = keep * state.cell + enter * torch.tanh(gates[3])
    return ConvLSTMState(show * torch.tanh(cell), cell)


def make(changing, constant, hidden, kernel_size=3):
    torch.manual_seed(0)
    layer = ConvLSTM(changing, constant, hidden, kernel_size).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return layer


def random(channels, seed, batch=2):
    return torch.randn(batch, channels, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_equal(ours, plain):
    torch.testing.assert_close(ours.hidden, plain.hidden, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.cell, plain.cell, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("changing", [0, 3])
def test_the_constant_input_convolved_once_equals_the_plain_equation(changing, kernel_size):
    layer = make(changing, 4, 2, kernel_size)
    constant = random(4, 1)
    moving = layer.changing.weight
    weight = torch.cat((moving[:, :changing], layer.constant.weight, moving[:, changing:]), dim=1)
    gates = layer.constant_gates(constant)
    ours = plain = layer.initial_state(2, *SIZE, constant)
    for step in range(4):
        x = random(changing, 10 + step) if changing else None
        ours = layer(x, gates, ours)
        plain = gate_by_gate(
            layer, constant if x is None else torch.cat((x, constant), dim=1), weight, layer.constant.bias, plain
        )
        assert_equal(ours, plain)
    assert ours.hidden.abs().max() > 0.05


def test_a_constant_addend_of_the_changing_input_equals_their_sum():
    layer = make(3, 0, 2)
    constant = random(3, 1)
    gates = layer.constant_gates(constant)
    ours = plain = layer.initial_state(2, *SIZE, constant)
    for step in range(3):
        x = random(3, 10 + step)
        ours = layer(x, gates, ours)
        plain = gate_by_gate(layer, x + constant, layer.changing.weight, layer.bias.flatten(), plain)
        assert_equal(ours, plain)


def test_an_addend_of_fewer_channels_joins_the_first_of_the_changing_input():
    layer = make(5, 0, 2)
    constant, x = random(3, 1), random(5, 2)
    summed = torch.cat((x[:, :3] + constant, x[:, 3:]), dim=1)
    state = layer.initial_state(2, *SIZE, constant)
    plain = gate_by_gate(layer, summed, layer.changing.weight, layer.bias.flatten(), state)
    assert_equal(layer(x, layer.constant_gates(constant), state), plain)


def test_without_any_constant_input_the_bias_alone_is_added():
    layer = make(3, 0, 2)
    state = layer.initial_state(2, *SIZE, random(1, 0))
    gates = layer.constant_gates(None)
    assert gates.shape == (1, 8, 1, 1)
    plain = gate_by_gate(layer, random(3, 5), layer.changing.weight, layer.bias.flatten(), state)
    assert_equal(layer(random(3, 5), gates, state), plain)


def test_gates_computed_once_give_the_same_gradient_as_at_every_step():
    gradients = []
    for cached in (True, False):
        layer = make(2, 3, 2)
        constant = random(3, 1).requires_grad_()
        state, once = layer.initial_state(2, *SIZE, constant), layer.constant_gates(constant)
        for step in range(3):
            state = layer(random(2, step), once if cached else layer.constant_gates(constant), state)
        state.hidden.square().sum().backward()
        gradients.append([constant.grad, *(parameter.grad for parameter in layer.parameters())])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=1e-12)


def test_a_step_changes_neither_the_state_it_got_nor_the_layer():
    layer = make(2, 3, 2)
    state = layer.initial_state(2, *SIZE, random(1, 0))
    layer(random(2, 1), layer.constant_gates(random(3, 2)), state)
    assert state.hidden.abs().sum() == 0
    assert set(dict(layer.named_buffers())) == set()
