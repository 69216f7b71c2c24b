"""The pictures of a run: to train on, to watch, and to report; damaged ones listed and left out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from seriatim.core.errors import DataError
from seriatim.data.catalogue import open_source
from seriatim.data.samples import Source
from seriatim.data.subsets import Subset, split
from seriatim.data.synthetic import RosetteSource
from seriatim.training.recipe import DataConfig

logger = logging.getLogger(__name__)

MOST_DAMAGED = 0.1
"""A run is refused where a larger share of the pictures cannot be read."""


class Splits(NamedTuple):
    """Three parts that share no picture."""

    training: Source
    validation: Source
    test: Source


def open_splits(config: DataConfig) -> Splits:
    """The parts that a recipe names, without reading a picture.

    Raises:
        DataError: if a source is missing or too small.
    """
    source = open_source(config.source)
    training, validation, test = split(source, config.num_validation, config.num_test, config.split_seed)
    return Splits(
        training,
        validation if config.validation is None else open_source(config.validation),
        test if config.test is None else open_source(config.test),
    )


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A picture that cannot be read.

    Attributes:
        part: training or validation.
        index: of the picture in its part.
        name: of the picture.
        reason: what was wrong.
    """

    part: str
    index: int
    name: str
    reason: str


def check_pictures(splits: Splits) -> list[LeftOut]:
    """What cannot be read of the pictures to train on and to watch; each is named in a warning. Generated pictures need no check.

    Raises:
        DataError: if more than 10 % cannot be read, or no picture to train on holds an object.
    """
    left_out: list[LeftOut] = []
    num_read = num_objects = 0
    for part, source in (("training", splits.training), ("validation", splits.validation)):
        if is_generated(source):
            continue
        for index in range(len(source)):
            num_read += 1
            try:
                sample = source.read(index)
            except DataError as error:
                logger.warning("left out: %s", error)
                left_out.append(LeftOut(part, index, source.name(index), str(error)))
            else:
                num_objects += len(sample.classes) if part == "training" else 0
    if len(left_out) > MOST_DAMAGED * num_read:
        raise DataError(
            f"{len(left_out)} of {num_read} pictures cannot be read, more than {MOST_DAMAGED:.0%}; the first: {left_out[0].reason}"
        )
    if not num_objects and not is_generated(splits.training):
        raise DataError(
            f"none of the {len(splits.training)} training pictures holds an object; are the label maps empty?"
        )
    return left_out


def without(splits: Splits, left_out: Sequence[LeftOut]) -> Splits:
    """The parts without the pictures that cannot be read.

    Raises:
        DataError: if a picture that was left out is no longer at its place, since the data are then others.
    """
    parts: dict[str, Source] = {"training": splits.training, "validation": splits.validation}
    gone: dict[str, set[int]] = {name: set() for name in parts}
    for one in left_out:
        source = parts[one.part]
        if one.index >= len(source) or source.name(one.index) != one.name:
            raise DataError(
                f"{one.name}: was picture {one.index} of the {one.part} part when the run began; the data have changed since"
            )
        gone[one.part].add(one.index)
    for part, source in parts.items():
        if gone[part]:
            parts[part] = Subset(source, [index for index in range(len(source)) if index not in gone[part]])
    return splits._replace(**parts)


def is_generated(source: Source) -> bool:
    """Whether the pictures are made when they are read, so that no file can be damaged."""
    while isinstance(source, Subset):
        source = source.source
    return isinstance(source, RosetteSource)
