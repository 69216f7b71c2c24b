"""Images and categories of a COCO file: which can be used, and where the images lie.

A name that leaves the folder of the file is never followed. Of an image that cannot be used the size is kept where it is known, so that its
annotations can be checked all the same.
"""

import os
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from PIL import Image

from seriatim.core.errors import DataError, ImageError
from seriatim.core.shapes import Size
from seriatim.data.images import FORMATS, MAX_PIXELS, ORIENTATION_TAG, read_pixels
from seriatim.data.problems import FileProblems
from seriatim.data.readers.json_values import describe, is_integer


@dataclass(frozen=True, slots=True)
class CocoImage:
    """An image of a COCO file whose image was found.

    Attributes:
        id: in the file.
        file_name: as the file has it.
        size: (height, width) in pixels.
        path: of the image.
    """

    id: int
    file_name: str
    size: Size
    path: Path


def read_list(content: Any, key: str, path: Path) -> list[Any]:
    """The list under a key of the file.

    Raises:
        DataError: naming the file, if it is no object or holds no list there.
    """
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: expected an object with images, annotations and categories, got {describe(content)}"
            + ("; results without their images are for --predictions" if isinstance(content, list) else "")
        )
    if key not in content:
        raise DataError(f"{path}: holds no {key!r}; is it a COCO file of instances?")
    if not isinstance(content[key], list):
        raise DataError(f"{path}: expected a list under {key!r}, got {describe(content[key])}")
    return content[key]


def read_categories(raw: Sequence[Any], log: FileProblems) -> dict[int, str]:
    """The names of the categories by their ids, in the order of the ids."""
    names: dict[int, str] = {}
    for position, category in enumerate(raw):
        number = category.get("id") if isinstance(category, dict) else None
        if not isinstance(category, dict) or not is_integer(number):
            log.add(
                f"categories[{position}]", f"expected an object with an integer id, got {describe(category)}; left out"
            )
            continue
        if number in names:
            log.add(f"category {describe(number)}", "a second one of this id; left out")
            continue
        name = category.get("name")
        if not isinstance(name, str) or not name or not name.isprintable():
            log.add(
                f"category {describe(number)}", f"has no name that can be shown ({describe(name)}); called by its id"
            )
            name = f"category {describe(number)}"
        names[number] = name
    return dict(sorted(names.items()))


def read_images(raw: Sequence[Any], file: Path, log: FileProblems) -> tuple[list[CocoImage], dict[int, Size | None]]:
    """The images whose images are there, in the order of the file, and the size of every image whose id is known.

    Args:
        raw: what the file holds.
        file: the COCO file; images are searched beside it.
        log: gets what is wrong.

    Returns:
        the images; and id -> (height, width), None where no size could be found.
    """
    finder = ImageFinder(file, raw)
    images: list[CocoImage] = []
    sizes: dict[int, Size | None] = {}
    for position, image in enumerate(raw):
        number = image.get("id") if isinstance(image, dict) else None
        if not isinstance(image, dict) or not is_integer(number):
            log.add(f"images[{position}]", f"expected an object with an integer id, got {describe(image)}; left out")
            continue
        item = f"image {describe(number)}"
        if number in sizes:
            log.add(item, f"a second one of this id ({describe(image.get('file_name'))}); left out")
            continue
        sizes[number] = None
        try:
            sizes[number] = _stated_size(image)
            path = finder.find(image.get("file_name"))
            if sizes[number] is None:
                sizes[number] = image_size(path)
                log.add(
                    item,
                    f"height {describe(image.get('height'))} and width {describe(image.get('width'))} are no size; "
                    "that of the image taken",
                )
        except (DataError, ImageError) as error:
            log.add(item, f"{error}; left out with its annotations")
            continue
        if (size := sizes[number]) is not None:
            images.append(CocoImage(number, image["file_name"], size, path))
    return images, sizes


