"""Writing a source as a data set of kind `folder:`: `images/` (PNG) and `labels/` (16-bit PNG) of the same stem."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from seriatim.core.errors import DataError
from seriatim.core.files import write_atomically
from seriatim.data.samples import Sample, Source

MAX_LABELS = 65_535
"""Objects that a 16-bit label map can hold."""


def write_folder(source: Source, folder: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write every sample; the same sample is written to the same bytes.

    Args:
        source: what to write.
        folder: gets `images/` and `labels/`.
        progress: called with the number done and the number of all.

    Raises:
        DataError: if a image holds more objects than 16 bits can number.
        FileWriteError: if the disk does not take a file.
    """
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for index in range(len(source)):
        sample = source.read(index)
        write_sample(sample, folder)
        if progress is not None:
            progress(index + 1, len(source))


def write_sample(sample: Sample, folder: Path) -> None:
    """Write one image and its label map into `images/` and `labels/` of a folder."""
    if len(sample.classes) > MAX_LABELS:
        raise DataError(f"{sample.name}: {len(sample.classes)} objects are more than a 16-bit label map can number")
    write_image(sample, folder)
    write_atomically(folder / "labels" / f"{sample.name}.png", _png(Image.fromarray(sample.labels.astype(np.uint16))))


def write_image(sample: Sample, folder: Path) -> None:
    """Write one image, of 8 bits a colour, into `images/` of a folder."""
    pixels = np.clip(np.rint(sample.image * 255), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    pillow_image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    write_atomically(folder / "images" / f"{sample.name}.png", _png(pillow_image))


def _png(pillow_image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pillow_image.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()
