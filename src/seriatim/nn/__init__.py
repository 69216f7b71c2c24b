"""Network blocks with an equation of their own."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seriatim.nn.crf.dense_crf import DenseCRF as DenseCRF
    from seriatim.nn.crf.permutohedral import PermutohedralLattice as PermutohedralLattice

__all__ = ["DenseCRF", "PermutohedralLattice"]

_HOMES = {"DenseCRF": "seriatim.nn.crf.dense_crf", "PermutohedralLattice": "seriatim.nn.crf.permutohedral"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'seriatim.nn' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
