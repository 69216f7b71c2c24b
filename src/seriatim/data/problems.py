"""What is wrong with a data set: listed as it is met, or the first of it raised."""

import logging
from dataclasses import dataclass
from pathlib import Path

from seriatim.core.errors import DataError

logger = logging.getLogger(__name__)

MAX_WARNINGS = 10
"""Problems of one data set that are logged as warnings; all are listed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a data set that does not keep the rest from being read.

    Attributes:
        file: in which it stands.
        item: what is wrong, such as `annotation 17`; empty for the whole file.
        reason: what is wrong with it, and what was done (left out, cut to the image ...).
    """

    file: str
    item: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.item}: {self.reason}" if self.item else f"{self.file}: {self.reason}"


class Problems(list[Problem]):
    """The problems found so far, each once however often it is met; in a strict source the first is an error."""

    def __init__(self, strict: bool = False) -> None:
        """
        Args:
            strict: refuse instead of listing.
        """
        super().__init__()
        self.strict = strict
        self._met: set[Problem] = set()

    def note(self, file: Path | str, item: str, reason: str) -> None:
        """List a problem, and say the first ones in warnings.

        Args:
            file: in which it stands.
            item: what is wrong; empty for the whole file.
            reason: what is wrong with it, and what was done.

        Raises:
            DataError: with file, item and reason, if the source is strict.

        >>> found = Problems()
        >>> found.note("plants.json", "annotation 17", "covers no pixel; left out")
        >>> found.note("plants.json", "annotation 17", "covers no pixel; left out")
        >>> [str(problem) for problem in found]
        ['plants.json: annotation 17: covers no pixel; left out']
        """
        problem = Problem(str(file), item, reason)
        if self.strict:
            raise DataError(f"{problem} (refused, since problems are not allowed here)")
        if problem in self._met:
            return
        self._met.add(problem)
        self.append(problem)
        if len(self) <= MAX_WARNINGS:
            logger.warning("%s", problem)
        elif len(self) == MAX_WARNINGS + 1:
            logger.warning("%s: more problems; `seriatim data inspect` lists them all", file)


class FileProblems:
    """The problems of one file, as a view of a list of problems."""

    def __init__(self, problems: Problems, file: Path) -> None:
        """
        Args:
            problems: takes what is added.
            file: in which the problems stand.
        """
        self.problems = problems
        self.file = file

    def add(self, item: str, reason: str) -> None:
        """List a problem of the file; see `Problems.note`."""
        self.problems.note(self.file, item, reason)
