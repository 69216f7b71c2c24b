"""COCO run-length codes, the only codec: from and to the mask inside a box, and codes that others wrote, checked without making a mask.

COCO counts pixels in column-major order, first the background run, then alternating. The compressed form writes each count (from the
fourth on as the difference to the one two before) in groups of five bits, least significant first, bit six saying "more follows", each group
plus 48 as one ASCII character. Codes are taken apart in whole arrays, thousands in one go; no full-size plane is ever made.
Source: the COCO mask API's format.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int64

from seriatim.core.errors import DataError
from seriatim.core.shapes import Box, Size

MAX_PIXELS = 2**32 - 1
"""Pixels of an image; COCO's counts have 32 bits."""

CHARACTERS = re.compile("[0-o]*")
"""That a code is made of: 48 to 111."""

MAX_GROUPS = 7
"""Characters of one number: 33 bits and a sign."""

MAX_CHARACTERS = 8_000_000
"""Of one code of a file of others; no mask of an image that we read needs as many, and the memory to check one grows with them."""


def encode(box: Box, mask: Bool[np.ndarray, "box_height box_width"], size: Size) -> dict[str, Any]:
    """The compressed code of a mask that lies at `box` in an image of `size`.

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
        counts = read_runs(raw) if isinstance(raw, str | bytes) else np.asarray(raw, dtype=np.int64)
    except (KeyError, TypeError, ValueError, OverflowError, DataError) as error:
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


def measure_codes(texts: Sequence[str], sizes: Sequence[Size]) -> list[Box | str]:
    """For every compressed code the smallest box around its mask, or what is wrong with the code.

    Args:
        texts: the codes.
        sizes: (height, width) of the image of each, in pixels.

    >>> measure_codes(["125", "1", "a", "8"], [(4, 2)] * 4)
    [(1, 0, 3, 1), 'its runs add up to 1 pixels, the image has 8', 'ends in the middle of a number', 'covers no pixel']
    """
    verdicts: list[Box | str] = [_fault_of_text(text, MAX_CHARACTERS) or "" for text in texts]
    sound = [index for index, verdict in enumerate(verdicts) if not verdict]
    if not sound:
        return verdicts
    values, bounds = _take_apart([texts[index] for index in sound])
    judged = _judge(values, bounds, [sizes[index] for index in sound])
    for index, verdict in zip(sound, judged, strict=True):
        verdicts[index] = verdict
    return verdicts


def measure_runs(runs: Int64[np.ndarray, " runs"], size: Size) -> Box:
    """The smallest box around the mask of these run lengths, background first.

    Raises:
        DataError: saying what is wrong, without the place.

    >>> measure_runs(np.array([3, 2, 3]), (4, 2))
    (0, 0, 4, 2)
    """
    verdict = _judge(runs, np.array([0, len(runs)]), [size])[0] if len(runs) else "holds no runs"
    if isinstance(verdict, str):
        raise DataError(f"run-length code: {verdict}")
    return verdict


def read_runs(text: str | bytes) -> Int64[np.ndarray, " runs"]:
    """The numbers of a compressed code; they may be negative or not fit any image.

    Raises:
        DataError: saying what is wrong, without the place.

    >>> read_runs("125").tolist()
    [1, 2, 5]
    """
    plain = _as_text(text)
    if fault := _fault_of_text(plain):
        raise DataError(f"run-length code: {fault}")
    return _take_apart([plain])[0]


def read_counts(counts: Sequence[Any], where: str) -> tuple[Int64[np.ndarray, " numbers"], Int64[np.ndarray, " codes"]]:
    """The numbers of many codes one after the other, and how many each has.

    Args:
        counts: of each code, compressed (text) or plain (integers).
        where: what messages call them.

    Raises:
        DataError: naming the first code that is none.

    >>> [part.tolist() for part in read_counts(["125", [3, 5]], "masks")]
    [[1, 2, 5, 3, 5], [3, 2]]
    """
    texts: list[str] = []
    plain: dict[int, np.ndarray] = {}
    for index, one in enumerate(counts):
        if isinstance(one, str | bytes):
            texts.append(_as_text(one))
            if fault := _fault_of_text(texts[-1]):
                raise DataError(f"{where}[{index}]: {fault}")
            continue
        plain[index] = np.asarray(one)
        if plain[index].ndim != 1 or (plain[index].size and plain[index].dtype.kind not in "iu"):
            raise DataError(f"{where}[{index}]: expected counts, a text or a list of integers")
    values, bounds = _take_apart(texts) if texts else (np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64))
    if not plain:
        return values, np.diff(bounds)
    compressed = iter(np.split(values, bounds[1:-1]))
    parts = [plain[index] if index in plain else next(compressed) for index in range(len(counts))]
    return np.concatenate(parts).astype(np.int64), np.array([len(part) for part in parts])


def _as_text(code: str | bytes) -> str:
    return code if isinstance(code, str) else code.decode("latin-1")


def _compress(counts: Int[np.ndarray, " runs"]) -> str:
    """The text of run lengths; pycocotools has room for six characters a run and damages the memory at runs that need seven."""
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


def _fault_of_text(text: str, max_characters: int | None = None) -> str | None:
    if not text:
        return "holds no runs"
    if max_characters is not None and len(text) > max_characters:
        return f"has {len(text)} characters, more than the limit of {max_characters}"
    if not CHARACTERS.fullmatch(text):
        return "holds characters that are no part of such a code"
    return "ends in the middle of a number" if text[-1] >= "P" else None


def _take_apart(texts: Sequence[str]) -> tuple[Int64[np.ndarray, " numbers"], Int[np.ndarray, " bounds"]]:
    """The numbers of all texts, and where those of each begin and the last end."""
    groups = np.frombuffer("".join(texts).encode("ascii"), dtype=np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(groups < 32)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    places = np.arange(len(groups)) - np.repeat(starts, lengths)
    values = np.add.reduceat((groups & 31) << (5 * places), starts)
    values -= ((groups[ends] & 16) >> 4) << (5 * lengths)
    bounds = np.concatenate(([0], np.searchsorted(ends, np.cumsum([len(text) for text in texts]))))
    positions = np.arange(len(values)) - np.repeat(bounds[:-1], np.diff(bounds))
    for first in (1, 2):
        chain = np.flatnonzero((positions >= first) & (positions % 2 == first % 2))
        values[chain] = _sums_within(values[chain], np.flatnonzero(positions[chain] == first))
    values[lengths > MAX_GROUPS] = -1  # no run length, whatever it was to be
    return values, bounds


def _sums_within(
    values: Int64[np.ndarray, " numbers"], starts: Int[np.ndarray, " parts"]
) -> Int64[np.ndarray, " numbers"]:
    """Running sums that restart at `starts`; overflow of the whole is harmless, because the differences are still right."""
    sums = np.cumsum(values)
    before = sums[starts] - values[starts]
    return sums - np.repeat(before, np.diff(np.append(starts, len(values))))


def _judge(
    values: Int64[np.ndarray, " numbers"], bounds: Int[np.ndarray, " bounds"], sizes: Sequence[Size]
) -> list[Box | str]:
    """Box or fault of each part of `values`; no part is empty."""
    heights, widths = np.array(sizes, dtype=np.int64).T
    smallest, largest = np.minimum.reduceat(values, bounds[:-1]), np.maximum.reduceat(values, bounds[:-1])
    totals, wanted = np.add.reduceat(values, bounds[:-1]), heights * widths
    is_sound = (smallest >= 0) & (largest <= wanted) & (totals == wanted)  # runs within the image cannot overflow
    boxes = _boxes(values, bounds, heights)
    verdicts: list[Box | str] = []
    for index, (sound, box) in enumerate(zip(is_sound.tolist(), boxes.tolist(), strict=True)):
        if sound:
            verdicts.append((box[0], box[1], box[2], box[3]) if box[2] else "covers no pixel")
        elif smallest[index] < 0:
            verdicts.append("has a negative run, or one beyond 33 bits")
        elif largest[index] > wanted[index]:
            verdicts.append(f"has a run of {largest[index]} pixels, the image has {wanted[index]}")
        else:
            verdicts.append(f"its runs add up to {totals[index]} pixels, the image has {wanted[index]}")
    return verdicts


def _boxes(
    values: Int64[np.ndarray, " numbers"], bounds: Int[np.ndarray, " bounds"], heights: Int64[np.ndarray, " parts"]
) -> Int64[np.ndarray, "parts 4"]:
    """(y0, x0, y1, x1) of each part, zeros where it covers nothing; without meaning where the part is no sound code."""
    borders = _sums_within(values, bounds[:-1])
    parts = np.repeat(np.arange(len(heights)), np.diff(bounds))
    positions = np.arange(len(values)) - bounds[parts]
    inside = np.flatnonzero((positions % 2 == 1) & (values > 0))
    boxes = np.zeros((len(heights), 4), dtype=np.int64)
    if not len(inside):
        return boxes
    parts, starts, lasts = parts[inside], borders[inside - 1], borders[inside] - 1
    rows = heights[parts]
    first_columns, last_columns = starts // rows, lasts // rows
    goes_round = first_columns != last_columns  # and so touches the last row and the first
    firsts = np.flatnonzero(np.diff(parts, prepend=-1))
    covered = parts[firsts]
    boxes[covered, 0] = np.minimum.reduceat(np.where(goes_round, 0, starts - first_columns * rows), firsts)
    boxes[covered, 1] = np.minimum.reduceat(first_columns, firsts)
    boxes[covered, 2] = np.maximum.reduceat(np.where(goes_round, rows, lasts - last_columns * rows + 1), firsts)
    boxes[covered, 3] = np.maximum.reduceat(last_columns, firsts) + 1
    return boxes
