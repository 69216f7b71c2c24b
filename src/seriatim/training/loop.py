"""The training loop, to be read from top to bottom.

Every iteration: batch, forward, terms, total, check, backward, clip, step, log, validate, save. A run stopped at any point, mid-epoch too,
goes on bit for bit on the CPU, because crop n and iteration i draw from generators of their own and the rest is in the checkpoint.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn

from seriatim.core.batch import Batch
from seriatim.core.config import Config
from seriatim.core.errors import ConfigError, StoppedBySignal, TrainingDivergedError
from seriatim.core.platform import avoid_matrix_tiles, denormals_as_zero
from seriatim.data.batches import Crops, batches
from seriatim.inference.model_folder import ModelDescription, ModelSettings, load_weights, write_model_folder
from seriatim.inference.predictor import Predictor
from seriatim.inference.zoo import find_model_folder
from seriatim.models import catalogue
from seriatim.models.interface import Model, TrainingContext
from seriatim.training.checkpoint import RunState, checkpoints, load_newest, save_checkpoint
from seriatim.training.recipe import Recipe, StageConfig
from seriatim.training.run_folder import RunFolder
from seriatim.training.splits import Splits, check_classes, open_splits
from seriatim.training.stages import (
    after_validation,
    begin_stage,
    check_watched,
    learning_rate_factor,
    lower_rate_on_plateau,
    make_optimizer,
    objects_asked_for,
    rates_of,
    set_learning_rates,
    set_peaks,
    set_training,
    stage_is_over,
)
from seriatim.training.validation import score_images, validation_loss, write_samples

logger = logging.getLogger(__name__)

Watcher = Callable[[RunState, dict[str, float]], None]
"""Called after every iteration with the state and the iteration's losses."""


