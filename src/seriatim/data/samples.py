"""`Sample`: an image and the truth about it, which every source yields."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32

from seriatim.core.boxes import Boxes
from seriatim.core.errors import DataError
from seriatim.core.instances import Instances


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and the truth about it.

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

    @classmethod
    def of_one_class(
        cls,
        name: str,
        image: Float32[np.ndarray, "channels height width"],
        labels: Int32[np.ndarray, "height width"],
    ) -> "Sample":
        """The sample of a label map without gaps whose objects are all of class 1."""
        return cls(name, image, labels, np.ones(int(labels.max(initial=0)), dtype=np.int64))

    def instances(self) -> Instances:
        """The objects with their classes, and with the pixels that others cover.

        Raises:
            DataError: if there is not one class an object.
        """
        found = Instances.from_label_map(self.labels) if self.objects is None else self.objects
        if len(found) != len(self.classes):
            raise DataError(f"{self.name}: has {len(found)} objects and {len(self.classes)} classes")
        pairs = zip(found, self.classes.tolist(), strict=True)
        return Instances(found.size, [replace(one, class_id=class_id) for one, class_id in pairs])


def without_gaps(labels: np.ndarray) -> Int32[np.ndarray, "height width"]:
    """The same objects numbered 1..N in the order of their labels.

    >>> without_gaps(np.array([[0, 7], [3, 7]])).tolist()
    [[0, 2], [1, 2]]
    """
    numbers, dense = np.unique(labels, return_inverse=True)
    return (dense.reshape(labels.shape) + (0 if len(numbers) and numbers[0] == 0 else 1)).astype(np.int32)
