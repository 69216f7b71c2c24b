"""How long work says how far it is: one type of callback for every room."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with the number of images (or tiles) done and the number of all."""
