"""The manifest of a folder of results: what was done with which settings, so that a later call does only what is missing.

`seriatim.jsonl` holds a line of settings and then a line for every finished image, appended when the image's own files are on the disk. A line
that replaces an earlier one of the same image comes later. A last line that a killed process left unfinished does not count.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Any

from pydantic import Field, field_validator

from seriatim.core.config import Config, first_difference
from seriatim.core.errors import ConfigError, DataError, ImageError
from seriatim.core.files import append, why_unreadable, write_atomically
from seriatim.core.shapes import Size

MANIFEST_NAME = "seriatim.jsonl"
"""The manifest, in the folder of results."""

_FORMAT = 1


class Entry(Config):
    """What is known of an image whose own files are written."""

    image: str
    """Its path relative to the folder of results, links resolved: equal for every way to name it."""
    file: str
    """The image, as it was given."""
    stem: str
    """How the names of its files begin."""
    sha256: str
    """Of the image file."""
    size: Size
    """(height, width) in pixels."""
    count: int = Field(ge=0)
    """Number of objects."""
    seconds: float
    """Time of the segmentation."""
    num_too_small: int = Field(default=0, ge=0)
    """Objects left out because they are smaller than the model's least area."""
    num_pages: int = Field(default=1, ge=1)
    """Pages or frames of the file, of which the first was segmented."""
    files: tuple[str, ...] = ()
    """Those written for it, below the folder of results."""
    refused: str | None = None
    """Why a format could not hold its objects; None if all could."""
    kept: dict[str, Any] = Field(default_factory=dict)
    """Name of a format -> what it keeps for the files of the call."""

    @field_validator("files")
    @classmethod
    def _lie_below_the_folder(cls, files: tuple[str, ...]) -> tuple[str, ...]:
        for name in files:
            if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
                raise ValueError(f"{name!r} does not lie in the folder")
        return files


class Manifest:
    """The manifest of one folder.

    Attributes:
        entries: of the finished images, by `Entry.image`, in the order of the tables.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """
        Args:
            folder: of results; exists.
            settings: everything that results depend on, as JSON values.

        Raises:
            ConfigError: if the folder holds results of other settings; without a finished image it holds none.
            DataError: if the manifest is damaged.
            FileWriteError: if the disk does not take it.
        """
        self.path = folder / MANIFEST_NAME
        self._settings = json.loads(json.dumps(settings))
        self.is_new = not os.path.lexists(self.path)
        begun, self.entries, num_bytes = ({}, {}, 0) if self.is_new else _read(self.path)
        difference = first_difference(begun, self._settings) if self.entries else None
        if difference:
            raise ConfigError(
                f"{folder}: holds results of other settings: {difference}; repeat the command with the settings of that call, "
                "choose another folder with --out, or remove the folder to begin anew"
            )
        if not self.entries:
            self.rewrite()
        elif self.path.stat().st_size > num_bytes:
            os.truncate(self.path, num_bytes)

    def add(self, entry: Entry) -> None:
        """Append a finished image; it takes the place of an earlier entry of the same image.

        Raises:
            FileWriteError: if the disk does not take it.
        """
        append(self.path, _line(entry.model_dump(mode="json")))
        self.entries[entry.image] = entry

    def rewrite(self, order: Iterable[str] = ()) -> None:
        """Write the manifest with one line an image.

        Args:
            order: images that come last, in this order; the others keep theirs.

        Raises:
            FileWriteError: if the disk does not take it; the older one is then intact.
        """
        last = [image for image in dict.fromkeys(order) if image in self.entries]
        first = [image for image in self.entries if image not in set(last)]
        self.entries = {image: self.entries[image] for image in (*first, *last)}
        head = {"seriatim": "results", "format": _FORMAT, "settings": self._settings}
        entries = (entry.model_dump(mode="json") for entry in self.entries.values())
        write_atomically(self.path, b"".join(map(_line, (head, *entries))))


def image_key(file: Path, folder: Path) -> str:
    """`Entry.image` of an image in the manifest of a folder."""
    try:
        return os.path.relpath(os.path.realpath(file), os.path.realpath(folder))
    except ValueError:  # another drive of Windows, or a null character in the name
        return str(file)


def image_digest(file: Path) -> str:
    """SHA-256 of an image file.

    Raises:
        ImageError: naming the file and the reason, if it cannot be read.
    """
    reason = why_unreadable(file)
    if reason is not None:
        raise ImageError(f"{file}: {reason}")
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"{file}: cannot be read: {error.strerror or error}") from None


def listed_files(folder: Path) -> set[str] | None:
    """The files that the manifest of a folder lists, below the folder; None if it has no manifest.

    Raises:
        DataError: if the manifest is damaged.
    """
    path = folder / MANIFEST_NAME
    if why_unreadable(path) is not None:
        return None
    return {name for entry in _read(path)[1].values() for name in entry.files}


def _line(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, separators=(",", ":")) + "\n").encode()


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Entry], int]:
    """The settings and the entries of a manifest, and the bytes up to the end of its last whole line."""
    reason = why_unreadable(path)
    if reason is not None:
        raise DataError(f"{path}: {reason}")
    entries: dict[str, Entry] = {}
    try:
        data = path.read_bytes()
        num_bytes = data.rfind(b"\n") + 1
        head, *lines = data[:num_bytes].splitlines()
        values = json.loads(head)
        settings, version = dict(values["settings"]), values["format"]
        for line in lines:
            entry = Entry.parse(json.loads(line))
            entries[entry.image] = entry
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(
            f"{path}: is damaged ({str(error)[:200]}); choose another folder with --out, or remove this one"
        ) from None
    if version != _FORMAT:
        raise DataError(f"{path}: is of format {version}; this version of seriatim reads format {_FORMAT}")
    return settings, entries, num_bytes
