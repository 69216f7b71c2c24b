"""`Sample`, what every reader of a data set yields, and `Source`, what every reader is."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture and the truth about it.

    Attributes:
        name: what messages call it (a file's stem, or kind and number).
        image: values in 0..1; 1, 3 or 4 channels.
        labels: 0 background, 1..N without gaps.
        classes: of every object, from 1.
        ignore: pixels that count for nothing, or None.
    """

    name: str
    image: Float32[np.ndarray, "channels height width"]
    labels: Int32[np.ndarray, "height width"]
    classes: Int[np.ndarray, " instances"]
    ignore: Bool[np.ndarray, "height width"] | None = None


@runtime_checkable
class Source(Protocol):
    """A data set: its length, the names of its pictures and classes, and a sample by its number."""

    class_names: tuple[str, ...]

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What messages call the picture; cheap."""
        ...

    def read(self, index: int) -> Sample:
        """The sample, read or generated now."""
        ...


def without_gaps(labels: np.ndarray) -> Int32[np.ndarray, "height width"]:
    """The same objects numbered 1..N in the order of their labels.

    >>> without_gaps(np.array([[0, 7], [3, 7]])).tolist()
    [[0, 2], [1, 2]]
    """
    numbers, dense = np.unique(labels, return_inverse=True)
    return (dense.reshape(labels.shape) + (0 if len(numbers) and numbers[0] == 0 else 1)).astype(np.int32)
