"""Writing a source as a COCO file: `images/` (PNG) and `instances.json` with run-length codes, which kind `coco:` and pycocotools read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seriatim.core.errors import DataError
from seriatim.core.files import write_atomically
from seriatim.core.instances import Instances
from seriatim.core.progress import Progress
from seriatim.data.encoding import encode_image, make_parts
from seriatim.data.readers.folder import write_label_map
from seriatim.data.samples import Sample
from seriatim.data.source import Source


def write_coco(
    source: Source,
    folder: Path,
    progress: Progress | None = None,
    file_name: str = "instances.json",
    with_labels: bool = False,
) -> None:
    """Write every sample; the same source is written to the same bytes.

    Objects keep the pixels that others cover, crowds become annotations with iscrowd 1, and categories get the `category_ids` of the
    source. COCO has no place for other ignored pixels, distances and more than 8 bits a colour; they are not written.

    Args:
        source: what to write.
        folder: gets `images/` and the file.
        progress: called with the number done and the number of all.
        file_name: of the file in `folder`; it is written last.
        with_labels: write `labels/` too, so that the folder is also one of kind `folder:`.

    Raises:
        DataError: if a sample cannot be read, two have the same name, a name leaves the folder, a class has no name, or an image holds more
            objects than a label map can number.
        FileWriteError: if the disk does not take a file.
    """
    names = [source.name(index) for index in range(len(source))]
    _check_names(names)
    category_ids = source.category_ids
    make_parts(folder, ("images", "labels") if with_labels else ("images",))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, name in enumerate(names, start=1):
        sample = source.read(number - 1)
        if with_labels:
            write_label_map(sample, folder, name)
        write_atomically(folder / "images" / f"{name}.png", encode_image(sample.image))
        height, width = sample.labels.shape
        images.append({"id": number, "file_name": f"{name}.png", "height": height, "width": width})
        annotations += coco_annotations(sample, number, len(annotations) + 1, category_ids)
        if progress is not None:
            progress(number, len(names))
    categories = [
        {"id": category_id, "name": name} for category_id, name in zip(category_ids, source.class_names, strict=True)
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_atomically(folder / file_name, json.dumps(content, separators=(",", ":"), allow_nan=False).encode())


def coco_annotations(
    sample: Sample, image_id: int, first_annotation_id: int, category_ids: Sequence[int]
) -> list[dict[str, Any]]:
    """COCO's annotations of a sample: the objects in their order, then the crowds.

    Args:
        sample: the sample.
        image_id: of its image in the file.
        first_annotation_id: of the first annotation.
        category_ids: of the classes 1..C.

    Raises:
        DataError: if a class is beyond the categories.
    """
    objects = sample.instances()
    crowds = sample.crowds if sample.crowds is not None else Instances(objects.size)
    together = Instances(objects.size, [*objects, *crowds])
    annotations = together.to_coco(image_id, first_annotation_id)
    for position, (annotation, class_id) in enumerate(zip(annotations, together.class_ids.tolist(), strict=True)):
        if not 1 <= class_id <= len(category_ids):
            raise DataError(f"{sample.name}: an object of class {class_id}, the source names {len(category_ids)}")
        annotation["category_id"] = category_ids[class_id - 1]
        annotation["iscrowd"] = int(position >= len(objects))
        del annotation["score"]
    return annotations


def _check_names(names: Sequence[str]) -> None:
    met: set[str] = set()
    for name in names:
        if name in met:
            raise DataError(f"{name}: two images of this name would be written to one file")
        if not name or Path(name).name != name:
            raise DataError(f"{name!r}: is no name for a file")
        met.add(name)
