"""`Instances`: the objects of one image in the order found. Every room passes this type on.

An instance is a box and the bool mask inside that box, never a full-size plane, so that 100,000 objects of a
10,000 x 10,000 image fit into a fraction of a gigabyte.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from jaxtyping import Bool, Float, Int, Int32
from scipy import ndimage

from seriatim.core import rle
from seriatim.core.errors import DataError, ShapeError
from seriatim.core.shapes import Box, Size, box_slices, check_label_map

MAX_DIRECT_LABELS = 2**22
"""Larger labels are renumbered before objects are searched, which takes more memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Instance:
    """One object.

    Attributes:
        box: (y0, x0, y1, x1), half-open, pixels of the image.
        mask: the object's pixels inside the box.
        score: confidence in 0..1.
        class_id: class, counted from 1; 0 where a model knows no classes.
        class_probs: probability of every class, or None where a model knows no classes.
        step: the step, from 0, at which a sequential model emitted it.
    """

    box: Box
    mask: Bool[np.ndarray, "box_height box_width"]
    score: float = 1.0
    class_id: int = 0
    class_probs: Float[np.ndarray, " classes"] | None = None
    step: int = 0

    @property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.count_nonzero(self.mask))

    @classmethod
    def from_mask(
        cls, mask: Bool[np.ndarray, "height width"], offset: tuple[int, int] = (0, 0), **fields: Any
    ) -> "Instance | None":
        """Crop a mask to its bounding box and move it by `offset` (y, x); None if the mask is empty."""
        rows = np.flatnonzero(mask.any(axis=1))
        if not len(rows):
            return None
        y0, y1 = int(rows[0]), int(rows[-1]) + 1
        columns = np.flatnonzero(mask[y0:y1].any(axis=0))
        x0, x1 = int(columns[0]), int(columns[-1]) + 1
        box = (y0 + offset[0], x0 + offset[1], y1 + offset[0], x1 + offset[1])
        return cls(box, mask[y0:y1, x0:x1].copy(), **fields)


