"""Network blocks with an equation of their own. `DenseCRF` and `PermutohedralLattice` are loaded when they are first used."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seriatim.nn.crf import DenseCRF as DenseCRF
    from seriatim.nn.crf import PermutohedralLattice as PermutohedralLattice

__all__ = ["DenseCRF", "PermutohedralLattice"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'seriatim.nn' has no attribute {name!r}")
    return getattr(import_module("seriatim.nn.crf"), name)
