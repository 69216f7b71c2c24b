"""Every error that a caller of seriatim can meet.

    SeriatimError
    ├── ConfigError (also ValueError)       a setting, name or argument that cannot be used
    ├── ShapeError (also ValueError)        an array whose shape or dtype does not fit
    ├── DataError                           a data set or annotation that is damaged or missing
    ├── ImageError                          an image that cannot be read
    ├── CheckpointError                     weights or a checkpoint that are damaged or do not fit
    ├── TrainingDivergedError               a loss that is no longer a number
    └── MissingExtraError (also ImportError) an optional package that is not installed

A message says where, what was expected, what it got, and what to do. Only the command line turns them into one line.
"""

import difflib
from collections.abc import Iterable


class SeriatimError(Exception):
    """The root of every error that this library raises on purpose."""


class ConfigError(SeriatimError, ValueError):
    """A setting, name or argument that cannot be used."""


class ShapeError(SeriatimError, ValueError):
    """An array whose shape or dtype does not fit."""


class DataError(SeriatimError):
    """A data set or annotation that is damaged or missing."""


class ImageError(SeriatimError):
    """An image that cannot be read."""


class CheckpointError(SeriatimError):
    """Weights or a checkpoint that are damaged or do not fit."""


class TrainingDivergedError(SeriatimError):
    """A loss that is no longer a number."""


class MissingExtraError(SeriatimError, ImportError):
    """An optional package that is not installed."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The tail of a message about an unknown name: the closest known one, or all of them.

    >>> did_you_mean("learn_rate", ["learning_rate", "steps"])
    "; did you mean 'learning_rate'?"
    >>> did_you_mean("zzz", ["cvppp", "nuclei"])
    '; known: cvppp, nuclei'
    """
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known: {', '.join(known)}"