class Instances:
    """The objects of one image, in the order found.

    Attributes:
        size: (height, width) of the image in pixels.
        instances: in the order found.
        num_too_small: objects that a model found and left out because they are smaller than its `inference.min_area`; a selection has 0.

    >>> found = Instances.from_label_map(np.array([[0, 2], [1, 1]]))
    >>> len(found), found[0].area, found.label_map().tolist()
    (2, 2, [[0, 2], [1, 1]])
    """

    def __init__(self, size: Size, instances: Iterable[Instance] = ()) -> None:
        """
        Args:
            size: (height, width) of the image in pixels.
            instances: in the order found.

        Raises:
            ShapeError: if a box exceeds the image or a mask has another size than its box.
        """
        self.size: Size = (int(size[0]), int(size[1]))
        self.instances: list[Instance] = list(instances)
        self.num_too_small = 0
        for index, instance in enumerate(self.instances):
            y0, x0, y1, x1 = instance.box
            if not (0 <= y0 <= y1 <= self.size[0] and 0 <= x0 <= x1 <= self.size[1]):
                raise ShapeError(
                    f"instance {index}: box {instance.box} leaves the image of {self.size[0]} x {self.size[1]} pixels"
                )
            if instance.mask.shape != (y1 - y0, x1 - x0):
                raise ShapeError(f"instance {index}: mask {instance.mask.shape} does not fill its box {instance.box}")

    def __len__(self) -> int:
        return len(self.instances)

    def __iter__(self) -> Iterator[Instance]:
        return iter(self.instances)

    def __repr__(self) -> str:
        return f"Instances(size={self.size}, {len(self)} found)"

    @overload
    def __getitem__(self, index: int) -> Instance: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | Sequence[bool] | np.ndarray) -> "Instances": ...
    def __getitem__(self, index: Any) -> "Instance | Instances":
        """One instance by its position, or several by a slice, a bool array or an array of positions.

        Raises:
            ShapeError: if the length of a bool array differs from the number of instances, or the index has another type.
        """
        if isinstance(index, int | np.integer):
            return self.instances[index]
        if isinstance(index, slice):
            return Instances(self.size, self.instances[index])
        chosen = np.asarray(index)
        if chosen.dtype == bool:
            if chosen.shape != (len(self),):
                raise ShapeError(f"a bool index needs one entry per instance ({len(self)}), got shape {chosen.shape}")
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
            raise ShapeError(
                f"an index is a number, a slice, or one axis of bools or integers; got {chosen.dtype} of shape {chosen.shape}"
            )
        return Instances(self.size, [self.instances[int(position)] for position in chosen])

    @property
    def scores(self) -> Float[np.ndarray, " instances"]:
        """Confidence of every instance."""
        return np.array([instance.score for instance in self], dtype=np.float64)

    @property
    def class_ids(self) -> Int[np.ndarray, " instances"]:
        """Class of every instance."""
        return np.array([instance.class_id for instance in self], dtype=np.int64)

    @property
    def areas(self) -> Int[np.ndarray, " instances"]:
        """Number of pixels of every instance."""
        return np.array([instance.area for instance in self], dtype=np.int64)

    def label_map(self) -> Int32[np.ndarray, "height width"]:
        """Label map: 0 background, 1..N in the order found; where masks overlap the EARLIER one wins."""
        labels = np.zeros(self.size, dtype=np.int32)
        for number, instance in reversed([*enumerate(self, start=1)]):
            labels[box_slices(instance.box)][instance.mask] = number
        return labels

    def masks(self) -> Bool[np.ndarray, "instances height width"]:
        """One full-size mask per instance; takes much memory for many objects on a large image."""
        planes = np.zeros((len(self), *self.size), dtype=bool)
        for plane, instance in zip(planes, self, strict=True):
            plane[box_slices(instance.box)] = instance.mask
        return planes

    def without_overlaps(self) -> "Instances":
        """The same objects, each shared pixel kept by the earliest; an object without pixels left is dropped."""
        labels = self.label_map()
        kept = []
        for number, instance in enumerate(self, start=1):
            visible = Instance.from_mask(labels[box_slices(instance.box)] == number, offset=instance.box[:2])
            if visible is not None:
                kept.append(replace(instance, box=visible.box, mask=visible.mask))
        return Instances(self.size, kept)

    @classmethod
    def from_label_map(cls, labels: np.ndarray) -> "Instances":
        """One instance per label, in the order of the labels; gaps are closed.

        Args:
            labels: integers (height, width), 0 background.

        Raises:
            ShapeError: if `labels` is not a label map.
        """
        check_label_map(labels)
        if labels.size and int(labels.max()) > MAX_DIRECT_LABELS:
            numbers, dense = np.unique(labels, return_inverse=True)
            labels = dense.reshape(labels.shape) + (0 if numbers[0] == 0 else 1)
        numbered = labels.astype(np.int32, copy=False)
        found = []
        for number, window in enumerate(ndimage.find_objects(numbered) if numbered.size else [], start=1):
            if window is not None:
                rows, columns = window
                box = (rows.start, columns.start, rows.stop, columns.stop)
                found.append(Instance(box, numbered[window] == number, step=len(found)))
        return cls(labels.shape, found)

    def to_coco(self, image_id: int = 1, first_annotation_id: int = 1) -> list[dict[str, Any]]:
        """COCO annotations (RLE, bbox as x, y, width, height), one per instance, in the order found.

        Args:
            image_id: id of the image in the COCO file.
            first_annotation_id: id of the first annotation; COCO tools need ids from 1.
        """

        def annotation(number: int, instance: Instance) -> dict[str, Any]:
            y0, x0, y1, x1 = (int(edge) for edge in instance.box)
            return {
                "id": number,
                "image_id": image_id,
                "category_id": max(int(instance.class_id), 1),
                "segmentation": rle.encode(instance.box, instance.mask, self.size),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": instance.area,
                "iscrowd": 0,
                "score": round(float(instance.score), 6),
            }

        return [annotation(number, instance) for number, instance in enumerate(self, start=first_annotation_id)]

    @classmethod
    def from_coco(cls, annotations: Iterable[dict[str, Any]], size: Size) -> "Instances":
        """The instances of one image from COCO annotations with run-length codes, in the given order.

        Raises:
            DataError: naming the annotation whose code is damaged or has another image size.
        """
        found = []
        for index, annotation in enumerate(annotations):
            where = f"annotation {annotation.get('id', index)}"
            code = annotation.get("segmentation")
            if not isinstance(code, dict):
                raise DataError(f"{where}: expected a run-length code, got {type(code).__name__}")
            if not isinstance(code.get("size"), Sequence) or tuple(code["size"]) != tuple(size):
                raise DataError(f"{where}: is of an image of {code.get('size')} pixels, expected {list(size)}")
            box, mask = rle.decode(code, where)
            try:
                score, class_id = float(annotation.get("score", 1.0)), int(annotation.get("category_id", 0))
            except (TypeError, ValueError, OverflowError) as error:
                raise DataError(f"{where}: score or category_id is not a number ({error})") from None
            found.append(Instance(box, mask, score=score, class_id=class_id, step=index))
        return cls(size, found)


def class_name(class_id: int, class_names: Sequence[str]) -> str:
    """The name of a class, counted from 1, or its number where it has none.

    >>> class_name(1, ["leaf"]), class_name(2, ["leaf"])
    ('leaf', 'class 2')
    """
    return class_names[class_id - 1] if 1 <= class_id <= len(class_names) else f"class {class_id}"
