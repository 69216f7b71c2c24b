"""Convolutional LSTM whose constant input is convolved once.

Source: Shi et al., "Convolutional LSTM Network" (NIPS 2015), without peepholes, as RSIS eq. 1-2 and RIS use it:

    (i, f, o, g) = W * [x_t | s | h_{t-1}] + b          c_t = sig(f) c_{t-1} + sig(i) tanh(g)          h_t = sig(o) tanh(c_t)

The part of the input that is the same at every step, s, contributes W_s * s + b to the gates. That sum is computed once
(`constant_gates`) and added at every step; the result equals the plain equation.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class ConvLSTMState(NamedTuple):
    """Hidden and cell state of one ConvLSTM; `blank` says that both are zero, so that the first step need not convolve them."""

    hidden: Float[Tensor, "batch channels height width"]
    cell: Float[Tensor, "batch channels height width"]
    blank: bool = False


class ConvLSTM(nn.Module):
    """One ConvLSTM with a changing input, a constant input, or both."""

    def __init__(
        self, changing_channels: int, constant_channels: int, hidden_channels: int, kernel_size: int = 3
    ) -> None:
        """
        Args:
            changing_channels: channels of the input that differs at every step, 0 for none.
            constant_channels: channels of the input that stays, 0 for none.
            hidden_channels: channels of hidden and cell state.
            kernel_size: odd size of the square kernel of all gates.
        """
        super().__init__()
        self.hidden_channels = hidden_channels
        padding = kernel_size // 2
        gates = 4 * hidden_channels
        self.changing = nn.Conv2d(changing_channels + hidden_channels, gates, kernel_size, padding=padding, bias=False)
        self.constant = nn.Conv2d(constant_channels, gates, kernel_size, padding=padding) if constant_channels else None
        self.bias = None if constant_channels else nn.Parameter(torch.zeros(gates, 1, 1))

    def constant_gates(
        self, constant: Float[Tensor, "batch channels height width"] | None
    ) -> Float[Tensor, "#batch gates #height #width"]:
        """What the constant input and the bias add to the gates at every step; computed once for an image.

        Args:
            constant: the constant input. A ConvLSTM made without constant channels takes it as an addend of the first channels
                of its changing input, W * (x_t + s) = W * x_t + W * s, or None.
        """
        if self.constant is not None:
            assert constant is not None
            return self.constant(constant)
        assert self.bias is not None
        if constant is None:
            return self.bias[None]
        weight = self.changing.weight[:, : constant.shape[1]]
        return F.conv2d(constant, weight, padding=self.changing.padding) + self.bias  # pyright: ignore[reportArgumentType]

    def initial_state(self, batch: int, height: int, width: int, like: Tensor) -> ConvLSTMState:
        """Zeros, of the dtype and on the device of `like`."""
        zeros = like.new_zeros(batch, self.hidden_channels, height, width)
        return ConvLSTMState(zeros, zeros, blank=True)

    def forward(
        self,
        changing: Float[Tensor, "batch changing height width"] | None,
        constant_gates: Float[Tensor, "#batch gates #height #width"],
        state: ConvLSTMState,
    ) -> ConvLSTMState:
        """The state after one step."""
        if changing is not None and state.blank:
            weight = self.changing.weight[:, : changing.shape[1]]
            gates = F.conv2d(changing, weight, padding=self.changing.padding)  # pyright: ignore[reportArgumentType]
        else:
            inputs = state.hidden if changing is None else torch.cat((changing, state.hidden), dim=1)
            gates = self.changing(inputs)
        gates += constant_gates
        sigmoids, candidate = gates.split((3 * self.hidden_channels, self.hidden_channels), dim=1)
        input_gate, forget_gate, output_gate = sigmoids.sigmoid().chunk(3, dim=1)
        cell = torch.addcmul(forget_gate * state.cell, input_gate, candidate.tanh())
        return ConvLSTMState(output_gate * cell.tanh(), cell)
