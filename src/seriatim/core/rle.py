"""COCO run-length codes, straight between a box-local mask and the code: no full-size plane is ever made.

COCO counts pixels in column-major order, first the background run, then alternating. The compressed form writes each
count (from the third on as the difference to the one two before) in groups of five bits, least significant first, bit six
saying "more follows", each group plus 48 as one ASCII character. Source: the COCO mask API's format.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int64

from seriatim.core.errors import DataError
from seriatim.core.shapes import Box, Size

MAX_PIXELS = 2**32 - 1
"""Pixels of an image at the most; COCO's counts have 32 bits."""

MAX_GROUPS = 7
"""Maximum number of characters of one number of a code: 33 bits and a sign."""


def encode(box: Box, mask: Bool[np.ndarray, "box_height box_width"], size: Size) -> dict[str, Any]:
    """The compressed COCO code of a mask that lies at `box` in an image of `size`.

    >>> encode((1, 0, 3, 1), np.ones((2, 1), dtype=bool), (4, 2))
    {'size': [4, 2], 'counts': '125'}
    """
    height, width = size
    edges = np.diff(np.pad(mask.T, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    columns, start_rows = np.nonzero(edges == 1)
    _, end_rows = np.nonzero(edges == -1)
    offsets = (box[1] + columns).astype(np.int64) * height + box[0]
    starts, ends = offsets + start_rows, offsets + end_rows
    if len(starts):
        apart = starts[1:] != ends[:-1]
        starts, ends = starts[np.r_[True, apart]], ends[np.r_[apart, True]]
    borders = np.empty(2 * len(starts), dtype=np.int64)
    borders[0::2], borders[1::2] = starts, ends
    counts = np.diff(np.r_[0, borders])
    tail = height * width - (int(borders[-1]) if len(borders) else 0)
    if tail or not len(borders):
        counts = np.r_[counts, tail]
    return {"size": [height, width], "counts": _compress(counts)}


def decode(code: dict[str, Any], where: str = "segmentation") -> tuple[Box, Bool[np.ndarray, "box_height box_width"]]:
    """The smallest box and the mask inside it, of a compressed or plain COCO code.

    Raises:
        DataError: if the counts do not add up to the image, are negative or are not a code at all.
    """
    try:
        height, width = (int(value) for value in code["size"])
        counts, _ = read_counts([code["counts"]], where)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where}: not a run-length code ({error})") from None
    if not (height >= 1 and width >= 1 and height * width <= MAX_PIXELS):
        raise DataError(f"{where}: {height} x {width} pixels are no image")
    if ((counts < 0) | (counts > MAX_PIXELS)).any() or sum(counts.tolist()) != height * width:
        raise DataError(f"{where}: run lengths do not add up to {height} x {width} pixels")
    borders = np.cumsum(counts)
    starts, ends = borders[0:-1:2], borders[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts]
    if not len(starts):
        return (0, 0, 0, 0), np.zeros((0, 0), dtype=bool)
    x0, x1 = int(starts[0] // height), int((ends[-1] - 1) // height) + 1
    strip = np.zeros((x1 - x0) * height + 1, dtype=np.int8)
    np.add.at(strip, starts - x0 * height, 1)
    np.add.at(strip, ends - x0 * height, -1)
    plane = np.cumsum(strip[:-1], dtype=np.int8).reshape(x1 - x0, height).T.astype(bool)
    rows = np.flatnonzero(plane.any(axis=1))
    y0, y1 = int(rows[0]), int(rows[-1]) + 1
    return (y0, x0, y1, x1), np.ascontiguousarray(plane[y0:y1])


def _compress(counts: Int[np.ndarray, " runs"]) -> str:
    values = [int(value) for value in counts]
    characters = []
    for index, value in enumerate(values):
        rest = value - values[index - 2] if index > 2 else value
        while True:
            group = rest & 31
            rest >>= 5
            done = rest == (-1 if group & 16 else 0)
            characters.append(chr((group if done else group | 32) + 48))
            if done:
                break
    return "".join(characters)


def read_counts(counts: Sequence[Any], where: str) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " codes"]]:
    """The run lengths of many codes one after the other, and how many each has; they may be negative or not fit any image.

    Args:
        counts: of each code: a text, bytes, or a list of integers.
        where: what messages call the codes.

    Raises:
        DataError: if one is no code.

    >>> [part.tolist() for part in read_counts(["125", [8]], "masks")]
    [[1, 2, 5, 8], [3, 1]]
    """
    texts = [one.encode("utf-8", "surrogatepass") if isinstance(one, str) else one for one in counts]
    if all(isinstance(text, bytes) for text in texts):
        return _decompress(texts, where)
    parts = []
    for index, text in enumerate(texts):
        if isinstance(text, bytes):
            parts.append(_decompress([text], f"{where}[{index}]")[0])
            continue
        part = np.asarray(text)
        if part.ndim != 1 or (part.dtype.kind not in "iu" and len(part)):
            raise DataError(f"{where}[{index}]: expected counts, a text or a list of integers")
        parts.append(part.astype(np.int64))
    return np.concatenate(parts), np.array([len(part) for part in parts])


def _decompress(texts: Sequence[bytes], where: str) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " codes"]]:
    groups = np.frombuffer(b"".join(texts), dtype=np.uint8).astype(np.int64) - 48
    borders = np.cumsum([len(text) for text in texts])
    ends = np.flatnonzero(groups < 32)
    lengths = np.diff(ends, prepend=-1)
    stops = np.searchsorted(ends, borders)  # how many numbers end in the codes up to each
    complete = np.concatenate((groups, [0]))[borders - 1] < 32
    if (len(groups) and not 0 <= groups.min() <= groups.max() < 64) or not complete.all():
        raise DataError(f"{where}: holds what is no run-length code")
    if len(lengths) and lengths.max() > MAX_GROUPS:
        raise DataError(f"{where}: holds a run length beyond 33 bits")
    if not len(ends):
        return np.zeros(0, dtype=np.int64), np.zeros(len(texts), dtype=np.int64)
    starts = ends - lengths + 1
    values = np.add.reduceat((groups & 31) << (5 * (np.arange(len(groups)) - np.repeat(starts, lengths))), starts)
    values -= ((groups[ends] & 16) >> 4) << (5 * lengths)
    first = 0
    for stop in stops.tolist():
        for chain in (values[first + 1 : stop : 2], values[first + 2 : stop : 2]):
            np.cumsum(chain, out=chain)
        first = stop
    return values, np.diff(stops, prepend=0)
