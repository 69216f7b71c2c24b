"""Where the predictions that are evaluated come from: a model, label maps in a folder, or a file of COCO results.

Each is a `PredictionSource`: it gives the instances of a image of the data set, and knows what its classes are called.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from seriatim.core.errors import ConfigError, DataError
from seriatim.core.instances import Instances
from seriatim.core.shapes import Size
from seriatim.data.images import read_label_map
from seriatim.data.problems import FileProblems, Problems
from seriatim.data.readers.coco import CocoSource
from seriatim.data.readers.coco_annotations import Annotation, AnnotationChecker, draw_all
from seriatim.data.readers.coco_header import read_categories, read_list
from seriatim.data.readers.coco_results import CocoResults, NameMatcher
from seriatim.data.readers.json_values import describe, is_integer, load_json
from seriatim.data.samples import Sample, Source
from seriatim.data.subsets import Subset

if TYPE_CHECKING:
    from seriatim.inference.predictor import Predictor  # predictions of others are evaluated without importing torch

LABEL_MAP_ENDINGS = (".labels.png", ".labels.tif", ".png", ".tif", ".tiff")
"""What may follow the stem of a image in the name of its label map, in the order in which they are tried."""


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


class ModelFinder:
    """What a model finds."""

    def __init__(self, predictor: "Predictor") -> None:
        """
        Args:
            predictor: the model.
        """
        self._predictor = predictor
        self.class_names: tuple[str, ...] = tuple(predictor.class_names)

    def find(self, index: int, sample: Sample) -> Instances:
        """What the model finds in the image."""
        del index
        return self._predictor.predict_values(sample.image)


class LabelMapFinder:
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


def _label_map_path(folder: Path, name: str) -> Path | None:
    return next((path for ending in LABEL_MAP_ENDINGS if (path := folder / f"{name}{ending}").is_file()), None)


class CocoFinder:
    """Results in COCO's format for a data set of kind `coco`; overlaps stay."""

    def __init__(self, path: Path, source: CocoSource, indices: Sequence[int]) -> None:
        """
        Args:
            path: a list of results, or a file with images, annotations and categories.
            source: the truth.
            indices: which of its images are evaluated.

        Raises:
            DataError: if the file is damaged, or none of its images or categories is the truth's.
        """
        self._results = CocoResults(path, source)
        self._indices = indices
        self.class_names: tuple[str, ...] = source.class_names

    def find(self, index: int, sample: Sample) -> Instances:
        """The results for the image, in the order of the file."""
        del sample
        return self._results.read(self._indices[index])


class NamedCocoFinder:
    """Results in COCO's format for a data set of another kind, as `seriatim segment` writes them: images are matched by name."""

    def __init__(self, path: Path, source: Source) -> None:
        """
        Args:
            path: a file with images, annotations and categories.
            source: the truth.

        Raises:
            DataError: if the file is damaged, or none of its images is a image of the truth.
        """
        content = load_json(path)
        if isinstance(content, list):
            raise DataError(
                f"{path}: a bare list of results has no names of images; for data of a kind other than coco give a file with images, "
                "annotations and categories, as `seriatim segment` writes it"
            )
        log = FileProblems(Problems(), path)
        categories = read_categories(read_list(content, "categories", path), log)
        self.class_names: tuple[str, ...] = tuple(categories.values())
        class_ids = {category_id: number for number, category_id in enumerate(categories, start=1)}
        self._path, self._log = path, log
        self._sizes: dict[int, Size] = {}
        self._found: dict[int, list[Annotation]] = {index: [] for index in range(len(source))}
        indices = self._match(read_list(content, "images", path), source)
        sizes: dict[int, Size | None] = {
            image_id: None if index is None else self._sizes[index] for image_id, index in indices.items()
        }
        checker = AnnotationChecker(sizes, class_ids, log, are_results=True)
        for annotation in checker.check_all(read_list(content, "annotations", path)):
            index = indices[annotation.image_id]
            if index is not None:
                self._found[index].append(annotation)

    def find(self, index: int, sample: Sample) -> Instances:
        """The results for the image, in the order of the file.

        Raises:
            DataError: if they are of a image of another size.
        """
        height, width = sample.labels.shape
        size = self._sizes.get(index, (height, width))
        if size != (height, width):
            raise DataError(
                f"{self._path}: says that {sample.name} is {size[0]} x {size[1]} pixels, the truth {height} x {width}"
            )
        return Instances(size, [instance for _, instance in draw_all(self._found[index], size, self._log)])

    def _match(self, images: list[object], source: Source) -> dict[int, int | None]:
        """Image id -> number of the image; None of images that the data set does not have."""
        matcher = NameMatcher([Path(f"{source.name(index)}.png") for index in range(len(source))])
        matched: dict[int, int | None] = {}
        for position, image in enumerate(images):
            values = image if isinstance(image, dict) else {}
            number, name = values.get("id"), values.get("file_name")
            if not is_integer(number) or not isinstance(name, str):
                self._log.add(f"images[{position}]", f"expected an id and a file_name, got {describe(image)}; left out")
                continue
            height, width = values.get("height"), values.get("width")
            index = matcher.find(name)
            matched[number] = None
            if index is None:
                self._log.add(f"image {number}", f"{describe(name)} is no image of the data; left out")
            elif not (is_integer(height) and is_integer(width) and height > 0 and width > 0):
                self._log.add(f"image {number}", "has no height and width; left out")
            elif index in self._sizes:
                self._log.add(f"image {number}", f"{describe(name)} is a second one of {source.name(index)}; left out")
            else:
                matched[number] = index
                self._sizes[index] = (height, width)
        if not self._sizes:
            raise DataError(
                f"{self._path}: none of its {len(images)} images is a image of the data; names are compared, such as {source.name(0)!r}"
            )
        missing = [source.name(index) for index in range(len(source)) if index not in self._sizes]
        if missing:
            self._log.add("", f"has no image for {len(missing)} images, such as {missing[0]}; taken as nothing found")
        return matched


def open_predictions(path: Path, source: Source) -> PredictionSource:
    """What `--predictions` names: a folder of label maps, or a file of COCO results.

    Raises:
        DataError: if nothing is there, or it does not fit the data.
    """
    if path.is_dir() or path.suffix.lower() != ".json":
        return LabelMapFinder(path, source)
    whole, indices = unwrap(source)
    return CocoFinder(path, whole, indices) if isinstance(whole, CocoSource) else NamedCocoFinder(path, source)


def unwrap(source: Source) -> tuple[Source, Sequence[int]]:
    """The data set of which a source is a part, and the part's numbers in it."""
    if not isinstance(source, Subset):
        return source, range(len(source))
    whole, indices = unwrap(source.source)
    return whole, [indices[index] for index in source.indices]


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
