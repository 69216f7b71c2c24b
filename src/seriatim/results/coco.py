"""Format `coco`: one JSON file a call with images, annotations (run-length codes and scores) and categories."""

import json
from collections.abc import Iterator

from seriatim.results.interface import Call, File, Format


def encode_coco(call: Call) -> Iterator[File]:
    """The file, from the annotations of every image."""
    images, annotations = [], []
    for image_id, (result, found) in enumerate(zip(call.results, call.kept, strict=True), start=1):
        images.append({"id": image_id, "file_name": result.file, "height": result.size[0], "width": result.size[1]})
        for annotation in found:
            annotations.append({**annotation, "id": len(annotations) + 1, "image_id": image_id})
    categories = [{"id": number, "name": name} for number, name in enumerate(call.class_names, start=1)]
    values = {"images": images, "annotations": annotations, "categories": categories}
    yield "instances.json", json.dumps(values, separators=(",", ":")).encode()


FORMAT = Format(keep=lambda image: image.instances.to_coco(), call=encode_coco)
