"""Scores under the official protocols, each in a file of its own; numpy only, and no code shared with the losses."""

from seriatim.metrics.example import Example
from seriatim.metrics.protocols import PROTOCOLS, evaluate
from seriatim.metrics.tally import Evaluator

__all__ = ["PROTOCOLS", "Evaluator", "Example", "evaluate"]
