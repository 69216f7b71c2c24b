"""Stages and curriculum: which loss is trained, over how many objects, at which learning rates, and when that changes.

RSIS Sec. 4.2: the mask loss first, then the class loss, then the stop loss; two objects first, and one more whenever the validation loss reaches
a plateau. RIS Sec. 4.1 and 4.2: the learning rate is multiplied by 0.1 at a plateau; first only the last layer and what follows it is trained,
then the whole network.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from seriatim.core.config import Config
from seriatim.core.errors import ConfigError, did_you_mean
from seriatim.data.augment import AugmentationConfig
from seriatim.models import catalogue
from seriatim.models.interface import Model
from seriatim.training.checkpoint import RunState
from seriatim.training.recipe import CurriculumConfig, OptimizerConfig, Recipe


@dataclass(frozen=True, slots=True)
class StageSettings:
    """Everything that holds during a stage: its own settings, and the recipe's where it has none.

    Attributes:
        name: for the log.
        iterations: maximum number of optimizer updates.
        patience: validations without a better loss that end the stage; None for no limit.
        weights: of the terms of the loss.
        curriculum: how the number of objects grows; None trains on all.
        learning_rate: of each group of parameters without a rate of its own.
        group_learning_rates: by name of the group.
        augmentation: of the crops.
        batch_size: crops in a batch, over all processes.
    """

    name: str
    iterations: int
    patience: int | None
    weights: Config
    curriculum: CurriculumConfig | None
    learning_rate: float
    group_learning_rates: Mapping[str, float]
    augmentation: AugmentationConfig
    batch_size: int

    def rate(self, group: str) -> float:
        """Largest learning rate of a group of parameters; 0 freezes the group."""
        return self.group_learning_rates.get(group, self.learning_rate)

    def num_objects(self, state: RunState) -> int | None:
        """The curriculum's number of objects; None trains on all."""
        return None if self.curriculum is None else state.num_objects

    def is_over(self, state: RunState) -> bool:
        """Whether all iterations are done, or the loss has not improved for the stage's patience."""
        is_stale = self.patience is not None and self.curriculum is None and state.stale_validations >= self.patience
        return is_stale or state.stage_iteration >= self.iterations


def resolve_stages(recipe: Recipe) -> list[StageSettings]:
    """The settings of every stage of a recipe.

    Raises:
        ConfigError: if the model's loss has no such term.
    """
    objective_config = catalogue.entry(recipe.model.name).objective_config
    augmentation, optimizer = recipe.augmentation, recipe.optimizer
    return [
        StageSettings(
            name=stage.name,
            iterations=stage.iterations,
            patience=stage.patience,
            weights=objective_config.parse(stage.weights, f"stages.{stage.name}.weights"),
            curriculum=stage.curriculum,
            learning_rate=stage.learning_rate or optimizer.learning_rate,
            group_learning_rates=optimizer.group_learning_rates | stage.group_learning_rates,
            augmentation=augmentation.model_copy(update={"crop_size": stage.crop_size or augmentation.crop_size}),
            batch_size=stage.batch_size or recipe.runtime.batch_size,
        )
        for stage in recipe.stages
    ]


def begin_stage(state: RunState, stage: StageSettings) -> None:
    """Set the counters of a stage that starts now; its best model is chosen anew, since the stage before trained other terms of the loss."""
    state.stage_iteration = 0
    state.best_loss = math.inf
    state.best_score = -math.inf
    state.stale_validations = 0
    state.rate_factor = 1.0
    if stage.curriculum is not None:
        state.num_objects = max(state.num_objects, stage.curriculum.start)


def count_validation(state: RunState, stage: StageSettings, optimizer: OptimizerConfig, loss: float) -> None:
    """Count a validation; at a plateau, ask for one more object at the full learning rate, or lower the rate.

    Args:
        state: counters to update.
        stage: the current one.
        optimizer: holds the schedule.
        loss: on the validation crops.
    """
    if loss < state.best_loss:
        state.best_loss, state.stale_validations = loss, 0
        return
    state.stale_validations += 1
    if stage.curriculum is not None and state.stale_validations >= stage.curriculum.patience:
        state.num_objects += 1
        state.best_loss, state.stale_validations, state.rate_factor = math.inf, 0, 1.0
    elif optimizer.schedule == "plateau" and state.stale_validations % optimizer.plateau_patience == 0:
        state.rate_factor = max(state.rate_factor * optimizer.plateau_factor, optimizer.plateau_floor)


def rate_factor(iteration: int, recipe: Recipe) -> float:
    """Factor of all learning rates at an iteration (counted from 0), plateaus aside."""
    optimizer = recipe.optimizer
    rise = min(1.0, (iteration + 1) / optimizer.warmup) if optimizer.warmup else 1.0
    if optimizer.schedule != "cosine":
        return rise
    done = min(iteration / recipe.num_iterations, 1.0)
    return rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def make_optimizer(network: Model[Any], recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimizer over the model's groups of parameters, in the model's order and with their names.

    Raises:
        ConfigError: if the recipe names a group that the model does not have.
    """
    groups = network.parameter_groups()
    named = [("optimizer", recipe.optimizer), *((f"stages.{stage.name}", stage) for stage in recipe.stages)]
    for where, settings in named:
        for name in settings.group_learning_rates:
            if name not in groups:
                raise ConfigError(
                    f"{where}.group_learning_rates: no group is called {name!r}{did_you_mean(name, groups)}"
                )
    settings = recipe.optimizer
    parts = [{"params": list(parameters), "name": name} for name, parameters in groups.items()]
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.name == "sgd":
        return torch.optim.SGD(parts, lr=rate, momentum=settings.momentum, weight_decay=decay)
    make = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return make(parts, lr=rate, weight_decay=decay)


def set_training(network: Model[Any], stage: StageSettings) -> None:
    """Put the network into training mode, but for the groups that the stage freezes: no gradients, normalisation layers in evaluation mode."""
    network.train()
    for name, parameters in network.parameter_groups().items():
        for parameter in parameters:
            parameter.requires_grad_(stage.rate(name) > 0)
    for module in network.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def set_learning_rates(optimizer: torch.optim.Optimizer, stage: StageSettings, factor: float) -> None:
    """Set the rate of each group to `factor` times its largest rate in the stage."""
    for group in optimizer.param_groups:
        group["lr"] = stage.rate(group["name"]) * factor
