"""Format `cityscapes`: a submission to the Cityscapes benchmark.

Source: the README of cityscapesScripts, `evalInstanceLevelSemanticLabeling` (a text file an image, a line `mask id score` an object).
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from seriatim.core.shapes import box_slices
from seriatim.data.encoding import encode_png
from seriatim.data.readers.cityscapes import CLASS_NAMES, CLASS_OF_ID
from seriatim.results.interface import File, Format, SegmentedImage


def encode_cityscapes(image: SegmentedImage) -> Iterator[File]:
    """A mask (0 and 255) for every object, made one at a time, and the text file with the class id and score of each.

    The ids are those of Cityscapes if it has all classes of the model, otherwise the numbers of the classes from 1.
    """
    ids = _class_ids(image.class_names)
    # the benchmark splits a line at spaces
    folder = re.sub(r"[\s%]", lambda match: f"%{ord(match[0]):02X}", image.stem)
    digits = max(4, len(str(len(image.instances))))
    plane = np.zeros(image.instances.size, dtype=np.uint8)
    lines = []
    for number, instance in enumerate(image.instances, start=1):
        window = plane[box_slices(instance.box)]
        window[instance.mask] = 255
        name = f"masks/{folder}/{number:0{digits}d}.png"
        yield f"cityscapes/{name}", encode_png(plane)
        window[...] = 0
        class_id = max(int(instance.class_id), 1)
        lines.append(f"{name} {ids.get(class_id, class_id)} {instance.score:.6f}\n")
    yield f"cityscapes/{image.stem}.txt", "".join(lines).encode("utf-8", "surrogateescape")


FORMAT = Format(image=encode_cityscapes)


def _class_ids(class_names: Sequence[str]) -> dict[int, int]:
    """Class -> id in Cityscapes; empty if Cityscapes lacks one of the classes."""
    official = {CLASS_NAMES[number - 1]: class_id for class_id, number in CLASS_OF_ID.items()}
    if not set(class_names) <= official.keys():
        return {}
    return {number: official[name] for number, name in enumerate(class_names, start=1)}
