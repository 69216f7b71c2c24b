"""Objects that may overlap, laid on one label map."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float32, Int32

from seriatim.core.instances import Instance, Instances
from seriatim.core.shapes import Size, box_slices
from seriatim.data.samples import Sample


def lay_objects(
    name: str,
    image: Float32[np.ndarray, "channels height width"],
    found: Sequence[Instance],
    ignore: Bool[np.ndarray, "height width"] | None = None,
) -> tuple[Sample, list[int]]:
    """The sample of objects of which the smaller lie on top of the larger, and the positions of those left out as wholly covered.

    Of equally large objects the earlier lies on top. What lies in `ignore` and in an object belongs to the object.

    Args:
        name: of the sample.
        image: of the sample.
        found: the objects, in the order that they keep, with their classes.
        ignore: pixels that count for nothing.
    """
    size = (image.shape[1], image.shape[2])
    labels, is_kept = label_smaller_in_front(found, size)
    kept = [instance for instance, keeps in zip(found, is_kept, strict=True) if keeps]
    objects = Instances(size, [replace(instance, step=step) for step, instance in enumerate(kept)])
    visible = np.bincount(labels.ravel(), minlength=len(kept) + 1)[1:]
    overlap = bool((objects.areas != visible).any())
    free = None if ignore is None else ignore & (labels == 0)
    sample = Sample(
        name,
        image,
        labels,
        objects.class_ids,
        free if free is not None and free.any() else None,
        objects=objects if overlap else None,
    )
    return sample, [position for position, keeps in enumerate(is_kept) if not keeps]


def label_smaller_in_front(
    objects: Sequence[Instance], size: Size
) -> tuple[Int32[np.ndarray, "height width"], list[bool]]:
    """The label map in which smaller objects lie in front, of equal ones the earlier, and which objects keep any pixel of it.

    The kept ones are numbered 1..N in their order.

    >>> whole = Instance((0, 0, 1, 4), np.ones((1, 4), dtype=bool))
    >>> part = Instance((0, 1, 1, 3), np.ones((1, 2), dtype=bool))
    >>> labels, kept = label_smaller_in_front([whole, part, part], (1, 4))
    >>> labels.tolist(), kept
    ([[1, 2, 2, 1]], [True, True, False])
    """
    labels = np.zeros(size, dtype=np.int32)
    for number in sorted(range(len(objects)), key=lambda number: (-objects[number].area, -number)):
        labels[box_slices(objects[number].box)][objects[number].mask] = number + 1
    is_kept = np.bincount(labels.ravel(), minlength=len(objects) + 1)[1:] > 0
    if not is_kept.all():
        labels = np.concatenate(([0], np.cumsum(is_kept))).astype(np.int32)[labels]
    return labels, is_kept.tolist()
