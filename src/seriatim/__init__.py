"""seriatim: segment and count the objects of an image one after another. The public names; nothing else."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from seriatim.version import __version__ as __version__

if TYPE_CHECKING:
    from seriatim import models as models
    from seriatim.core.instances import Instance as Instance
    from seriatim.core.instances import Instances as Instances
    from seriatim.inference.predictor import Predictor as Predictor
    from seriatim.inference.predictor import load as load

__all__ = ["Instance", "Instances", "Predictor", "__version__", "load", "models"]

_HOMES = {
    "Instance": "seriatim.core.instances",
    "Instances": "seriatim.core.instances",
    "Predictor": "seriatim.inference.predictor",
    "load": "seriatim.inference.predictor",
    "models": "seriatim",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'seriatim' has no attribute {name!r}")
    if name == "models":
        return import_module("seriatim.models")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
