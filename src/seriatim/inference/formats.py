"""What is written: label maps, overlays, one COCO file and one table of counts a call.

A picture's format turns pixels and objects into the ending of a file and its bytes; a call's format turns all results into the bytes of one
file. Both are literal dicts: a further format is one function and one line.
"""

import colorsys
import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from seriatim.core.errors import ConfigError, did_you_mean
from seriatim.core.files import FileWriteError, write_atomically
from seriatim.core.instances import Instance, Instances
from seriatim.core.shapes import Size
from seriatim.data.images import to_float_image
from seriatim.data.preparation import to_channels

MOST_16_BIT = 65_535
"""Objects that a 16-bit label map can number."""


@dataclass(frozen=True, slots=True)
class Result:
    """What is kept of a picture once its own files are written.

    Attributes:
        file: the picture, as it was given.
        size: (height, width) in pixels.
        count: number of objects.
        seconds: that it took.
        annotations: COCO's, with ids counted from 1 in each picture; empty unless asked for.
    """

    file: str
    size: Size
    count: int
    seconds: float
    annotations: list[dict[str, Any]] = field(default_factory=list)


def encode_labels(pixels: np.ndarray, instances: Instances) -> tuple[str, bytes]:
    """A label map: 0 background, 1..N in the order found; PNG of 16 bits, or TIFF of 32 bits for more than 65,535 objects."""
    del pixels
    labels, file = instances.label_map(), io.BytesIO()
    if len(instances) > MOST_16_BIT:
        tifffile.imwrite(file, labels.astype(np.uint32), compression="zlib")
        return ".labels.tif", file.getvalue()
    Image.fromarray(labels.astype(np.uint16)).save(file, format="PNG")
    return ".labels.png", file.getvalue()


def encode_overlay(pixels: np.ndarray, instances: Instances) -> tuple[str, bytes]:
    """The picture with the outline of every object and its number in the order found, as PNG."""
    file = io.BytesIO()
    draw_overlay(pixels, instances).save(file, format="PNG", compress_level=4)
    return ".overlay.png", file.getvalue()


def encode_coco(results: Sequence[Result], class_names: Sequence[str]) -> bytes:
    """COCO: images, annotations with run-length codes and scores, categories."""
    images, annotations = [], []
    for image_id, result in enumerate(results, start=1):
        images.append({"id": image_id, "file_name": result.file, "height": result.size[0], "width": result.size[1]})
        for annotation in result.annotations:
            annotations.append({**annotation, "id": len(annotations) + 1, "image_id": image_id})
    categories = [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)]
    return json.dumps(
        {"images": images, "annotations": annotations, "categories": categories}, separators=(",", ":")
    ).encode()


def encode_counts(results: Sequence[Result], class_names: Sequence[str]) -> bytes:
    """A table: file, count, seconds."""
    del class_names
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "count", "seconds"))
    table.writerows((result.file, result.count, f"{result.seconds:.3f}") for result in results)
    return text.getvalue().encode("utf-8", "surrogateescape")


PICTURE_FORMATS: dict[str, Callable[[np.ndarray, Instances], tuple[str, bytes]]] = {
    "labels": encode_labels,
    "overlay": encode_overlay,
}
"""Name of a format -> ending and bytes of one file a picture, from its pixels and objects."""

CALL_FORMATS: dict[str, tuple[str, Callable[[Sequence[Result], Sequence[str]], bytes]]] = {
    "coco": ("instances.json", encode_coco),
    "counts": ("counts.csv", encode_counts),
}
"""Name of a format -> name and bytes of one file a call, from all results and the names of the classes."""

FORMATS = (*PICTURE_FORMATS, *CALL_FORMATS)
"""All names, which are also the formats written unless told otherwise."""


