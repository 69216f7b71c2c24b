"""Kind `cvppp:DIR` or `cvppp:DIR@SETS`: the CVPPP leaf segmentation sets, `plant001_rgb.png` beside `plant001_label.png`.

DIR is one set (A1, say) or the folder that holds A1, A2, A3, A4, A5, or holds that as `training` (`CVPPP2017_LSC_training`). SETS are those to
read, such as A1,A4; all by default. Label files are palette images; the palette's index is the leaf. Images with transparency (RGBA) are
read as RGB; the foreground maps (`plant001_fg.png`) are not read.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seriatim.core.errors import ConfigError, DataError
from seriatim.data.images import read_label_map
from seriatim.data.readers.reading import check_choice, check_size, read_rgb, split_choice
from seriatim.data.samples import Sample, without_gaps

IMAGE_END = "_rgb.png"
LABEL_END = "_label.png"
SETS = ("A1", "A2", "A3", "A4", "A5")


class CvpppSource:
    """Plants with their leaves, in the order of set and name."""

    class_names: tuple[str, ...] = ("leaf",)

    def __init__(self, folder: Path, sets: Sequence[str] | None = None) -> None:
        """
        Args:
            folder: one set, or several in folders of their own, or what holds these as `training`.
            sets: those to read, in this order; None for all.

        Raises:
            ConfigError: for a set that the challenge does not have, or sets of a folder that is one.
            DataError: if there are no images, or one has no labels (the organisers keep those of their test sets).
        """
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        inner = (folder / part for part in ("training", "CVPPP2017_LSC_training/training"))
        self.folder = next((path for path in inner if path.is_dir()), folder)
        self.image_files = sorted(self.folder.glob(f"*{IMAGE_END}"))
        if self.image_files and sets is not None:
            raise ConfigError(f"cvppp:{folder}@{','.join(sets)}: the folder is one set; there is nothing to choose")
        if not self.image_files:
            self.image_files = self._images_of(sets)
        if not self.image_files:
            raise DataError(f"{folder}: holds no *{IMAGE_END}, neither itself nor in A1 to A5")
        for image_file in self.image_files:
            if not self._label_path(image_file).is_file():
                raise DataError(
                    f"{self._label_path(image_file)}: no such file; is {image_file.parent} a test set without labels?"
                )

    @classmethod
    def parse(cls, spec: str) -> "CvpppSource":
        """The source of `DIR` or `DIR@SETS`."""
        path, sets = split_choice(spec)
        return cls(Path(path), None if sets is None else sets.split(","))

    def _images_of(self, sets: Sequence[str] | None) -> list[Path]:
        for one in sets or ():
            check_choice(f"cvppp:{self.folder}", one, SETS)
        image_files = []
        for one in SETS if sets is None else dict.fromkeys(sets):
            found = sorted((self.folder / one).glob(f"*{IMAGE_END}"))
            if sets is not None and not found:
                raise DataError(f"{self.folder / one}: holds no *{IMAGE_END}")
            image_files += found
        return image_files

    @staticmethod
    def _label_path(image_file: Path) -> Path:
        return image_file.with_name(image_file.name.removesuffix(IMAGE_END) + LABEL_END)

    def __len__(self) -> int:
        return len(self.image_files)

    def name(self, index: int) -> str:
        """Set and plant, such as A1-plant001."""
        image_file = self.image_files[index]
        stem = image_file.name.removesuffix(IMAGE_END)
        return stem if image_file.parent == self.folder else f"{image_file.parent.name}-{stem}"

    def read(self, index: int) -> Sample:
        """The plant and its leaves.

        Raises:
            DataError: naming the file that is damaged, or both where their sizes differ.
        """
        image_file = self.image_files[index]
        image = read_rgb(image_file)
        labels = without_gaps(read_label_map(self._label_path(image_file)))
        check_size(self._label_path(image_file), labels, image_file, image)
        return Sample(self.name(index), image, labels, np.ones(int(labels.max(initial=0)), dtype=np.int64))
