"""A progress bar on stderr, where stderr is a terminal; otherwise nothing."""

import sys
from types import TracebackType
from typing import Any


class Progress:
    """How many images are done, and how many tiles of a large one; as a `with` block."""

    def __init__(self, total: int, unit: str = "images") -> None:
        """
        Args:
            total: number of images.
            unit: what they are called.
        """
        self._bar: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = RichProgress(*columns, console=Console(stderr=True), transient=True)
            self._images = self._bar.add_task(unit, total=total)
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
        """Show that `done` of `total` tiles of the present image are through."""
        if self._bar is not None:
            self._bar.update(self._tiles, completed=done, total=total, visible=1 < total != done)

    def image_done(self) -> None:
        """Count one image."""
        if self._bar is not None:
            self._bar.advance(self._images)

    def images(self, done: int, total: int) -> None:
        """Show that `done` of `total` images are through."""
        if self._bar is not None:
            self._bar.update(self._images, completed=done, total=total)
