"""Format `labels`: a label map an image, 0 background, 1..N in the order found."""

from collections.abc import Iterator

from seriatim.data.encoding import encode_label_map
from seriatim.results.interface import File, Format, SegmentedImage


def encode_labels(image: SegmentedImage) -> Iterator[File]:
    """PNG of 16 bits, or TIFF of 32 bits for more than 65,535 objects."""
    ending, data = encode_label_map(image.instances.label_map(), compress_level=6)
    yield f"{image.stem}.labels{ending}", data


FORMAT = Format(image=encode_labels)
