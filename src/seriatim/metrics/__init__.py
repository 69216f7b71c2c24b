"""Scores under the official protocols, each in a file of its own; numpy and scipy only, and no code shared with the losses."""

from seriatim.metrics.evaluator import Evaluator, evaluate
from seriatim.metrics.example import Example
from seriatim.metrics.protocols import PROTOCOLS

__all__ = ["PROTOCOLS", "Evaluator", "Example", "evaluate"]
