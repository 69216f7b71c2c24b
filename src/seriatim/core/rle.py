"""COCO run-length codes, straight between a box-local mask and the code: no full-size plane is ever made.

COCO counts pixels in column-major order, first the background run, then alternating. The compressed form writes each
count (from the third on as the difference to the one two before) in groups of five bits, least significant first, bit six
saying "more follows", each group plus 48 as one ASCII character. Source: the COCO mask API's format.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from seriatim.core.errors import DataError
from seriatim.core.shapes import Box, Size

MAX_PIXELS = 2**32 - 1
"""Pixels of an image at the most; COCO's counts have 32 bits."""


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
        raw = code["counts"]
        counts = _decompress(raw, where) if isinstance(raw, str | bytes) else np.asarray(raw, dtype=np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{where}: not a run-length code ({error})") from None
    if not (height >= 1 and width >= 1 and height * width <= MAX_PIXELS):
        raise DataError(f"{where}: {height} x {width} pixels are no image")
    if counts.ndim != 1 or ((counts < 0) | (counts > MAX_PIXELS)).any() or sum(counts.tolist()) != height * width:
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


def _decompress(text: str | bytes, where: str) -> Int[np.ndarray, " runs"]:
    groups = text.encode("ascii") if isinstance(text, str) else text
    counts: list[int] = []
    value = shift = 0
    for character in groups:
        group = character - 48
        if not 0 <= group < 64:
            raise DataError(f"{where}: {chr(character)!r} is no character of a run-length code")
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            if group & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
        elif shift > 60:
            raise DataError(f"{where}: a run length is too large")
    if shift:
        raise DataError(f"{where}: the run-length code ends in the middle of a number")
    return np.asarray(counts, dtype=np.int64)