class TrainingStep(nn.Module):
    """A network and its loss as one module, so that several processes can share the gradient."""

    def __init__(self, network: Model[Any]) -> None:
        """
        Args:
            network: to be trained.
        """
        super().__init__()
        self.network = network

    def forward(
        self, batch: Batch, weights: Config, num_objects: int | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The weighted terms of the loss."""
        return self.network.losses(batch, weights, TrainingContext(generator, num_objects))


@denormals_as_zero()
def train(
    recipe: Recipe, run: Path, resume: bool = False, watch: Watcher | None = None, device: str = "auto"
) -> RunFolder:
    """Carry out a recipe in a run folder.

    Args:
        recipe: see `Recipe`.
        run: folder of the run; made, unless `resume`.
        resume: go on from the newest checkpoint (or from the start if there is none yet).
        watch: called after every iteration.
        device: auto, cpu or cuda.

    Raises:
        ConfigError: for settings that cannot be used.
        DataError: for data that cannot be used.
        TrainingDivergedError: if the loss is no longer a number.
        StoppedBySignal: after SIGTERM or SIGINT, once the checkpoint is written.
    """
    folder = RunFolder(run)
    if recipe.runtime.threads:
        torch.set_num_threads(recipe.runtime.threads)
    fabric = launch(recipe, device)
    entry = catalogue.entry(recipe.model.name)
    stage_weights = [
        entry.objective_config.parse(stage.weights, f"stages.{stage.name}.weights") for stage in recipe.stages
    ]
    splits = open_splits(recipe.data)
    check_watched(recipe, len(splits.validation))
    check_classes(splits, getattr(entry.config.parse(recipe.model.config, "model.config"), "num_classes", None))
    goes_on = resume and bool(checkpoints(folder.checkpoints))
    network = catalogue.build(recipe.model.name, recipe.model.config, seed=recipe.seed, encoder_weights=not goes_on)
    if recipe.model.weights is not None and not goes_on:
        load_weights(network, find_model_folder(recipe.model.weights))
    if fabric.global_rank == 0:
        if resume:
            folder.check_resumable(recipe)
            folder.remove_temporary_files()
        else:
            folder.create(recipe)
        folder.usable_images(splits)
    fabric.barrier()
    splits = folder.usable_images(splits)

    network = network.to(fabric.device)
    optimizer = make_optimizer(network, recipe.optimizer)
    state = load_newest(folder.checkpoints, network, optimizer) or RunState()
    if fabric.global_rank == 0:
        folder.truncate_log(state.log_bytes)
    if state.iteration == 0:
        begin_stage(state, recipe.stages[0])
    step, sharded_optimizer = fabric.setup(TrainingStep(network), optimizer)

    with _stop_signals() as asked_to_stop:
        while state.stage < len(recipe.stages):
            stage, weights = recipe.stages[state.stage], stage_weights[state.stage]
            rates = rates_of(recipe.optimizer, stage)
            set_peaks(optimizer, rates)
            set_training(network, rates)
            for batch in _stage_batches(recipe, stage, splits, state, fabric):
                set_learning_rates(optimizer, learning_rate_factor(state.iteration, recipe) * state.rate_factor)
                generator = torch.Generator().manual_seed(
                    recipe.seed * 1_000_003 + state.iteration * 64 + fabric.global_rank
                )

                terms = step(fabric.to_device(batch), weights, objects_asked_for(state, stage), generator)
                total = torch.stack(list(terms.values())).sum()
                if not bool(total.isfinite()):
                    raise TrainingDivergedError(_divergence(state, terms, batch))
                fabric.backward(total)
                if recipe.optimizer.clip_norm is not None:
                    fabric.clip_gradients(step, sharded_optimizer, max_norm=recipe.optimizer.clip_norm)
                if recipe.optimizer.clip_value is not None:
                    fabric.clip_gradients(step, sharded_optimizer, clip_val=recipe.optimizer.clip_value)
                sharded_optimizer.step()
                sharded_optimizer.zero_grad()

                state.iteration += 1
                state.stage_iteration += 1
                state.crops_drawn += stage.batch_size or recipe.runtime.batch_size
                losses = {"total": float(total.detach())} | {name: float(term.detach()) for name, term in terms.items()}
                _log(folder, fabric, state, {"stage": stage.name, **losses})
                if state.iteration % recipe.validation.every == 0 or state.iteration == recipe.num_iterations:
                    _validate(recipe, stage, weights, splits, network, entry, folder, state, fabric)
                    set_training(network, rates)
                over = stage_is_over(state, stage)
                if over:
                    state.stage += 1
                    if state.stage < len(recipe.stages):
                        begin_stage(state, recipe.stages[state.stage])
                stopping = fabric.broadcast(asked_to_stop[0] if asked_to_stop else 0)
                if over or stopping or state.iteration % recipe.runtime.save_every == 0:
                    if fabric.global_rank == 0:
                        save_checkpoint(folder.checkpoints, network, optimizer, state)
                    fabric.barrier()
                if watch is not None and fabric.global_rank == 0:
                    watch(state, losses)
                if stopping:
                    raise StoppedBySignal(stopping)
                if over:
                    break
    return folder


def launch(recipe: Recipe, device: str) -> Fabric:
    """The processes that train: those that torchrun started, or else this one alone.

    Raises:
        ConfigError: if the processes cannot share a batch evenly.
    """
    avoid_matrix_tiles()
    num_processes = int(os.environ.get("WORLD_SIZE", 1))
    for stage in recipe.stages:
        size = stage.batch_size or recipe.runtime.batch_size
        if size % num_processes:
            raise ConfigError(f"runtime.batch_size: {size} crops cannot be shared evenly by {num_processes} processes")
    if num_processes == 1:
        fabric = Fabric(accelerator=device, devices=1, precision=recipe.runtime.precision)
    else:
        per_machine = int(os.environ["LOCAL_WORLD_SIZE"])
        fabric = Fabric(
            accelerator=device,
            devices=per_machine,
            num_nodes=num_processes // per_machine,
            strategy=DDPStrategy(find_unused_parameters=True),  # a term of weight 0 leaves its head without a gradient
            precision=recipe.runtime.precision,
        )
    fabric.launch()
    return fabric


def describe_model(recipe: Recipe, class_names: tuple[str, ...]) -> ModelDescription:
    """What goes beside the weights into the model folder; the origin of the encoder's weights is of no use there."""
    config = {key: value for key, value in recipe.model.config.items() if key != "encoder_weights"}
    return ModelDescription(
        model=ModelSettings(name=recipe.model.name, config=config),
        preparation=recipe.preparation,
        inference=recipe.inference,
        class_names=class_names,
    )


def _stage_batches(
    recipe: Recipe, stage: StageConfig, splits: Splits, state: RunState, fabric: Fabric
) -> Iterator[Batch]:
    augmentation = recipe.augmentation
    if stage.crop_size is not None:
        augmentation = augmentation.model_copy(update={"crop_size": stage.crop_size})
    crops = Crops(splits.training, recipe.preparation, augmentation, recipe.seed)
    size = stage.batch_size or recipe.runtime.batch_size
    count = stage.iterations - state.stage_iteration
    share = range(fabric.global_rank, size, fabric.world_size)
    yield from batches(crops, size, state.crops_drawn, count, share, recipe.runtime.num_workers)


def _validate(
    recipe: Recipe,
    stage: StageConfig,
    weights: Config,
    splits: Splits,
    network: Model[Any],
    entry: catalogue.Entry,
    folder: RunFolder,
    state: RunState,
    fabric: Fabric,
) -> None:
    """The validation loss, the score of whole images, the best model, and the sample images."""
    augmentation = (
        recipe.augmentation
        if stage.crop_size is None
        else recipe.augmentation.model_copy(update={"crop_size": stage.crop_size})
    )
    record: dict[str, float | str] = {"stage": stage.name}
    if fabric.global_rank == 0 and len(splits.validation):
        crops = Crops(splits.validation, recipe.preparation, augmentation, recipe.seed)
        size = stage.batch_size or recipe.runtime.batch_size
        loss = validation_loss(
            network, crops, size, recipe.validation.num_batches, weights, objects_asked_for(state, stage), fabric
        )
        after_validation(state, stage, loss)
        lower_rate_on_plateau(state, recipe.optimizer)
        description = describe_model(recipe, splits.training.class_names)
        predictor = Predictor(network, description)
        score, numbers = -loss, {}
        if recipe.validation.num_images:
            score, numbers = score_images(
                predictor, splits.validation, recipe.validation.protocol, recipe.validation.num_images
            )
        record |= {"validation_loss": loss, "score": score, **numbers}
        if score > state.best_score:
            state.best_score = score
            write_model_folder(folder.model, network, description, half=recipe.runtime.half_weights)
        write_samples(folder.samples / f"{state.iteration:08d}.png", predictor, splits.validation)
    for name in ("num_objects", "best_loss", "stale_validations", "best_score", "rate_factor"):
        setattr(state, name, fabric.broadcast(getattr(state, name)))
    if len(record) > 1:
        _log(folder, fabric, state, record)


def _log(folder: RunFolder, fabric: Fabric, state: RunState, record: dict[str, float | str]) -> None:
    if fabric.global_rank == 0:
        state.log_bytes = folder.log({"iteration": state.iteration, "num_objects": state.num_objects, **record})


def _divergence(state: RunState, terms: dict[str, Tensor], batch: Batch) -> str:
    broken = ", ".join(f"{name} {float(term.detach())}" for name, term in terms.items() if not bool(term.isfinite()))
    return f"iteration {state.iteration}: the loss is no longer a number ({broken}); images: {', '.join(batch.names)}; the last checkpoint is kept"


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Signals that ask to stop, as a list that fills; the handlers before are put back."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {
        number: signal.signal(number, lambda number, _: asked.append(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
