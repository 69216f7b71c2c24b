"""Augmentation: one affine map from an output crop back into the image, for pixels, labels and boxes at once, then intensity.

A crop of any rotation, flip and scale is sampled straight from the image, so that the cost depends on the crop, not on the image. All random
numbers are drawn from the generator that is passed in.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int, Int32
from pydantic import Field
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from seriatim.core.batch import OUTSIDE
from seriatim.core.boxes import Boxes
from seriatim.core.config import Config
from seriatim.data.samples import Sample


class AugmentationConfig(Config):
    """How a training crop is drawn."""

    crop_size: tuple[int, int] = (128, 128)
    """(height, width) of the crop in pixels."""
    fit: bool = False
    """Scale the whole image into the crop instead of cutting a part; `scale` then varies around that."""
    scale: tuple[float, float] = (0.7, 1.4)
    """Range of the scale, drawn log-uniformly."""
    diameter: float | None = Field(default=None, gt=2)
    """Scale each image first so that its median object has this diameter in pixels."""
    native_share: float = Field(default=0.0, ge=0, le=1)
    """With `diameter`: share of crops that keep the image's own scale."""
    focus: float = Field(default=0.0, ge=0, le=1)
    """Share of crops that are centred near a pixel of an object, drawn at random."""
    rotation: float = Field(default=180.0, ge=0, le=180)
    """Largest rotation in degrees either way."""
    flips: bool | Literal["horizontal"] = True
    """Mirror left-right and top-bottom, each half of the time; or left-right alone, where up is up."""
    brightness: float = Field(default=0.1, ge=0)
    """Largest shift of all values."""
    contrast: float = Field(default=0.25, ge=0, lt=1)
    """Largest relative change of contrast."""
    gamma: float = Field(default=0.35, ge=0)
    """Standard deviation of the logarithm of gamma."""
    colour: float = Field(default=0.0, ge=0)
    """Largest relative change of a single colour channel."""
    noise: float = Field(default=0.03, ge=0)
    """Largest standard deviation of Gaussian noise."""
    blur: float = Field(default=1.0, ge=0)
    """Largest standard deviation of a Gaussian blur, in pixels; a third of the crops are blurred."""
    min_area: int = Field(default=12, ge=1)
    """Objects of which fewer pixels are left in the crop are ignored."""
    max_objects: int | None = Field(default=None, ge=1)
    """Keep at most this many objects, the largest (the papers: 20); the others become background."""


class Crop(NamedTuple):
    """One training crop.

    Attributes:
        name: of the image that it is cut from.
        image: values in 0..1.
        labels: 0 background, 1..N; negative to ignore: -1 in the image, `OUTSIDE` beyond its edges.
        classes: of every object, from 1.
        boxes: those of the sample that reach into the crop, in pixels of the crop; None where the sample has none.
    """

    name: str
    image: Float32[np.ndarray, "channels height width"]
    labels: Int32[np.ndarray, "height width"]
    classes: Int[np.ndarray, " instances"]
    boxes: Boxes | None = None


def augment(sample: Sample, config: AugmentationConfig, random: np.random.Generator) -> Crop:
    """One training crop of a sample.

    Args:
        sample: the whole image, prepared.
        config: see `AugmentationConfig`.
        random: generator of all random numbers.
    """
    height, width = config.crop_size
    scale = _draw_scale(sample, config, random)
    inverse = _draw_map(sample.labels, config, scale, random)
    image, labels = _sample(sample, inverse, scale, (height, width))
    labels, classes = _choose_objects(labels, sample.classes, config)
    boxes = None if sample.boxes is None else _cut_boxes(sample.boxes, inverse, (height, width))
    return Crop(sample.name, _change_intensity(image, config, random), labels, classes, boxes)


def _cut_boxes(boxes: Boxes, inverse: np.ndarray, crop: tuple[int, int]) -> Boxes:
    """The boxes in pixels of the crop, clipped to it; `inverse` is the map of `_draw_map`."""
    linear = np.linalg.inv(inverse[:, :2])
    forward = np.column_stack((linear, np.array(crop) / 2 - linear @ inverse[:, 2]))
    return boxes.transform(forward).clip(crop)


def _draw_scale(sample: Sample, config: AugmentationConfig, random: np.random.Generator) -> float:
    scale = math.exp(random.uniform(math.log(config.scale[0]), math.log(config.scale[1])))
    keeps_native = random.random() < config.native_share
    if config.fit:
        scale *= min(config.crop_size[0] / sample.labels.shape[0], config.crop_size[1] / sample.labels.shape[1])
    elif config.diameter is not None and not keeps_native and len(sample.classes):
        scale *= config.diameter / median_diameter(sample.labels)
    return scale


