"""Formats of outlines: ImageJ regions, GeoJSON for QuPath, Labelme, YOLO. Outlines run along the edges of pixels, so no pixel is lost."""

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

from seriatim.core.instances import Instance
from seriatim.data.masks.outlines import Outline, instance_outlines, rings_of
from seriatim.data.readers.labelme import encode_labelme, relative_path
from seriatim.data.readers.yolo import encode_yolo, encode_yolo_names
from seriatim.results.overlay import colour_of
from seriatim.results.segmented import File, Result, SegmentedImage

MAX_SHORT = 60_535
"""Largest coordinate that ImageJ keeps in 16 bits."""

MAX_GROUP = 255
"""Largest number of a group in ImageJ."""

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""Date of the files in an archive, so that the same objects give the same bytes."""


def encode_rois(image: SegmentedImage) -> Iterator[File]:
    """A zip of ImageJ regions for its ROI Manager, named by their numbers in the order found; the group is the class."""
    file = io.BytesIO()
    digits = max(4, len(str(len(image.instances))))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, instance in enumerate(image.instances, start=1):
            if instance.mask.any():
                name = f"{number:0{digits}d}"
                region = _region(instance, name, image.class_name(instance))
                archive.writestr(_entry(f"{name}.roi"), region.tobytes())
    yield f"{image.stem}.rois.zip", file.getvalue()


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, LONG_AGO)
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
    if len(rings) == 1 and max(y1, x1) <= MAX_SHORT:
        region.roitype = ROI_TYPE.TRACED
        region.integer_coordinates = (rings[0] - (x0, y0)).astype(np.int32)
        region.n_coordinates = len(rings[0])
    else:
        region.roitype = ROI_TYPE.RECT
        region.multi_coordinates = np.concatenate([_path(ring) for ring in rings])
        region.shape_roi_size = len(region.multi_coordinates)
    return region


def _path(ring: Int[np.ndarray, "_ 2"]) -> Float32[np.ndarray, " numbers"]:
    """Move there (0), lines (1), close (4), as ImageJ stores a path."""
    steps = np.ones((len(ring), 3), dtype=np.float32)
    steps[0, 0] = 0
    steps[:, 1:] = ring
    return np.append(steps.ravel(), np.float32(4))


def encode_geojson(image: SegmentedImage) -> Iterator[File]:
    """A GeoJSON collection of QuPath's detections, with class, score and area; the name is the number in the order found."""
    features = [
        json.dumps(_feature(image, number, instance), separators=(",", ":"))
        for number, instance in enumerate(image.instances, start=1)
        if instance.mask.any()
    ]
    joined = ",\n".join(features)
    yield f"{image.stem}.geojson", f'{{"type":"FeatureCollection","features":[\n{joined}\n]}}\n'.encode()


def _feature(image: SegmentedImage, number: int, instance: Instance) -> dict[str, Any]:
    parts = [_closed_rings(part) for part in instance_outlines(instance)]
    several = len(parts) > 1
    return {
        "type": "Feature",
        "geometry": {"type": "MultiPolygon" if several else "Polygon", "coordinates": parts if several else parts[0]},
        "properties": {
            "objectType": "detection",
            "name": str(number),
            "classification": {
                "name": image.class_name(instance),
                "color": list(colour_of(max(int(instance.class_id), 1))),
            },
            "measurements": {"Score": round(float(instance.score), 6), "Area px^2": instance.area},
        },
    }


def _closed_rings(part: Outline) -> list[list[list[int]]]:
    """The outer ring and its holes, each with its first corner once more at the end."""
    rings = [ring.tolist() for ring in (part.outer, *part.holes)]
    return [[*ring, ring[0]] for ring in rings]


def encode_labelme_file(image: SegmentedImage) -> Iterator[File]:
    """A file for Labelme that points at the image where it lies."""
    folder = image.folder / "labelme"
    path = relative_path(Path(image.file), folder)
    yield f"labelme/{image.stem}.json", encode_labelme(image.instances, image.class_names, path)


def encode_yolo_file(image: SegmentedImage) -> Iterator[File]:
    """A text file of outlines; images laid into `yolo/images` make it a data set."""
    yield f"yolo/labels/{image.stem}.txt", encode_yolo(image.instances)


def encode_yolo_data(results: Sequence[Result], kept: Sequence[Any], class_names: Sequence[str]) -> Iterator[File]:
    """The names of the classes."""
    del results, kept
    yield "yolo/data.yaml", encode_yolo_names(tuple(class_names))
