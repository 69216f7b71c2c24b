"""Stages and curriculum: which loss is trained now, over how many objects, at which rates, and when that changes.

RSIS Sec. 4.2: the mask loss first, then the class loss, then the stop loss; two objects at first and one more each time the validation
loss plateaus. RIS Sec. 4.1 and 4.2: the rate times 0.1 at a plateau; the last layer and all behind it first, then the whole network.
"""

import math
from typing import NamedTuple

import torch

from seriatim.core.errors import ConfigError
from seriatim.training.checkpoint import RunState
from seriatim.training.recipe import OptimizerConfig, Recipe, StageConfig


def check_watched(recipe: Recipe, num_validation: int) -> None:
    """Refuse a recipe that waits for plateaus that nobody would see.

    Args:
        recipe: of the run.
        num_validation: images to watch the training.

    Raises:
        ConfigError: naming the setting that needs validation images.
    """
    grows = [stage.name for stage in recipe.stages if stage.curriculum is not None]
    needy = "optimizer.schedule: plateau" if recipe.optimizer.schedule == "plateau" else None
    needy = f"stages.{grows[0]}.curriculum:" if grows and needy is None else needy
    if needy is not None and not num_validation:
        raise ConfigError(f"{needy} needs validation images; set data.num_validation or data.validation")


def begin_stage(state: RunState, stage: StageConfig) -> None:
    """Set the counters of a stage that starts now."""
    state.stage_iteration = 0
    state.best_loss = math.inf
    state.stale_validations = 0
    state.rate_factor = 1.0
    if stage.curriculum is not None:
        state.num_objects = max(state.num_objects, stage.curriculum.start)


def after_validation(state: RunState, stage: StageConfig, loss: float) -> None:
    """Count a validation; on a plateau of a stage with a curriculum, ask for one more object, and begin with the whole rate again."""
    if loss < state.best_loss:
        state.best_loss, state.stale_validations = loss, 0
        return
    state.stale_validations += 1
    if stage.curriculum is not None and state.stale_validations >= stage.curriculum.patience:
        state.num_objects += 1
        state.best_loss, state.stale_validations, state.rate_factor = math.inf, 0, 1.0


def lower_rate_on_plateau(state: RunState, optimizer: OptimizerConfig) -> None:
    """After a validation was counted: lower the rate if that makes a plateau and the schedule says so."""
    stale, patience = state.stale_validations, optimizer.plateau_patience
    if optimizer.schedule == "plateau" and stale and stale % patience == 0:
        state.rate_factor = max(state.rate_factor * optimizer.plateau_factor, optimizer.plateau_floor)


def objects_asked_for(state: RunState, stage: StageConfig) -> int | None:
    """The curriculum's number of objects; None in a stage without one, which trains on all."""
    return None if stage.curriculum is None else state.num_objects


def stage_is_over(state: RunState, stage: StageConfig) -> bool:
    """Whether all iterations are done or the loss has stayed stale for the stage's patience."""
    stale = stage.patience is not None and stage.curriculum is None and state.stale_validations >= stage.patience
    return stale or state.stage_iteration >= stage.iterations


def learning_rate_factor(iteration: int, recipe: Recipe) -> float:
    """What the learning rates are multiplied by at an iteration (counted from 0), plateaus apart."""
    optimizer = recipe.optimizer
    rise = min(1.0, (iteration + 1) / optimizer.warmup) if optimizer.warmup else 1.0
    if optimizer.schedule != "cosine":
        return rise
    done = min(iteration / recipe.num_iterations, 1.0)
    return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


class Rates(NamedTuple):
    """The largest learning rates of a stage."""

    others: float
    encoder: float


def rates_of(config: OptimizerConfig, stage: StageConfig | None = None) -> Rates:
    """The rates of a stage; each is the stage's own, or else the optimizer's, and the encoder without one takes that of the others."""
    others, encoder = config.learning_rate, config.encoder_learning_rate
    if stage is not None:
        others = others if stage.learning_rate is None else stage.learning_rate
        encoder = encoder if stage.encoder_learning_rate is None else stage.encoder_learning_rate
    return Rates(others, others if encoder is None else encoder)


def make_optimizer(network: torch.nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Adam over two groups: everything but the encoder, and the encoder with its own rate."""
    encoder, others = [], []
    for name, parameter in network.named_parameters():
        (encoder if name.startswith("encoder.") else others).append(parameter)
    groups = [{"params": part, "peak": peak} for part, peak in zip((others, encoder), rates_of(config), strict=True)]
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


def set_peaks(optimizer: torch.optim.Optimizer, rates: Rates) -> None:
    """Give each group of `make_optimizer` the largest rate of a stage."""
    for group, peak in zip(optimizer.param_groups, rates, strict=True):
        group["peak"] = peak


def set_training(network: torch.nn.Module, rates: Rates) -> None:
    """Put the network into training mode; an encoder whose rate is 0 is frozen: no gradients, and its batch norms as they are."""
    network.train()
    for name, part in network.named_children():
        if name == "encoder":
            part.requires_grad_(rates.encoder > 0)
            part.train(rates.encoder > 0)


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's rate to its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
