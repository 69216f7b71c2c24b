"""Scores of a model, or of label maps that someone wrote, under the official protocols."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seriatim.core.errors import ConfigError, DataError, did_you_mean
from seriatim.core.instances import Instances
from seriatim.data.images import read_label_map
from seriatim.data.samples import Sample, Source
from seriatim.metrics import PROTOCOLS, Example, evaluate

if TYPE_CHECKING:
    from seriatim.inference.predictor import Predictor  # label maps are evaluated without importing torch

LABEL_MAP_ENDINGS = (".labels.png", ".labels.tif", ".png", ".tif", ".tiff")
"""What may follow the stem of a picture in the name of its label map, in the order in which they are tried."""

Progress = Callable[[int, int], None]
"""Called with the number of pictures done and of all pictures."""


def check_protocols(names: Sequence[str]) -> None:
    """Refuse what is no protocol.

    Raises:
        ConfigError: naming the first that is unknown.
    """
    for name in names:
        if name not in PROTOCOLS:
            raise ConfigError(f"protocol {name!r}: unknown{did_you_mean(name, PROTOCOLS)}")


def evaluate_model(
    predictor: "Predictor", source: Source, protocols: Sequence[str], progress: Progress | None = None
) -> dict[str, dict[str, Any]]:
    """The scores of a model on a data set: protocol -> the result that its function in `metrics` documents.

    Args:
        predictor: the model.
        source: the data set.
        protocols: names of `metrics.PROTOCOLS`.
        progress: called after every picture.

    Raises:
        ConfigError: for an unknown protocol.
        DataError: for a picture that cannot be read.
    """
    return _evaluate(lambda sample: predictor.predict_values(sample.image), source, protocols, progress)


def evaluate_label_maps(
    folder: Path, source: Source, protocols: Sequence[str], progress: Progress | None = None
) -> dict[str, dict[str, Any]]:
    """The scores of the label maps in a folder: for the picture NAME, NAME.png, NAME.labels.png or the same with .tif.

    Args:
        folder: holds a label map for every picture of the data set.
        source: the data set.
        protocols: names of `metrics.PROTOCOLS`.
        progress: called after every picture.

    Raises:
        ConfigError: for an unknown protocol.
        DataError: if a label map is missing, damaged or of another size than its picture.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    paths = [_label_map_path(folder, source.name(index)) for index in range(len(source))]
    missing = [source.name(index) for index, path in enumerate(paths) if path is None]
    if missing:
        rest = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise DataError(
            f"{folder}: no label map for {', '.join(missing[:5])}{rest} (expected NAME.png, NAME.labels.png or .tif)"
        )
    by_name = {source.name(index): path for index, path in enumerate(paths) if path is not None}

    def read(sample: Sample) -> Instances:
        labels = read_label_map(by_name[sample.name])
        if labels.shape != sample.labels.shape:
            raise DataError(
                f"{by_name[sample.name]}: is {labels.shape[0]} x {labels.shape[1]} pixels, the truth {sample.labels.shape[0]} x {sample.labels.shape[1]}"
            )
        return Instances.from_label_map(labels)

    return _evaluate(read, source, protocols, progress)


def _label_map_path(folder: Path, name: str) -> Path | None:
    return next((path for ending in LABEL_MAP_ENDINGS if (path := folder / f"{name}{ending}").is_file()), None)


def _evaluate(
    find: Callable[[Sample], Instances], source: Source, protocols: Sequence[str], progress: Progress | None
) -> dict[str, dict[str, Any]]:
    check_protocols(protocols)
    examples = []
    for index in range(len(source)):
        sample = source.read(index)
        examples.append(_example(sample, find(sample)))
        if progress is not None:
            progress(index + 1, len(source))
    return {name: evaluate(examples, name) for name in protocols}


def _example(sample: Sample, found: Instances) -> Example:
    """Truth and predictions; the latter as a label map, since none overlaps another."""
    return Example.from_label_maps(
        sample.labels,
        found.label_map(),
        found.scores,
        found.class_ids,
        target_classes=sample.classes,
        void=sample.ignore,
    )
