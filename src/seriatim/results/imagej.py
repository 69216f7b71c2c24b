"""Format `roi`: an archive an image of regions for ImageJ's ROI Manager. Outlines run along the edges of pixels, so no pixel is lost."""

import io
import zipfile
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

from seriatim.core.instances import Instance
from seriatim.data.masks.outlines import instance_outlines, rings_of
from seriatim.results.interface import File, Format, SegmentedImage

MAX_16_BIT_COORDINATE = 60_535
"""Largest coordinate that ImageJ keeps in 16 bits."""

MAX_GROUP = 255
"""Largest number of a group in ImageJ."""

FIXED_DATE = (1980, 1, 1, 0, 0, 0)
"""Date of the files in an archive, so that the same objects give the same bytes."""


def encode_rois(image: SegmentedImage) -> Iterator[File]:
    """The archive; regions are named by their numbers in the order found, and their group is the class."""
    file = io.BytesIO()
    digits = max(4, len(str(len(image.instances))))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, instance in enumerate(image.instances, start=1):
            if instance.mask.any():
                name = f"{number:0{digits}d}"
                region = _region(instance, name, image.class_name(instance))
                archive.writestr(_entry(f"{name}.roi"), region.tobytes())
    yield f"{image.stem}.rois.zip", file.getvalue()


FORMAT = Format(image=encode_rois)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, FIXED_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3
    entry.external_attr = 0o644 << 16
    return entry


def _region(instance: Instance, name: str, class_name: str) -> ImagejRoi:
    """A traced outline, or a composite of paths where there are holes, several parts, or coordinates beyond 16 bits."""
    rings = rings_of(instance_outlines(instance))
    y0, x0, y1, x1 = (int(edge) for edge in instance.box)
    region = ImagejRoi(
        name=name,
        top=y0,
        left=x0,
        bottom=y1,
        right=x1,
        group=min(max(int(instance.class_id), 1), MAX_GROUP),
        props=f"class: {' '.join(class_name.split())}\nscore: {instance.score:.6f}\n",
        options=ROI_OPTIONS.OVERLAY_BACKGROUNDS | ROI_OPTIONS.OVERLAY_LABELS,
    )
    if len(rings) == 1 and max(y1, x1) <= MAX_16_BIT_COORDINATE:
        region.roitype = ROI_TYPE.TRACED
        region.integer_coordinates = (rings[0] - (x0, y0)).astype(np.int32)
        region.n_coordinates = len(rings[0])
    else:
        region.roitype = ROI_TYPE.RECT
        region.multi_coordinates = np.concatenate([_path(ring) for ring in rings])
        region.shape_roi_size = len(region.multi_coordinates)
    return region


def _path(ring: Int[np.ndarray, "_ 2"]) -> Float32[np.ndarray, " numbers"]:
    """A ring in ImageJ's code of paths: move (0), lines (1), close (4)."""
    steps = np.ones((len(ring), 3), dtype=np.float32)
    steps[0, 0] = 0
    steps[:, 1:] = ring
    return np.append(steps.ravel(), np.float32(4))
