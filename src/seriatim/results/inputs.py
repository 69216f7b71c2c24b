"""Which images a call is about, and what the files written for each are called."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from seriatim.data.images import SUFFIXES

OWN_ENDINGS = (".labels.png", ".labels.tif", ".overlay.png")
"""Endings of the images that `seriatim segment` writes for a image; a search of the folder of results passes over them."""

OWN_FOLDERS = (
    "voc/SegmentationObject",
    "voc/SegmentationClass",
    "voc-border/SegmentationObject",
    "voc-border/SegmentationClass",
    "cityscapes/masks",
)
"""Folders of such images below the folder of results, which a search of it passes over as well."""


def find_images(paths: Sequence[Path], results: Path) -> list[Path]:
    """Every image once: files as given, folders searched for known endings, in the order of their names.

    Hidden files and folders are passed over, and so is what an earlier call wrote to the folder of results.

    Args:
        paths: files (of any ending, existing or not) and folders.
        results: folder of results.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        for file in _search(path, results.resolve()) if path.is_dir() else [path]:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def _search(folder: Path, results: Path) -> Iterator[Path]:
    own_folders = {results, *(results / own for own in OWN_FOLDERS)}
    for parent, folders, names in os.walk(folder):
        here = Path(parent)
        is_results = here.resolve() == results
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (here / name).resolve() not in own_folders
        )
        for name in sorted(names):
            is_own = is_results and name.lower().endswith(OWN_ENDINGS)
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".") and not is_own:
                yield here / name


def output_stems(files: Sequence[Path], results: Path) -> list[str]:
    """What the names of the files for each image begin with; no two are the same, and no input is ever written over.

    The first image of a stem keeps it. The others carry their ending, then their folder, and if all else fails a number:

    >>> output_stems([Path("a/leaf.png"), Path("a/leaf.jpg"), Path("b/leaf.png")], Path("results"))
    ['leaf', 'leaf.jpg', 'b.leaf']
    """
    inputs = {_folded(one) for path in files for one in (path.resolve(), path.resolve().parent)}
    names: set[str] = set()
    taken: set[str] = set()
    stems = []
    for path in files:
        stem = next(
            stem
            for stem in _candidates(path, is_first_of_name=path.name.lower() not in names)
            if stem.lower() not in taken
            and not any(_folded((results / own).resolve()) in inputs for own in _own_paths(stem))
        )
        names.add(path.name.lower())
        taken.add(stem.lower())
        stems.append(stem)
    return stems


def _own_paths(stem: str) -> list[str]:
    """The images, and folders of images, that can be written for a stem, below the folder of results."""
    inside = [f"{folder}/{stem}{ending}" for folder in OWN_FOLDERS for ending in (".png", "")]
    return [f"{stem}{ending}" for ending in OWN_ENDINGS] + inside


def _candidates(path: Path, is_first_of_name: bool) -> Iterator[str]:
    folder = path.resolve().parent.name
    yield path.stem
    if is_first_of_name:
        yield path.name
    yield from (f"{folder}.{path.stem}", f"{folder}.{path.name}")
    number = 2
    while True:
        yield f"{folder}.{path.name}.{number}"
        number += 1


def _folded(path: Path) -> str:
    """Equal for paths that some file systems take for the same."""
    return str(path).lower()
