"""How every protocol is computed: a small table of each image, then all tables together, for any weighting of the images.

The tables are all that is kept of the images. With every weight 1 the numbers are those of the protocol; with the number of times that an
image was drawn they are those of a resampled data set, without a look at any mask.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, Int64

from seriatim.metrics.example import Example

MAX_CELLS = 1 << 21
"""Numbers that a resampling holds at once, roughly."""

Weights = Float64[np.ndarray, "resamples images"]
"""How often each image counts in each resampled data set: whole numbers from 0."""


@runtime_checkable
class Pool(Protocol):
    """The tables of all images under one protocol."""

    def result(self) -> dict[str, Any]:
        """What the protocol's own function documents."""
        ...

    def resample(self, weights: Weights) -> dict[str, Any]:
        """The headline numbers under the same keys, each an array with one value a resample, NaN where it is undefined."""
        ...


@dataclass(frozen=True)
class Scoring:
    """The parts of a protocol.

    Attributes:
        tabulate: the table of one image.
        pool: all tables, at least one, in the order of the images.
        rate: from the table of an image its own numbers, and first `quality`: one number, larger is better, that says how good the
            predictions are there, or None where nothing can be said; 1 where there is nothing and nothing was found.
    """

    tabulate: Callable[[Example], Any]
    pool: Callable[[Sequence[Any]], Pool]
    rate: Callable[[Any], dict[str, Any]]


def ratio(
    numbers: Float[np.ndarray, "*axes"] | Int64[np.ndarray, "*axes"],
    totals: Float[np.ndarray, "*axes"] | Int64[np.ndarray, "*axes"],
) -> Float64[np.ndarray, "*axes"]:
    """The quotients, NaN where the total is 0.

    >>> ratio(np.array([1.0, 1.0]), np.array([2.0, 0.0])).tolist()
    [0.5, nan]
    """
    return np.divide(numbers, totals, out=np.full(np.shape(totals), np.nan), where=totals != 0)


def mean_known(values: Float64[np.ndarray, "first ..."]) -> Float64[np.ndarray, "..."]:
    """Mean along the first axis of the values that are known (not NaN); NaN where none is.

    >>> mean_known(np.array([[1.0, np.nan], [3.0, np.nan]])).tolist()
    [2.0, nan]
    """
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0).astype(np.float64))


def known(value: float) -> float | None:
    """The number, or None for NaN."""
    return None if np.isnan(value) else float(value)


def in_chunks(num_rows: int, cells_per_row: int) -> Iterator[slice]:
    """Slices over the rows, each of about `MAX_CELLS` cells."""
    step = max(1, MAX_CELLS // max(cells_per_row, 1))
    for first in range(0, num_rows, step):
        yield slice(first, first + step)


def quality_without_targets(num_preds: int) -> float:
    """Of an image without targets: 1 where nothing was found, otherwise 0."""
    return 0.0 if num_preds else 1.0
