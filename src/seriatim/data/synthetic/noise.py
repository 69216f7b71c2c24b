"""Smooth random values on a plane, from which both generators make their textures."""

import numpy as np

Plane = np.ndarray
"""float32, (height, width) of an image or of a box in it."""


def smooth_noise(rng: np.random.Generator, height: int, width: int, cell: float) -> Plane:
    """Smooth random values of mean 0 and a deviation near 0.5, whose bumps are about `cell` pixels wide."""
    if cell <= 1:
        return rng.random((height, width), dtype=np.float32) * np.float32(1.6) - np.float32(0.8)
    grid_height = int(height / cell) + 3
    grid_width = int(width / cell) + 3
    grid = rng.standard_normal((grid_height, grid_width), dtype=np.float32) * np.float32(0.75)
    rows, row_share = _grid_positions(height, cell, rng.random())
    columns, column_share = _grid_positions(width, cell, rng.random())
    tall = grid[rows] + (grid[rows + 1] - grid[rows]) * row_share[:, None]
    left = tall[:, columns]
    return left + (tall[:, columns + 1] - left) * column_share


def _grid_positions(length: int, cell: float, shift: float) -> tuple[np.ndarray, np.ndarray]:
    position = np.arange(length, dtype=np.float32) / np.float32(cell) + np.float32(shift)
    whole = np.floor(position)
    share = position - whole
    return whole.astype(np.intp), share * share * (3 - 2 * share)
