"""A progress bar on stderr, where stderr is a terminal; otherwise nothing."""

import sys
from types import TracebackType
from typing import Any


class Progress:
    """How many pictures are done, and how many tiles of a large one; as a `with` block."""

    def __init__(self, total: int, unit: str = "pictures") -> None:
        """
        Args:
            total: number of pictures.
            unit: what they are called.
        """
        self._bar: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
            self._pictures = self._bar.add_task(unit, total=total)
            self._tiles = self._bar.add_task("tiles", total=1, visible=False)

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def tiles(self, done: int, total: int) -> None:
        """Show that `done` of `total` tiles of the present picture are through."""
        if self._bar is not None:
            self._bar.update(self._tiles, completed=done, total=total, visible=1 < total != done)

    def picture_done(self) -> None:
        """Count one picture."""
        if self._bar is not None:
            self._bar.advance(self._pictures)

    def pictures(self, done: int, total: int) -> None:
        """Show that `done` of `total` pictures are through."""
        if self._bar is not None:
            self._bar.update(self._pictures, completed=done, total=total)
