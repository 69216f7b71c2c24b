"""Kind `cellpose:DIR`: images with label maps beside them as Cellpose has them, `NAME.png` and `NAME_masks.png` (or .tif).

`NAME_img.png` with `NAME_masks.png`, and `NAME_cp_masks.png`, which Cellpose writes, are read as well. DIR is one folder, or holds `train`
and `test`. `NAME_seg.npy` files are never opened, since they can hold programs; `NAME_cp_outlines.txt` and flows are passed over.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seriatim.core.errors import DataError, ImageError
from seriatim.core.files import write_atomically
from seriatim.core.progress import Progress
from seriatim.data.encoding import encode_image, encode_label_map, file_stems, logger, warn_of_losses
from seriatim.data.images import SUFFIXES, read_label_map, read_pixels, to_float_image
from seriatim.data.problems import Problems
from seriatim.data.readers.reading import check_size
from seriatim.data.samples import Sample, Source, without_gaps

MASK_ENDS = ("_masks", "_cp_masks")
"""Ends of the stems of label maps."""

MASK_SUFFIXES = frozenset({".png", ".tif", ".tiff"})
"""Of files that can hold label maps."""

OTHER_ENDS = re.compile(r"_(flows?|outlines|cp_outlines|overlay)(_[a-z]+)?$")
"""Of the stems of further images that Cellpose writes."""

PARTS = ("train", "test")
"""Inner folders, read in this order."""


class _Pair(NamedTuple):
    name: str
    image_file: Path
    masks: Path


class CellposeSource:
    """Images with label maps, in the order of parts and names.

    Attributes:
        problems: images without a label map, label maps without a image, and which of two was taken.
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
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        self.folder = folder
        self.problems = Problems(strict)
        parts = [folder / part for part in PARTS if (folder / part).is_dir()]
        own = self._pairs(folder, "")
        self.pairs = own or [pair for part in parts for pair in self._pairs(part, f"{part.name}-")]
        if not self.pairs:
            reason = f": {self.problems[0]}" if self.problems else ""
            raise DataError(f"{folder}: expected images NAME.png with NAME_masks.png or .tif beside them{reason}")

    def _pairs(self, folder: Path, prefix: str) -> list[_Pair]:
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
            pairs.append(_Pair(prefix + name, path, found[0]))
        self._note_strays(files, owners)
        return pairs

    def _note_strays(self, files: list[Path], owners: dict[Path, Path]) -> None:
        """List images without a label map and label maps without a image."""
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

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        """The stem of the image, without `_img`, after the part."""
        return self.pairs[index].name

    def read(self, index: int) -> Sample:
        """The image and its objects.

        Raises:
            DataError: naming the file that is damaged, or both where their sizes differ.
        """
        name, image_file, masks = self.pairs[index]
        try:
            image = to_float_image(read_pixels(image_file), str(image_file))
        except ImageError as error:
            raise DataError(str(error)) from None
        labels = without_gaps(read_label_map(masks))
        check_size(masks, labels, image_file, image)
        return Sample(name, image, labels, np.ones(int(labels.max(initial=0)), dtype=np.int64))


def _map_stems(stem: str) -> list[str]:
    """The stems that the label map of a image may have, the likeliest first.

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
    folder.mkdir(parents=True, exist_ok=True)
    if len(source.class_names) > 1:
        logger.warning("cellpose has no classes; those of the objects (%s) are lost", ", ".join(source.class_names))
    for index, stem in enumerate(file_stems(source)):
        sample = source.read(index)
        warn_of_losses(sample, "cellpose", overlaps=True)
        ending, encoded = encode_label_map(sample.labels)
        write_atomically(folder / f"{stem}.png", encode_image(sample.image))
        write_atomically(folder / f"{stem}_masks{ending}", encoded)
        if progress is not None:
            progress(index + 1, len(source))
