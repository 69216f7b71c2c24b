"""A progress bar on stderr if that is a terminal, otherwise nothing."""

import sys
from contextlib import ExitStack
from typing import Any


class ProgressBar(ExitStack):
    """Shows in a `with` block how many images are done, and how many tiles of a large one."""

    def __init__(self, total: int, unit: str = "images") -> None:
        """
        Args:
            total: number of images.
            unit: their name.
        """
        super().__init__()
        self._bar: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._images = self._bar.add_task(unit, total=total)
            self._tiles = self._bar.add_task("tiles", total=1, visible=False)
            self.enter_context(self._bar)

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
