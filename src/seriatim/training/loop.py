"""The training loop, to be read from top to bottom.

Every iteration: batch, losses, total, check finite, backward, clip, step, log, validate, save. A run that is stopped at any point, also within an
epoch, resumes with the same bits on the CPU: crop n and iteration i have random generators of their own, and the rest is in the checkpoint.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seriatim.core.batch import Batch
from seriatim.core.errors import StoppedBySignal, TrainingDivergedError
from seriatim.core.locks import locked
from seriatim.core.platform import denormals_as_zero
from seriatim.core.signals import ending_signals
from seriatim.models.interface import Model, TrainingContext
from seriatim.training.checkpoint import RunState, check_finite, checkpoints, save_checkpoint, what_is_kept
from seriatim.training.recipe import Recipe
from seriatim.training.run import Run, is_main_process, prepare
from seriatim.training.run_folder import RunFolder
from seriatim.training.stages import begin_stage, rate_factor, set_learning_rates, set_training
from seriatim.training.validation import validate

Watcher = Callable[[RunState, dict[str, float]], None]
"""Called after every iteration with the state and the iteration's losses."""


class TrainingStep(nn.Module):
    """A network's loss as a `forward`, which several processes need to share the gradient."""

    def __init__(self, network: Model[Any]) -> None:
        """
        Args:
            network: to be trained.
        """
        super().__init__()
        self.network = network

    def forward(
        self, batch: Batch, weights: Any, num_objects: int | None, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """The weighted terms of the loss, and what the network notes beside them; see `models.interface.Model.losses`."""
        context = TrainingContext(generator, num_objects)
        return self.network.losses(batch, weights, context), context.notes


@denormals_as_zero()
def train(
    recipe: Recipe, path: Path, resume: bool = False, watch: Watcher | None = None, device: str = "auto"
) -> RunFolder:
    """Carry out a recipe in a run folder.

    Args:
        recipe: see `Recipe`.
        path: of the run folder; made, unless `resume`.
        resume: continue from the newest checkpoint (or from the start if there is none yet).
        watch: called after every iteration.
        device: auto, cpu or cuda.

    Raises:
        ConfigError: for settings that cannot be used, or if another training uses the folder.
        DataError: for data that cannot be used.
        TrainingDivergedError: if the loss or a weight is not finite; the checkpoint before is kept.
        StoppedBySignal: after SIGTERM, SIGHUP or SIGINT, once the checkpoint is written.
    """
    with locked(path, "a training") if is_main_process() else nullcontext():
        run, state = prepare(recipe, path, resume, device)
        _train(run, state, watch)
    return run.folder


def _train(run: Run, state: RunState, watch: Watcher | None) -> None:
    """Train from `state` to the end of the last stage."""
    recipe, fabric = run.recipe, run.fabric
    step, optimizer = fabric.setup(TrainingStep(run.network), run.optimizer)

    if fabric.is_global_zero and not checkpoints(run.folder.checkpoints):
        save_checkpoint(run.folder.checkpoints, run.network, run.optimizer, state)
    with _stop_signals() as received:
        while state.stage < len(run.stages):
            stage = run.stages[state.stage]
            set_training(run.network, stage)
            for batch in run.batches(state):
                set_learning_rates(run.optimizer, stage, rate_factor(state.iteration, recipe) * state.rate_factor)

                generator = run.generator(state.iteration)
                terms, notes = step(fabric.to_device(batch), stage.weights, stage.num_objects(state), generator)
                total = torch.stack(list(terms.values())).sum()
                if not bool(total.isfinite()):
                    raise TrainingDivergedError(_divergence(run.folder, state, terms, batch))
                fabric.backward(total)
                if recipe.optimizer.clip_norm is not None:
                    fabric.clip_gradients(step, optimizer, max_norm=recipe.optimizer.clip_norm)
                if recipe.optimizer.clip_value is not None:
                    fabric.clip_gradients(step, optimizer, clip_val=recipe.optimizer.clip_value)
                optimizer.step()
                optimizer.zero_grad()

                state.iteration += 1
                state.stage_iteration += 1
                state.crops_drawn += stage.batch_size
                losses = {"total": float(total.detach())} | {name: float(term.detach()) for name, term in terms.items()}
                run.log(state, {"stage": stage.name, **losses, **notes})
                if state.iteration % recipe.validation.every == 0 or state.stage_iteration == stage.iterations:
                    check_finite(run.network.state_dict(), run.folder.checkpoints, state)
                    state = validate(run, stage, state)
                is_over = stage.is_over(state)
                if is_over:
                    state.stage += 1
                    if state.stage < len(run.stages):
                        begin_stage(state, run.stages[state.stage])
                stop = fabric.broadcast(received[0] if received else 0)
                if is_over or stop or state.iteration % recipe.runtime.save_every == 0:
                    if fabric.is_global_zero:
                        save_checkpoint(run.folder.checkpoints, run.network, run.optimizer, state)
                    fabric.barrier()
                if watch is not None and fabric.is_global_zero:
                    watch(state, losses)
                if stop:
                    raise StoppedBySignal(stop)
                if is_over:
                    break


def _divergence(folder: RunFolder, state: RunState, terms: Mapping[str, Tensor], batch: Batch) -> str:
    broken = ", ".join(f"{name} {float(term.detach())}" for name, term in terms.items() if not bool(term.isfinite()))
    return (
        f"iteration {state.iteration}: the loss is not finite ({broken}); images: {', '.join(batch.names)}; "
        f"{what_is_kept(folder.checkpoints)}"
    )


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collects the signals that ask to stop, in a list; afterwards the previous handlers are restored."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {
        number: signal.signal(number, lambda number, _: received.append(number))
        for number in (*ending_signals(), signal.SIGINT)
    }
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
