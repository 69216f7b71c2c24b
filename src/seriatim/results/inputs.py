"""Which images a call takes, and the names of the files written for each."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from seriatim.data.images import SUFFIXES

OWN_ENDINGS = (".labels.png", ".labels.tif", ".overlay.png")
"""Endings of the images that `seriatim segment` writes; a search of the folder of results skips them."""

OWN_FOLDERS = (
    "voc/SegmentationObject",
    "voc/SegmentationClass",
    "voc-border/SegmentationObject",
    "voc-border/SegmentationClass",
    "cityscapes/masks",
)
"""Folders of such images below the folder of results; a search skips them as well."""


def find_images(paths: Sequence[Path], results: Path) -> list[Path]:
    """Every image once: files as given, folders searched for known endings in the order of their names.

    The search skips hidden files and folders, and what an earlier call wrote to the folder of results.

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
    """How the names of the files for each image begin; no two are the same, and no input is overwritten.

    The first image of a stem keeps it. The others get their ending, then their folder, and as a last resort a number:

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
    """The images, and folders of images, that may be written for a stem, below the folder of results."""
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
    """Equal for paths that a file system may take for the same one."""
    return str(path).lower()
