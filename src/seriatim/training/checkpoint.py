"""Checkpoints: everything that a run needs to resume with the same bits, in one safetensors file with a SHA-256.

They hold weights, the optimizer's moments and the run's counters. Randomness needs no state: crop n and iteration i have seeds of their own.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from seriatim.core.errors import CheckpointError, TrainingDivergedError
from seriatim.core.files import remove_temporary_files
from seriatim.core.tensor_files import load_tensors, save_tensors

logger = logging.getLogger(__name__)

NUM_KEPT = 2
"""Checkpoints kept; the second newest serves if the newest is damaged."""


@dataclass
class RunState:
    """The run's counters.

    Attributes:
        iteration: optimizer updates done.
        crops_drawn: crops used, which is the number of the next.
        stage: index of the stage.
        stage_iteration: updates done in the stage.
        num_objects: the curriculum's; 0 without one.
        best_loss: lowest validation loss since the start of the stage or of the last curriculum step.
        stale_validations: validations without a better loss since then.
        best_score: score of the best model of the stage on validation images (or minus its validation loss).
        log_bytes: length of metrics.jsonl.
        rate_factor: factor of the learning rates after plateaus; older checkpoints do not have it.
    """

    iteration: int = 0
    crops_drawn: int = 0
    stage: int = 0
    stage_iteration: int = 0
    num_objects: int = 0
    best_loss: float = float("inf")
    stale_validations: int = 0
    best_score: float = float("-inf")
    log_bytes: int = 0
    rate_factor: float = 1.0


def save_checkpoint(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, state: RunState) -> Path:
    """Write the checkpoint of `state.iteration` and remove all but the newest two; that of iteration 0 goes with the first other one.

    Raises:
        TrainingDivergedError: if a weight, or what the optimizer keeps of it, is not finite; nothing is written or removed then.
        FileWriteError: if it cannot be written; the older checkpoints are then intact.
    """
    tensors: dict[str, Tensor] = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    parameter_names = {id(parameter): name for name, parameter in network.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{parameter_names[id(parameter)]}"] = torch.as_tensor(value)
    check_finite(tensors, folder, state)
    path = folder / f"{state.iteration:08d}.safetensors"
    save_tensors(path, tensors, {"state": json.dumps(asdict(state))})
    begun, *others = checkpoints(folder)
    for old in [*([begun] if others and _iteration(begun) == 0 else ()), *checkpoints(folder)[:-NUM_KEPT]]:
        old.unlink(missing_ok=True)
    return path


def check_finite(tensors: Mapping[str, Tensor], folder: Path, state: RunState) -> None:
    """Refuse weights with which nothing could be done.

    Args:
        tensors: by name.
        folder: of the checkpoints, for the message.
        state: of the run.

    Raises:
        TrainingDivergedError: naming the first tensor that is not finite, and the checkpoint that is kept.
    """
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise TrainingDivergedError(
                f"iteration {state.iteration}: {name.removeprefix('network.')} is not finite after the update; {what_is_kept(folder)}; "
                "try a lower learning rate, or optimizer.clip_norm"
            )


def what_is_kept(folder: Path) -> str:
    """The tail of a message about a run that ends: which checkpoint is there."""
    found = checkpoints(folder)
    return f"the last checkpoint, of iteration {_iteration(found[-1])}, is kept" if found else "there is no checkpoint"


def _iteration(checkpoint: Path) -> int:
    return int(checkpoint.stem)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("*.safetensors") if re.fullmatch(r"\d{8}", path.stem))


def load_newest(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> RunState | None:
    """Restore network and optimizer from the newest intact checkpoint; None if there is no checkpoint.

    If the newest is damaged, a warning names it, and the one before it is used.

    Raises:
        CheckpointError: if none of the checkpoints is intact, or they are of another network.
    """
    remove_temporary_files(folder)
    found = checkpoints(folder)
    for path in reversed(found):
        try:
            tensors, metadata = load_tensors(path)
        except CheckpointError as error:
            logger.warning("%s; trying the checkpoint before it", error)
            continue
        try:
            state = RunState(**json.loads(metadata["state"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: is not a checkpoint of a run: {error}") from None
        _restore(path, tensors, network, optimizer)
        return state
    if found:
        raise CheckpointError(f"{folder}: none of {len(found)} checkpoints is intact")
    return None


def _restore(path: Path, tensors: dict[str, Tensor], network: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    weights = {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{path}: is of another network: {str(error)[:300]}") from None
    parameters = dict(network.named_parameters())
    optimizer.state.clear()
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, key, parameter = name.split(".", 2)
            owner = parameters[parameter]
            optimizer.state[owner][key] = value if key == "step" else value.to(owner.device)
