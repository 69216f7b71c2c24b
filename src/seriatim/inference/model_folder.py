"""A model folder: model.safetensors (with a SHA-256), config.json and card.md, everything that use of the network needs."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from seriatim.core.config import Config, apply_overrides
from seriatim.core.errors import CheckpointError, ConfigError, FileReadError
from seriatim.core.files import make_folder, read_small_file, write_atomically
from seriatim.core.tensor_files import DIGEST_KEY, load_tensors, read_metadata, save_tensors
from seriatim.data.preparation import PreparationConfig
from seriatim.inference.config import InferenceConfig
from seriatim.inference.zoo import CARD_NAME, CONFIG_NAME, WEIGHTS_NAME
from seriatim.models import catalogue
from seriatim.models.interface import Model

CHANGEABLE = ("model.config.", "preparation.", "inference.")
"""How the settings of a model begin that may be changed when it is used."""


CONFIG_KEY = "config_sha256"
"""Where the metadata of the weights, which their own SHA-256 covers, hold that of config.json; files of older versions have none."""

MAX_CONFIG_BYTES = 1_000_000
"""Length of config.json."""


class ModelSettings(Config):
    """Which network, and its settings."""

    name: str
    """A name of the catalogue."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Checked by the network's own class."""


class ModelDescription(Config):
    """What config.json holds."""

    format: Literal[1] = 1
    """Of the folder."""
    model: ModelSettings
    """The network."""
    preparation: PreparationConfig = PreparationConfig()
    """What is done to an image first."""
    inference: InferenceConfig = InferenceConfig()
    """How the network is used."""
    class_names: tuple[str, ...] = Field(default=("object",), min_length=1)
    """Of the classes, from class 1."""


def write_model_folder(
    folder: Path, network: nn.Module, description: ModelDescription, half: bool = False, card: str | None = None
) -> None:
    """Write a folder that `seriatim.load` reads.

    Args:
        folder: made if missing.
        network: its weights.
        description: the rest.
        half: store matrices and kernels as float16; biases, norms and counters keep their type.
        card: text of card.md; None keeps the one that is there, or else writes the bare facts.

    Raises:
        CheckpointError: if a weight is not finite (as float16, where asked for).
        FileWriteError: if the disk does not take it.
    """
    tensors = {name: _stored(name, tensor, half) for name, tensor in network.state_dict().items()}
    config = (json.dumps(description.model_dump(mode="json"), indent=1) + "\n").encode()
    make_folder(folder)
    metadata = {"format": "seriatim model 1", "model": description.model.name, CONFIG_KEY: _config_digest(config)}
    save_tensors(folder / WEIGHTS_NAME, tensors, metadata)
    write_atomically(folder / CONFIG_NAME, config)
    if card is None and not (folder / CARD_NAME).exists():
        card = _bare_card(description, network)
    if card is not None:
        write_atomically(folder / CARD_NAME, card.encode())


def _stored(name: str, tensor: Tensor, half: bool) -> Tensor:
    stored = tensor.half() if half and tensor.is_floating_point() and tensor.ndim >= 2 else tensor
    if not bool(torch.isfinite(stored).all()):
        raise CheckpointError(
            f"{name}: has weights that are not finite" + (" as float16" if stored is not tensor else "")
        )
    return stored


def _bare_card(description: ModelDescription, network: nn.Module) -> str:
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    return (
        f"# {description.model.name}: {', '.join(description.class_names)}\n\n"
        f"A network of {count:.1f} million parameters, written by seriatim. Use it with `seriatim segment IMAGE --model FOLDER --out RESULTS`.\n"
    )


def read_description(folder: Path) -> ModelDescription:
    """What config.json of a model folder says.

    Raises:
        CheckpointError: naming the file, if it is missing, damaged, of other weights or has keys that do not fit.
    """
    path = folder / CONFIG_NAME
    try:
        data = read_small_file(path, MAX_CONFIG_BYTES)
        values = json.loads(data)
    except FileReadError as error:
        raise CheckpointError(str(error)) from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: is no JSON file: {error}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: expected an object, got {type(values).__name__}")
    try:
        description = ModelDescription.parse(values, str(path))
    except ConfigError as error:
        raise CheckpointError(str(error)) from None
    if read_metadata(folder / WEIGHTS_NAME).get(CONFIG_KEY, _config_digest(data)) != _config_digest(data):
        raise CheckpointError(
            f"{path}: is not the file that was written with {WEIGHTS_NAME} (its SHA-256 is another); change settings with --set"
        )
    return description


