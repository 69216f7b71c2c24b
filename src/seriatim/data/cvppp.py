"""Kind `cvppp:DIR`: the CVPPP leaf segmentation sets, `plant001_rgb.png` beside `plant001_label.png`.

DIR is one set (A1, say) or the folder that holds A1, A2, A3, A4, A5. Label files are palette pictures; the palette's index is the leaf.
"""

from pathlib import Path

import numpy as np

from seriatim.core.errors import DataError, ImageError
from seriatim.data.images import read_label_map, read_pixels, to_float_image
from seriatim.data.samples import Sample, without_gaps

PICTURE_END = "_rgb.png"
LABEL_END = "_label.png"


class CvpppSource:
    """Plants with their leaves, in the order of set and name."""

    class_names: tuple[str, ...] = ("leaf",)

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: one set, or several in folders of their own.

        Raises:
            DataError: if there are no pictures, or one has no labels (the organisers keep those of their test sets).
        """
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        self.folder = folder
        self.pictures = sorted(folder.glob(f"*{PICTURE_END}")) or sorted(folder.glob(f"A[1-5]/*{PICTURE_END}"))
        if not self.pictures:
            raise DataError(f"{folder}: holds no *{PICTURE_END}, neither itself nor in A1 to A5")
        for picture in self.pictures:
            if not self._label_path(picture).is_file():
                raise DataError(
                    f"{self._label_path(picture)}: no such file; is {picture.parent} a test set without labels?"
                )

    @staticmethod
    def _label_path(picture: Path) -> Path:
        return picture.with_name(picture.name.removesuffix(PICTURE_END) + LABEL_END)

    def __len__(self) -> int:
        return len(self.pictures)

    def name(self, index: int) -> str:
        """Set and plant, such as A1-plant001."""
        picture = self.pictures[index]
        stem = picture.name.removesuffix(PICTURE_END)
        return stem if picture.parent == self.folder else f"{picture.parent.name}-{stem}"

    def read(self, index: int) -> Sample:
        """The plant and its leaves.

        Raises:
            DataError: naming the file that is damaged, or both where their sizes differ.
        """
        picture = self.pictures[index]
        try:
            image = to_float_image(read_pixels(picture), str(picture))
        except ImageError as error:
            raise DataError(str(error)) from None
        labels = without_gaps(read_label_map(self._label_path(picture)))
        if labels.shape != image.shape[1:]:
            raise DataError(
                f"{self._label_path(picture)}: is {labels.shape[0]} x {labels.shape[1]} pixels, {picture.name} {image.shape[1]} x {image.shape[2]}"
            )
        return Sample(self.name(index), image, labels, np.ones(int(labels.max(initial=0)), dtype=np.int64))
