"""What is done to every image before a network sees it, in training and in use alike: channels, brightness, polarity, size.

The settings travel with the weights. Brightness: microscopes deliver anything from 3 % to 100 % of the range, so an image is stretched
between two of its percentiles. Polarity: nuclei are bright in fluorescence and dark in stained tissue; an image whose median lies nearer to
its bright end is inverted (`benchmarks/polarity.py` measures how often this is right).
"""

from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float32
from pydantic import Field, model_validator
from skimage.color import rgb2hed
from skimage.transform import resize

from seriatim.core.config import Config
from seriatim.data.samples import Sample


class PreparationConfig(Config):
    """How an image is prepared."""

    channels: Literal[1, 3, 4] = 3
    """Channels the network takes: 1 grey, 3 RGB, 4 as they are (RGB and depth, say)."""
    stretch: bool = False
    """Stretch brightness between the percentiles 0.5 and 99.8 of the image."""
    bright_objects: bool = False
    """Invert an image whose background is bright (its median nearer to the bright end)."""
    unmix_brown: bool = False
    """Of an image in which much is stained brown (DAB), take the haematoxylin alone, which stains the nuclei."""
    diameter: float | None = Field(default=None, gt=2)
    """Rescale an image so that its objects have this median diameter in pixels, as the network estimates it; None keeps the size."""
    longest_side: int | None = Field(default=None, ge=16)
    """Shrink an image whose longer side exceeds this many pixels (masks return to the original size); None keeps the size."""
    size: tuple[Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]] | None = None
    """Resize every image to this (height, width), its aspect not kept (RSIS Sec. 4.2; masks return to the original size); None keeps the size."""

    @model_validator(mode="after")
    def _one_rule_gives_the_size(self) -> "PreparationConfig":
        given = [name for name in ("diameter", "longest_side", "size") if getattr(self, name) is not None]
        if self.size is not None and len(given) > 1:
            raise ValueError(
                f"size and {given[0]} cannot both fix the size; take one out, as with --set preparation.{given[0]}="
            )
        return self


def prepare(
    image: Float32[np.ndarray, "channels height width"], config: PreparationConfig
) -> Float32[np.ndarray, "prepared height width"]:
    """The image with the channels, brightness and polarity that the network expects; sizes are not touched here.

    Args:
        image: values in 0..1; 1, 3 or 4 channels, the fourth transparency unless the network takes 4.
        config: see `PreparationConfig`.

    >>> prepare(np.full((3, 1, 1), 0.5, dtype=np.float32), PreparationConfig(channels=1)).tolist()
    [[[0.5]]]
    """
    if config.unmix_brown and is_stained_brown(image):
        image = haematoxylin(image)
    prepared = to_channels(image, config.channels)
    if config.stretch:
        low, high = np.percentile(prepared[:3], (0.5, 99.8))
        prepared = np.clip((prepared - low) / max(high - low, 1e-3), 0, 1).astype(np.float32)
    if config.bright_objects and is_bright_background(prepared):
        prepared = 1 - prepared
    return prepared


def prepare_sample(sample: Sample, config: PreparationConfig) -> Sample:
    """The sample with its image prepared, and image, labels, ignored pixels and boxes resized where `longest_side` or `size` asks for it."""
    height, width = sample.labels.shape
    size = prepared_size((height, width), config)
    image = rescale(prepare(sample.image, config), size)
    if size == (height, width):
        return replace(sample, image=image)
    rows, columns = (
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(size, (height, width), strict=True)
    )
    ignore = None if sample.ignore is None else sample.ignore[np.ix_(rows, columns)]
    boxes = None if sample.boxes is None else sample.boxes.scale((size[0] / height, size[1] / width))
    return replace(sample, image=image, labels=sample.labels[np.ix_(rows, columns)], ignore=ignore, boxes=boxes)


def prepared_size(size: tuple[int, int], config: PreparationConfig) -> tuple[int, int]:
    """The (height, width) that `longest_side` or `size` gives.

    >>> prepared_size((500, 530), PreparationConfig(longest_side=265)), prepared_size((500, 530), PreparationConfig(size=(400, 400)))
    ((250, 265), (400, 400))
    """
    if config.size is not None:
        return config.size
    if config.longest_side is None or max(size) <= config.longest_side:
        return size
    factor = config.longest_side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def is_bright_background(image: Float32[np.ndarray, "channels height width"]) -> bool:
    """Whether the median lies nearer to the bright end (percentile 99.5) than to the dark one (percentile 1).

    >>> is_bright_background(np.array([[[0.0, 0.9, 0.9, 1.0]]], dtype=np.float32))
    True
    """
    low, middle, high = np.percentile(image[:3].mean(axis=0), (1, 50, 99.5))
    return bool(middle - low > high - middle)


def is_stained_brown(image: Float32[np.ndarray, "channels height width"]) -> bool:
    """Whether more than 15 % of the pixels are brown.

    The limit lies between the shares of a brown image and of purple tissue that `benchmarks/polarity.py` measures.

    >>> is_stained_brown(np.array([0.6, 0.4, 0.2], dtype=np.float32)[:, None, None])
    True
    """
    return brown_share(image) > 0.15


def brown_share(image: Float32[np.ndarray, "channels height width"]) -> float:
    """The share of pixels whose red is above their blue by 0.15 and that are darker than 0.8; 0 of a grey image."""
    if image.shape[0] < 3:
        return 0.0
    return float(np.mean((image[0] - image[2] > 0.15) & (image[:3].mean(axis=0) < 0.8)))


def haematoxylin(image: Float32[np.ndarray, "channels height width"]) -> Float32[np.ndarray, "1 height width"]:
    """How much haematoxylin each pixel holds, stretched to 0..1 (Ruifrok & Johnston 2001, by `skimage.color.rgb2hed`)."""
    amount = rgb2hed(to_channels(image, 3), channel_axis=0)[:1]
    low, high = np.percentile(amount, (0.5, 99.8))
    return np.clip((amount - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def to_channels(
    image: Float32[np.ndarray, "channels height width"], channels: int
) -> Float32[np.ndarray, "prepared height width"]:
    """Grey (the mean of the colours), RGB, or four channels; transparency is laid on white where it is not asked for."""
    if image.shape[0] == 4 and channels < 4:
        image = image[:3] * image[3:] + (1 - image[3:])
    if channels == 1:
        return image.mean(axis=0, keepdims=True) if image.shape[0] > 1 else image
    if image.shape[0] == 1:
        image = np.repeat(image, 3, axis=0)
    if channels == 4 and image.shape[0] == 3:
        image = np.concatenate((image, np.ones_like(image[:1])))
    return image


def rescale(
    image: Float32[np.ndarray, "channels height width"], size: tuple[int, int]
) -> Float32[np.ndarray, "channels new_height new_width"]:
    """The image at another (height, width), smoothed first where it shrinks."""
    if image.shape[1:] == size:
        return image
    shrinks = size[0] < image.shape[1] or size[1] < image.shape[2]
    return np.asarray(resize(image, (image.shape[0], *size), order=1, anti_aliasing=shrinks)).astype(np.float32)
