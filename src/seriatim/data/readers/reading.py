"""What the readers of the benchmarks share: the choice of a part, and files read with errors that name them."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from seriatim.core.errors import ConfigError, DataError, ImageError, did_you_mean
from seriatim.data.images import read_pixels, to_float_image
from seriatim.data.preparation import to_channels
from seriatim.data.problems import Problems


def split_choice(spec: str) -> tuple[str, str | None]:
    """The path and what is chosen of it, of `DIR@CHOICE`; a path that exists as it stands is a path, whatever it holds.

    >>> split_choice("VOC2012@val"), split_choice("VOC2012"), split_choice("me@home/VOC2012")
    (('VOC2012', 'val'), ('VOC2012', None), ('me@home/VOC2012', None))
    """
    path, at, choice = spec.rpartition("@")
    if not at or "/" in choice or Path(spec).exists():
        return spec, None
    return path, choice


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
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    for root in (folder, *(folder / path for path in inner)):
        if all((root / part).exists() for part in parts):
            return root
    missing = [part for part in parts if not (folder / part).exists()]
    raise DataError(f"{folder}: expected {what} with {', '.join(parts)}; found no {missing[0]}")


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
            problems.note(path, f"line {number}", f"{name[:40]!r} is no name of a image; left out")
        elif name in ids:
            problems.note(path, f"line {number}", f"{name} stands here twice; taken once")
        elif name:
            ids[name] = None
    if not ids:
        raise DataError(f"{path}: names no image")
    return list(ids)


def read_rgb(path: Path) -> Float32[np.ndarray, "3 height width"]:
    """The image in a file as RGB in 0..1: grey is repeated, transparency laid on white.

    Raises:
        DataError: naming the file.
    """
    try:
        return to_channels(to_float_image(read_pixels(path), str(path)), 3)
    except ImageError as error:
        raise DataError(str(error)) from None


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
