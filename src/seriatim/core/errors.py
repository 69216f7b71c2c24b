"""Every exception class of seriatim.

    SeriatimError
    ├── ConfigError (also ValueError)         a setting, name or argument that cannot be used
    ├── ShapeError (also ValueError)          an array whose shape or dtype does not fit
    ├── DataError                             a data set or annotation that is damaged or missing
    ├── ImageError                            an image that cannot be read
    ├── CheckpointError                       weights or a checkpoint that are damaged or do not fit
    ├── FileReadError (also OSError)          a file of settings or text that cannot be read
    ├── FileWriteError (also OSError)         a file that could not be written
    ├── FormatLimitError                      objects that an output format cannot hold
    ├── TrainingDivergedError                 a loss that is not finite
    └── MissingExtraError (also ImportError)  an optional package that is not installed

    StoppedBySignal                           no error: training stopped because the process was asked to

A message says where the problem is, what was expected, what was found, and what to do. Only the command line turns errors into
one line on stderr.
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


class FileReadError(SeriatimError, OSError):
    """A file of settings or text that cannot be read."""


class FileWriteError(SeriatimError, OSError):
    """A file that could not be written; the file that was there before is intact."""


class FormatLimitError(SeriatimError):
    """Objects that an output format cannot hold."""


class TrainingDivergedError(SeriatimError):
    """A loss that is not finite."""


class MissingExtraError(SeriatimError, ImportError):
    """An optional package that is not installed."""


class StoppedBySignal(Exception):  # noqa: N818 (not an error)
    """Training stopped because the process received a signal; its checkpoint is written."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.number = number


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
