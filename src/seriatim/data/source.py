"""`Source`: what every data set promises, and `Wrapper`: a source made of another, which keeps every promise of it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from seriatim.core.instances import Instances
from seriatim.core.shapes import Size
from seriatim.data.problems import Problems
from seriatim.data.samples import Sample


class WholeTruth(NamedTuple):
    """Everything that a COCO file says of one image, hidden objects too.

    Attributes:
        objects: with their whole masks, in the order of the file.
        crowds: regions that stand for groups.
        areas: pixels of every object and then of every crowd as the file states them, by which the protocol `coco` calls them small, medium
            or large; those of the mask where it states none.
    """

    objects: Instances
    crowds: Instances
    areas: Float64[np.ndarray, " objects_and_crowds"]


class CocoFile(NamedTuple):
    """What results in COCO's format need to know of the file that they are about, whatever part of it is evaluated.

    Attributes:
        path: of the file.
        sizes: image id -> (height, width) in pixels; None of an image that cannot be used.
        paths: image id -> image, of those that can be used.
        categories: category id -> name.
        class_ids: category id -> class of the source, from 1; 0 of a category that the source leaves out.
    """

    path: Path
    sizes: Mapping[int, Size | None]
    paths: Mapping[int, Path]
    categories: Mapping[int, str]
    class_ids: Mapping[int, int]


class Source(ABC):
    """A data set: its length, the names of its images and classes, and a sample by its number.

    Attributes:
        class_names: of the classes, from class 1.
        generated: images are made when they are read, so that no file can be damaged.
        is_of_some_classes: only the objects of some classes are kept, so that an image without any says nothing of the data.
        coco: the COCO file that the images are of; None of another kind of data.
    """

    class_names: tuple[str, ...]
    generated: bool = False
    is_of_some_classes: bool = False
    coco: CocoFile | None = None

    @cached_property
    def problems(self) -> Problems:
        """What is wrong with the data and was left out or mended: found when they are opened, and some of it when samples are read."""
        return Problems()

    @cached_property
    def category_ids(self) -> tuple[int, ...]:
        """The ids of the classes in a COCO file: 1, 2 ... unless the data set has ids of its own."""
        return tuple(range(1, len(self.class_names) + 1))

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def name(self, index: int) -> str:
        """What messages call the image; cheap."""

    @abstractmethod
    def read(self, index: int) -> Sample:
        """The sample, read or generated now.

        Raises:
            DataError: naming the file that is damaged, or, of a strict source, at a problem.
        """

    def image_id(self, index: int) -> int:
        """The id of the image in a COCO file: its number from 1 unless the data set has ids of its own."""
        return index + 1

    def whole_truth(self, index: int) -> WholeTruth | None:
        """What a sample has no place for, without reading the image; None where there is no more than the sample.

        Raises:
            DataError: as `read`.
        """
        del index
        return None


class Wrapper(Source):
    """A source with the samples of another; what a subclass does not change stays as it is there."""

    def __init__(self, source: Source) -> None:
        """
        Args:
            source: the whole.
        """
        self.source = source
        self.class_names = source.class_names
        self.generated = source.generated
        self.is_of_some_classes = source.is_of_some_classes
        self.coco = source.coco
        self.problems = source.problems
        self.category_ids = source.category_ids

    def place(self, index: int) -> int:
        """The number in the whole of image number `index`."""
        return index

    def __len__(self) -> int:
        return len(self.source)

    def name(self, index: int) -> str:
        """What messages call the image."""
        return self.source.name(self.place(index))

    def read(self, index: int) -> Sample:
        """The sample of the whole."""
        return self.source.read(self.place(index))

    def image_id(self, index: int) -> int:
        """The id that the image has in the whole."""
        return self.source.image_id(self.place(index))

    def whole_truth(self, index: int) -> WholeTruth | None:
        """What the whole knows of the image."""
        return self.source.whole_truth(self.place(index))
