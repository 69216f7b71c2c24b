"""Kind `cvppp:DIR` or `cvppp:DIR@SETS`: the CVPPP leaf segmentation sets, `plant001_rgb.png` beside `plant001_label.png`.

DIR is one set (A1, say) or the folder that holds A1, A2, A3, A4, A5, or holds that as `training` (`CVPPP2017_LSC_training`). SETS are those to
read, such as A1,A4; all by default. Label files are palette images; the palette's index is the leaf. Images with transparency (RGBA) are
read as RGB; the foreground maps (`plant001_fg.png`) are not read.
"""

from collections.abc import Sequence
from pathlib import Path

from seriatim.core.errors import ConfigError, DataError
from seriatim.data.problems import Problems
from seriatim.data.readers.files import LabelMapSource, Pair, check_choice, check_folder, split_choice

IMAGE_END = "_rgb.png"
LABEL_END = "_label.png"
SETS = ("A1", "A2", "A3", "A4", "A5")


class CvpppSource(LabelMapSource):
    """Plants with their leaves, in the order of set and name, such as A1-plant001.

    Its `problems` are labels without an image.
    """

    class_names: tuple[str, ...] = ("leaf",)
    channels = 3

    def __init__(self, folder: Path, sets: Sequence[str] | None = None, strict: bool = False) -> None:
        """
        Args:
            folder: one set, or several in folders of their own, or what holds these as `training`.
            sets: those to read, in this order; None for all.
            strict: refuse data with problems.

        Raises:
            ConfigError: for a set that the challenge does not have, or sets of a folder that is one.
            DataError: if there are no images, or one has no labels (the organisers keep those of their test sets).
        """
        check_folder(folder)
        self.problems = Problems(strict)
        inner = (folder / part for part in ("training", "CVPPP2017_LSC_training/training"))
        self.folder = next((path for path in inner if path.is_dir()), folder)
        self.entries = self._pairs_in(self.folder, "")
        if self.entries and sets is not None:
            raise ConfigError(f"cvppp:{folder}@{','.join(sets)}: the folder is one set; there is nothing to choose")
        if not self.entries:
            self.entries = self._pairs_of(sets)
        if not self.entries:
            raise DataError(f"{folder}: holds no *{IMAGE_END}, neither itself nor in A1 to A5")

    @classmethod
    def parse(cls, spec: str, strict: bool = False) -> "CvpppSource":
        """The source of `DIR` or `DIR@SETS`."""
        path, sets = split_choice(spec)
        return cls(Path(path), None if sets is None else sets.split(","), strict)

    def _pairs_of(self, sets: Sequence[str] | None) -> list[Pair]:
        for one in sets or ():
            check_choice(f"cvppp:{self.folder}", one, SETS)
        pairs = []
        for one in SETS if sets is None else dict.fromkeys(sets):
            found = self._pairs_in(self.folder / one, f"{one}-")
            if sets is not None and not found:
                raise DataError(f"{self.folder / one}: holds no *{IMAGE_END}")
            pairs += found
        return pairs

    def _pairs_in(self, folder: Path, prefix: str) -> list[Pair]:
        images, labels = (
            {path.name.removesuffix(end): path for path in sorted(folder.glob(f"*{end}"))}
            for end in (IMAGE_END, LABEL_END)
        )
        missing = [plant for plant in images if plant not in labels]
        if missing:
            file = folder / f"{missing[0]}{LABEL_END}"
            raise DataError(f"{file}: no such file; is {folder} a test set without labels?")
        for plant in sorted(labels.keys() - images.keys()) if images else ():
            self.problems.note(labels[plant], "", "has no image; left out")
        return [Pair(prefix + plant, images[plant], labels[plant]) for plant in images]
