"""The formats that `seriatim segment` writes, by name. Nothing heavy is imported before a format is loaded, so that `--help` answers at once."""

from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from seriatim.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from seriatim.results.interface import Format


class Entry(NamedTuple):
    """A format in the table.

    Attributes:
        summary: what it is, for `--help`.
        module: file of this room that defines it.
        constant: name of its `Format` in that file.
    """

    summary: str
    module: str
    constant: str = "FORMAT"


FORMATS = {
    "labels": Entry("label map, PNG or TIFF", "labels"),
    "overlay": Entry("numbered outlines on the image", "overlay"),
    "coco": Entry("COCO JSON of all images", "coco"),
    "counts": Entry("table of counts", "counts"),
    "measurements": Entry("table of all objects", "measurements"),
    "roi": Entry("regions for ImageJ", "imagej"),
    "geojson": Entry("detections for QuPath", "geojson"),
    "labelme": Entry("shapes for Labelme", "labelme"),
    "yolo": Entry("outlines in the format of Ultralytics", "yolo"),
    "voc": Entry("PASCAL VOC palette images", "voc"),
    "voc-border": Entry("the same, with outlines marked void", "voc", "FORMAT_WITH_BORDER"),
    "cityscapes": Entry("submission to the Cityscapes benchmark", "cityscapes"),
}
"""Name of a format -> what it is and where it is defined. A new format is a file and a line here."""

DEFAULT_FORMATS = ("labels", "overlay", "coco", "counts")
"""Formats that are written by default."""


def parse_formats(text: str) -> tuple[str, ...]:
    """The names in a list with commas, each once.

    Raises:
        ConfigError: naming the first unknown format, or if there is none.

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


def load_format(name: str) -> "Format":
    """The functions of a format.

    Args:
        name: a key of `FORMATS`.
    """
    entry = FORMATS[name]
    return getattr(import_module(f"seriatim.results.{entry.module}"), entry.constant)
