"""Stages and curriculum: which loss is trained now, over how many objects, and when that changes.

RSIS Sec. 4.2: the mask loss first, then the class loss, then the stop loss; two objects at first and one more each time the validation
loss plateaus.
"""

import math

import torch

from seriatim.training.checkpoint import RunState
from seriatim.training.recipe import OptimizerConfig, Recipe, StageConfig


def begin_stage(state: RunState, stage: StageConfig) -> None:
    """Set the counters of a stage that starts now."""
    state.stage_iteration = 0
    state.best_loss = math.inf
    state.stale_validations = 0
    if stage.curriculum is not None:
        state.num_objects = max(state.num_objects, stage.curriculum.start)


def after_validation(state: RunState, stage: StageConfig, loss: float) -> None:
    """Count a validation; on a plateau of a stage with a curriculum, ask for one more object."""
    if loss < state.best_loss:
        state.best_loss, state.stale_validations = loss, 0
        return
    state.stale_validations += 1
    if stage.curriculum is not None and state.stale_validations >= stage.curriculum.patience:
        state.num_objects += 1
        state.best_loss, state.stale_validations = math.inf, 0


def stage_is_over(state: RunState, stage: StageConfig) -> bool:
    """Whether all iterations are done or the loss has stayed stale for the stage's patience."""
    stale = stage.patience is not None and stage.curriculum is None and state.stale_validations >= stage.patience
    return stale or state.stage_iteration >= stage.iterations


def learning_rate_factor(iteration: int, recipe: Recipe) -> float:
    """What the learning rates are multiplied by at an iteration (counted from 0)."""
    optimizer = recipe.optimizer
    rise = min(1.0, (iteration + 1) / optimizer.warmup) if optimizer.warmup else 1.0
    if optimizer.schedule == "constant":
        return rise
    done = min(iteration / recipe.num_iterations, 1.0)
    return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def make_optimizer(network: torch.nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """Adam over two groups: the encoder with its own rate, and everything else."""
    encoder, others = [], []
    for name, parameter in network.named_parameters():
        (encoder if name.startswith("encoder.") else others).append(parameter)
    encoder_rate = config.learning_rate if config.encoder_learning_rate is None else config.encoder_learning_rate
    groups = [{"params": others, "peak": config.learning_rate}, {"params": encoder, "peak": encoder_rate}]
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=config.learning_rate, weight_decay=config.weight_decay)


def set_learning_rates(optimizer: torch.optim.Optimizer, factor: float) -> None:
    """Set each group's rate to its peak times `factor`."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * factor
