"""Images and label maps from files and arrays, exactly as a person sees them and with all their levels.

Pillow and tifffile read (torchvision's decoder crashes on damaged files). EXIF orientation is applied, 16-bit, 32-bit and float
images keep their levels (Pillow's `convert("RGB")` would turn them white), and whatever cannot be read is an `ImageError` that names the file.
"""

import io
import logging
import lzma
import math
import time
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from jaxtyping import Float32, Int32
from PIL import Image, UnidentifiedImageError

from seriatim.core.errors import DataError, ImageError, ShapeError
from seriatim.core.files import why_unreadable
from seriatim.core.shapes import check_image_array, check_label_map

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")
"""Formats that are opened, by Pillow's names."""

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp"})
"""File endings that a folder is searched for."""

MAX_PIXELS = 300_000_000
"""Images with more pixels are refused before they are decoded."""

MAX_BYTES = 900_000_000
"""Images that take more bytes once decoded are refused before: as many as `MAX_PIXELS` of three 8-bit colours."""

MAX_EXPANSION = 500
"""An image above `SMALL_BYTES` that grows by more than this when decoded is refused: photographs grow by a hundred at most, bombs by a thousand."""

SMALL_BYTES = 128_000_000
"""Decoded bytes that are never too many for a small file."""

MAX_SECONDS = 60.0
"""Time for decoding one file; a file of many passes over the same pixels is refused after it."""

ORIENTATION_TAG = 0x0112
"""Of EXIF and TIFF."""

logger = logging.getLogger(__name__)


class Stored(NamedTuple):
    """What a file holds.

    Attributes:
        pixels: of the first page or frame, upright: (height, width) or (height, width, 3 or 4) of bool, uint8, uint16, another integer or float.
        num_pages: pages or frames of the file.
    """

    pixels: np.ndarray
    num_pages: int


def read_pixels(path: Path) -> np.ndarray:
    """`Stored.pixels` of an image file.

    Args:
        path: as for `read_stored`, as the errors.
    """
    return read_stored(path).pixels


def read_stored(path: Path) -> Stored:
    """The pixels of an image as they are stored, upright.

    Args:
        path: PNG, JPEG, WebP, GIF, TIFF or BMP; of several pages or frames the first is taken, with a warning.

    Raises:
        ImageError: naming the file and the reason.
    """
    reason = why_unreadable(path)
    if reason is not None:
        raise ImageError(f"{path}: {reason}")
    try:
        stored = _read_tiff(path) if _is_tiff(path) else _read_with_pillow(path)
        check_image_array(stored.pixels, str(path))
    except (ImageError, ShapeError) as error:
        raise ImageError(str(error)) from None
    except MemoryError:
        raise ImageError(f"{path}: too large for the memory") from None
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise ImageError(f"{path}: cannot be read as an image: {type(error).__name__}: {str(error)[:200]}") from None
    return stored


