"""Format `labelme`: a file an image for the annotation program Labelme, which opens the image where it lies."""

from collections.abc import Iterator
from pathlib import Path

from seriatim.data.readers.labelme import encode_labelme, relative_path
from seriatim.results.interface import File, Format, SegmentedImage


def encode_labelme_file(image: SegmentedImage) -> Iterator[File]:
    """The shapes, with the path of the image relative to the file."""
    path = relative_path(Path(image.file), image.folder / "labelme")
    yield f"labelme/{image.stem}.json", encode_labelme(image.instances, image.class_names, path)


FORMAT = Format(image=encode_labelme_file)
