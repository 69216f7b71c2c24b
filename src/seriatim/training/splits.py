"""The images of a run, for training, validation and test; damaged ones are listed and left out."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from seriatim.core.errors import ConfigError, DataError
from seriatim.core.instances import Instances
from seriatim.data.box_origins import WithBoxes, open_boxes
from seriatim.data.catalogue import open_source
from seriatim.data.source import Source
from seriatim.data.subsets import OfClasses, Subset, split
from seriatim.training.recipe import DataConfig

logger = logging.getLogger(__name__)

MAX_DAMAGED = 0.1
"""A run is refused if a larger share of the images cannot be read."""


class Splits(NamedTuple):
    """Three parts that share no image."""

    training: Source
    validation: Source
    test: Source


def open_splits(config: DataConfig) -> Splits:
    """The parts that a recipe names, without reading an image.

    Raises:
        DataError: if a source is missing or too small, or its boxes cannot be used.
    """
    training, validation, test = split(
        _open("source", config.source, config.boxes, config.classes),
        config.num_validation,
        config.num_test,
        config.split_seed,
    )
    if config.validation is not None:
        validation = _open("validation", config.validation, config.validation_boxes, config.classes)
    if config.test is not None:
        test = _open("test", config.test, config.test_boxes, config.classes)
    return Splits(training, validation, test)


def _open(setting: str, spec: str, boxes: str | None, classes: Sequence[str] | None) -> Source:
    try:
        source = open_source(spec)
    except DataError as error:
        raise DataError(f"{error} (data.{setting} is {spec}; to use other images, set data.{setting})") from error
    if boxes is not None:
        source = WithBoxes(source, open_boxes(boxes, source))
    return source if classes is None else OfClasses(source, classes)


def training_masks(splits: Splits, count: int, seed: int) -> Iterator[Bool[np.ndarray, "_ _"]]:
    """Masks of the visible pixels of training objects, each cut to its box; images are taken in an order drawn from the seed.

    Args:
        splits: the images; those of validation and test are not touched.
        count: of the masks at most.
        seed: of the order.
    """
    order = np.random.default_rng((seed, 4)).permutation(len(splits.training))
    samples = (splits.training.read(int(index)) for index in order)
    masks = (one.mask for sample in samples for one in Instances.from_label_map(sample.labels))
    return islice(masks, count)


def check_classes(splits: Splits, num_classes: int) -> None:
    """Refuse a network with another number of classes than the images, and parts whose classes differ.

    Args:
        splits: the images.
        num_classes: `model.config.num_classes`; 0 where the network tells no classes apart.

    Raises:
        ConfigError: naming the number, or the part of the images and its classes.
    """
    if not num_classes:
        return
    known = splits.training.class_names
    if num_classes != len(known):
        raise ConfigError(
            f"model.config.num_classes: is {num_classes}, but the training images have {len(known)} ({_listed(known)}); set it to {len(known)}"
        )
    for part, source in zip(Splits._fields[1:], splits[1:], strict=True):
        names = source.class_names
        if len(source) and (len(names) != len(known) or (len(names) > 1 and names != known)):
            raise ConfigError(
                f"data.{part}: its {len(names)} classes ({_listed(names)}) are not the {len(known)} of the training images ({_listed(known)}); "
                f"name other images, or take the setting out with --set data.{part}="
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image that cannot be read, or has none of the classes asked for.

    Attributes:
        part: training or validation.
        index: of the image in its part.
        name: of the image.
        reason: what is wrong.
    """

    part: str
    index: int
    name: str
    reason: str


def check_images(splits: Splits) -> list[LeftOut]:
    """The images for training and validation that cannot be used; a warning names each that is damaged.

    Generated images need no check. Where only the objects of some classes are kept, an image without any cannot be used.

    Raises:
        DataError: if more than 10 % cannot be read, no training image holds an object, or no validation image holds one of the classes.
    """
    damaged: list[LeftOut] = []
    without_objects: list[LeftOut] = []
    checked = {
        part: source
        for part, source in (("training", splits.training), ("validation", splits.validation))
        if not source.generated or source.is_of_some_classes
    }
    num_objects = 0
    for part, source in checked.items():
        for index in range(len(source)):
            try:
                sample = source.read(index)
            except DataError as error:
                logger.warning("left out: %s", error)
                damaged.append(LeftOut(part, index, source.name(index), str(error)))
                continue
            num_objects += len(sample.classes) if part == "training" else 0
            if not len(sample.classes) and source.is_of_some_classes:
                reason = f"holds no {' or '.join(source.class_names)}"
                without_objects.append(LeftOut(part, index, source.name(index), reason))
    num_read = sum(len(source) for source in checked.values())
    if len(damaged) > MAX_DAMAGED * num_read:
        raise DataError(
            f"{len(damaged)} of {num_read} images cannot be read, more than {MAX_DAMAGED:.0%}; the first: {damaged[0].reason}"
        )
    if not num_objects and "training" in checked:
        raise DataError(
            f"none of the {len(splits.training)} training images holds an object; are the label maps empty?"
        )
    unwatched = [one for one in without_objects if one.part == "validation"]
    if unwatched and len(unwatched) == len(splits.validation):
        raise DataError(
            f"each of the {len(unwatched)} validation images {unwatched[0].reason}; keep more back (data.num_validation)"
        )
    if without_objects:
        logger.info("left out: %d of %d images, which hold none of the classes", len(without_objects), num_read)
    return damaged + without_objects


def without(splits: Splits, left_out: Sequence[LeftOut]) -> Splits:
    """The parts without the images that cannot be used.

    Raises:
        DataError: if an image to leave out is no longer at its place, since the data have changed then.
    """
    parts: dict[str, Source] = splits._asdict()
    for part, source in parts.items():
        names = {one.index: one.name for one in left_out if one.part == part}
        for index, name in names.items():
            if index >= len(source) or source.name(index) != name:
                raise DataError(
                    f"{name}: was image {index} of the {part} part when the run was started; the data have changed since"
                )
        if names:
            parts[part] = Subset(source, [index for index in range(len(source)) if index not in names])
    return Splits(**parts)