def _is_tiff(path: Path) -> bool:
    """By its first bytes, whatever its name says."""
    with open(path, "rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _read_with_pillow(path: Path) -> Stored:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            # an open file, since Pillow maps a file of known name into memory and then garbles turned TIFFs
            with open(path, "rb", buffering=0) as file, Image.open(_Timed(path, file), formats=FORMATS) as image:
                _check_decoded(path, image.size[1], image.size[0], _BYTES_OF_MODE.get(image.mode, 4))
                num_frames = getattr(image, "n_frames", 1)
                if num_frames > 1:
                    logger.warning("%s: has %d frames; the first is taken", path, num_frames)
                return Stored(from_pillow(image), num_frames)
        except UnidentifiedImageError:
            raise ImageError(f"{path}: not an image in a known format ({', '.join(FORMATS)})") from None
        except Image.DecompressionBombError as error:
            raise ImageError(f"{path}: too many pixels: {error}") from None


def from_pillow(image: Image.Image) -> np.ndarray:
    """The pixels of an image of Pillow's, upright, as `read_pixels` gives them."""
    image.load()  # which turns a TIFF, and takes its orientation away
    return _upright(_levels(image), _orientation(image))


def _levels(image: Image.Image) -> np.ndarray:
    match image.mode:
        case "1":
            return np.asarray(image, dtype=bool)
        case "L" | "RGB" | "RGBA" | "F":
            return np.asarray(image)
        case "I;16" | "I;16L" | "I;16B" | "I;16N":
            return np.asarray(image).astype(np.uint16)
        case "I":
            values = np.asarray(image)
            return values.astype(np.uint16) if values.size and values.min() >= 0 and values.max() < 65536 else values
        case "LA" | "La" | "PA":
            return np.asarray(image.convert("RGBA"))
        case "P":
            return np.asarray(image.convert("RGBA" if "transparency" in image.info else "RGB"))
        case _:
            return np.asarray(image.convert("RGB"))


def _orientation(image: Image.Image) -> int:
    """EXIF's, 1 to 8; 1 (upright) where there is none or it cannot be read."""
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # a damaged EXIF block is no reason to refuse the pixels
        return 1


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels turned as EXIF says; Pillow's own turn garbles 16 bits."""
    turned = pixels.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else pixels
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    return np.ascontiguousarray(turned)


def _read_tiff(path: Path) -> Stored:
    with tifffile.TiffFile(path) as file:
        if not file.pages:
            raise ImageError(f"{path}: has no pages")
        page: Any = file.pages[0]
        _check_decoded(path, page.imagelength, page.imagewidth, page.samplesperpixel * max(1, page.bitspersample // 8))
        if page.nbytes > MAX_BYTES:  # of several planes in depth
            raise ImageError(f"{path}: {page.nbytes} decoded bytes are more than the limit of {MAX_BYTES}")
        if page.photometric.name in ("PALETTE", "SEPARATED", "YCBCR"):
            return _read_with_pillow(path)
        _check_strips(path, page)
        try:
            pixels = page.asarray()
        except ValueError as error:
            if "imagecodecs" not in str(error):
                raise
            if page.samplesperpixel > 1 and page.bitspersample > 8:  # Pillow would keep 8 of the bits
                raise ImageError(
                    f"{path}: {page.bitspersample}-bit colours with {page.compression.name} compression need the package imagecodecs; "
                    "install it, or save the image without compression"
                ) from None
            return _read_with_pillow(path)
        num_pages = len(file.pages)
        if num_pages > 1:
            logger.warning("%s: has %d pages; the first is taken", path, num_pages)
    if page.photometric.name == "MINISWHITE" and pixels.dtype.kind in "bu":
        pixels = ~pixels if pixels.dtype == bool else np.iinfo(pixels.dtype).max - pixels
    if pixels.ndim == 3 and page.planarconfig.name == "SEPARATE":
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels.squeeze(-1) if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
    orientation = page.tags.get("Orientation")
    if orientation is not None and pixels.ndim in (2, 3):
        pixels = _upright(pixels, int(orientation.value))
    return Stored(pixels, num_pages)


def _check_strips(path: Path, page: Any) -> None:
    """Refuse compressed strips or tiles that hold more than the image has room for, which a decoder would unpack to their end."""
    make = {"ADOBE_DEFLATE": zlib.decompressobj, "DEFLATE": zlib.decompressobj, "LZMA": lzma.LZMADecompressor}.get(
        page.compression.name
    )
    if make is None:
        return
    room = math.prod(page.chunks) * max(1, page.bitspersample // 8) + 2**16
    with open(path, "rb") as file:
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
            file.seek(offset)
            if len(make().decompress(file.read(count), room + 1)) > room:
                raise ImageError(f"{path}: a strip or tile unpacks to more than its {room} bytes")


_BYTES_OF_MODE = {"1": 1, "L": 1, "P": 1, "LA": 2, "PA": 2, "I;16": 2, "I;16L": 2, "I;16B": 2, "RGB": 3}
"""Bytes of a pixel by Pillow's mode; all other modes take 4."""


def _check_decoded(path: Path, height: int, width: int, bytes_of_pixel: int) -> None:
    """Refuse an image that would take too much memory once decoded, or far more than its file."""
    if height * width > MAX_PIXELS:
        raise ImageError(f"{path}: {height} x {width} pixels are more than the limit of {MAX_PIXELS}")
    decoded, stored = height * width * bytes_of_pixel, path.stat().st_size
    if decoded > MAX_BYTES:
        raise ImageError(f"{path}: {decoded} decoded bytes are more than the limit of {MAX_BYTES}")
    if decoded > max(SMALL_BYTES, MAX_EXPANSION * stored):
        raise ImageError(
            f"{path}: {stored} bytes that grow to {decoded} are more than {MAX_EXPANSION} times as many; save the image in tiles, or with less compression"
        )


class _Timed(io.BufferedReader):
    """A file that is read no more after `MAX_SECONDS`; decoders come back for more bytes between their passes."""

    def __init__(self, path: Path, file: io.FileIO) -> None:
        """
        Args:
            path: for the message.
            file: open for reading, unbuffered.
        """
        super().__init__(file)
        self._path = path
        self._deadline = time.monotonic() + MAX_SECONDS

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes.

        Raises:
            ImageError: after the time is up.
        """
        if time.monotonic() > self._deadline:
            raise ImageError(f"{self._path}: decoding takes longer than {MAX_SECONDS:g} seconds")
        return super().read(size)


def to_float_image(pixels: np.ndarray, where: str = "image") -> Float32[np.ndarray, "channels height width"]:
    """Pixels of any type as float32 in 0..1, channels first: 1 channel (grey), 3 (RGB) or 4 (RGBA).

    uint8 and uint16 are divided by their largest value, other integers and floats outside 0..1 by the image's own largest.

    Raises:
        ShapeError: if it is no image.

    >>> to_float_image(np.array([[0, 255]], dtype=np.uint8)).tolist()
    [[[0.0, 1.0]]]
    """
    check_image_array(pixels, where)
    match pixels.dtype.newbyteorder("="):
        case np.uint8 | np.uint16:
            values = pixels.astype(np.float32) / np.iinfo(pixels.dtype).max
        case np.bool_:
            values = pixels.astype(np.float32)
        case _:
            values = pixels.astype(np.float64)
            low, high = min(float(values.min()), 0.0), float(values.max())
            if low < 0 or high > 1:
                values = (values - low) / max(high - low, 1e-12)
            values = values.astype(np.float32)
    channels_first = values[None] if values.ndim == 2 else np.moveaxis(values, -1, 0)
    if channels_first.shape[0] == 2:  # grey and transparency
        channels_first = np.concatenate((np.repeat(channels_first[:1], 3, axis=0), channels_first[1:]))
    return np.ascontiguousarray(channels_first)


def read_label_map(path: Path) -> Int32[np.ndarray, "height width"]:
    """The label map in a file: PNG or TIFF of integers, 0 background.

    Raises:
        DataError: naming the file and the reason.
    """
    try:
        if path.suffix.lower() == ".png":
            reason = why_unreadable(path)
            if reason is not None:
                raise DataError(f"{path}: {reason}")
            with open(path, "rb") as file, Image.open(file, formats=("PNG",)) as image:
                labels = np.asarray(image)  # palette images hold the labels themselves
        else:
            labels = read_pixels(path)
        check_label_map(labels, str(path))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (DataError, ImageError, ShapeError) as error:
        raise DataError(str(error)) from None
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise DataError(f"{path}: cannot be read as a label map: {type(error).__name__}: {str(error)[:200]}") from None
    if labels.size and int(labels.max()) > np.iinfo(np.int32).max:
        raise DataError(f"{path}: labels above {np.iinfo(np.int32).max}")
    return labels.astype(np.int32)
