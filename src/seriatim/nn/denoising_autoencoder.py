"""The instance-aware denoising autoencoder of R2-IOS (Sec. 3.1): every confidence map of a box is rebuilt from a few numbers about the whole of it.

    h = Phi(C~),  v = Phi'(h)        C~ has 40 x 40 x 2 numbers, h 512, v as many as C~

Phi is a fully connected layer with ReLU, Phi' one without, since its output goes into a softmax over the two maps; with ReLU it is an option. It is
called denoising for what it takes from the map: the other objects in the box; nothing is added to the input.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

INITIAL_DEVIATION = 0.001
"""Standard deviation of the first weights (Sec. 4.1); biases are 0."""


class DenoisingAutoencoder(nn.Module):
    """Two fully connected layers around a hidden representation, over both maps together."""

    def __init__(
        self, side: int, hidden: int, output_relu: bool = False, deviation: float | None = INITIAL_DEVIATION
    ) -> None:
        """
        Args:
            side: cells of a map, along and across; 40 in the paper.
            hidden: numbers of the hidden representation; 512 in the paper, 2 x side x side for two fully connected layers instead.
            output_relu: whether ReLU follows the last layer too.
            deviation: of the first weights; None for those of He et al. (ICCV 2015).
        """
        super().__init__()
        self.encoder = nn.Linear(2 * side * side, hidden)
        self.decoder = nn.Linear(hidden, 2 * side * side)
        self.output_relu = output_relu
        for layer in (self.encoder, self.decoder):
            initialise(layer, deviation)

    def forward(self, maps: Float[Tensor, "boxes 2 side side"]) -> Float[Tensor, "boxes 2 side side"]:
        """v of every box, of the shape of its input C."""
        rebuilt = self.decoder(self.encoder(maps.flatten(1)).relu())
        return (rebuilt.relu() if self.output_relu else rebuilt).view_as(maps)


def initialise(layer: nn.Linear | nn.Conv2d, deviation: float | None) -> None:
    """Draw the weights of a layer, in place, and set its bias to 0.

    Args:
        layer: with a bias.
        deviation: of a normal distribution about 0; None takes that of He et al., which keeps the size of what passes through.
    """
    if deviation is None:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    else:
        nn.init.normal_(layer.weight, std=deviation)
    with torch.no_grad():
        assert layer.bias is not None
        layer.bias.zero_()
