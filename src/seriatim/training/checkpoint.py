"""Checkpoints: everything a run needs to go on bit for bit, in one safetensors file with a SHA-256.

Weights, the optimizer's moments and the run's counters. Chance needs no state: crop number n and iteration i have seeds of their own.
"""

import json
import logging
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from seriatim.core.errors import CheckpointError
from seriatim.core.files import remove_temporary_files
from seriatim.core.tensor_files import load_tensors, save_tensors

logger = logging.getLogger(__name__)

KEPT = 2
"""Checkpoints kept; the one before the last serves if the last is found damaged."""


@dataclass
class RunState:
    """The run's counters.

    Attributes:
        iteration: optimizer updates done.
        crops_drawn: crops used, and so the number of the next.
        stage: index of the stage.
        stage_iteration: updates done in the stage.
        num_objects: the curriculum's, 0 without one.
        best_loss: lowest validation loss since the stage or the last curriculum step began.
        stale_validations: validations since then without a better loss.
        best_score: highest score of validation images (or minus the lowest loss), of the best model.
        log_bytes: length of metrics.jsonl.
        rate_factor: what plateaus have left of the learning rates; checkpoints from before there was such a schedule lack it.
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
    """Write the checkpoint of `state.iteration` and remove all but the newest two.

    Raises:
        FileWriteError: if the disk does not take it; the older checkpoints are then intact.
    """
    tensors: dict[str, Tensor] = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    parameter_names = {id(parameter): name for name, parameter in network.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{parameter_names[id(parameter)]}"] = torch.as_tensor(value)
    path = folder / f"{state.iteration:08d}.safetensors"
    save_tensors(path, tensors, {"state": json.dumps(asdict(state))})
    for old in checkpoints(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("*.safetensors") if re.fullmatch(r"\d{8}", path.stem))


def load_newest(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer) -> RunState | None:
    """Put the newest intact checkpoint into network and optimizer; None if there is none at all.

    A damaged newest one is named in a warning and the one before it taken.

    Raises:
        CheckpointError: if there are checkpoints and none is intact, or they are of another network.
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
            raise CheckpointError(f"{path}: is no checkpoint of a run: {error}") from None
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
            optimizer.state[owner][key] = value.to(owner.device) if value.ndim else value
