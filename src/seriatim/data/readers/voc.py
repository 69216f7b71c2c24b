"""Kind `voc:DIR` or `voc:DIR@PART`: Pascal VOC 2012, the images with segmented objects.

DIR is `VOC2012`, or holds it (`VOCdevkit`), or holds `VOCdevkit/VOC2012`. PART is train, val or trainval (the default) and names the list
`ImageSets/Segmentation/PART.txt`. The annotations are palette images whose colours are for the eye: the index is the number of the object
(SegmentationObject) or its class (SegmentationClass), and 255 is the border around objects, which counts for nothing.

Source: Everingham et al., "The Pascal Visual Object Classes Challenge: A Retrospective", IJCV 2015.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Int32

from seriatim.core.errors import DataError
from seriatim.data.images import read_label_map
from seriatim.data.problems import Problems
from seriatim.data.readers.files import (
    FileSource,
    Pair,
    are_there,
    check_choice,
    check_size,
    find_root,
    read_ids,
    read_image,
)
from seriatim.data.samples import Sample

CLASS_NAMES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
"""Class k of the annotations is the k-th of these, from 1."""

PARTS = ("train", "val", "trainval")
"""1,464, 1,449 and 2,913 images."""

VOID = 255
"""Border of the objects, and what is too hard to tell."""


class VocSource(FileSource[Pair]):
    """Images of VOC 2012 with their segmented objects, in the order of the list, with VOC's own names, such as 2007_000032.

    Its `problems` are images left out because a file is missing, and objects without a class, which are ignored.

    Attributes:
        list: the file that names the images.
    """

    class_names: tuple[str, ...] = CLASS_NAMES

    def __init__(self, folder: Path, part: str = "trainval", strict: bool = False) -> None:
        """
        Args:
            folder: `VOC2012`, or what holds it.
            part: train, val or trainval.
            strict: refuse data with problems.

        Raises:
            ConfigError: for another part.
            DataError: if the folders or the list are missing, or nothing is left.
        """
        check_choice(f"voc:{folder}@{part}", part, PARTS)
        folders = ("JPEGImages", "SegmentationObject", "SegmentationClass", "ImageSets/Segmentation")
        self.folder = find_root(folder, ("VOC2012", "VOCdevkit/VOC2012"), folders, "VOC2012")
        self.problems = Problems(strict)
        self.list = self.folder / "ImageSets" / "Segmentation" / f"{part}.txt"
        self.entries = [pair for name in read_ids(self.list, self.problems) if (pair := self._pair(name)) is not None]
        if not self.entries:
            raise DataError(f"{self.list}: none of its images is there with its annotation; {self.problems[0]}")

    def _pair(self, name: str) -> Pair | None:
        """An image and the map of its objects; None if a file is missing."""
        pair = Pair(
            name, self.folder / "JPEGImages" / f"{name}.jpg", self.folder / "SegmentationObject" / f"{name}.png"
        )
        files = (pair.image_file, pair.annotation, _class_file(pair))
        return pair if are_there(files, name, self.folder, self.list, self.problems) else None

    def read_entry(self, entry: Pair) -> Sample:
        """The image and its objects; the border of the objects is ignored."""
        name, image_file, object_file = entry
        class_file = _class_file(entry)
        image = read_image(image_file, channels=3)
        objects, classes = read_label_map(object_file), read_label_map(class_file)
        check_size(object_file, objects, image_file, image)
        check_size(class_file, classes, image_file, image)
        labels, class_ids, without_class = objects_with_classes(objects, classes)
        for number in np.unique(objects[without_class]):
            self.problems.note(
                object_file, f"object {number}", f"has none of the {len(CLASS_NAMES)} classes in {class_file}; ignored"
            )
        ignore = (objects == VOID) | without_class
        return Sample(name, image, labels, class_ids, ignore if ignore.any() else None)


def _class_file(pair: Pair) -> Path:
    return pair.annotation.parent.with_name("SegmentationClass") / pair.annotation.name


def objects_with_classes(
    objects: Int32[np.ndarray, "height width"], classes: Int32[np.ndarray, "height width"]
) -> tuple[Int32[np.ndarray, "height width"], Int[np.ndarray, " instances"], Bool[np.ndarray, "height width"]]:
    """The objects as labels 1..N in the order of their numbers, the class of each, and the pixels of objects without one.

    The class of an object is that of most of its pixels, background and void not counted.

    Args:
        objects: 0 background, 255 void, else the number of the object.
        classes: 0 background, 255 void, else the class.

    >>> objects, classes = np.array([[2, 2, 7, 255, 0]], dtype=np.int32), np.array([[5, 5, 0, 255, 0]], dtype=np.int32)
    >>> [part.tolist() for part in objects_with_classes(objects, classes)]
    [[[1, 1, 0, 0, 0]], [5], [[False, False, True, False, False]]]
    """
    labels = np.zeros(objects.shape, dtype=np.int32)
    without_class = np.zeros(objects.shape, dtype=bool)
    class_ids: list[int] = []
    for number in np.unique(objects[(objects > 0) & (objects != VOID)]):
        mask = objects == number
        inside = classes[mask]
        known, counts = np.unique(inside[(inside > 0) & (inside <= len(CLASS_NAMES))], return_counts=True)
        if len(known):
            class_ids.append(int(known[counts.argmax()]))
            labels[mask] = len(class_ids)
        else:
            without_class |= mask
    return labels, np.array(class_ids, dtype=np.int64), without_class
