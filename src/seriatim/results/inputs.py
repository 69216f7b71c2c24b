"""Which images a call takes, and the names of the files written for each."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from seriatim.core.errors import DataError
from seriatim.data.images import SUFFIXES
from seriatim.results.manifest import image_key, listed_files

OWN_ENDINGS = (".labels.png", ".labels.tif", ".overlay.png")
"""Endings of the images that `seriatim segment` writes; a search of a folder of results skips them."""

OWN_FOLDERS = (
    "voc/SegmentationObject",
    "voc/SegmentationClass",
    "voc-border/SegmentationObject",
    "voc-border/SegmentationClass",
    "cityscapes/masks",
)
"""Folders of such images below a folder of results; a search skips them as well."""

OWN_SUBFOLDERS = (*OWN_FOLDERS, "cityscapes", "labelme", "yolo", "yolo/labels")
"""All folders that may be written below a folder of results, but for one an image in `cityscapes/masks`."""

_OWN_TABLES = ("counts.csv", "instances.json")


class Inputs(NamedTuple):
    """What a call takes.

    Attributes:
        files: every image once.
        unreadable: folder or link that could not be searched -> the reason.
    """

    files: list[Path]
    unreadable: dict[str, str]


def find_images(paths: Sequence[Path], results: Path) -> Inputs:
    """Every image once: files as given, folders searched for known endings in the order of their names.

    The search skips hidden files and folders, the folder of results, and what an earlier call wrote, here or in any other folder of results that
    it meets. Links to folders are followed, but for those that lead back to a folder above them.

    Args:
        paths: files (of any ending, existing or not) and folders.
        results: folder of results.
    """
    search = _Search(os.path.realpath(results))
    found: dict[str, Path] = {}
    for path in paths:
        for file in search.below(path) if os.path.isdir(path) else [path]:
            found.setdefault(_real(file), file)
    return Inputs(list(found.values()), search.unreadable)


class _Search:
    """A search of folders that collects what it could not read."""

    def __init__(self, results: str) -> None:
        self.results = results
        self.unreadable: dict[str, str] = {}

    def below(self, folder: Path) -> Iterator[Path]:
        """The images in a folder and in those below it."""
        yield from self._search(folder, above=(), own_folders=set())

    def _search(self, folder: Path, above: tuple[str, ...], own_folders: set[str]) -> Iterator[Path]:
        real = _real(folder)
        if real in above:
            self.unreadable[str(folder)] = "a link that leads back to a folder above it is not searched"
            return
        try:
            with os.scandir(folder) as listing:
                found = sorted((entry for entry in listing if not entry.name.startswith(".")), key=lambda one: one.name)
        except OSError as error:
            self.unreadable[str(folder)] = f"cannot be searched: {error.strerror or error}"
            return
        written = self._written_into(folder, {one.name for one in found}, is_results=real == self.results)
        if written is not None:
            own_folders = own_folders | {os.path.join(real, own) for own in OWN_FOLDERS}
        folders = []
        for entry in found:
            path = folder / entry.name
            if os.path.isdir(path):
                folders.append(path)
            elif path.suffix.lower() in SUFFIXES and not _is_own(path, real, written):
                yield path
        for path in folders:
            if _real(path) != self.results and _real(path) not in own_folders:
                yield from self._search(path, (*above, real), own_folders)

    def _written_into(self, folder: Path, names: set[str], is_results: bool) -> set[str] | None:
        """Real paths of what earlier calls wrote into a folder and below it; None if it holds no results."""
        try:
            listed = listed_files(folder)
        except DataError as error:
            self.unreadable[str(folder)] = str(error)
            listed = set()
        if listed is not None:
            return {os.path.join(_real(folder), name) for name in listed}
        of_older_version = bool(names.intersection(_OWN_TABLES)) and any(name.endswith(OWN_ENDINGS) for name in names)
        return set() if is_results or of_older_version else None


def _is_own(path: Path, folder: str, written: set[str] | None) -> bool:
    """Whether an image is one that a call wrote into its folder."""
    return written is not None and (
        path.name.lower().endswith(OWN_ENDINGS) or os.path.join(folder, path.name) in written
    )


def output_stems(files: Sequence[Path], results: Path, known: Mapping[str, str] | None = None) -> list[str]:
    """How the names of the files for each image begin; no two are the same, and no input is overwritten.

    The first image of a stem keeps it. The others get their ending, then their folder, and as a last resort a number:

    >>> output_stems([Path("a/leaf.png"), Path("a/leaf.jpg"), Path("b/leaf.png")], Path("results"))
    ['leaf', 'leaf.jpg', 'b.leaf']

    Args:
        files: the images.
        results: folder of results.
        known: image, as `results.manifest.image_key` names it -> its stem in the folder of results, which it keeps.
    """
    known = known or {}
    inputs = {_folded(one) for path in files for one in (_real(path), os.path.dirname(_real(path)))}
    names: set[str] = set()
    taken = {stem.lower() for stem in known.values()}
    stems = []
    for path in files:
        stem = known.get(image_key(path, results)) or next(
            stem
            for stem in _candidates(path, is_first_of_name=path.name.lower() not in names)
            if stem.lower() not in taken
            and not any(_folded(_real(results / own)) in inputs for own in _own_paths(stem))
        )
        names.add(path.name.lower())
        taken.add(stem.lower())
        stems.append(stem)
    return stems


def _own_paths(stem: str) -> list[str]:
    """The images, and folders of images, that may be written for a stem, below the folder of results."""
    inside = [f"{folder}/{stem}{ending}" for folder in OWN_FOLDERS for ending in (".png", "")]
    return [f"{stem}{ending}" for ending in OWN_ENDINGS] + inside


def _candidates(path: Path, is_first_of_name: bool) -> Iterator[str]:
    folder = os.path.basename(os.path.dirname(_real(path)))
    yield path.stem
    if is_first_of_name:
        yield path.name
    yield from (f"{folder}.{path.stem}", f"{folder}.{path.name}")
    number = 2
    while True:
        yield f"{folder}.{path.name}.{number}"
        number += 1


def _real(path: Path) -> str:
    """The path with all links resolved; that of a link that leads to itself is the path as it is."""
    try:
        return os.path.realpath(path)
    except ValueError:  # a null character in the name
        return str(path)


def _folded(path: str) -> str:
    """Equal for paths that a file system may take for the same one."""
    return path.lower()