def _config_digest(data: bytes) -> str:
    """SHA-256 of the content of config.json, with the line ends of any system."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()


def change_settings(description: ModelDescription, settings: Sequence[str]) -> ModelDescription:
    """The description with settings such as `inference.solid=true` or `model.config.stop_threshold=0.4` laid over it.

    Args:
        description: of the model.
        settings: KEY=VALUE as for `core.config.apply_overrides`; of `model.config`, `preparation` and `inference`.

    Raises:
        ConfigError: naming a setting that is unknown, is none of these or has a value that does not fit.
    """
    for setting in settings:
        key = setting.partition("=")[0].strip()
        if not key.startswith(CHANGEABLE):
            raise ConfigError(
                f"--set {setting}: expected a setting of the model, {', '.join(f'{one}KEY' for one in CHANGEABLE)}; data, training and the name "
                "of the network are fixed when a model is made"
            )
    values = apply_overrides(description.model_dump(mode="json"), settings)
    return ModelDescription.parse(values, "--set")


def read_model_folder(folder: Path, settings: Sequence[str] = ()) -> tuple[Model[Any], ModelDescription]:
    """The network with its weights, in float32, and its description.

    Args:
        folder: of the model.
        settings: laid over those of the folder, see `change_settings`; the weights must fit them.

    Raises:
        CheckpointError: naming the file, if anything is missing, damaged or does not fit.
        ConfigError: if a setting is none, or asks for a network that the weights do not fit.
    """
    description = change_settings(read_description(folder), settings)
    try:
        network = catalogue.build(description.model.name, description.model.config, seed=0, encoder_weights=False)
    except ConfigError as error:
        if settings:
            raise ConfigError(f"--set {' --set '.join(settings)}: {error}") from None
        raise CheckpointError(f"{folder / CONFIG_NAME}: {error}") from None
    load_weights(network, folder, settings)
    return network, description


def load_weights(network: nn.Module, folder: Path, settings: Sequence[str] = ()) -> None:
    """Put the weights of a model folder into a network of the same settings.

    Args:
        network: gets the weights.
        folder: of the model.
        settings: those in which the network differs from the folder's config.json, for the message.

    Raises:
        CheckpointError: naming the file, if it is missing, damaged or of another network.
        ConfigError: if it does not fit the network and there are `settings`.
    """
    path = folder / WEIGHTS_NAME
    expected = network.state_dict()
    tensors, _ = load_tensors(path, max_bytes=sum(8 * tensor.numel() for tensor in expected.values()))
    problem = _misfit(expected, tensors)
    if problem and settings:
        raise ConfigError(
            f"--set {' --set '.join(settings)}: the weights of {folder} do not fit: {problem}; such a network must be trained"
        )
    if problem:
        raise CheckpointError(f"{path}: does not fit the settings of the network: {problem}")
    network.load_state_dict({name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()})


def weights_digest(folder: Path) -> str:
    """SHA-256 of the weights of a model folder, as they name it themselves.

    Raises:
        CheckpointError: naming the file, if it is missing, damaged or has none.
    """
    path = folder / WEIGHTS_NAME
    try:
        return read_metadata(path)[DIGEST_KEY]
    except KeyError:
        raise CheckpointError(f"{path}: has no {DIGEST_KEY}; was it written by seriatim?") from None


def _misfit(expected: dict[str, Tensor], tensors: dict[str, Tensor]) -> str | None:
    for name, tensor in expected.items():
        if name not in tensors:
            return f"{name} is missing"
        if tensors[name].shape != tensor.shape:
            return f"{name} has the shape {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}"
        if tensors[name].is_floating_point() != tensor.is_floating_point():
            return f"{name} holds {tensors[name].dtype}, expected {tensor.dtype}"
        if not bool(torch.isfinite(tensors[name]).all()):
            return f"{name} has weights that are not finite"
    extra = [name for name in tensors if name not in expected]
    return f"{extra[0]} is not part of the network" if extra else None
