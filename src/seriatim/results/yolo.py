"""Format `yolo`: a text file of outlines an image; with the images in `yolo/images` it is a data set for Ultralytics' YOLO."""

from collections.abc import Iterator

from seriatim.data.readers.yolo import encode_yolo, encode_yolo_names
from seriatim.results.interface import Call, File, Format, SegmentedImage


def encode_yolo_file(image: SegmentedImage) -> Iterator[File]:
    """The outlines of one image."""
    yield f"yolo/labels/{image.stem}.txt", encode_yolo(image.instances)


def encode_yolo_data(call: Call) -> Iterator[File]:
    """The names of the classes."""
    yield "yolo/data.yaml", encode_yolo_names(tuple(call.class_names))


FORMAT = Format(image=encode_yolo_file, call=encode_yolo_data)
