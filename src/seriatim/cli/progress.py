"""Progress bars on stderr if that is a terminal."""

import sys
from typing import Any


class TerminalBar:
    """Shows in a `with` block a bar of rich; a subclass sets `_bar` where stderr is a terminal."""

    _bar: Any = None

    def __enter__(self) -> Any:  # Self, which beartype refuses outside of classes that it decorates
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class ProgressBar(TerminalBar):
    """Shows in a `with` block how many images are done, and how many tiles of a large one."""

    def __init__(self, total: int, unit: str = "images") -> None:
        """
        Args:
            total: number of images.
            unit: their name.
        """
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._images = self._bar.add_task(unit, total=total)
            self._tiles = self._bar.add_task("tiles", total=1, visible=False)

    def tiles(self, done: int, total: int) -> None:
        """Show that `done` of `total` tiles of the current image are done."""
        if self._bar is not None:
            self._bar.update(self._tiles, completed=done, total=total, visible=1 < total != done)

    def image_done(self) -> None:
        """Count one image."""
        if self._bar is not None:
            self._bar.advance(self._images)

    def images(self, done: int, total: int) -> None:
        """Show that `done` of `total` images are done."""
        if self._bar is not None:
            self._bar.update(self._images, completed=done, total=total)
