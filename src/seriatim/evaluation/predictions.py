"""Where the predictions that are evaluated come from: a model, label maps in a folder, or a file of COCO results.

Each is a `PredictionSource`: it gives the instances of an image of the data set, and knows what its classes are called.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from seriatim.core.errors import ConfigError, DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.images import read_label_map
from seriatim.data.readers.coco_results import CocoResults
from seriatim.data.samples import Sample
from seriatim.data.source import Source

if TYPE_CHECKING:
    from seriatim.inference.predictor import Predictor  # predictions of others are evaluated without importing torch

LABEL_MAP_ENDINGS = (".labels.png", ".labels.tif", ".png", ".tif", ".tiff")
"""What may follow the stem of an image in the name of its label map, in the order in which they are tried."""


@runtime_checkable
class PredictionSource(Protocol):
    """Gives the predictions for the images of a data set.

    Attributes:
        class_names: of the classes of its instances, from class 1; empty where they have none.
    """

    class_names: tuple[str, ...]

    def find(self, index: int, sample: Sample) -> Instances:
        """The predictions for image number `index`, which is `sample`."""
        ...


class ModelPredictions:
    """The objects that a model finds."""

    def __init__(self, predictor: "Predictor") -> None:
        """
        Args:
            predictor: the model.
        """
        self._predictor = predictor
        self.class_names: tuple[str, ...] = tuple(predictor.class_names)

    def find(self, index: int, sample: Sample) -> Instances:
        """What the model finds in the image, from the boxes of the sample where it has some."""
        del index
        return self._predictor.predict_values(sample.image, boxes=sample.boxes)


class LabelMapPredictions:
    """Label maps in a folder: for the image NAME, NAME.png, NAME.labels.png or the same with .tif. They know no classes and no scores."""

    class_names: tuple[str, ...] = ()

    def __init__(self, folder: Path, source: Source) -> None:
        """
        Args:
            folder: holds a label map for every image of the data set.
            source: the data set.

        Raises:
            DataError: if the folder or label maps are missing.
        """
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        names = [source.name(index) for index in range(len(source))]
        paths = [_label_map_path(folder, name) for name in names]
        missing = [name for name, path in zip(names, paths, strict=True) if path is None]
        if missing:
            rest = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise DataError(
                f"{folder}: no label map for {', '.join(missing[:5])}{rest} (expected NAME.png, NAME.labels.png or .tif)"
            )
        self._paths = [path for path in paths if path is not None]

    def find(self, index: int, sample: Sample) -> Instances:
        """The objects of the image's label map.

        Raises:
            DataError: if it is damaged or of another size than the image.
        """
        labels = read_label_map(self._paths[index])
        if labels.shape != sample.labels.shape:
            raise DataError(
                f"{self._paths[index]}: is {labels.shape[0]} x {labels.shape[1]} pixels, the truth {sample.labels.shape[0]} x {sample.labels.shape[1]}"
            )
        return Instances.from_label_map(labels)


class BoxPredictions:
    """The boxes of every sample as objects that fill them, edges rounded to pixels: for judging detections and proposals themselves."""

    def __init__(self, source: Source) -> None:
        """
        Args:
            source: whose samples have boxes; their classes count if every box of the first image that has any has one.
        """
        boxes = (source.read(index).boxes for index in range(len(source)))
        first = next((one for one in boxes if one is not None and len(one)), None)
        has_classes = first is not None and bool((first.class_ids > 0).all())
        self.class_names: tuple[str, ...] = source.class_names if has_classes else ()

    def find(self, index: int, sample: Sample) -> Instances:
        """The boxes of the sample that cover a pixel, in their order."""
        del index
        assert sample.boxes is not None, "the source has boxes"
        size = (sample.labels.shape[0], sample.labels.shape[1])
        found = []
        rows = zip(sample.boxes.edges, sample.boxes.scores.tolist(), sample.boxes.class_ids.tolist(), strict=True)
        for step, (edges, score, class_id) in enumerate(rows):
            y0, x0, y1, x1 = np.clip(np.rint(edges).astype(int), 0, np.tile(size, 2)).tolist()
            if y1 > y0 and x1 > x0:
                mask = np.ones((y1 - y0, x1 - x0), dtype=bool)
                found.append(Instance((y0, x0, y1, x1), mask, score, class_id if self.class_names else 1, step=step))
        return Instances(size, found)


def _label_map_path(folder: Path, name: str) -> Path | None:
    return next((path for ending in LABEL_MAP_ENDINGS if (path := folder / f"{name}{ending}").is_file()), None)


def open_predictions(path: Path, source: Source) -> PredictionSource:
    """What `--predictions` names: a folder of label maps, or a file of COCO results.

    Raises:
        DataError: if nothing is there, or it does not fit the data.
    """
    if path.is_dir() or path.suffix.lower() != ".json":
        return LabelMapPredictions(path, source)
    return CocoResults(path, source)


def match_classes(found: Sequence[str], wanted: Sequence[str]) -> Int[np.ndarray, " classes"] | None:
    """Class of the data set of each class of the predictions (place 0 is no class), or None where they cannot be compared.

    Classes agree by name; two single classes agree whatever they are called. A class that the
    data set does not have gets a number beyond its classes.

    Args:
        found: names of the classes of the predictions, from class 1.
        wanted: names of the classes of the data set, from class 1.

    >>> match_classes(["cat", "dog"], ["bird", "cat"]).tolist(), match_classes(["nucleus"], ["object"]).tolist()
    ([0, 2, 3], [0, 1])
    >>> match_classes([], ["object"]) is None
    True
    """
    if tuple(found) == tuple(wanted) or len(found) == len(wanted) == 1:
        return np.arange(len(found) + 1)
    if not set(found) & set(wanted):
        return None
    numbers = {name: number for number, name in enumerate(wanted, start=1)}
    strange = iter(range(len(wanted) + 1, len(wanted) + len(found) + 1))
    return np.array([0, *(numbers[name] if name in numbers else next(strange) for name in found)])


def check_class_ids(instances: Instances, num_classes: int, name: str) -> None:
    """Refuse predictions of a class that has no name.

    Raises:
        ConfigError: naming the image.
    """
    beyond = [one for one in instances.class_ids.tolist() if not 1 <= one <= num_classes]
    if beyond:
        raise ConfigError(f"{name}: a prediction of class {beyond[0]}, the predictions have classes 1 to {num_classes}")
