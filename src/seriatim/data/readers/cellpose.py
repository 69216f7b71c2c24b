"""Kind `cellpose:DIR`: images with label maps beside them as Cellpose has them, `NAME.png` and `NAME_masks.png` (or .tif).

`NAME_img.png` with `NAME_masks.png`, and `NAME_cp_masks.png`, which Cellpose writes, are read as well. DIR is one folder, or holds `train`
and `test`. `NAME_seg.npy` files are never opened, since they can hold programs; `NAME_cp_outlines.txt` and flows are passed over.
"""

import re
from pathlib import Path

from seriatim.core.errors import DataError
from seriatim.core.files import make_folder, write_atomically
from seriatim.core.progress import Progress
from seriatim.data.encoding import encode_image, encode_label_map, logger, samples_to_write, warn_of_losses
from seriatim.data.images import SUFFIXES
from seriatim.data.problems import Problems
from seriatim.data.readers.files import LabelMapSource, Pair, check_folder
from seriatim.data.source import Source

MASK_ENDS = ("_masks", "_cp_masks")
"""Ends of the stems of label maps."""

MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff"})
"""Of files that can hold label maps."""

OTHER_ENDS = re.compile(r"_(flows?|outlines|cp_outlines|overlay)(_[a-z]+)?$")
"""Of the stems of further images that Cellpose writes."""

PARTS = ("train", "test")
"""Inner folders, read in this order."""


class CellposeSource(LabelMapSource):
    """Images with label maps, in the order of parts and names: the stem of the image, without `_img`, after the part.

    Its `problems` are images without a label map, label maps without an image, and which of two was taken.
    """

    class_names: tuple[str, ...] = ("object",)

    def __init__(self, folder: Path, strict: bool = False) -> None:
        """
        Args:
            folder: holds images and label maps, or `train` and `test` which do.
            strict: refuse data with problems.

        Raises:
            DataError: if there is no image with a label map.
        """
        check_folder(folder)
        self.problems = Problems(strict)
        parts = [folder / part for part in PARTS if (folder / part).is_dir()]
        own = self._pairs(folder, "")
        self.entries = own or [pair for part in parts for pair in self._pairs(part, f"{part.name}-")]
        if not self.entries:
            reason = f": {self.problems[0]}" if self.problems else ""
            raise DataError(f"{folder}: expected images NAME.png with NAME_masks.png or .tif beside them{reason}")

    def _pairs(self, folder: Path, prefix: str) -> list[Pair]:
        files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
        maps: dict[str, list[Path]] = {}
        for path in files:
            if path.stem.endswith("_masks") and path.suffix.lower() in MASK_SUFFIXES:
                maps.setdefault(path.stem, []).append(path)
        owners: dict[Path, Path] = {}
        pairs = []
        for path in files:
            found = [file for stem in _map_stems(path.stem) for file in maps.get(stem, ())]
            if path.suffix.lower() not in SUFFIXES or not found:
                continue
            if found[0] in owners:
                self.problems.note(path, "", f"has the same label map as {owners[found[0]].name}; left out")
                continue
            for other in found[1:]:
                self.problems.note(other, "", f"a second label map beside {found[0].name}; left out")
            owners.update(dict.fromkeys(found, path))
            name = path.stem if found[0].stem == f"{path.stem}_masks" else path.stem.removesuffix("_img")
            pairs.append(Pair(prefix + name, path, found[0]))
        self._note_strays(files, owners)
        return pairs

    def _note_strays(self, files: list[Path], owners: dict[Path, Path]) -> None:
        """List images without a label map and label maps without an image."""
        known = {*owners.keys(), *owners.values()}
        known |= {Path(problem.file) for problem in self.problems}
        for path in files:
            if path in known or path.suffix.lower() not in SUFFIXES or OTHER_ENDS.search(path.stem):
                continue
            if path.stem.endswith("_masks"):
                self.problems.note(path, "", "has no image; left out")
                continue
            seg = path.with_name(f"{path.stem}_seg.npy")
            why = f" ({seg.name} is not opened; save the masks as PNG or TIFF in Cellpose)" if seg.exists() else ""
            self.problems.note(path, "", f"has no label map {path.stem}_masks.png or .tif{why}; left out")


def _map_stems(stem: str) -> list[str]:
    """The stems that the label map of an image may have, the likeliest first.

    >>> _map_stems("000_img")
    ['000_img_masks', '000_masks', '000_img_cp_masks', '000_cp_masks']
    """
    return list(dict.fromkeys(base + end for end in MASK_ENDS for base in (stem, stem.removesuffix("_img"))))


def write_cellpose(source: Source, folder: Path, progress: Progress | None = None) -> None:
    """Write every sample as a data set of kind `cellpose:`: `NAME.png` of 8 bits and `NAME_masks.png`, or .tif above 65,535 objects.

    Args:
        source: what to write; classes, pixels to ignore and covered pixels are lost, with a warning.
        folder: made if missing.
        progress: called with the number done and the number of all.

    Raises:
        DataError: if a sample cannot be read.
        FileWriteError: if the disk does not take a file.
    """
    make_folder(folder)
    if len(source.class_names) > 1:
        logger.warning("cellpose has no classes; those of the objects (%s) are lost", ", ".join(source.class_names))
    for stem, sample in samples_to_write(source, progress):
        warn_of_losses(sample, "cellpose", overlaps=True)
        ending, encoded = encode_label_map(sample.labels)
        write_atomically(folder / f"{stem}.png", encode_image(sample.image))
        write_atomically(folder / f"{stem}_masks{ending}", encoded)
