"""Format `geojson`: a collection an image of detections for QuPath. Outlines run along the edges of pixels, so no pixel is lost."""

import json
from collections.abc import Iterator
from typing import Any

from seriatim.core.instances import Instance
from seriatim.data.masks.outlines import Outline, instance_outlines
from seriatim.results.drawing import colour_of
from seriatim.results.interface import File, Format, SegmentedImage


def encode_geojson(image: SegmentedImage) -> Iterator[File]:
    """The collection; a detection has its class, score and area, and its name is the number in the order found."""
    features = [
        json.dumps(_feature(image, number, instance), separators=(",", ":"))
        for number, instance in enumerate(image.instances, start=1)
        if instance.mask.any()
    ]
    joined = ",\n".join(features)
    yield f"{image.stem}.geojson", f'{{"type":"FeatureCollection","features":[\n{joined}\n]}}\n'.encode()


FORMAT = Format(image=encode_geojson)


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
    """The outer ring and its holes, each closed by its first corner."""
    rings = [ring.tolist() for ring in (part.outer, *part.holes)]
    return [[*ring, ring[0]] for ring in rings]
