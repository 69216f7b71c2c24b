"""The pictures of a run: to train on, to watch, and to report; damaged ones listed and left out."""

import logging
from typing import NamedTuple

from seriatim.core.errors import DataError
from seriatim.data.catalogue import open_source
from seriatim.data.samples import Source
from seriatim.data.subsets import Subset, split
from seriatim.training.recipe import DataConfig

logger = logging.getLogger(__name__)

MOST_DAMAGED = 0.1
"""A run is refused where a larger share of the training pictures cannot be read."""


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


def check_pictures(source: Source) -> Subset:
    """The pictures of a source that can be read; each of the others is named in a warning.

    Raises:
        DataError: if more than 10 % cannot be read, or none holds an object.
    """
    usable, reasons, num_objects = [], [], 0
    for index in range(len(source)):
        try:
            num_objects += len(source.read(index).classes)
        except DataError as error:
            logger.warning("left out: %s", error)
            reasons.append(str(error))
        else:
            usable.append(index)
    if len(reasons) > MOST_DAMAGED * len(source):
        raise DataError(f"{len(reasons)} of {len(source)} training pictures cannot be read; the first: {reasons[0]}")
    if not num_objects:
        raise DataError(f"none of the {len(source)} training pictures holds an object; are the label maps empty?")
    return Subset(source, usable)
