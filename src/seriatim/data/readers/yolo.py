"""Kind `yolo:PATH`: outlines in text files as Ultralytics has them, a line `class x1 y1 x2 y2 ...` an object, coordinates in 0..1.

PATH is a folder with `images/` and `labels/` of the same inner folders and stems (or with parts that hold them: `train/images`, ...), a folder
of images below an `images/`, such as `plants/images/val`, or a `data.yaml`, of which all parts are taken. Classes are counted from 0 in the
files; their names are in `data.yaml` (`names`) or `classes.txt`. An image without a text file has no objects. Where outlines overlap,
the smaller object lies on top. An object of several parts or with holes is one outline whose parts are joined by lines there and back.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from jaxtyping import Float64

from seriatim.core.errors import DataError
from seriatim.core.files import write_atomically
from seriatim.core.instances import Instances
from seriatim.core.progress import Progress
from seriatim.data.encoding import encode_image, make_parts, samples_to_write, warn_of_losses
from seriatim.data.images import SUFFIXES
from seriatim.data.masks.outlines import as_one_ring, check_ring, draw_object, instance_outlines, rings_of
from seriatim.data.masks.overlaps import lay_objects
from seriatim.data.problems import Problems
from seriatim.data.readers.files import FileSource, read_image
from seriatim.data.readers.json_values import describe
from seriatim.data.samples import Sample
from seriatim.data.source import Source

DESCRIPTIONS = ("data.yaml", "data.yml", "dataset.yaml", "classes.txt", "labels/classes.txt")
"""Files with the names of the classes, in the order in which they are looked for."""

PARTS = ("train", "val", "valid", "test")
"""Keys of `data.yaml` that name folders of images."""

MAX_DESCRIPTION = 2**16
"""Bytes of a `data.yaml`; reading YAML is slow, and 1,200 classes take a third of this."""

ROUNDING = 1e-3
"""How far outside 0..1 a coordinate may lie without being listed as a problem."""


class _Line(NamedTuple):
    number: int
    class_id: int
    ring: Float64[np.ndarray, "points 2"]


class _Entry(NamedTuple):
    name: str
    file: Path
    labels: Path
    lines: list[_Line]


class YoloSource(FileSource[_Entry]):
    """Images with outlined objects, in the order of parts and names: inner folders and stem, such as train-plant07.

    Its `problems` are lines and files that were left out, boxes among them, and outlines that leave the image.
    """

    def __init__(self, path: Path, strict: bool = False) -> None:
        """
        Args:
            path: a folder, or a `data.yaml`.
            strict: refuse data with problems.

        Raises:
            DataError: if there are no images, none has labels, or the names of the classes cannot be read.
        """
        self.path = path
        self.problems = Problems(strict)
        root, folders = _find_folders(path)
        self.class_names = _read_names(path, root)
        files = _list_images(folders)
        self.entries = [entry for name in files if (entry := self._read_entry(name, files[name])) is not None]
        if not self.entries:
            raise DataError(f"{path}: holds no images that can be used")
        self._note_strays(folders)
        if not any(entry.labels.is_file() for entry in self.entries):
            raise DataError(f"{self.entries[0].labels}: no such file, and no other image of {path} has labels either")
        if not self.class_names:
            highest = max((line.class_id for entry in self.entries for line in entry.lines), default=1)
            self.class_names = tuple(str(number) for number in range(highest))

    def _read_entry(self, name: str, files: list[Path]) -> _Entry | None:
        file, *others = files
        for other in others:
            self.problems.note(other, "", f"has the same labels as {file.name}; left out")
        labels = _labels_of(file)
        if not labels.is_file():
            return _Entry(name, file, labels, [])
        try:
            lines = labels.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            self.problems.note(labels, "", f"cannot be read: {error}; its image is left out")
            return None
        read = [self._line(labels, number, line) for number, line in enumerate(lines, start=1) if line.strip()]
        return _Entry(name, file, labels, [line for line in read if line is not None])

    def _line(self, labels: Path, number: int, text: str) -> _Line | None:
        try:
            line = _parse_line(number, text, len(self.class_names))
        except DataError as error:
            self.problems.note(labels, f"line {number}", f"{error}; left out")
            return None
        if line.ring.min() < -ROUNDING or line.ring.max() > 1 + ROUNDING:
            self.problems.note(labels, f"line {number}", "leaves the image; cut at its edge")
        return line

    def _note_strays(self, folders: list[Path]) -> None:
        known = {entry.labels for entry in self.entries} | {problem.file for problem in self.problems}
        for folder in folders:
            for labels in sorted(_labels_of(folder / "any").parent.rglob("*.txt")):
                if labels not in known and str(labels) not in known and labels.name != "classes.txt":
                    self.problems.note(labels, "", "has no image; left out")

    def read_entry(self, entry: _Entry) -> Sample:
        """The image and its objects, in the order of the lines."""
        image = read_image(entry.file)
        size, found, numbers = (image.shape[1], image.shape[2]), [], []
        for line in entry.lines:
            instance = draw_object([line.ring * (size[1], size[0])], size, class_id=line.class_id)
            if instance is None:
                self.problems.note(entry.labels, f"line {line.number}", "lies outside the image; left out")
            else:
                found.append(instance)
                numbers.append(line.number)
        sample, covered = lay_objects(entry.name, image, found)
        for position in covered:
            self.problems.note(
                entry.labels, f"line {numbers[position]}", "is covered by other objects wholly; left out"
            )
        return sample


def _find_folders(path: Path) -> tuple[Path, list[Path]]:
    """Where the names of the classes are looked for, and the folders of images."""
    if path.is_file():
        return path.parent, _described_folders(path)
    if not path.is_dir():
        raise DataError(f"{path}: no such folder or data.yaml")
    if (path / "images").is_dir():
        return path, [path / "images"]
    inner = sorted(folder for folder in path.glob("*/images") if folder.is_dir())
    if inner:
        return path, inner
    whole = path.resolve()
    below = next((folder for folder in (whole, *whole.parents) if folder.name == "images"), None)
    if below is not None:
        return below.parent, [whole]
    raise DataError(f"{path}: expected images/ and labels/, or parts such as train/images; found neither")


def _described_folders(file: Path) -> list[Path]:
    """The folders of images that a `data.yaml` names, each once."""
    values = _read_yaml(file)
    base = file.parent
    if isinstance(values.get("path"), str):
        base = base / values["path"]  # an absolute one stays as it is
    folders: dict[Path, None] = {}
    for part in PARTS:
        entries = values.get(part) or []
        for entry in entries if isinstance(entries, list) else [entries]:
            if not isinstance(entry, str):
                raise DataError(f"{file}: {part}: expected the name of a folder, got {describe(entry)}")
            if not (base / entry).is_dir():
                raise DataError(f"{file}: {part}: {base / entry}: no such folder")
            folders[base / entry] = None
    if not folders:
        raise DataError(f"{file}: names no folder of images; expected one of {', '.join(PARTS)}")
    return list(folders)


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        text = file.read_bytes()
        if len(text) > MAX_DESCRIPTION:
            raise DataError(f"{file}: {len(text)} bytes are no description of a data set")
        values = yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read as YAML: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(values, dict):
        raise DataError(f"{file}: expected keys such as names and train, got {describe(values)}")
    return values


def _read_names(path: Path, root: Path) -> tuple[str, ...]:
    """The names of the classes; none where no file says them."""
    files = [path] if path.is_file() else [root / name for name in DESCRIPTIONS]
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return ()
    if file.suffix == ".txt":
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: cannot be read: {error}") from None
        return tuple(line.strip() for line in lines if line.strip())
    names = _read_yaml(file).get("names")
    if isinstance(names, dict):
        if not all(type(number) is int and 0 <= number < 100_000 for number in names):
            raise DataError(f"{file}: names: expected numbers of classes from 0")
        names = [names.get(number, str(number)) for number in range(max(names, default=-1) + 1)]
    if not isinstance(names, list) or not names or not all(isinstance(name, str | int | float) for name in names):
        raise DataError(f"{file}: names: expected the names of the classes, got {describe(names)}")
    return tuple(str(name) for name in names)


def _list_images(folders: list[Path]) -> dict[str, list[Path]]:
    """The images of all folders by the name of their sample, in order; those of one name share their labels."""
    listed: dict[str, list[Path]] = {}
    for folder in folders:
        words = [] if len(folders) == 1 else [folder.parent.name if folder.name == "images" else folder.name]
        found: dict[Path, list[Path]] = {}
        for file in sorted(folder.rglob("*")):
            inner = file.relative_to(folder)
            if file.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in inner.parts):
                found.setdefault(inner.with_suffix(""), []).append(file)
        for inner, files in found.items():
            name = plain = "-".join((*words, *inner.parts))
            number = 2
            while name in listed:
                name, number = f"{plain}-{number}", number + 1
            listed[name] = files
    return listed


def _labels_of(entry: Path) -> Path:
    """The text file of an image: in `labels` instead of the last `images` of its path, or beside it."""
    parts = list(entry.parts)
    for position in range(len(parts) - 2, -1, -1):
        if parts[position] == "images":
            parts[position] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _parse_line(number: int, text: str, num_classes: int) -> _Line:
    """
    Raises:
        DataError: saying what is wrong, without the place.
    """
    words = text.split()
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        raise DataError("holds something that is no number") from None
    if len(values) == 5:
        raise DataError("is a box (class and four numbers), expected an outline")
    if len(values) < 7 or len(values) % 2 == 0:
        raise DataError(f"has {len(values)} numbers, expected a class and pairs of x and y, at least three")
    if not (np.isfinite(values[0]) and values[0] == np.floor(values[0]) and values[0] >= 0):
        raise DataError(f"{words[0][:40]} is no number of a class")
    if num_classes and values[0] >= num_classes:
        raise DataError(f"class {values[0]:.0f} has no name; there are {num_classes}")
    if values[0] >= 100_000:
        raise DataError(f"class {values[0]:.0f} is beyond 100000")
    ring = values[1:].reshape(-1, 2)
    check_ring(ring, "the outline")
    if ring.min() < -1 or ring.max() > 2:
        raise DataError(f"has coordinates from {ring.min():g} to {ring.max():g}, expected 0..1")
    return _Line(number, int(values[0]) + 1, ring)


def encode_yolo(instances: Instances) -> bytes:
    """A line an object, as `YoloSource` reads them; the outlines run along the edges of pixels, so that they give the masks back exactly."""
    height, width = instances.size
    digits = max(6, len(str(max(instances.size))) + 2)
    lines = []
    for instance in instances:
        if instance.mask.any():
            ring = as_one_ring(rings_of(instance_outlines(instance))) / (width, height)
            numbers = " ".join(f"{value:.{digits}f}" for value in ring.ravel().tolist())
            lines.append(f"{max(instance.class_id, 1) - 1} {numbers}\n")
    return "".join(lines).encode()


def encode_yolo_names(class_names: tuple[str, ...]) -> bytes:
    """A `data.yaml` for `images/` and `labels/` beside it, with the names of the classes."""
    names = {number: str(name) for number, name in enumerate(class_names)}
    values = {"path": ".", "train": "images", "val": "images", "names": names}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True).encode()


def write_yolo(source: Source, folder: Path, progress: Progress | None = None) -> None:
    """Write every sample as a data set of kind `yolo:`: images as PNG of 8 bits, outlines as text, and `data.yaml`.

    Args:
        source: what to write; pixels to ignore become background, with a warning.
        folder: gets `images/`, `labels/` and `data.yaml`.
        progress: called with the number done and the number of all.

    Raises:
        DataError: if a sample cannot be read.
        FileWriteError: if the disk does not take a file.
    """
    make_parts(folder, ("images", "labels"))
    write_atomically(folder / "data.yaml", encode_yolo_names(source.class_names))
    for stem, sample in samples_to_write(source, progress):
        warn_of_losses(sample, "yolo")
        write_atomically(folder / "images" / f"{stem}.png", encode_image(sample.image))
        write_atomically(folder / "labels" / f"{stem}.txt", encode_yolo(sample.instances()))