def parse_formats(text: str) -> tuple[str, ...]:
    """The formats in a list with commas.

    Raises:
        ConfigError: naming the first that is unknown, or if there is none.

    >>> parse_formats("labels, counts")
    ('labels', 'counts')
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in FORMATS:
            raise ConfigError(f"format {name!r}: unknown{did_you_mean(name, FORMATS)}")
    if not names:
        raise ConfigError(f"no format given; known: {', '.join(FORMATS)}")
    return names


class ResultFolder:
    """The files of one call."""

    def __init__(self, folder: Path, formats: Sequence[str], class_names: Sequence[str]) -> None:
        """
        Args:
            folder: made if missing.
            formats: names of `FORMATS`.
            class_names: of the classes, from class 1.

        Raises:
            ConfigError: if `folder` is a file.
            FileWriteError: if the folder cannot be made.
        """
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder}: is a file; results need a folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileWriteError(f"{folder}: could not make the folder: {error.strerror or error}") from error
        self.folder = folder
        self.formats = formats
        self.class_names = class_names
        self.results: list[Result] = []

    def add(self, file: str, stem: str, pixels: np.ndarray, instances: Instances, seconds: float) -> None:
        """Write the files of one picture and remember it for those of the call.

        Args:
            file: the picture, as it was given.
            stem: what the names of its files begin with.
            pixels: of the picture, as stored.
            instances: found in it.
            seconds: that it took.

        Raises:
            FileWriteError: if the disk does not take a file.
        """
        for name in self.formats:
            if name in PICTURE_FORMATS:
                ending, data = PICTURE_FORMATS[name](pixels, instances)
                write_atomically(self.folder / f"{stem}{ending}", data)
        annotations = instances.to_coco() if "coco" in self.formats else []
        self.results.append(Result(file, instances.size, len(instances), seconds, annotations))

    def finish(self) -> None:
        """Write the files of the call, of the pictures added so far.

        Raises:
            FileWriteError: if the disk does not take a file.
        """
        for name in self.formats:
            if name in CALL_FORMATS:
                file_name, encode = CALL_FORMATS[name]
                write_atomically(self.folder / file_name, encode(self.results, self.class_names))


def draw_overlay(pixels: np.ndarray, instances: Instances) -> Image.Image:
    """The picture as a person sees it, with numbered outlines in the order found.

    Args:
        pixels: as stored; those of 8 bits are shown as they are, others are stretched between the percentiles 0.5 and 99.8.
        instances: found in it.
    """
    shown = as_shown(pixels)
    thickness = max(1, round(min(instances.size) / 700))
    for number, instance in enumerate(instances, start=1):
        y0, x0, y1, x1 = instance.box
        shown[y0:y1, x0:x1][_outline(instance.mask, thickness)] = _colour(number)
    overlay = Image.fromarray(shown)
    draw = ImageDraw.Draw(overlay)
    size = _font_size(instances)
    font = ImageFont.load_default(size)
    for number, instance in enumerate(instances, start=1):
        draw.text(
            _middle(instance),
            str(number),
            fill=_colour(number),
            font=font,
            anchor="mm",
            stroke_width=max(1, round(size / 9)),
            stroke_fill=(0, 0, 0),
        )
    return overlay


def as_shown(pixels: np.ndarray) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels of any type as a person sees them: RGB of 8 bits, transparency laid on white."""
    values = to_channels(to_float_image(pixels), 3)
    if pixels.dtype not in (np.uint8, np.bool_):
        low, high = np.percentile(values, (0.5, 99.8))
        values = (values - low) / max(high - low, 1e-6)
    return np.ascontiguousarray(np.moveaxis((np.clip(values, 0, 1) * 255 + 0.5).astype(np.uint8), 0, -1))


def _outline(mask: Bool[np.ndarray, "height width"], thickness: int) -> Bool[np.ndarray, "height width"]:
    inside = ndimage.binary_erosion(mask, np.ones((3, 3), dtype=bool), iterations=thickness)
    return np.logical_and(mask, np.logical_not(inside))


def _colour(number: int) -> tuple[int, int, int]:
    """A light colour; hues of neighbouring numbers lie far apart on the wheel, and blue is lightened to be seen on black."""
    rgb = np.array(colorsys.hsv_to_rgb(number * 0.618034 % 1.0, (0.75, 0.55, 0.9)[number % 3], 1.0))
    luminance = float(rgb @ (0.2126, 0.7152, 0.0722))
    rgb += (1 - rgb) * max(0.0, (0.45 - luminance) / (1 - luminance))
    red, green, blue = (round(255 * float(value)) for value in rgb)
    return red, green, blue


def _font_size(instances: Instances) -> int:
    """Fits the median object, within what can be read."""
    side = float(np.median(np.sqrt(instances.areas))) if len(instances) else 0.0
    return int(np.clip(round(0.5 * side), 10, 36))


def _middle(instance: Instance) -> tuple[float, float]:
    """(x, y) of the pixel that lies deepest inside the object."""
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(instance.mask, 1)))[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return instance.box[1] + float(x) + 0.5, instance.box[0] + float(y) + 0.5
