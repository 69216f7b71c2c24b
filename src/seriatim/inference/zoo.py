"""Where models are: those that ship with this package, run folders and model folders; does not import torch."""

import re
from pathlib import Path

from seriatim.core.errors import CheckpointError, ConfigError, FileReadError, did_you_mean
from seriatim.core.files import read_small_file

WEIGHTS_NAME = "model.safetensors"
CONFIG_NAME = "config.json"
CARD_NAME = "card.md"

DEFAULT_MODEL = "nuclei"
"""The model that the command line uses by default."""

ZOO = Path(__file__).parent.parent / "zoo"
"""The folder of the models that ship, one folder each."""


def zoo_names() -> tuple[str, ...]:
    """The models that ship with this package, sorted."""
    return tuple(sorted(path.parent.name for path in ZOO.glob(f"*/{CONFIG_NAME}")))


def find_model_folder(name_or_folder: str | Path) -> Path:
    """The model folder that a zoo name, run folder or model folder stands for; a zoo name comes first.

    Raises:
        ConfigError: if there is neither such a name nor such a folder.
        CheckpointError: if a folder is there but holds no model.
    """
    if isinstance(name_or_folder, str) and name_or_folder in zoo_names():
        return ZOO / name_or_folder
    folder = Path(name_or_folder)
    if not folder.is_dir():
        known = zoo_names()
        hint = did_you_mean(str(name_or_folder), known) if known else "; no model ships with this build"
        raise ConfigError(f"model {str(name_or_folder)!r}: neither a model that ships nor a folder{hint}")
    for candidate in (folder, folder / "model"):
        if (candidate / CONFIG_NAME).is_file():
            return candidate
    if (folder / "config.toml").is_file():
        raise CheckpointError(f"{folder}: a run without a model yet; it is written at the first validation")
    raise CheckpointError(f"{folder}: holds no model (expected {CONFIG_NAME} and {WEIGHTS_NAME})")


def read_card(folder: Path) -> str:
    """The card of a model folder: what the model is for, how it was made and how good it is.

    Comments, which mark the tables that `make tables` fills, are left out.

    Raises:
        CheckpointError: if it cannot be read.
    """
    try:
        card = read_small_file(folder / CARD_NAME, 1_000_000).decode()
    except FileReadError as error:
        raise CheckpointError(str(error)) from None
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{folder / CARD_NAME}: cannot be read: {error}") from None
    return re.sub(r"^<!--.*-->\n", "", card, flags=re.MULTILINE)


def summary(card: str) -> str:
    """The first line of a card without the heading marks.

    >>> summary("# nuclei: cell nuclei of any stain\\n\\nTrained on ...")
    'nuclei: cell nuclei of any stain'
    """
    return next((line.lstrip("# ").strip() for line in card.splitlines() if line.strip()), "")
