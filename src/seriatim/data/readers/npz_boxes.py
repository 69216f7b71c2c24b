"""Boxes from an npz file with one array an image, by the name or stem of the image: rows of y0, x0, y1, x1 and, if there is a fifth column, the score.

np.savez("proposals.npz", **{"photo.png": boxes})                              # boxes (N, 4) or (N, 5)
"""

import zipfile
from pathlib import Path

import numpy as np

from seriatim.core.boxes import Boxes
from seriatim.core.errors import DataError
from seriatim.core.shapes import Size
from seriatim.data.problems import FileProblems, Problems
from seriatim.data.readers.coco_results import NameMatcher


class NpzBoxes:
    """The boxes of a file, image by image.

    Attributes:
        problems: rows that were left out, each with its place in the file and the reason.
    """

    def __init__(self, path: Path, strict: bool = False) -> None:
        """
        Args:
            path: of the file.
            strict: raise the first problem instead of listing it.

        Raises:
            DataError: if the file is damaged or an array has another shape, or, strictly, at the first problem.
        """
        self.problems = Problems(strict)
        log = FileProblems(self.problems, path)
        self._boxes = {name: _checked(path, name, rows, log) for name, rows in _read(path).items()}
        self._names = list(self._boxes)
        self._matcher = NameMatcher([Path(name) for name in self._names])

    def for_image(self, name: str | Path, size: Size | None = None) -> Boxes:
        """The boxes of an image, in the order of the file; none where it has none.

        Args:
            name: of the image or its path.
            size: of no use here.
        """
        del size
        place = self._matcher.find(str(name))
        return Boxes.none() if place is None else self._boxes[self._names[place]]


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise DataError(f"{path}: not a readable npz file of arrays: {error}") from error


def _checked(path: Path, name: str, rows: np.ndarray, log: FileProblems) -> Boxes:
    if rows.ndim != 2 or rows.shape[1] not in (4, 5) or rows.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: array {name}: expected numbers in 4 or 5 columns (y0, x0, y1, x1, score), got {rows.dtype} of shape {rows.shape}"
        )
    values = rows.astype(np.float64)
    edges = values[:, :4]
    scores = values[:, 4] if values.shape[1] == 5 else np.ones(len(values))
    covers = np.all(np.logical_and(np.isfinite(edges), np.tile(edges[:, 2:] > edges[:, :2], 2)), axis=1)
    is_score = (scores >= 0) & (scores <= 1)
    is_kept = np.logical_and(covers, is_score)
    for number in np.flatnonzero(~is_kept).tolist():
        reason = (
            f"score {scores[number]:g} is no number in 0..1"
            if covers[number]
            else f"expected y0, x0, y1, x1 that cover something, got {edges[number].tolist()}"
        )
        log.add(f"array {name}, row {number}", f"{reason}; left out")
    return Boxes.of(edges[is_kept], scores[is_kept])
