"""Every model by its name: one literal dict, in which nothing registers itself; what a model must do is in `interface.py`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from seriatim.core.config import Config
from seriatim.core.errors import ConfigError, did_you_mean
from seriatim.models import detector, din, din_training, r2ios, r2ios_objective, ris, rsis
from seriatim.models.interface import Model, ModelConfig


@dataclass(frozen=True, slots=True)
class Entry:
    """What the other rooms need to make a model.

    Attributes:
        network: makes it from its settings.
        config: class of its settings.
        objective_config: class of the weights of its loss.
    """

    network: Callable[[Any], Model[Any]]
    config: type[ModelConfig]
    objective_config: type[Config]


CATALOGUE: dict[str, Entry] = {
    "detector": Entry(detector.Detector, detector.DetectorConfig, detector.DetectorObjectiveConfig),
    "din": Entry(din.DIN, din.DINConfig, din_training.DINObjectiveConfig),
    "r2ios": Entry(r2ios.R2IOS, r2ios.R2IOSConfig, r2ios_objective.R2IOSObjectiveConfig),
    "ris": Entry(ris.RIS, ris.RISConfig, ris.RISObjectiveConfig),
    "rsis": Entry(rsis.RSIS, rsis.RSISConfig, rsis.RSISObjectiveConfig),
}
"""Name of a model -> what makes it; `seriatim.models.names()` lists the same names but for "detector".

A detector is trained, stored and used like any model, but it gives boxes, not masks: it is a part of a system, not one of the systems.
"""


def entry(name: str) -> Entry:
    """The entry of a model.

    Raises:
        ConfigError: if no model has this name.
    """
    if name not in CATALOGUE:
        raise ConfigError(f"model.name: no model is called {name!r}{did_you_mean(name, CATALOGUE)}")
    return CATALOGUE[name]


def build(name: str, config: Mapping[str, Any], seed: int | None = None, encoder_weights: bool = True) -> Model[Any]:
    """A network with random weights; its encoder has pretrained ones where the settings name them.

    Args:
        name: of the model.
        config: settings of the network, as TOML or JSON give them.
        seed: of the weights; None takes torch's global generator.
        encoder_weights: False leaves the encoder's weights and other files to begin with out, since others will be loaded over them.

    Raises:
        ConfigError: for an unknown model or settings that cannot be used.
        CheckpointError: if the encoder's weights are not available.
    """
    found = entry(name)
    values = dict(config)
    if not encoder_weights:
        for name_of_file in ("encoder_weights", "shape_templates"):
            values.pop(name_of_file, None)
    settings = found.config.parse(values, "model.config")
    if seed is None:
        return found.network(settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return found.network(settings)
