"""Every model by its name: one literal dict, in which nothing registers itself.

A sequential model gives its network `encode`, `initial_state` and `step`, gives `Memory` and `State` a method `select(images)`, and a step's
output `mask_probs`; the predictor needs no more than these and `decode_step`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seriatim.core.config import Config
from seriatim.core.errors import ConfigError, did_you_mean
from seriatim.core.instances import Instance, Instances
from seriatim.models import ris, rsis


@dataclass(frozen=True, slots=True)
class Entry:
    """What the other rooms need of a model.

    Attributes:
        config: class of the network's settings.
        network: makes the network from its settings.
        objective_config: class of the weights of the loss.
        training_terms: terms of the loss from network, images, labels, classes, weights, number of objects and source of chance.
        decode: instances of every image of a batch from the output of a whole sequence and the settings.
        decode_step: what one step says of one image, and whether its sequence ends, from output, image, step and settings.
    """

    config: type[Config]
    network: Callable[[Any], nn.Module]
    objective_config: type[Config]
    training_terms: Callable[..., dict[str, Tensor]]
    decode: Callable[[Any, Any], list[Instances]]
    decode_step: Callable[[Any, int, int, Any], tuple[Instance | None, bool]]


CATALOGUE: dict[str, Entry] = {
    "ris": Entry(
        config=ris.RISConfig,
        network=ris.RIS,
        objective_config=ris.RISObjectiveConfig,
        training_terms=ris.training_terms,
        decode=ris.decode,
        decode_step=ris.decode_step,
    ),
    "rsis": Entry(
        config=rsis.RSISConfig,
        network=rsis.RSIS,
        objective_config=rsis.RSISObjectiveConfig,
        training_terms=rsis.training_terms,
        decode=rsis.decode,
        decode_step=rsis.decode_step,
    ),
}
"""Name of a model -> what the other rooms need of it; `seriatim.models.names()` lists the same names."""


def entry(name: str) -> Entry:
    """The entry of a model.

    Raises:
        ConfigError: if no model has this name.
    """
    if name not in CATALOGUE:
        raise ConfigError(f"model.name: no model is called {name!r}{did_you_mean(name, CATALOGUE)}")
    return CATALOGUE[name]


def build(name: str, config: Mapping[str, Any], seed: int | None = None, encoder_weights: bool = True) -> nn.Module:
    """A network with weights drawn by chance, and those of its encoder where the settings name them.

    Args:
        name: of the model.
        config: settings of the network, as TOML or JSON give them.
        seed: of the weights; None takes torch's own source of chance.
        encoder_weights: False leaves the encoder's weights out, since others will be loaded over them.

    Raises:
        ConfigError: for an unknown model or settings that cannot be used.
        CheckpointError: if the encoder's weights cannot be had.
    """
    found = entry(name)
    values = dict(config)
    if not encoder_weights:
        values.pop("encoder_weights", None)
    settings = found.config.parse(values, "model.config")
    if seed is None:
        return found.network(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return found.network(settings)
