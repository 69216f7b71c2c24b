"""A run that is ready to train: the processes, the images, the network and its optimizer, new or from the newest checkpoint."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from seriatim.core.batch import Batch
from seriatim.core.errors import ConfigError
from seriatim.core.platform import avoid_matrix_tiles
from seriatim.data.batches import Crops, batches
from seriatim.inference.model_folder import load_weights
from seriatim.inference.zoo import find_model_folder
from seriatim.models import catalogue
from seriatim.models.interface import Model
from seriatim.training.checkpoint import RunState, checkpoints, load_newest
from seriatim.training.recipe import Recipe, RuntimeConfig
from seriatim.training.run_folder import RunFolder
from seriatim.training.splits import Splits, check_classes, open_splits, training_masks
from seriatim.training.stages import StageSettings, begin_stage, make_optimizer, resolve_stages


@dataclass(frozen=True)
class Run:
    """What does not change during a run, but for the weights.

    Attributes:
        recipe: of the run.
        stages: of the recipe, resolved.
        splits: the images that can be used.
        network: on the device.
        optimizer: over the groups of the network's parameters.
        folder: where results are written.
        fabric: the processes.
    """

    recipe: Recipe
    stages: Sequence[StageSettings]
    splits: Splits
    network: Model[Any]
    optimizer: torch.optim.Optimizer
    folder: RunFolder
    fabric: Fabric

    def batches(self, state: RunState) -> Iterator[Batch]:
        """This process's share of the batches that the current stage still needs."""
        stage = self.stages[state.stage]
        crops = Crops(self.splits.training, self.recipe.preparation, stage.augmentation, self.recipe.seed)
        num_batches = stage.iterations - state.stage_iteration
        share = range(self.fabric.global_rank, stage.batch_size, self.fabric.world_size)
        return batches(crops, stage.batch_size, state.crops_drawn, num_batches, share, self.recipe.runtime.num_workers)

    def generator(self, iteration: int) -> torch.Generator:
        """This process's source of randomness for an iteration, counted from 0."""
        return torch.Generator().manual_seed(self.recipe.seed * 1_000_003 + iteration * 64 + self.fabric.global_rank)

    @property
    def watches_true_boxes(self) -> bool:
        """Whether nobody gives validation images boxes, so that a model that takes boxes is scored with those of the true objects."""
        gives = self.recipe.data.boxes_of_validation or self.recipe.inference.detector
        return self.network.takes_boxes and gives is None

    def log(self, state: RunState, record: Mapping[str, float | str]) -> None:
        """Append a line to the log, from the main process only."""
        if self.fabric.is_global_zero:
            counters = {"iteration": state.iteration, "num_objects": state.num_objects}
            state.log_bytes = self.folder.log({**counters, **record})


def prepare(recipe: Recipe, path: Path, resume: bool, device: str) -> tuple[Run, RunState]:
    """Check the recipe, open the images, and make or restore the network; nothing is written before all settings are known to fit.

    Args:
        recipe: see `Recipe`.
        path: of the run folder; made, unless `resume`.
        resume: restore the newest checkpoint, if there is one.
        device: auto, cpu or cuda.

    Raises:
        ConfigError: for settings that cannot be used.
        DataError: for data that cannot be used.
        CheckpointError: if no checkpoint is intact, or weights to begin with cannot be used.
    """
    folder = RunFolder(path)
    stages = resolve_stages(recipe)
    if resume:  # before the data are opened: a wrong folder or recipe is the better reason to name
        folder.check_resumable(recipe)
    fabric = launch(stages, recipe.runtime, device)
    splits = open_splits(recipe.data)
    check_classes(
        splits, catalogue.entry(recipe.model.name).config.parse(recipe.model.config, "model.config").num_classes
    )
    is_restored = resume and bool(checkpoints(folder.checkpoints))
    network = catalogue.build(recipe.model.name, recipe.model.config, seed=recipe.seed, encoder_weights=not is_restored)
    if recipe.data.boxes is not None and not network.takes_boxes:
        raise ConfigError(
            f"data.boxes: the model {recipe.model.name} takes no boxes; take the setting out with --set data.boxes="
        )
    if recipe.data.boxes is not None and recipe.data.validation is not None and recipe.data.validation_boxes is None:
        raise ConfigError(
            "data.validation_boxes: needed, since the validation images are their own and data.boxes has none for them"
        )
    if recipe.model.weights is not None and not is_restored:
        load_weights(network, find_model_folder(recipe.model.weights))
    optimizer = make_optimizer(network.to(fabric.device), recipe)
    if fabric.is_global_zero and resume:
        folder.remove_temporary_files()
    elif fabric.is_global_zero:
        folder.create(recipe)
    try:
        return _begin(Run(recipe, stages, splits, network, optimizer, folder, fabric))
    except BaseException:
        if fabric.is_global_zero and not resume:
            folder.discard()
        raise


def _begin(run: Run) -> tuple[Run, RunState]:
    """The run with the images that can be used, and where it stands: its newest checkpoint, or its start."""
    folder, recipe, network = run.folder, run.recipe, run.network
    if run.fabric.is_global_zero:
        folder.usable_images(run.splits)
    run.fabric.barrier()
    run = replace(run, splits=folder.usable_images(run.splits))
    state = load_newest(folder.checkpoints, network, run.optimizer)
    if state is None:
        if network.num_masks and recipe.model.weights is None:
            network.begin_with_masks(training_masks(run.splits, network.num_masks, recipe.seed), recipe.seed)
        state = RunState()
        begin_stage(state, run.stages[0])
    if run.fabric.is_global_zero:
        folder.truncate_log(state.log_bytes)
    return run, state


def is_main_process() -> bool:
    """Whether this process is the one that writes, before the processes know one another."""
    return int(os.environ.get("RANK", 0)) == 0


def launch(stages: Sequence[StageSettings], runtime: RuntimeConfig, device: str) -> Fabric:
    """The processes that train: those that torchrun started, or else this one alone.

    Args:
        stages: with their sizes of batch.
        runtime: threads and precision.
        device: auto, cpu or cuda.

    Raises:
        ConfigError: if the processes cannot share a batch evenly.
    """
    avoid_matrix_tiles()
    if runtime.threads:
        torch.set_num_threads(runtime.threads)
    num_processes = int(os.environ.get("WORLD_SIZE", 1))
    for stage in stages:
        if stage.batch_size % num_processes:
            raise ConfigError(
                f"runtime.batch_size: {stage.batch_size} crops cannot be shared evenly by {num_processes} processes"
            )
    per_machine = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    fabric = Fabric(
        accelerator=device,
        devices=per_machine,
        num_nodes=num_processes // per_machine,
        # a term of weight 0 leaves its head without a gradient
        strategy=DDPStrategy(find_unused_parameters=True) if num_processes > 1 else "auto",
        precision=runtime.precision,
    )
    fabric.launch()
    return fabric
