"""COCO run lengths that others wrote: checked and measured without making a mask, thousands of codes in one go.

`core.rle` makes the masks. Here compressed codes are taken apart in whole arrays: groups of five bits (a character less 48), bit six says
"more follows", and from the fourth number on each is the difference to the one two before. Source: the COCO mask API's format.
"""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Int64

from seriatim.core.errors import DataError
from seriatim.core.shapes import Box, Size
from seriatim.data.readers.json_values import describe

CHARACTERS = re.compile("[0-o]*")
"""That a code is made of: 48 to 111."""

MAX_GROUPS = 7
"""Characters of one number at the most: 33 bits and a sign."""

MAX_CHARACTERS = 8_000_000
"""Of one code; no mask of an image that we read needs as many, and the memory to check one grows with them."""


def measure_codes(texts: Sequence[str], sizes: Sequence[Size]) -> list[Box | str]:
    """For every compressed code the smallest box around its mask, or what is wrong with the code.

    Args:
        texts: the codes.
        sizes: (height, width) of the image of each, in pixels.

    >>> measure_codes(["125", "1", "a", "8"], [(4, 2)] * 4)
    [(1, 0, 3, 1), 'its runs add up to 1 pixels, the image has 8', 'ends in the middle of a number', 'covers no pixel']
    """
    verdicts: list[Box | str] = [_fault_of_text(text) or "" for text in texts]
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


def read_runs(text: str) -> Int64[np.ndarray, " runs"]:
    """The numbers of a compressed code; they may be negative or not fit any image.

    Raises:
        DataError: if it is no code.

    >>> read_runs("125").tolist()
    [1, 2, 5]
    """
    if fault := _fault_of_text(text):
        raise DataError(f"run-length code: {fault}")
    return _take_apart([text])[0]


def plain_runs(counts: Any) -> Int64[np.ndarray, " runs"]:
    """The numbers of a code that is not compressed.

    Raises:
        DataError: if it is no list of integers of 33 bits.
    """
    if not isinstance(counts, list):
        raise DataError(f"run-length code: expected counts, a text or a list, got {describe(counts)}")
    strangers = set(map(type, counts)) - {int}
    if strangers:
        raise DataError(f"run-length code: holds {min(kind.__name__ for kind in strangers)} where integers belong")
    if counts and max(map(abs, counts)) >= 2**33:
        raise DataError("run-length code: holds a number beyond 33 bits")
    return np.array(counts, dtype=np.int64)


def _fault_of_text(text: str) -> str | None:
    if not text:
        return "holds no runs"
    if len(text) > MAX_CHARACTERS:
        return f"has {len(text)} characters, more than the limit of {MAX_CHARACTERS}"
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
    """Running sums that begin anew at `starts`; overflow of the whole does no harm, as the differences are right again."""
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
