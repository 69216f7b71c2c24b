"""What the readers of files share: sources whose images are listed when they are opened, the choice of a part, and errors that name files."""

import re
from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float32

from seriatim.core.errors import ConfigError, DataError, ImageError, did_you_mean
from seriatim.data.images import read_label_map, read_pixels, to_float_image
from seriatim.data.preparation import to_channels
from seriatim.data.problems import Problems
from seriatim.data.samples import Sample, without_gaps
from seriatim.data.source import Source


@runtime_checkable
class Named(Protocol):
    """What is known of an image before it is read."""

    @property
    def name(self) -> str:
        """What messages call the image."""
        ...


Entry = TypeVar("Entry", bound=Named)


class FileSource(Source, Generic[Entry]):
    """A source whose images are listed when it is opened.

    Attributes:
        entries: what is known of every image.
    """

    entries: Sequence[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    def name(self, index: int) -> str:
        """As the entry has it; the head of the reader's file says what that is."""
        return self.entries[index].name

    def read(self, index: int) -> Sample:
        """The image and its objects.

        Raises:
            DataError: naming the file that is damaged, or both where their sizes differ.
        """
        return self.read_entry(self.entries[index])

    @abstractmethod
    def read_entry(self, entry: Entry) -> Sample:
        """The image of an entry and its objects; errors are those of `read`."""


class Pair(NamedTuple):
    """An image and where its annotation lies."""

    name: str
    image_file: Path
    annotation: Path


class LabelMapSource(FileSource[Pair]):
    """Images with a label map each, whose objects are all of one class."""

    channels: int | None = None
    """Of the images; None for as many as a file has."""

    def read_entry(self, entry: Pair) -> Sample:
        """The image and its objects, numbered in the order of their labels."""
        image = read_image(entry.image_file, self.channels)
        labels = without_gaps(read_label_map(entry.annotation))
        check_size(entry.annotation, labels, entry.image_file, image)
        return Sample.of_one_class(entry.name, image, labels)


def split_choice(spec: str) -> tuple[str, str | None]:
    """The path and what is chosen of it, of `DIR@CHOICE`; a path that exists as it stands is a path, whatever it holds.

    >>> split_choice("VOC2012@val"), split_choice("VOC2012"), split_choice("me@home/VOC2012")
    (('VOC2012', 'val'), ('VOC2012', None), ('me@home/VOC2012', None))
    """
    path, at, choice = spec.rpartition("@")
    if not at or "/" in choice or Path(spec).exists():
        return spec, None
    return path, choice


def split_part(spec: str) -> tuple[Path, str]:
    """The folder and the part of `DIR@PART`; without a part, that for training and validation.

    >>> split_part("VOC2012")[1], split_part("VOC2012@val")[1]
    ('trainval', 'val')
    """
    path, part = split_choice(spec)
    return Path(path), part or "trainval"


def check_choice(spec: str, choice: str, known: Collection[str]) -> None:
    """Refuse a part that the data set does not have.

    Args:
        spec: the whole specification, to be named.
        choice: the part.
        known: the parts there are.

    Raises:
        ConfigError: if it is none of them.
    """
    if choice not in known:
        raise ConfigError(f"{spec}: there is no part {choice!r}{did_you_mean(choice, known)}")


def check_folder(folder: Path) -> None:
    """Refuse what is no folder.

    Raises:
        DataError: naming it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")


def find_root(folder: Path, inner: Iterable[str], parts: Collection[str], what: str) -> Path:
    """The first of `folder` and the folders inside it that holds all parts.

    Args:
        folder: as the user named it.
        inner: paths inside it to try after it.
        parts: files and folders that the root holds.
        what: the data set, to be named.

    Raises:
        DataError: if none does.
    """
    check_folder(folder)
    for root in (folder, *(folder / path for path in inner)):
        if all((root / part).exists() for part in parts):
            return root
    missing = [part for part in parts if not (folder / part).exists()]
    raise DataError(f"{folder}: expected {what} with {', '.join(parts)}; found no {missing[0]}")


def are_there(files: Iterable[Path], name: str, root: Path, listed_in: Path, problems: Problems) -> bool:
    """Whether all files of an image that a list names are there; the first that is not is a problem.

    Args:
        files: of the image.
        name: of the image.
        root: the data set, from which messages count.
        listed_in: the list.
        problems: gets the first missing file.
    """
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        problems.note(listed_in, name, f"there is no {missing.relative_to(root)}; left out")
    return missing is None


def read_ids(path: Path, problems: Problems) -> list[str]:
    """The names in a split file, one a line, each once.

    Args:
        path: of the file.
        problems: gets what is no name, or stands there twice.

    Raises:
        DataError: if it is missing, no text, or empty.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a list of images: {error}") from None
    ids: dict[str, None] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if name and not re.fullmatch(r"[\w.-]+", name):
            problems.note(path, f"line {number}", f"{name[:40]!r} is no name of an image; left out")
        elif name in ids:
            problems.note(path, f"line {number}", f"{name} stands here twice; taken once")
        elif name:
            ids[name] = None
    if not ids:
        raise DataError(f"{path}: names no image")
    return list(ids)


def read_image(path: Path, channels: int | None = None) -> Float32[np.ndarray, "channels height width"]:
    """The image in a file, values in 0..1.

    Args:
        path: of the file.
        channels: 1, 3 or 4 as `to_channels` makes them; None for as many as the file has.

    Raises:
        DataError: naming the file.
    """
    try:
        image = to_float_image(read_pixels(path), str(path))
    except ImageError as error:
        raise DataError(str(error)) from None
    return image if channels is None else to_channels(image, channels)


def check_size(file: Path, plane: np.ndarray, image_file: Path, image: np.ndarray) -> None:
    """Refuse an annotation of another size than its image.

    Args:
        file: of the annotation.
        plane: the annotation (height, width).
        image_file: file of the image.
        image: the image (channels, height, width).

    Raises:
        DataError: naming both.
    """
    if plane.shape != image.shape[1:]:
        raise DataError(
            f"{file}: is {' x '.join(map(str, plane.shape))} pixels, {image_file.name} {image.shape[1]} x {image.shape[2]}"
        )
