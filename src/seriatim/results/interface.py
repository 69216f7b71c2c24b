"""What every format promises, and what it is given: a segmented image, or all results of a call."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from seriatim.core.instances import Instance, Instances, class_name
from seriatim.results.manifest import Entry

OverlayStyle = Literal["plain", "outline", "filled"]
"""How an overlay shows the objects; `results.overlay.draw_overlay` says what each is."""

File = tuple[str, bytes]
"""Where a file goes, below the folder of results, and its content."""


@dataclass(frozen=True, slots=True)
class SegmentedImage:
    """An image and its objects.

    Attributes:
        file: the image, as it was given.
        stem: how the names of its files begin; no other image of the call has it.
        folder: folder of results.
        pixels: as stored in the file.
        instances: found in the image.
        class_names: names of the classes, from class 1.
        overlay: style of the overlay.
    """

    file: str
    stem: str
    folder: Path
    pixels: np.ndarray
    instances: Instances
    class_names: Sequence[str]
    overlay: OverlayStyle = "outline"

    def class_name(self, instance: Instance) -> str:
        """The name of an object's class."""
        return class_name(max(instance.class_id, 1), self.class_names)


class Call(NamedTuple):
    """What a format is given for the files of the whole call.

    Attributes:
        results: what the manifest says of the images, in their order.
        kept: what the format kept of each image; None for a format that keeps nothing.
        class_names: names of the classes, from class 1.
    """

    results: Sequence[Entry]
    kept: Sequence[Any]
    class_names: Sequence[str]


class Format(NamedTuple):
    """How a format is written.

    Attributes:
        image: the files of one image, one after another.
        keep: what is kept of an image for `call`, as JSON values.
        call: the files of the whole call.
        grow: what a finished image adds to the end of a file of `call`, so that a killed process leaves what was done.
    """

    image: Callable[[SegmentedImage], Iterable[File]] | None = None
    keep: Callable[[SegmentedImage], Any] | None = None
    call: Callable[[Call], Iterable[File]] | None = None
    grow: Callable[[Entry], File] | None = None
