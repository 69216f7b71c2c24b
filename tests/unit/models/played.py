"""A sequential model whose steps are given, to test what is made of them."""

from typing import NamedTuple

import torch
from torch import nn


class PlayedMemory(NamedTuple):
    size: tuple[int, int]
    guidance: None = None


def player(model_class, config, outputs, size):
    """A network of the class that emits `outputs`, of one image, whatever it is shown."""

    class Player(model_class):
        def __init__(self):
            nn.Module.__init__(self)
            self.config = config.model_copy(update={"max_steps": len(outputs)})
            self.place = nn.Parameter(torch.zeros(1))

        def encode(self, images):
            return PlayedMemory(size)

        def initial_state(self, memory, batch):
            return 0

        def step(self, memory, state, cell=None):
            return outputs[state], state + 1

    return Player()


def played(model_class, config, outputs, size):
    """The objects of such a network."""
    return [found.instance for found in player(model_class, config, outputs, size).detect(torch.zeros(1, 3, *size))]
