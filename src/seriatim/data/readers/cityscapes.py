"""Kind `cityscapes:DIR` or `cityscapes:DIR@PART`: streets, with the eight classes of which the data set tells objects apart.

DIR holds `leftImg8bit/PART/CITY/*_leftImg8bit.png` and `gtFine/PART/CITY/*_gtFine_instanceIds.png`; PART is train, val or trainval (the
default: both). An id of 1000 and more is class * 1000 + number; the id of one of the eight classes itself stands for a group that nobody
told apart: such groups are crowds, one a class and image, and ignored. Ids that the official evaluation does not count are ignored,
all others are background.

Where `disparity/PART` and `camera/PART` are there too, every object has its median distance in metres, baseline * fx / d with
d = (p - 1) / 256 of a pixel p > 0 (0 is not measured), and the share of its pixels that were measured as its confidence.

Source: Cordts et al., "The Cityscapes dataset for semantic urban scene understanding", CVPR 2016, and the README of cityscapesScripts.
"""

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int, Int32

from seriatim.core.errors import DataError
from seriatim.core.instances import Instance, Instances
from seriatim.core.shapes import box_slices
from seriatim.data.images import read_label_map
from seriatim.data.problems import Problems
from seriatim.data.readers.files import FileSource, check_choice, check_size, find_root, read_image
from seriatim.data.samples import Sample

CLASS_NAMES = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")
"""Class k of a sample is the k-th of these, from 1."""

CLASS_OF_ID = {24: 1, 25: 2, 26: 3, 27: 4, 28: 5, 31: 6, 32: 7, 33: 8}
"""Id of Cityscapes -> class of a sample."""

VOID_IDS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30)
"""Ids that the evaluation ignores: unlabelled, ego vehicle, rectification border, out of the region of interest, static, dynamic, ground,
parking, rail track, guard rail, bridge, tunnel, group of poles, and groups of caravans and trailers. Single caravans and trailers (29xxx,
30xxx) are background there, and here."""

LAST_ID = 33
"""Largest id of a class."""

PARTS = {"train": ("train",), "val": ("val",), "trainval": ("train", "val")}
"""2,975, 500 and 3,475 images."""


class _Files(NamedTuple):
    """Of one image; its distances are unknown where the last two are None."""

    name: str
    image_file: Path
    ids: Path
    disparity: Path | None
    camera: Path | None


class CityscapesSource(FileSource[_Files]):
    """Streets with their objects, in the order of part, city and name: city, sequence and frame, such as aachen_000000_000019.

    Its `problems` are images left out because a file is missing, images without distances where others have them, and unknown ids.
    """

    class_names: tuple[str, ...] = CLASS_NAMES

    def __init__(self, folder: Path, part: str = "trainval", strict: bool = False) -> None:
        """
        Args:
            folder: holds leftImg8bit and gtFine.
            part: train, val or trainval.
            strict: refuse data with problems.

        Raises:
            ConfigError: for another part.
            DataError: if folders are missing, or nothing is left.
        """
        check_choice(f"cityscapes:{folder}@{part}", part, PARTS)
        folders = [f"{top}/{one}" for top in ("leftImg8bit", "gtFine") for one in PARTS[part]]
        self.folder = find_root(folder, (), folders, "Cityscapes")
        self.problems = Problems(strict)
        self.has_distances = all(
            (folder / top / one).is_dir() for top in ("disparity", "camera") for one in PARTS[part]
        )
        self.entries = [files for one in PARTS[part] for files in self._list_part(one)]
        if not self.entries:
            raise DataError(f"{folder}: holds no image CITY/*_leftImg8bit.png with its *_gtFine_instanceIds.png")

    def _list_part(self, part: str) -> list[_Files]:
        image_files = _by_name(self.folder / "leftImg8bit" / part, "_leftImg8bit.png")
        ids = _by_name(self.folder / "gtFine" / part, "_gtFine_instanceIds.png")
        for name in sorted(image_files.keys() ^ ids.keys()):
            there, missing = (image_files, "annotation") if name in image_files else (ids, "image")
            self.problems.note(there[name], "", f"has no {missing}; left out")
        files = []
        for name in sorted(image_files.keys() & ids.keys()):
            city = image_files[name].parent.name
            disparity = self.folder / "disparity" / part / city / f"{name}_disparity.png"
            camera = self.folder / "camera" / part / city / f"{name}_camera.json"
            missing = [path for path in (disparity, camera) if not path.is_file()]
            if missing and self.has_distances:
                self.problems.note(missing[0], "", "no such file; the distances of its objects are unknown")
            measured = not missing and self.has_distances
            files.append(
                _Files(
                    name, image_files[name], ids[name], disparity if measured else None, camera if measured else None
                )
            )
        return files

    def read_entry(self, entry: _Files) -> Sample:
        """The image, its objects, its groups as crowds, and the distances of the objects where they are measured."""
        image = read_image(entry.image_file, channels=3)
        ids = read_label_map(entry.ids)
        check_size(entry.ids, ids, entry.image_file, image)
        labels, classes, unknown = _objects(ids)
        for one in unknown:
            self.problems.note(entry.ids, f"id {one}", "is of no class of Cityscapes; taken for background")
        crowds = _groups(ids)
        ignore = np.isin(ids, [*VOID_IDS, *CLASS_OF_ID], kind="table")
        distances = confidences = None
        if self.has_distances:
            distances, confidences = np.full(len(classes), np.inf), np.zeros(len(classes))
        if entry.disparity is not None and entry.camera is not None:
            depth = _depth(entry.disparity, entry.camera)
            check_size(entry.disparity, depth, entry.image_file, image)
            distances, confidences = object_distances(labels, depth)
        return Sample(
            entry.name,
            image,
            labels,
            classes,
            ignore if ignore.any() else None,
            crowds=crowds if len(crowds) else None,
            distances=distances,
            distance_confidences=confidences,
        )


