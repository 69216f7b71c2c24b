"""Formats of masks: the palette images of PASCAL VOC, and submissions to the Cityscapes benchmark.

Sources: Everingham et al., "The PASCAL Visual Object Classes Challenge 2012 Development Kit", Sec. 3 (palette, void 255 at the border of
objects); the README of cityscapesScripts, `evalInstanceLevelSemanticLabeling` (a text file a image, a line `mask id score` an object).
"""

import io
import re
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image
from scipy import ndimage

from seriatim.core.errors import FormatLimitError
from seriatim.core.shapes import box_slices
from seriatim.data.encoding import encode_png
from seriatim.data.readers.cityscapes import CLASS_NAMES, CLASS_OF_ID
from seriatim.results.segmented import File, SegmentedImage

VOID = 255
"""Index of VOC for pixels that count for nothing."""

BORDER_WIDTH = 5
"""Pixels between objects and background, or one another, that VOC leaves void."""


def encode_voc(image: SegmentedImage) -> Iterator[File]:
    """`SegmentationObject` with the numbers of the objects and `SegmentationClass` with those of their classes.

    Raises:
        FormatLimitError: above 254 objects or classes, which a palette cannot number.
    """
    return _encode_voc(image, "voc", image.instances.label_map())


def encode_voc_border(image: SegmentedImage) -> Iterator[File]:
    """The same with void pixels where objects border on the background or one another, as VOC's own annotations have them.

    Raises:
        FormatLimitError: above 254 objects or classes, which a palette cannot number.
    """
    labels = image.instances.label_map()
    highest = ndimage.maximum_filter(labels, BORDER_WIDTH, mode="nearest")
    lowest = ndimage.minimum_filter(labels, BORDER_WIDTH, mode="nearest")
    return _encode_voc(image, "voc-border", np.where(highest == lowest, labels, -1))


def _encode_voc(image: SegmentedImage, folder: str, labels: Int32[np.ndarray, "height width"]) -> Iterator[File]:
    """Of a label map in which -1 is void."""
    classes = np.maximum(image.instances.class_ids, 1)
    for what, number in (("objects", len(classes)), ("classes", int(classes.max(initial=0)))):
        if number >= VOID:
            raise FormatLimitError(f"{number} {what} are more than the {VOID - 1} that a palette can number")
    indices = np.where(labels < 0, VOID, labels).astype(np.uint8)
    class_of_index = np.zeros(VOID + 1, dtype=np.uint8)
    class_of_index[1 : len(classes) + 1] = classes
    class_of_index[VOID] = VOID
    yield f"{folder}/SegmentationObject/{image.stem}.png", _encode_palette(indices)
    yield f"{folder}/SegmentationClass/{image.stem}.png", _encode_palette(class_of_index[indices])


def _encode_palette(indices: UInt8[np.ndarray, "height width"]) -> bytes:
    image, file = Image.fromarray(indices), io.BytesIO()
    image.putpalette(voc_colours().ravel().tolist())
    image.save(file, format="PNG")
    return file.getvalue()


def voc_colours() -> UInt8[np.ndarray, "256 3"]:
    """VOC's palette: the bits of an index dealt in turn to red, green and blue, from the highest bit of each downwards.

    >>> voc_colours()[[0, 1, 2, 15, 255]].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [224, 224, 192]]
    """
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    colours = np.zeros((256, 3), dtype=np.uint8)
    for position in range(8):
        colours[:, position % 3] |= (bits[:, position] << (7 - position // 3)).astype(np.uint8)
    return colours


def encode_cityscapes(image: SegmentedImage) -> Iterator[File]:
    """A mask (0 and 255) for every object, and the text file that names each with id of its class and score.

    Ids are those of Cityscapes if all classes of the model are classes of Cityscapes, otherwise numbers of classes from 1. One mask is made
    at a time.
    """
    ids = _class_ids(image.class_names)
    # a line is split at spaces when it is read
    folder = re.sub(r"[\s%]", lambda found: f"%{ord(found[0]):02X}", image.stem)
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


def _class_ids(class_names: Sequence[str]) -> dict[int, int]:
    """Class -> id of Cityscapes; empty if one of the classes is none of Cityscapes."""
    official = {CLASS_NAMES[number - 1]: one for one, number in CLASS_OF_ID.items()}
    if not set(class_names) <= official.keys():
        return {}
    return {number: official[name] for number, name in enumerate(class_names, start=1)}