class ImageFinder:
    """Finds the image of a `file_name`.

    Of a file `FOLDER/instances.json`, in this order: `FOLDER/images/`, `FOLDER/`, and where the file is `annotations/instances_NAME.json`,
    as COCO's own are, `NAME/` and `images/NAME/` beside its folder; first by the whole name, then by its last part if that is unique in the file.
    """

    def __init__(self, file: Path, raw: Sequence[Any]) -> None:
        """
        Args:
            file: the COCO file.
            raw: its images.
        """
        self.folders = [file.parent / "images", file.parent]
        if file.parent.name == "annotations" and file.stem.startswith("instances_"):
            part = file.stem.removeprefix("instances_")
            self.folders += [file.parent.parent / part, file.parent.parent / "images" / part]
        names = (image.get("file_name") for image in raw if isinstance(image, dict))
        self._num_of_name = Counter(PurePosixPath(name).name for name in names if isinstance(name, str))

    def find(self, file_name: Any) -> Path:
        """The path of the image.

        Raises:
            DataError: if the name is none, leaves the folder, or no image is there.
        """
        if not isinstance(file_name, str) or not file_name:
            raise DataError(f"file_name {describe(file_name)} is no name of a file")
        if leaves_folder(file_name):
            raise DataError(f"file_name {describe(file_name)} leaves the folder of the file, which is refused")
        last = PurePosixPath(file_name).name
        names = [file_name] if self._num_of_name[last] > 1 or last == file_name else [file_name, last]
        for name in names:
            for folder in self.folders:
                if os.path.isfile(path := folder / name):  # false, too, for names that no file can have
                    return path
        raise DataError(f"image {describe(file_name)} not found, neither in images/ nor beside the file")


def leaves_folder(file_name: str) -> bool:
    """Whether a name is absolute or goes up, on any system.

    >>> [leaves_folder(name) for name in ("a/b.png", "../b.png", "/b.png", "C:b.png", "a\\\\..\\\\b.png")]
    [False, True, True, True, True]
    """
    windows, posix = PureWindowsPath(file_name), PurePosixPath(file_name)
    return bool(windows.anchor) or posix.is_absolute() or ".." in windows.parts


def image_size(path: Path) -> Size:
    """(height, width) of the image as displayed, from the head of its file where that says it.

    Raises:
        ImageError: naming the file and the reason.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with open(path, "rb") as file, Image.open(file, formats=FORMATS) as opened:
                if opened.format != "TIFF":
                    width, height = opened.size
                    turned = opened.getexif().get(ORIENTATION_TAG, 1) in (5, 6, 7, 8)
                    return (width, height) if turned else (height, width)
    except Exception as error:  # Pillow raises nearly anything on damaged files
        raise ImageError(f"{path}: cannot be read as an image: {type(error).__name__}: {str(error)[:200]}") from None
    height, width = read_pixels(path).shape[:2]
    return height, width


def unique_names(images: Sequence[CocoImage]) -> list[str]:
    """What messages call each image: the stem of its file, with its id where another has the same.

    >>> image = CocoImage(7, "a/1.png", (4, 5), Path("a/1.png"))
    >>> unique_names([image, CocoImage(8, "b/1.png", (4, 5), Path("b/1.png"))])
    ['1-7', '1-8']
    """
    stems = [image.path.stem for image in images]
    shared = {stem for stem, num in Counter(stems).items() if num > 1}
    names = [f"{stem}-{image.id}" if stem in shared else stem for stem, image in zip(stems, images, strict=True)]
    again = {name for name, num in Counter(names).items() if num > 1}
    return [f"{name}-{position}" if name in again else name for position, name in enumerate(names)]


def _stated_size(image: Mapping[str, Any]) -> Size | None:
    height, width = image.get("height"), image.get("width")
    if not (is_integer(height) and is_integer(width) and height > 0 and width > 0):
        return None
    if height * width > MAX_PIXELS:
        raise DataError(f"{describe(height)} x {describe(width)} pixels are more than the limit of {MAX_PIXELS}")
    return height, width