def _by_name(folder: Path, end: str) -> dict[str, Path]:
    return {path.name.removesuffix(end): path for path in folder.glob(f"*/*{end}")}


def _objects(
    ids: Int32[np.ndarray, "height width"],
) -> tuple[Int32[np.ndarray, "height width"], Int[np.ndarray, " instances"], list[int]]:
    """Labels 1..N in the order of the ids, the class of each object, and ids of no class of the data set."""
    present = np.flatnonzero(np.bincount(ids.ravel())).tolist()
    of_class = [(one, CLASS_OF_ID[one // 1000]) for one in present if one >= 1000 and one // 1000 in CLASS_OF_ID]
    label_of_id = np.zeros(max(present, default=0) + 1, dtype=np.int32)
    for label, (one, _) in enumerate(of_class, start=1):
        label_of_id[one] = label
    unknown = [one for one in present if LAST_ID < one < 1000 or one // 1000 > LAST_ID]
    return label_of_id[ids], np.array([class_id for _, class_id in of_class], dtype=np.int64), unknown


def _groups(ids: Int32[np.ndarray, "height width"]) -> Instances:
    """The groups of each class of an image as one region, in the order of the classes."""
    size = (ids.shape[0], ids.shape[1])
    found = [Instance.from_mask(ids == one, class_id=class_id) for one, class_id in CLASS_OF_ID.items()]
    return Instances(size, [instance for instance in found if instance is not None])


def object_distances(
    labels: Int32[np.ndarray, "height width"], depth: Float64[np.ndarray, "height width"]
) -> tuple[Float64[np.ndarray, " instances"], Float64[np.ndarray, " instances"]]:
    """The median distance of each object over its measured pixels (infinite without any), and the share that was measured.

    Args:
        labels: 0 background, 1..N without gaps.
        depth: metres, infinite at the horizon; NaN where nothing was measured.

    >>> labels = np.array([[1, 1, 1, 1, 2]], dtype=np.int32)
    >>> [part.tolist() for part in object_distances(labels, np.array([[10.0, 30.0, 20.0, np.nan, np.nan]]))]
    [[20.0, inf], [0.75, 0.0]]
    """
    found = Instances.from_label_map(labels)
    distances, confidences = np.full(len(found), np.inf), np.zeros(len(found))
    for index, instance in enumerate(found):
        inside = depth[box_slices(instance.box)][instance.mask]
        measured = inside[~np.isnan(inside)]
        if len(measured):
            distances[index], confidences[index] = np.median(measured), len(measured) / len(inside)
    return distances, confidences


def _depth(disparity: Path, camera: Path) -> Float64[np.ndarray, "height width"]:
    """Metres; NaN where nothing was measured, infinite where the disparity is 0."""
    pixels = read_label_map(disparity)
    measured: Bool[np.ndarray, "height width"] = pixels > 0
    depth = np.full(pixels.shape, np.nan)
    depth[measured] = np.inf
    near = pixels > 1
    depth[near] = _baseline_times_fx(camera) / ((pixels[near] - 1) / 256)
    return depth


def _baseline_times_fx(camera: Path) -> float:
    """Metres times pixels."""
    expected = "expected JSON with extrinsic.baseline (metres) and intrinsic.fx (pixels)"
    try:
        values = json.loads(camera.read_text(encoding="utf-8"))
        product = float(values["extrinsic"]["baseline"]) * float(values["intrinsic"]["fx"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise DataError(f"{camera}: {expected}: {type(error).__name__}: {str(error)[:200]}") from None
    if not 0 < product < math.inf:
        raise DataError(f"{camera}: {expected}, both above 0; their product is {product}")
    return product
