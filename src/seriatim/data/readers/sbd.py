"""Kind `sbd:DIR`, `sbd:DIR@PART` or `sbd:DIR+VOCDIR`: the Semantic Boundaries Dataset, alone or merged with VOC 2012.

DIR is the folder `dataset` of SBD's release (img, inst, train.txt, val.txt), or holds it (`benchmark_RELEASE`), or holds
`benchmark_RELEASE/dataset`. PART is train, val or trainval (the default), by SBD's own lists, which are others than VOC's.

`sbd:DIR+VOCDIR` is what RSIS and DIN train on: VOC's train images with VOC's annotations, then the images of both lists of SBD that are
in neither VOC's train nor VOC's val list, with SBD's annotations. No image of VOC's val list is in it; of the complete data sets it
holds 1,464 + 9,118 = 10,582 images.

Source: Hariharan et al., "Semantic contours from inverse detectors", ICCV 2011.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int32, Int64

from seriatim.core.errors import ConfigError, DataError
from seriatim.data.problems import Problems
from seriatim.data.readers.files import (  # nearly VOC's list, since both data sets name pairs of files in lists
    FileSource,
    Pair,
    are_there,
    check_choice,
    check_size,
    find_root,
    read_ids,
    read_image,
    split_choice,
)
from seriatim.data.readers.matlab import read_struct
from seriatim.data.readers.voc import CLASS_NAMES, PARTS, VocSource
from seriatim.data.samples import Sample


class SbdSource(FileSource[Pair]):
    """Images of SBD with their objects, in the order of the lists and with VOC's names; merged with VOC, VOC's come first.

    Its `problems` are images left out because a file is missing, and objects without a class, which are ignored.

    Attributes:
        voc: whose images come first; None where SBD is alone.
    """

    class_names: tuple[str, ...] = CLASS_NAMES

    def __init__(self, folder: Path, part: str = "trainval", voc: Path | None = None, strict: bool = False) -> None:
        """
        Args:
            folder: `dataset` of SBD's release, or what holds it.
            part: train, val or trainval, by SBD's lists.
            voc: `VOC2012`, or what holds it, to be merged; None for SBD alone.
            strict: refuse data with problems.

        Raises:
            ConfigError: for another part.
            DataError: if folders or lists are missing, or nothing is left.
        """
        check_choice(f"sbd:{folder}@{part}", part, PARTS)
        inner = ("dataset", "benchmark_RELEASE/dataset")
        self.folder = find_root(folder, inner, ("img", "inst"), "SBD's dataset")
        self.voc = None if voc is None else VocSource(voc, "train", strict)
        self.problems = Problems(strict) if self.voc is None else self.voc.problems
        elsewhere = set() if self.voc is None else _voc_names(self.voc)
        pairs: dict[str, Pair] = {}
        for file in ("train.txt", "val.txt") if part == "trainval" else (f"{part}.txt",):
            for name in read_ids(self.folder / file, self.problems):
                pair = Pair(name, self.folder / "img" / f"{name}.jpg", self.folder / "inst" / f"{name}.mat")
                if name not in elsewhere and are_there(pair[1:], name, self.folder, self.folder / file, self.problems):
                    pairs[name] = pair
        self.entries = [*([] if self.voc is None else self.voc.entries), *pairs.values()]
        if not self.entries:
            raise DataError(
                f"{self.folder}: none of the images listed is there with its annotation; {self.problems[0]}"
            )

    @classmethod
    def parse(cls, spec: str, strict: bool = False) -> "SbdSource":
        """The source of `DIR`, `DIR@PART` or `DIR+VOCDIR`.

        Raises:
            ConfigError: if a part of the merged data sets is asked for.
        """
        path, part = split_choice(spec)
        own, voc = _split_paths(path)
        if voc is not None and part is not None:
            raise ConfigError(
                f"sbd:{spec}: merged with VOC there is one part; VOC's own validation images are voc:{voc}@val"
            )
        return cls(own, part or "trainval", voc, strict)

    def read_entry(self, entry: Pair) -> Sample:
        """The image and its objects; SBD knows no void."""
        if self.voc is not None and entry.annotation.suffix == ".png":
            return self.voc.read_entry(entry)
        name, image_file, file = entry
        image = read_image(image_file, channels=3)
        objects, categories = read_objects(file)
        check_size(file, objects, image_file, image)
        labels = np.zeros(objects.shape, dtype=np.int32)
        ignore = np.zeros(objects.shape, dtype=bool)
        classes: list[int] = []
        for number in np.unique(objects[objects > 0]):
            mask = objects == number
            category = int(categories[number - 1]) if number <= len(categories) else 0
            if 1 <= category <= len(CLASS_NAMES):
                classes.append(category)
                labels[mask] = len(classes)
            else:
                ignore |= mask
                got = f"class {category}" if number <= len(categories) else "no entry in Categories"
                self.problems.note(file, f"object {number}", f"has {got}; ignored")
        return Sample(name, image, labels, np.array(classes, dtype=np.int64), ignore if ignore.any() else None)


def read_objects(file: Path) -> tuple[Int32[np.ndarray, "height width"], Int64[np.ndarray, " objects"]]:
    """The map of the objects in a file of `inst/` (0 background, k the k-th object), and the class of each object.

    Raises:
        DataError: naming the file, if it is no Matlab file or lacks `GTinst` with `Segmentation` and `Categories`.
    """
    found = read_struct(file, "GTinst", ("Segmentation", "Categories"))
    segmentation, categories = found["Segmentation"], found["Categories"]
    if segmentation.ndim != 2 or not _are_whole(segmentation):
        raise DataError(
            f"{file}: GTinst.Segmentation: expected whole numbers height x width from 0, got {segmentation.dtype} {segmentation.shape}"
        )
    if not _are_whole(categories):
        raise DataError(f"{file}: GTinst.Categories: expected whole numbers from 0, got {categories.dtype}")
    return segmentation.astype(np.int32), categories.ravel().astype(np.int64)


def _are_whole(values: np.ndarray) -> bool:
    """Whether these are numbers 0, 1, ... 65535; Matlab also writes whole numbers as doubles."""
    return bool(((values >= 0) & (values < 2**16) & (values == np.floor(values))).all())


def _voc_names(voc: VocSource) -> set[str]:
    """All names of VOC's train and val lists, those included whose files are missing."""
    unheeded = Problems(strict=False)
    return {name for part in ("train", "val") for name in read_ids(voc.list.with_name(f"{part}.txt"), unheeded)}


def _split_paths(path: str) -> tuple[Path, Path | None]:
    """SBD's folder and VOC's of `DIR+VOCDIR`; of several pluses, that between two folders that exist."""
    if "+" not in path or Path(path).exists():
        return Path(path), None
    places = [place for place, character in enumerate(path) if character == "+"]
    halves = [(Path(path[:place]), Path(path[place + 1 :])) for place in places]
    return max(halves, key=lambda pair: sum(half.is_dir() for half in pair))
