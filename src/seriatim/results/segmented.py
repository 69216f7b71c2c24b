"""What a format of results is given: a segmented image, and what is kept of it for the files of the whole call."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seriatim.core.instances import Instance, Instances, class_name
from seriatim.core.shapes import Size

File = tuple[str, bytes]
"""Where a file goes, below the folder of results, and what is in it."""


@dataclass(frozen=True, slots=True)
class SegmentedImage:
    """A image and its objects.

    Attributes:
        file: the image, as it was given.
        stem: what the names of its files begin with; no other image of the call has it.
        folder: of results.
        pixels: as stored in the file.
        instances: found in it.
        class_names: of the classes, from class 1.
    """

    file: str
    stem: str
    folder: Path
    pixels: np.ndarray
    instances: Instances
    class_names: Sequence[str]

    def class_name(self, instance: Instance) -> str:
        """The name of an object's class."""
        return class_name(max(instance.class_id, 1), self.class_names)


@dataclass(frozen=True, slots=True)
class Result:
    """What is kept of a image once its own files are written.

    Attributes:
        file: the image, as it was given.
        size: (height, width) in pixels.
        count: number of objects.
        seconds: that it took.
        kept: what each format keeps for the files of the call, by the name of the format.
    """

    file: str
    size: Size
    count: int
    seconds: float
    kept: dict[str, Any] = field(default_factory=dict)
