"""Formats `voc` and `voc-border`: the two palette images of PASCAL VOC an image, of its objects and of their classes.

Source: Everingham et al., "The PASCAL Visual Object Classes Challenge 2012 Development Kit", Sec. 3 (palette, void 255 at the border of objects).
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int32, UInt8
from PIL import Image
from scipy import ndimage

from seriatim.core.errors import FormatLimitError
from seriatim.data.encoding import encode_png
from seriatim.results.interface import File, Format, SegmentedImage

VOID = 255
"""VOC's index of pixels that are not judged."""

BORDER_WIDTH = 5
"""Pixels between objects and background, or one another, that VOC leaves void."""


def encode_voc(image: SegmentedImage) -> Iterator[File]:
    """`SegmentationObject` with the numbers of the objects and `SegmentationClass` with those of their classes.

    Raises:
        FormatLimitError: above 254 objects or classes, which a palette cannot number.
    """
    return _encode_voc(image, "voc", image.instances.label_map())


def encode_voc_border(image: SegmentedImage) -> Iterator[File]:
    """The same with void pixels where objects border on the background or one another, as in VOC's own annotations.

    Raises:
        FormatLimitError: above 254 objects or classes, which a palette cannot number.
    """
    labels = image.instances.label_map()
    highest = ndimage.maximum_filter(labels, BORDER_WIDTH, mode="nearest")
    lowest = ndimage.minimum_filter(labels, BORDER_WIDTH, mode="nearest")
    return _encode_voc(image, "voc-border", np.where(highest == lowest, labels, -1))


FORMAT = Format(image=encode_voc)
FORMAT_WITH_BORDER = Format(image=encode_voc_border)


def _encode_voc(image: SegmentedImage, folder: str, labels: Int32[np.ndarray, "height width"]) -> Iterator[File]:
    """The two images of a label map in which -1 is void."""
    classes = np.maximum(image.instances.class_ids, 1)
    for name, number in (("objects", len(classes)), ("classes", int(classes.max(initial=0)))):
        if number >= VOID:
            raise FormatLimitError(f"{number} {name} are more than the {VOID - 1} that a palette can number")
    indices = np.where(labels < 0, VOID, labels).astype(np.uint8)
    class_of_index = np.zeros(VOID + 1, dtype=np.uint8)
    class_of_index[1 : len(classes) + 1] = classes
    class_of_index[VOID] = VOID
    yield f"{folder}/SegmentationObject/{image.stem}.png", _encode_palette(indices)
    yield f"{folder}/SegmentationClass/{image.stem}.png", _encode_palette(class_of_index[indices])


def _encode_palette(indices: UInt8[np.ndarray, "height width"]) -> bytes:
    image = Image.fromarray(indices)
    image.putpalette(voc_colours().ravel().tolist())
    return encode_png(image, compress_level=6)


def voc_colours() -> UInt8[np.ndarray, "256 3"]:
    """VOC's palette: the bits of an index go in turn to red, green and blue, from the highest bit of each colour downwards.

    >>> voc_colours()[[0, 1, 2, 15, 255]].tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [224, 224, 192]]
    """
    bits = np.arange(256)[:, None] >> np.arange(8) & 1
    colours = np.zeros((256, 3), dtype=np.uint8)
    for position in range(8):
        colours[:, position % 3] |= (bits[:, position] << (7 - position // 3)).astype(np.uint8)
    return colours
