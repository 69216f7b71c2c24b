"""From one kind of data set to another: what is read by the first is written as the second."""

from collections.abc import Callable
from pathlib import Path

from seriatim.core.errors import ConfigError, DataError, did_you_mean
from seriatim.core.progress import Progress
from seriatim.data.readers.cellpose import write_cellpose
from seriatim.data.readers.coco_writer import write_coco
from seriatim.data.readers.folder import write_folder
from seriatim.data.readers.labelme import write_labelme
from seriatim.data.readers.yolo import write_yolo
from seriatim.data.source import Source


def _write_coco(source: Source, path: Path, progress: Progress | None = None) -> None:
    if path.suffix.lower() != ".json":
        raise ConfigError(f"coco:{path}: expected the path of a .json file, such as coco:plants/instances.json")
    write_coco(source, path.parent, progress, path.name)


WRITERS: dict[str, Callable[[Source, Path, Progress | None], None]] = {
    "cellpose": write_cellpose,
    "coco": _write_coco,
    "folder": write_folder,
    "labelme": write_labelme,
    "yolo": write_yolo,
}
"""Kind of data -> what writes a source as that kind."""

LOSES: dict[str, str] = {
    "cellpose": "classes, and the covered pixels of overlapping objects",
    "coco": "ignored pixels that are no crowds",
    "folder": "classes, ignored pixels, and the covered pixels of overlapping objects",
    "labelme": "crowds",
    "yolo": "ignored pixels and crowds",
}
"""Kind of data -> what it has no place for."""


def convert(source: Source, target: str, progress: Progress | None = None) -> Path:
    """Write a data set as another kind; returns where it lies.

    Args:
        source: what to write.
        target: KIND:PATH; the path must not hold anything yet, so that no data are mixed.
        progress: called with the number of images done and of all.

    Raises:
        ConfigError: if no writer of the kind exists, or the path is of no use for it.
        DataError: if something is there already, or a sample cannot be read.
        FileWriteError: if the disk does not take a file.
    """
    kind, colon, path = target.partition(":")
    if not colon or not path or kind not in WRITERS:
        raise ConfigError(
            f"{target}: expected KIND:PATH, with a kind that can be written: {', '.join(sorted(WRITERS))}{did_you_mean(kind, WRITERS)}"
        )
    place = Path(path)
    folder = place.parent if kind == "coco" else place
    taken = place if kind == "coco" and place.exists() else folder
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise DataError(f"{taken}: exists already; give a new path, so that no data are mixed")
    if kind == "coco" and (folder / "images").is_dir() and any((folder / "images").iterdir()):
        raise DataError(f"{folder / 'images'}: holds images already; give a new path, so that no data are mixed")
    WRITERS[kind](source, place, progress)
    return place
