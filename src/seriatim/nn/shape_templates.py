"""The shape term of DIN (Sec. 3.2.3, eq. 5 and 6), and where its templates come from.

A template is a square grid that a bilinear warp stretches to the box of a detection, t = A T B^T with one matrix for the rows and one for the columns of
the box. So all that eq. 5 asks of a template is had on the grid, exactly, without warping any but the winner:

    sum(Q o t) = sum((A^T Q B) o T)          |t|^2 = sum((A^T A T B^T B) o T)

Templates start as the means of clusters of the masks of objects, up to 250 for each of five aspect ratios (as in Weiss and Taskar, "SCALPEL", CVPR 2013).
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from seriatim.core.errors import CheckpointError, ConfigError, DataError
from seriatim.core.tensor_files import load_tensors, save_tensors
from seriatim.nn.detections import Detections

ASPECT_EDGES = (0.5, 0.8, 1.25, 2.0)
"""Height over width at which one bin of templates ends and the next begins."""

NUM_BINS = len(ASPECT_EDGES) + 1

_SMALLEST_NORM = 1e-12

_KEY = "templates"


def warp_matrix(
    start: float, stop: float, pixels: range, cells: int, dtype: torch.dtype = torch.float64
) -> Float[Tensor, "pixels cells"]:
    """The matrix that stretches a line of cells over `start` .. `stop` and reads it at the centres of pixels, linearly.

    Beyond the outermost centres of cells the outermost cell goes on, as in `torch.nn.functional.interpolate`.

    Args:
        start: where the line begins, in pixels.
        stop: where it ends.
        pixels: that are read.
        cells: of the line.
        dtype: of the result.

    >>> warp_matrix(0.0, 4.0, range(4), 2)
    tensor([[1.0000, 0.0000],
            [0.7500, 0.2500],
            [0.2500, 0.7500],
            [0.0000, 1.0000]], dtype=torch.float64)
    """
    centres = torch.arange(pixels.start, pixels.stop, dtype=torch.float64) + 0.5
    places = ((centres - start) * (cells / max(stop - start, 1e-9)) - 0.5).clamp(0, cells - 1)
    return (1 - (places[:, None] - torch.arange(cells, dtype=torch.float64)).abs()).clamp(min=0).to(dtype)


class Match(NamedTuple):
    """The template of eq. 5.

    Attributes:
        number: among all templates, bin by bin; None where no template has anything in common with the segmentation.
        score: its normalised cross correlation.
    """

    number: int | None
    score: float


class ShapeTerm(nn.Module):
    """psi_Shape, whose templates are learned.

    Attributes:
        templates: those of each bin; unused ones are 0 and match nothing.
    """

    def __init__(self, templates_per_bin: int = 250, side: int = 32) -> None:
        """The first templates are one ellipse, which `set_templates` replaces by those of a training set.

        Args:
            templates_per_bin: room for templates of one aspect ratio.
            side: cells of a template, along and across.
        """
        super().__init__()
        self.templates = nn.Parameter(torch.zeros(NUM_BINS, templates_per_bin, side, side))
        places = (2 * torch.arange(side) + 1) / side - 1
        self.templates.data[0, 0] = (places[:, None] ** 2 + places**2 <= 1).float()

    def set_templates(self, templates: Float[Tensor, "bins count side side"]) -> None:
        """Begin with these, of at most as many a bin as there is room for.

        Raises:
            ConfigError: if they do not fit.
        """
        bins, room, side, _ = self.templates.shape
        if templates.shape[0] != bins or templates.shape[1] > room or templates.shape[2:] != (side, side):
            raise ConfigError(
                f"shape templates: expected {bins} bins of at most {room} templates of {side} x {side}, got shape {tuple(templates.shape)}"
            )
        with torch.no_grad():
            self.templates.zero_()
            self.templates[:, : templates.shape[1]] = templates.to(self.templates)

    @torch.no_grad()
    def match(
        self,
        probs: Float[Tensor, "box_height box_width"],
        rows: Float[Tensor, "box_height side"],
        columns: Float[Tensor, "box_width side"],
    ) -> Match:
        """Eq. 5: the template that correlates best with the segmentation in the box, of equal ones the first.

        Args:
            probs: Q(l_k) in the box.
            rows: the warp along the rows.
            columns: along the columns.
        """
        templates = self.templates.flatten(0, 1).to(probs.dtype)
        products = (templates * (rows.T @ probs @ columns)).sum(dim=(1, 2))
        squares = ((rows.T @ rows @ templates @ (columns.T @ columns)) * templates).sum(dim=(1, 2))
        norms = squares.clamp(min=0).sqrt() * probs.norm()
        scores = torch.where(norms > _SMALLEST_NORM, products / norms.clamp(min=_SMALLEST_NORM), 0.0)
        best = int(scores.argmax())
        score = float(scores[best])
        return Match(best if score > 0 else None, score)

    def forward(
        self, probs: Float[Tensor, "height width"], detections: Detections, number: int
    ) -> Float[Tensor, "height width"]:
        """Eq. 6: Q(l_k) times the matched template inside the box, 0 elsewhere and where nothing matches.

        The gradient goes to Q and to the matched template, not through the choice. Of a box that reaches beyond the image the template is compared
        where the two overlap.

        Args:
            probs: Q(l_k) of the whole image.
            detections: of the image.
            number: k.
        """
        y0, x0, y1, x1 = detections.pixel_box(number)
        side = self.templates.shape[-1]
        edges = detections.edges[number].tolist()
        rows, columns = (
            warp_matrix(edges[axis], edges[axis + 2], range(*span), side, probs.dtype).to(probs.device)
            for axis, span in enumerate(((y0, y1), (x0, x1)))
        )
        inside = probs[y0:y1, x0:x1]
        best = self.match(inside, rows, columns).number
        if best is None:
            return torch.zeros_like(probs)
        template = self.templates.flatten(0, 1)[best].to(probs.dtype)
        term = inside * (rows @ template @ columns.T)
        return nn.functional.pad(term, (x0, probs.shape[1] - x1, y0, probs.shape[0] - y1))


def make_templates(
    masks: Iterable[Bool[np.ndarray, "_ _"]],
    templates_per_bin: int = 250,
    side: int = 32,
    seed: int = 0,
    max_iterations: int = 50,
) -> Float[Tensor, "bins count side side"]:
    """Templates of a training set: for each aspect ratio, the means of clusters of the masks, each stretched to the grid.

    Args:
        masks: of the objects, cut to their boxes, as `Instance.mask`.
        templates_per_bin: clusters of one aspect ratio at most; a bin with fewer masks has a template for each.
        side: cells of a template.
        seed: of the first centres of the clusters.
        max_iterations: of k-means.

    Returns:
        As many templates a bin as the largest bin has, those of smaller bins filled up with 0.

    Raises:
        DataError: if there is no mask, or one without a pixel.
    """
    bins: list[list[np.ndarray]] = [[] for _ in range(NUM_BINS)]
    for number, mask in enumerate(masks):
        if not mask.any():
            raise DataError(f"shape templates: mask {number}, of shape {mask.shape}, has no pixel")
        bins[aspect_bin(*mask.shape)].append(mean_of_cells(mask, side).ravel())
    if not any(bins):
        raise DataError("shape templates: there is no object to make them from")
    generator = np.random.default_rng(seed)
    centres = [cluster(np.stack(each), templates_per_bin, generator, max_iterations) for each in bins if each]
    out = np.zeros((NUM_BINS, max(map(len, centres)), side * side), dtype=np.float32)
    for position, found in zip((position for position, each in enumerate(bins) if each), centres, strict=True):
        out[position, : len(found)] = found
    return torch.from_numpy(out.reshape(*out.shape[:2], side, side))


def write_templates(path: Path, templates: Float[Tensor, "bins count side side"], source: str) -> None:
    """Write templates to a file.

    Args:
        path: of the file, by custom `.safetensors`.
        templates: of `make_templates`.
        source: what they were made from, kept in the file.

    Raises:
        FileWriteError: if the file cannot be written.
    """
    save_tensors(path, {_KEY: templates}, {"source": source})


def read_templates(path: Path) -> Float[Tensor, "bins count side side"]:
    """The templates in a file.

    Raises:
        CheckpointError: if the file is missing, damaged, or holds no templates.
    """
    tensors, _ = load_tensors(path)
    if set(tensors) != {_KEY} or tensors[_KEY].ndim != 4:
        raise CheckpointError(f"{path}: holds no shape templates; was it written by `write_templates`?")
    return tensors[_KEY]


def aspect_bin(height: int, width: int) -> int:
    """The bin of a box.

    >>> [aspect_bin(*size) for size in ((1, 4), (3, 4), (4, 4), (4, 3), (4, 1))]
    [0, 1, 2, 3, 4]
    """
    return int(np.searchsorted(ASPECT_EDGES, height / width, side="right"))


def mean_of_cells(mask: Bool[np.ndarray, "height width"], side: int) -> Float[np.ndarray, "side side"]:
    """The share of each cell of a grid over the mask that the mask fills.

    >>> mean_of_cells(np.array([[True, True, False], [True, True, False]]), 2).round(3).tolist()
    [[1.0, 0.333], [1.0, 0.333]]
    """
    rows, columns = (_overlaps(length, side) for length in mask.shape)
    return rows @ mask.astype(np.float64) @ columns.T


def _overlaps(length: int, cells: int) -> Float[np.ndarray, "cells length"]:
    """The share of each cell that each pixel of a line covers."""
    edges, pixels = np.arange(cells + 1)[:, None] * (length / cells), np.arange(length)
    covered = np.clip(edges - pixels, 0, 1)
    return np.diff(covered, axis=0) * (cells / length)


def cluster(
    points: Float[np.ndarray, "points features"], count: int, generator: np.random.Generator, max_iterations: int
) -> Float[np.ndarray, "clusters features"]:
    """The centres of at most `count` clusters by k-means (Lloyd), begun at points drawn far from one another (k-means++).

    Args:
        points: to cluster.
        count: of the clusters; equal points give fewer.
        generator: of the first centres.
        max_iterations: at most.
    """
    centres = points[generator.integers(len(points))][None]
    nearest = _squared_distances(points, centres)[:, 0]
    while len(centres) < count and nearest.max() > 1e-9:
        drawn = points[generator.choice(len(points), p=nearest / nearest.sum())][None]
        centres = np.concatenate((centres, drawn))
        nearest = np.minimum(nearest, _squared_distances(points, drawn)[:, 0])
    owner = np.full(len(points), -1)
    for _ in range(max_iterations):
        before, owner = owner, _squared_distances(points, centres).argmin(axis=1)
        if np.array_equal(before, owner):
            break
        for number in np.unique(owner):
            centres[number] = points[owner == number].mean(axis=0)
    return centres


def _squared_distances(points: np.ndarray, centres: np.ndarray) -> Float[np.ndarray, "points centres"]:
    squares = (points**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * points @ centres.T
    return np.maximum(squares, 0)
