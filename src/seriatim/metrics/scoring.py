"""How every protocol is computed: a small table of each image, then all tables together, for any weighting of the images.

The tables are all that is kept of the images. With every weight 1 the numbers are those of the protocol; with the number of times that an
image was drawn they are those of a resampled data set, without a look at any mask.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, Int64

from seriatim.metrics.example import Example
from seriatim.metrics.overlap import Overlap

MAX_CELLS = 1 << 21
"""Numbers that a resampling holds at once, roughly."""

Weights = Float64[np.ndarray, "resamples images"]
"""How often each image counts in each resampled data set: whole numbers from 0."""

Part = TypeVar("Part")


@runtime_checkable
class Pool(Protocol):
    """The tables of all images under one protocol."""

    def result(self) -> dict[str, Any]:
        """What the protocol's file documents."""
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


@dataclass(frozen=True, eq=False)
class ImageTable(Generic[Part]):
    """The numbers of one image: of all its objects, and of those of each class that it holds."""

    whole: Part
    classes: dict[int, Part]

    @classmethod
    def of(cls, example: Example, measure: Callable[[Overlap], Part]) -> "ImageTable[Part]":
        """What `measure` gives for the label maps of predictions and targets, and for the objects of each class alone."""
        overlap = example.label_overlap
        parts = overlap.by_class(example.pred_classes, example.target_classes)
        return cls(measure(overlap), {class_id: measure(part) for class_id, part in parts.items()})


def per_class(
    tables: Sequence[ImageTable[Part]], summarise: Callable[[list[Part]], dict[str, Any] | None]
) -> dict[int, dict[str, Any] | None]:
    """Class -> what `summarise` makes of its numbers in the images that hold it."""
    parts = by_class([table.classes for table in tables])
    return {class_id: summarise([part for _, part in of_class]) for class_id, of_class in parts.items()}


def by_class(tables: Sequence[Mapping[int, Part]]) -> dict[int, list[tuple[int, Part]]]:
    """Each class that an image holds, ascending, with the number of every such image and what it holds of the class.

    >>> by_class([{7: "a"}, {}, {1: "b", 7: "c"}])
    {1: [(2, 'b')], 7: [(0, 'a'), (2, 'c')]}
    """
    return {
        class_id: [(index, table[class_id]) for index, table in enumerate(tables) if class_id in table]
        for class_id in sorted(set().union(*tables))
    }


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


def quality_or(value: float | None, num_wrong: int) -> float:
    """The quality of an image; where it has no targets, 1 if there is no wrong prediction, otherwise 0."""
    if value is not None:
        return value
    return 0.0 if num_wrong else 1.0
