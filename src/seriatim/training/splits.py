"""The images of a run: to train on, to watch, and to report; damaged ones listed and left out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seriatim.core.errors import ConfigError, DataError
from seriatim.data.catalogue import open_source
from seriatim.data.source import Source
from seriatim.data.subsets import OfClasses, Subset, split
from seriatim.training.recipe import DataConfig

logger = logging.getLogger(__name__)

MAX_DAMAGED = 0.1
"""A run is refused where a larger share of the images cannot be read."""


class Splits(NamedTuple):
    """Three parts that share no image."""

    training: Source
    validation: Source
    test: Source


def open_splits(config: DataConfig) -> Splits:
    """The parts that a recipe names, without reading an image.

    Raises:
        DataError: if a source is missing or too small.
    """
    source = _open(config.source, config)
    training, validation, test = split(source, config.num_validation, config.num_test, config.split_seed)
    return Splits(
        training,
        validation if config.validation is None else _open(config.validation, config),
        test if config.test is None else _open(config.test, config),
    )


def _open(spec: str, config: DataConfig) -> Source:
    source = open_source(spec)
    return source if config.classes is None else OfClasses(source, config.classes)


def check_classes(splits: Splits, num_classes: int | None) -> None:
    """Refuse a network that tells apart another number of classes than the images have, and parts of several classes that differ in them.

    Args:
        splits: the images.
        num_classes: `model.config.num_classes`; None where the network knows no classes.

    Raises:
        ConfigError: naming the number, or the part of the images and its classes.
    """
    if num_classes is None:
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
        reason: what was wrong.
    """

    part: str
    index: int
    name: str
    reason: str


def check_images(splits: Splits) -> list[LeftOut]:
    """What cannot be used of the images to train on and to watch; what is damaged is named in a warning. Generated images need no check.

    Where only the objects of some classes are kept, an image without any is of no use either.

    Raises:
        DataError: if more than 10 % cannot be read, no image to train on holds an object, or none to watch one of the classes.
    """
    left_out: list[LeftOut] = []
    without_objects: list[LeftOut] = []
    num_read = num_objects = 0
    for part, source in (("training", splits.training), ("validation", splits.validation)):
        if _is_sound(source):
            continue
        for index in range(len(source)):
            num_read += 1
            try:
                sample = source.read(index)
            except DataError as error:
                logger.warning("left out: %s", error)
                left_out.append(LeftOut(part, index, source.name(index), str(error)))
                continue
            num_objects += len(sample.classes) if part == "training" else 0
            if not len(sample.classes) and source.is_of_some_classes:
                reason = f"holds no {' or '.join(source.class_names)}"
                without_objects.append(LeftOut(part, index, source.name(index), reason))
    if len(left_out) > MAX_DAMAGED * num_read:
        raise DataError(
            f"{len(left_out)} of {num_read} images cannot be read, more than {MAX_DAMAGED:.0%}; the first: {left_out[0].reason}"
        )
    if not num_objects and not _is_sound(splits.training):
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
    return left_out + without_objects


def without(splits: Splits, left_out: Sequence[LeftOut]) -> Splits:
    """The parts without the images that cannot be used.

    Raises:
        DataError: if an image that was left out is no longer at its place, since the data are then others.
    """
    parts: dict[str, Source] = {"training": splits.training, "validation": splits.validation}
    gone: dict[str, set[int]] = {name: set() for name in parts}
    for one in left_out:
        source = parts[one.part]
        if one.index >= len(source) or source.name(one.index) != one.name:
            raise DataError(
                f"{one.name}: was image {one.index} of the {one.part} part when the run began; the data have changed since"
            )
        gone[one.part].add(one.index)
    for part, source in parts.items():
        if gone[part]:
            parts[part] = Subset(source, [index for index in range(len(source)) if index not in gone[part]])
    return splits._replace(**parts)


def _is_sound(source: Source) -> bool:
    """Whether no image can be damaged or lack the objects asked for."""
    return source.generated and not source.is_of_some_classes
