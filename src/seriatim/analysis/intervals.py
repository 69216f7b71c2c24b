"""Bootstrap intervals over images for the numbers of an analysis: of a mean, of a ratio of sums, and of their paired differences.

The images are those of the intervals of `metrics.Evaluator`: as many drawn with replacement, 1,000 times, with the same seed, so that all
numbers of one report see the same draws.

Source: Efron and Tibshirani, "An introduction to the bootstrap", 1993, Sec. 13.3.
"""

from typing import Any

import numpy as np
from jaxtyping import Float64

from seriatim.metrics.evaluator import draw_weights, percentile_interval

NUM_RESAMPLES = 1000
"""Data sets drawn from the images."""

Interval = tuple[float, float]
"""The 2.5th and the 97.5th percentile."""


def interval_of_mean(values: Float64[np.ndarray, " images"]) -> Interval | None:
    """The 95 % interval of the mean over the images; None for fewer than two.

    Of paired differences, give the difference of each image.

    >>> interval_of_mean(np.array([2.0, 2.0, 2.0])), interval_of_mean(np.array([2.0]))
    ((2.0, 2.0), None)
    """
    if len(values) < 2:
        return None
    return _pair(draw_weights(len(values), NUM_RESAMPLES, 0) @ values / len(values))


def interval_of_ratio_change(
    before: Float64[np.ndarray, " images"], after: Float64[np.ndarray, " images"], whole: Float64[np.ndarray, " images"]
) -> Interval | None:
    """The 95 % interval of sum(after) / sum(whole) - sum(before) / sum(whole); None for fewer than two images.

    Args:
        before: a count of each image.
        after: the same under another condition.
        whole: what both are compared with; a draw in which all are 0 is left out.

    >>> interval_of_ratio_change(np.array([1.0, 1.0]), np.array([2.0, 2.0]), np.array([2.0, 2.0]))
    (0.5, 0.5)
    """
    if len(whole) < 2:
        return None
    weights = draw_weights(len(whole), NUM_RESAMPLES, 0)
    totals = weights @ whole
    changes = np.divide(weights @ (after - before), totals, out=np.full(len(totals), np.nan), where=totals > 0)
    return _pair(changes)


def as_list(interval: Interval | None) -> list[float] | None:
    """For JSON."""
    return None if interval is None else list(interval)


def _pair(drawn: Float64[np.ndarray, " resamples"]) -> Interval | None:
    found: list[Any] | None = percentile_interval(drawn)
    return None if found is None else (found[0], found[1])
