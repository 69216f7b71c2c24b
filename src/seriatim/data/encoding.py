"""What the writers of data sets share: the samples with the names of their files, and images and label maps as bytes."""

import io
import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import tifffile
from jaxtyping import Float32, Int32
from PIL import Image

from seriatim.core.errors import DataError
from seriatim.core.files import make_folder
from seriatim.core.progress import Progress
from seriatim.data.samples import Sample
from seriatim.data.source import Source

MAX_16_BIT = 65_535
"""Objects that a PNG can number."""

logger = logging.getLogger(__name__)


def file_stems(source: Source) -> list[str]:
    """What the files of every sample are called: its name without separators of folders, and a number if another has that name.

    No two are the same, even where capitals do not count.

    Raises:
        DataError: if a sample has no name that a file can have.
    """
    stems, taken = [], set()
    for index in range(len(source)):
        plain = re.sub(r"[\\/\0]+", "-", source.name(index)).strip()
        if plain in ("", ".", ".."):
            raise DataError(f"image {index}: its name {source.name(index)!r} cannot be the name of a file")
        stem, number = plain, 2
        while stem.lower() in taken:
            stem, number = f"{plain}-{number}", number + 1
        taken.add(stem.lower())
        stems.append(stem)
    return stems


def samples_to_write(source: Source, progress: Progress | None) -> Iterator[tuple[str, Sample]]:
    """Every sample with what its files are called.

    Args:
        source: the data set.
        progress: called after every sample with the number written and the number of all.
    """
    for index, stem in enumerate(file_stems(source)):
        yield stem, source.read(index)
        if progress is not None:
            progress(index + 1, len(source))


def make_parts(folder: Path, parts: Iterable[str]) -> None:
    """Make folders inside a folder, such as `images` and `labels`."""
    for part in parts:
        make_folder(folder / part)


def encode_image(image: Float32[np.ndarray, "channels height width"]) -> bytes:
    """The image as PNG of 8 bits; the same image gives the same bytes.

    Args:
        image: values in 0..1; 1, 3 or 4 channels.
    """
    pixels = np.clip(np.rint(image * 255), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    return encode_png(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def encode_label_map(labels: Int32[np.ndarray, "height width"], compress_level: int = 3) -> tuple[str, bytes]:
    """Ending and bytes of a label map: PNG of 16 bits, or TIFF of 32 bits above 65,535 objects."""
    if labels.max(initial=0) <= MAX_16_BIT:
        return ".png", encode_png(labels.astype(np.uint16), compress_level)
    file = io.BytesIO()
    tifffile.imwrite(file, labels.astype(np.uint32), compression="zlib", metadata=None)
    return ".tif", file.getvalue()


def encode_png(image: np.ndarray | Image.Image, compress_level: int = 3) -> bytes:
    """The pixels as PNG; the same pixels give the same bytes.

    Args:
        image: pixels of a type that PNG holds, or a Pillow image.
        compress_level: from 0 (fast) to 9 (small).
    """
    file = io.BytesIO()
    pillow_image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    pillow_image.save(file, format="PNG", compress_level=compress_level)
    return file.getvalue()


def warn_of_losses(sample: Sample, kind: str, ignore: bool = True, overlaps: bool = False) -> None:
    """Say in a warning what of a sample a kind of data set cannot hold.

    Args:
        sample: to be written.
        kind: of the data set.
        ignore: whether pixels to ignore are lost.
        overlaps: whether the covered pixels of overlapping objects are lost.
    """
    if ignore and sample.ignore is not None:
        logger.warning("%s: has pixels to ignore; they become background, since %s has none", sample.name, kind)
    if overlaps and sample.objects is not None:
        logger.warning("%s: has objects that overlap; covered pixels are lost, since %s has none", sample.name, kind)
