"""What is written: the formats by their names, and the folder of results.

A format turns each segmented image into files, or keeps something of it for files of the whole call, or both. All are entries of one literal
dict: a further format is its functions and one entry, here and in `format_names`.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from PIL import Image

from seriatim.core.errors import ConfigError, FileWriteError, FormatLimitError, did_you_mean
from seriatim.core.files import write_atomically
from seriatim.core.instances import Instances
from seriatim.results.format_masks import encode_cityscapes, encode_voc, encode_voc_border
from seriatim.results.format_polygons import (
    encode_geojson,
    encode_labelme_file,
    encode_rois,
    encode_yolo_data,
    encode_yolo_file,
)
from seriatim.results.measurements import encode_measurements, measure
from seriatim.results.overlay import encode_overlay
from seriatim.results.segmented import File, Result, SegmentedImage

MAX_16_BIT = 65_535
"""Objects that a 16-bit label map can number."""


class Format(NamedTuple):
    """How a format is written.

    Attributes:
        image: the files of one image, one after another.
        keep: what is kept of a image for `call`.
        call: the files of the whole call, from all results, what was kept of each, and the names of the classes.
    """

    image: Callable[[SegmentedImage], Iterable[File]] | None = None
    keep: Callable[[SegmentedImage], Any] | None = None
    call: Callable[[Sequence[Result], Sequence[Any], Sequence[str]], Iterable[File]] | None = None


def encode_labels(image: SegmentedImage) -> Iterator[File]:
    """A label map: 0 background, 1..N in the order found; PNG of 16 bits, or TIFF of 32 bits for more than 65,535 objects."""
    labels, file = image.instances.label_map(), io.BytesIO()
    if len(image.instances) > MAX_16_BIT:
        tifffile.imwrite(file, labels.astype(np.uint32), compression="zlib")
        yield f"{image.stem}.labels.tif", file.getvalue()
    else:
        Image.fromarray(labels.astype(np.uint16)).save(file, format="PNG")
        yield f"{image.stem}.labels.png", file.getvalue()


def encode_coco(results: Sequence[Result], kept: Sequence[list[dict]], class_names: Sequence[str]) -> Iterator[File]:
    """COCO: images, annotations with run-length codes and scores, categories."""
    images, annotations = [], []
    for image_id, (result, found) in enumerate(zip(results, kept, strict=True), start=1):
        images.append({"id": image_id, "file_name": result.file, "height": result.size[0], "width": result.size[1]})
        for annotation in found:
            annotations.append({**annotation, "id": len(annotations) + 1, "image_id": image_id})
    categories = [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)]
    values = {"images": images, "annotations": annotations, "categories": categories}
    yield "instances.json", json.dumps(values, separators=(",", ":")).encode()


def encode_counts(results: Sequence[Result], kept: Sequence[Any], class_names: Sequence[str]) -> Iterator[File]:
    """A table: file, count, seconds."""
    del kept, class_names
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("file", "count", "seconds"))
    table.writerows((result.file, result.count, f"{result.seconds:.3f}") for result in results)
    yield "counts.csv", text.getvalue().encode("utf-8", "surrogateescape")


FORMATS: dict[str, Format] = {
    "labels": Format(image=encode_labels),
    "overlay": Format(image=encode_overlay),
    "coco": Format(keep=lambda image: image.instances.to_coco(), call=encode_coco),
    "counts": Format(call=encode_counts),
    "measurements": Format(keep=measure, call=encode_measurements),
    "roi": Format(image=encode_rois),
    "geojson": Format(image=encode_geojson),
    "labelme": Format(image=encode_labelme_file),
    "yolo": Format(image=encode_yolo_file, call=encode_yolo_data),
    "voc": Format(image=encode_voc),
    "voc-border": Format(image=encode_voc_border),
    "cityscapes": Format(image=encode_cityscapes),
}
"""Name of a format -> how it is written."""


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
        _make_folder(folder)
        self.folder = folder
        self.formats = formats
        self.class_names = class_names
        self.results: list[Result] = []

    def add(self, file: str, stem: str, pixels: np.ndarray, instances: Instances, seconds: float) -> None:
        """Write the files of one image and remember it for those of the call.

        Args:
            file: the image, as it was given.
            stem: what the names of its files begin with.
            pixels: of the image, as stored.
            instances: found in it.
            seconds: that it took.

        Raises:
            FileWriteError: if the disk does not take a file.
            FormatLimitError: if a format cannot hold these objects; the others are written all the same.
        """
        image = SegmentedImage(file, stem, self.folder, pixels, instances, self.class_names)
        kept, refused = {}, []
        for name in self.formats:
            how = FORMATS[name]
            try:
                self._write(how.image(image) if how.image else ())
            except FormatLimitError as error:
                refused.append(f"format {name!r}: {error}")
            if how.keep:
                kept[name] = how.keep(image)
        self.results.append(Result(file, instances.size, len(instances), seconds, kept))
        if refused:
            raise FormatLimitError(f"{file}: {'; '.join(refused)}")

    def finish(self) -> None:
        """Write the files of the call, of the images added so far.

        Raises:
            FileWriteError: if the disk does not take a file.
        """
        for name in self.formats:
            how = FORMATS[name]
            if how.call:
                kept = [result.kept.get(name) for result in self.results]
                self._write(how.call(self.results, kept, self.class_names))

    def _write(self, files: Iterable[File]) -> None:
        for name, data in files:
            path = self.folder / name
            _make_folder(path.parent)
            write_atomically(path, data)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileWriteError(f"{folder}: could not make the folder: {error.strerror or error}") from error
