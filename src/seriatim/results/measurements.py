"""Format `measurements`: one table a call, with a row for every object.

Lengths and areas are in pixels of the image, intensities in the units of the file. Perimeter and axes are scikit-image's: the perimeter of
the outline through the centres of the border pixels (Benkrid and Crookes, "Design and FPGA implementation of a perimeter estimator", 2000),
the axes of the ellipse with the same second moments.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from skimage.measure import regionprops

from seriatim.core.instances import Instance
from seriatim.core.shapes import box_slices
from seriatim.results.interface import Call, File, Format, SegmentedImage

COLUMNS = (
    "file",
    "object",
    "class",
    "score",
    "area",
    "perimeter",
    "centroid_y",
    "centroid_x",
    "major_axis",
    "minor_axis",
)
"""Columns of the table; the mean intensity of every channel (`mean_1`, ...) follows."""


class Rows(NamedTuple):
    """The rows of one image as text without line ends, and its number of channels."""

    lines: list[str]
    num_channels: int


def measure(image: SegmentedImage) -> Rows:
    """The rows of all objects of an image, in the order found; an object without pixels has none."""
    pixels = image.pixels[..., None] if image.pixels.ndim == 2 else image.pixels
    lines = []
    for number, instance in enumerate(image.instances, start=1):
        if instance.mask.any():
            values = (f"{value:.8g}" for value in _measure_object(instance, pixels))
            name, score = image.class_name(instance), f"{instance.score:.6f}"
            lines.append(_as_line((image.file, number, name, score, instance.area, *values)))
    return Rows(lines, pixels.shape[2])


def _as_line(cells: Sequence[object]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


def _measure_object(instance: Instance, pixels: np.ndarray) -> list[float]:
    """Perimeter, centroid (y, x), major and minor axis, and the mean of every channel; the centre of pixel (0, 0) is (0, 0)."""
    [region] = regionprops(instance.mask.astype(np.uint8))
    y, x = region.centroid
    means = pixels[box_slices(instance.box)][instance.mask].mean(axis=0, dtype=np.float64)
    shape = (
        region.perimeter,
        y + instance.box[0],
        x + instance.box[1],
        region.axis_major_length,
        region.axis_minor_length,
    )
    return [*(float(value) for value in shape), *means.tolist()]


def encode_measurements(call: Call) -> Iterator[File]:
    """The table; an image with fewer channels than another has empty cells at the end of its rows."""
    num_channels = max((rows.num_channels for rows in call.kept), default=0)
    lines = [_as_line((*COLUMNS, *(f"mean_{channel}" for channel in range(1, num_channels + 1))))]
    for rows in call.kept:
        empty = "," * (num_channels - rows.num_channels)
        lines += [f"{line}{empty}" for line in rows.lines]
    yield "measurements.csv", "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")


FORMAT = Format(keep=measure, call=encode_measurements)