def median_diameter(labels: Int32[np.ndarray, "height width"]) -> float:
    """Median over the objects of the diameter of a circle of the same area, in pixels.

    >>> round(median_diameter(np.ones((10, 10), dtype=np.int32)), 2)
    11.28
    """
    areas = np.bincount(labels.ravel())[1:]
    return float(np.median(np.sqrt(4 * areas[areas > 0] / np.pi))) if (areas > 0).any() else float("nan")


def _draw_map(labels: np.ndarray, config: AugmentationConfig, scale: float, random: np.random.Generator) -> np.ndarray:
    """The 2 x 3 matrix that takes (y, x, 1) of the crop, counted from its centre, into the image."""
    size = np.array(labels.shape)
    angle = math.radians(random.uniform(-config.rotation, config.rotation))
    mirror = random.choice((-1.0, 1.0), size=2) if config.flips else np.ones(2)
    if config.flips == "horizontal":
        mirror[0] = 1.0
    linear = (
        np.array(((math.cos(angle), -math.sin(angle)), (math.sin(angle), math.cos(angle)))) @ np.diag(mirror) / scale
    )
    reach = np.abs(np.diag(mirror / scale)) @ np.array(config.crop_size) / 2
    low, high = np.minimum(reach, size / 2), np.maximum(size - reach, size / 2)
    centre = size / 2 if config.fit else random.uniform(low, high)
    if not config.fit and random.random() < config.focus and labels.any():
        objects = np.flatnonzero(labels)
        pixel = np.array(np.unravel_index(objects[random.integers(len(objects))], labels.shape))
        centre = np.clip(pixel + random.uniform(-reach, reach) / 2, low, high)
    return np.column_stack((linear, centre))


def _sample(sample: Sample, inverse: np.ndarray, scale: float, crop: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    oversampling = min(max(1, math.ceil(1 / scale - 0.25)), 4)
    fine = _positions(inverse, crop, oversampling)
    size = np.array(sample.labels.shape)
    image = _grid_sample(sample.image, fine, size, "bilinear")
    if oversampling > 1:
        image = F.avg_pool2d(image, oversampling)
    centres = _positions(inverse, crop, 1)
    truth = sample.labels if sample.ignore is None else np.where(sample.ignore, -1, sample.labels)
    labels = _grid_sample(truth[None].astype(np.float32), centres, size, "nearest")[0, 0].numpy().astype(np.int32)
    outside = ((centres < 0) | (centres > size)).any(axis=-1)
    labels[outside] = OUTSIDE
    return image[0].numpy(), labels


def _positions(inverse: np.ndarray, crop: tuple[int, int], oversampling: int) -> np.ndarray:
    rows, columns = ((np.arange(cells * oversampling) + 0.5) / oversampling - cells / 2 for cells in crop)
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1)
    return grid @ inverse[:, :2].T + inverse[:, 2]


def _grid_sample(planes: np.ndarray, positions: np.ndarray, size: np.ndarray, mode: str) -> torch.Tensor:
    grid = torch.from_numpy((positions / size * 2 - 1)[..., ::-1].astype(np.float32).copy())[None]
    source = torch.from_numpy(np.ascontiguousarray(planes))[None]
    return F.grid_sample(source, grid, mode=mode, padding_mode="reflection", align_corners=False)


def _choose_objects(
    labels: np.ndarray, classes: np.ndarray, config: AugmentationConfig
) -> tuple[np.ndarray, np.ndarray]:
    areas = np.bincount(np.maximum(labels, 0).ravel(), minlength=len(classes) + 1)
    areas[0] = 0
    kept = np.flatnonzero(areas >= config.min_area)
    if config.max_objects is not None and len(kept) > config.max_objects:
        kept = kept[np.argsort(-areas[kept], kind="stable")[: config.max_objects]]
    kept = np.sort(kept)
    renumber = np.where(areas > 0, 0 if config.max_objects is not None else -1, 0).astype(np.int32)
    renumber[(areas > 0) & (areas < config.min_area)] = -1
    renumber[kept] = np.arange(1, len(kept) + 1)
    renumber[0] = 0
    return np.where(labels < 0, labels, renumber[np.maximum(labels, 0)]).astype(np.int32), classes[kept - 1]


def _change_intensity(image: np.ndarray, config: AugmentationConfig, random: np.random.Generator) -> np.ndarray:
    if config.blur and random.random() < 1 / 3:
        sigma = random.uniform(0, config.blur)
        image = gaussian_filter(image, (0, sigma, sigma))
    gamma = math.exp(random.normal(0, config.gamma)) if config.gamma else 1.0
    contrast = 1 + random.uniform(-config.contrast, config.contrast)
    shift = random.uniform(-config.brightness, config.brightness)
    image = (np.clip(image, 0, 1) ** gamma - 0.5) * contrast + 0.5 + shift
    if config.colour:
        image = image * (1 + random.uniform(-config.colour, config.colour, size=(image.shape[0], 1, 1)))
    if config.noise:
        image = image + random.normal(0, random.uniform(0, config.noise), size=image.shape)
    return np.clip(image, 0, 1).astype(np.float32)
