"""Format `measurements`: one table a call, with a row for every object.

Lengths and areas are in pixels of the image, intensities in the units of the file. Perimeter and axes are scikit-image's: the perimeter of
the outline through the centres of the border pixels (Benkrid and Crookes, "Design and FPGA implementation of a perimeter estimator", 2000),
the axes of the ellipse with the same second moments.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from skimage.measure import regionprops

from seriatim.core.instances import Instance
from seriatim.core.shapes import box_slices
from seriatim.results.interface import Call, File, Format, SegmentedImage
from seriatim.results.tables import table_line

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


def measure(image: SegmentedImage) -> dict[str, Any]:
    """The cells after the first of all objects of an image, in the order found, and its number of channels; an object without pixels has no row."""
    pixels = image.pixels[..., None] if image.pixels.ndim == 2 else image.pixels
    rows = []
    for number, instance in enumerate(image.instances, start=1):
        if instance.mask.any():
            values = (f"{value:.8g}" for value in _measure_object(instance, pixels))
            name, score = image.class_name(instance), f"{instance.score:.6f}"
            rows.append([str(number), name, score, str(instance.area), *values])
    return {"rows": rows, "num_channels": pixels.shape[2]}


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
    num_channels = max((kept["num_channels"] for kept in call.kept), default=0)
    lines = [table_line((*COLUMNS, *(f"mean_{channel}" for channel in range(1, num_channels + 1))))]
    for result, kept in zip(call.results, call.kept, strict=True):
        empty = [""] * (num_channels - kept["num_channels"])
        lines += [table_line((result.file, *cells, *empty)) for cells in kept["rows"]]
    yield "measurements.csv", b"".join(lines)


FORMAT = Format(keep=measure, call=encode_measurements)
