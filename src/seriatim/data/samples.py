"""`Sample`, what every reader of a data set yields, `Problem`, what it says of what is wrong, and `Source`, what every reader is."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32

from seriatim.core.boxes import Boxes
from seriatim.core.instances import Instances


@dataclass(frozen=True, slots=True)
class Sample:
    """A image and the truth about it.

    Attributes:
        name: what messages call it (a file's stem, or kind and number).
        image: values in 0..1; 1, 3 or 4 channels.
        labels: 0 background, 1..N without gaps.
        classes: of every object, from 1.
        ignore: pixels that count for nothing, or None.
        objects: the same objects in the same order with the pixels that others cover, or None where none overlaps another.
        crowds: regions that stand for groups (COCO's crowds, Cityscapes' groups), with their classes; they lie in `ignore` too.
        distances: of every object, in metres (Cityscapes), infinite where unknown; or None.
        distance_confidences: how far to trust each distance, 0..1, given with `distances`; or None.
        boxes: detections or proposals of somebody, in pixels of the image; None where the data set has none.
    """

    name: str
    image: Float32[np.ndarray, "channels height width"]
    labels: Int32[np.ndarray, "height width"]
    classes: Int[np.ndarray, " instances"]
    ignore: Bool[np.ndarray, "height width"] | None = None
    objects: Instances | None = None
    crowds: Instances | None = None
    distances: Float[np.ndarray, " instances"] | None = None
    distance_confidences: Float[np.ndarray, " instances"] | None = None
    boxes: Boxes | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a data set that does not keep the rest from being read.

    Attributes:
        file: in which it stands.
        item: what is wrong, such as `annotation 17`; empty for the whole file.
        reason: what is wrong with it, and what was done (left out, cut to the image ...).
    """

    file: str
    item: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.item}: {self.reason}" if self.item else f"{self.file}: {self.reason}"


@runtime_checkable
class Source(Protocol):
    """A data set: its length, the names of its images and classes, and a sample by its number.

    A reader of annotations that can be wrong one by one also has `problems: list[Problem]`, filled when it is opened. A source that makes
    its images when they are read, so that no file can be damaged, also has `generated = True`.
    """

    class_names: tuple[str, ...]

    def __len__(self) -> int: ...

    def name(self, index: int) -> str:
        """What messages call the image; cheap."""
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
