"""The compiled kernels of the dense CRF, for the CPU: the smoothness kernel, and one mean-field iteration without gradient.

The probabilities of an image are stored pixel by pixel in one flat array that every iteration overwrites; the labels of a pixel lie
side by side and are padded to whole lanes:

    splat, blur           probabilities -> lattice (`lattice_kernels`)
    smooth_columns        probabilities -> smoothed along the columns, in place
    finish_rows           smoothed along the rows + sliced from the lattice + unary -> softmax, in place

So an image needs one such array, the rows of the lattice, and its tables. `dense_crf` holds the plain form.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np

from seriatim.nn.crf.lattice_kernels import (
    MAX_LATTICE_BYTES,
    CompiledTables,
    compiled,
    even_bounds,
    filter_compiled,
    in_ranges,
    padded_channels,
    spread_over_lattice,
)
from seriatim.nn.crf.simd import (
    WIDTH,
    add,
    broadcast,
    exp_minus,
    load,
    multiply,
    multiply_add,
    reduce_max,
    reduce_sum,
    store,
    transpose_tile,
)


@compiled
@no_type_check
def weigh_line(source, origin, source_step, target, first, target_step, count, taps, reach, scale, blocks):
    """Smooth one line: target row k = scale[k] x the sum of the taps over the source rows k .. k + 2 reach.

    Four results are summed at once, so that each row is read once for four of them. The taps have three zeros on either side, and
    the source has three unused rows at its end.
    """
    for start in range(0, count, 4):
        sum_0 = broadcast(source.dtype.type(0), blocks)
        sum_1, sum_2, sum_3 = sum_0, sum_0, sum_0
        for offset in range(2 * reach + 4):
            row = load(source, origin + (start + offset) * source_step, blocks)
            sum_0 = multiply_add(taps[offset + 3], row, sum_0)
            sum_1 = multiply_add(taps[offset + 2], row, sum_1)
            sum_2 = multiply_add(taps[offset + 1], row, sum_2)
            sum_3 = multiply_add(taps[offset], row, sum_3)
        at = first + start * target_step
        store(target, at, multiply(scale[start], sum_0))
        if start + 1 < count:
            store(target, at + target_step, multiply(scale[start + 1], sum_1))
        if start + 2 < count:
            store(target, at + 2 * target_step, multiply(scale[start + 2], sum_2))
        if start + 3 < count:
            store(target, at + 3 * target_step, multiply(scale[start + 3], sum_3))


@compiled
@no_type_check
def smooth_columns(start, stop, values, height, row_length, taps, reach, scale, blocks):
    """Smooth a range of bundles of columns in place; a bundle is four times as wide as the blocks."""
    width = 8 * len(blocks)
    line = np.zeros((height + 2 * reach + 4) * 4 * width, values.dtype)
    for bundle in range(start, stop):
        left = bundle * 4 * width
        span = min(4 * width, row_length - left)
        for row in range(height):
            for column in range(0, span, width):
                kept = load(values, row * row_length + left + column, blocks)
                store(line, (row + reach) * 4 * width + column, kept)
        for column in range(0, span, width):
            weigh_line(line, column, 4 * width, values, left + column, row_length, height, taps, reach, scale, blocks)


@compiled
@no_type_check
def smooth_row(values, row, width, channels, line, target, first, taps, reach, scale, blocks):
    """Smooth one row of pixels into a target; `line` is a buffer for the row with zeros at both ends."""
    for place in range(0, width * channels, 8):
        store(line, reach * channels + place, load(values, row * width * channels + place, (0,)))
    for channel in range(0, channels, 8 * len(blocks)):
        weigh_line(line, channel, channels, target, first + channel, channels, width, taps, reach, scale, blocks)


@compiled
@no_type_check
def smooth_rows(start, stop, values, width, channels, taps, reach, scale, blocks):
    """Smooth a range of rows in place."""
    line = np.zeros((width + 2 * reach + 4) * channels, values.dtype)
    for row in range(start, stop):
        smooth_row(values, row, width, channels, line, values, row * width * channels, taps, reach, scale, blocks)


@compiled
@no_type_check
def read_scores(unary, labels, count, row, width, channels, scores):
    """Copy the scores of one row of pixels, the labels of a pixel side by side."""
    whole_tiles = width - width % 8
    for pixel in range(0, whole_tiles, 8):
        at, place = row * width + pixel, pixel * channels
        for label in range(0, labels, 8):
            transpose_tile(
                unary, label * count + at, count, labels - label, scores, place + label, channels, 8, -np.inf
            )
    for pixel in range(whole_tiles, width):
        for label in range(labels):
            scores[pixel * channels + label] = unary[label * count + row * width + pixel]


@compiled
@no_type_check
def softmax_pixel(scores, place, channels, target, first, blocks):
    """Write the softmax of the scores of one pixel."""
    step = 8 * len(blocks)
    highest = reduce_max(load(scores, place, blocks))
    for channel in range(step, channels, step):
        highest = max(highest, reduce_max(load(scores, place + channel, blocks)))
    mass = np.float32(0)
    for channel in range(0, channels, step):
        lanes = exp_minus(load(scores, place + channel, blocks), highest)
        mass += reduce_sum(lanes)
        store(target, first + channel, lanes)
    share = np.float32(1) / mass
    for channel in range(0, channels, step):
        store(target, first + channel, multiply(share, load(target, first + channel, blocks)))


@compiled
@no_type_check
def begin_rows(start, stop, unary, labels, count, width, channels, values, blocks):
    """Write the softmax of the unary scores of a range of rows."""
    scores = np.full(width * channels, -np.inf, np.float32)
    for row in range(start, stop):
        read_scores(unary, labels, count, row, width, channels, scores)
        for pixel in range(width):
            at = pixel * channels
            softmax_pixel(scores, at, channels, values, row * width * channels + at, blocks)


@compiled
@no_type_check
def finish_rows(
    start, stop, values, unary, labels, count, width, channels, taps, reach, scale, lattice, corners, weights, shares, looks, places,
    costs, last, blocks,
):  # fmt: skip
    """One iteration for a range of rows whose columns are smoothed: messages, scores, and the softmax unless it is the last.

    `shares` is one over the filtered ones of the lattice; `looks` and `places` are each label's weights of the two kernels; `costs`
    holds the row mu(., l') of each label l', or nothing for Potts.
    """
    step = 8 * len(blocks)
    line = np.zeros((width + 2 * reach + 4) * channels, np.float32)
    messages = np.empty(width * channels, np.float32)
    scores = np.full(width * channels, -np.inf, np.float32)
    for row in range(start, stop):
        smooth_row(values, row, width, channels, line, messages, 0, taps, reach, scale, blocks)
        read_scores(unary, labels, count, row, width, channels, scores)
        for pixel in range(width):
            at, point = pixel * channels, row * width + pixel
            for channel in range(0, channels, step):
                read = broadcast(np.float32(0), blocks)
                for corner in range(corners.shape[1]):
                    vertex = load(lattice, np.int64(corners[point, corner]) * channels + channel, blocks)
                    read = multiply_add(weights[point, corner], vertex, read)
                read = multiply(shares[point], read)
                smooth = load(messages, at + channel, blocks)
                nothing = broadcast(np.float32(0), blocks)
                message = multiply_add(load(places, channel, blocks), smooth, nothing)
                message = multiply_add(load(looks, channel, blocks), read, message)
                if len(costs):
                    store(messages, at + channel, message)
                else:
                    store(scores, at + channel, add(load(scores, at + channel, blocks), message))
            if len(costs):
                for channel in range(0, channels, step):
                    score = load(scores, at + channel, blocks)
                    for label in range(labels):
                        cost = load(costs, label * channels + channel, blocks)
                        score = multiply_add(-messages[at + label], cost, score)
                    store(scores, at + channel, score)
            target = row * width * channels + at
            if last:
                for channel in range(0, channels, step):
                    store(values, target + channel, load(scores, at + channel, blocks))
            else:
                softmax_pixel(scores, at, channels, values, target, blocks)


@compiled
@no_type_check
def write_scores(start, stop, values, channels, out, labels, count):
    """Write a range of pixels with one plane per label."""
    whole_tiles = stop - (stop - start) % 8
    for pixel in range(start, whole_tiles, 8):
        for label in range(0, labels, 8):
            place = label * count + pixel
            transpose_tile(
                values, pixel * channels + label, channels, 8, out, place, count, labels - label, np.float32(0)
            )
    for pixel in range(whole_tiles, stop):
        for label in range(labels):
            out[label * count + pixel] = values[pixel * channels + label]


@dataclass(frozen=True)
class Smoothing:
    """The taps of the smoothness kernel, and one over their sum at every row and column of an image.

    Attributes:
        taps: the weights at distances -reach .. reach, with three zeros on either side.
        reach: largest distance, in pixels.
        row_scale, column_scale: one over the sum of the taps inside the image.
    """

    taps: np.ndarray
    reach: int
    row_scale: np.ndarray
    column_scale: np.ndarray


def smooth_compiled(values: np.ndarray, size: tuple[int, int], smoothing: Smoothing, num_threads: int) -> np.ndarray:
    """Smooth points x channels, the pixels of an image row by row: along the columns, then along the rows."""
    height, width = size
    channels, blocks = padded_channels(values.shape[1])
    rows = np.zeros((height * width, channels), values.dtype)
    rows[:, : values.shape[1]] = values
    flat = rows.reshape(-1)
    _smooth_columns(flat, size, channels, blocks, smoothing, num_threads)
    bounds = even_bounds(height, num_threads)
    taps, reach, scale = smoothing.taps, smoothing.reach, smoothing.column_scale
    in_ranges(smooth_rows, bounds, flat, width, channels, taps, reach, scale, blocks)
    return rows[:, : values.shape[1]]


def _smooth_columns(
    flat: np.ndarray, size: tuple[int, int], channels: int, blocks: tuple[int, ...], smoothing: Smoothing, threads: int
) -> None:
    height, width = size
    bundles = -(-width * channels // (4 * WIDTH * len(blocks)))
    taps, reach, scale = smoothing.taps, smoothing.reach, smoothing.row_scale
    bounds = even_bounds(bundles, threads)
    in_ranges(smooth_columns, bounds, flat, height, width * channels, taps, reach, scale, blocks)


@dataclass(frozen=True)
class Energies:
    """The inputs of the mean field of one image besides the unary scores; all float32.

    Attributes:
        tables: the lattice of the appearance kernel.
        appearance_share: for each point, the factor of its sliced values.
        smoothing: the smoothness kernel.
        bilateral_weights, spatial_weights: one number per label.
        compatibility: mu(l, l'), or None for Potts.
    """

    tables: CompiledTables
    appearance_share: np.ndarray
    smoothing: Smoothing
    bilateral_weights: np.ndarray
    spatial_weights: np.ndarray
    compatibility: np.ndarray | None


def mean_field(
    unary: np.ndarray, size: tuple[int, int], energies: Energies, num_iterations: int, num_threads: int
) -> np.ndarray:
    """The logits after the last iteration, labels x points float32.

    Args:
        unary: labels x points, float32, contiguous.
        size: (height, width) of the image.
        energies: the kernels and their weights.
        num_iterations: number of times that messages are passed, at least 1.
        num_threads: number of threads.
    """
    labels, count = unary.shape
    height, width = size
    channels, blocks = padded_channels(labels)
    looks, places = (_padded(each, channels) for each in (energies.bilateral_weights, energies.spatial_weights))
    costs = np.empty(0, np.float32)
    if energies.compatibility is not None:
        costs = np.concatenate([_padded(column, channels) for column in energies.compatibility.T])
    rows, flat = even_bounds(height, num_threads), unary.reshape(-1)
    tables, smoothing = energies.tables, energies.smoothing
    values = np.empty(count * channels, np.float32)
    in_ranges(begin_rows, rows, flat, labels, count, width, channels, values, blocks)
    whole = tables.num_vertices * channels * values.itemsize <= MAX_LATTICE_BYTES
    lattice = np.empty((tables.num_vertices if whole else count) * channels, np.float32)
    corners, weights = tables.corners, tables.weights
    if not whole:  # the filtered values take the place of the lattice, and each point is its own vertex
        corners, weights = np.arange(count, dtype=np.int32)[:, None], np.ones((count, 1), weights.dtype)
    unary_layout = flat, labels, count, width, channels
    smoothness = smoothing.taps, smoothing.reach, smoothing.column_scale
    appearance = corners, weights, energies.appearance_share
    costs_of_labels = looks, places, costs
    for iteration in range(num_iterations):
        if whole:
            spread_over_lattice(tables, values, lattice, channels, blocks, False, num_threads)
        else:
            shape = count, channels
            filter_compiled(tables, values.reshape(shape), False, num_threads, lattice.reshape(shape))
        _smooth_columns(values, size, channels, blocks, smoothing, num_threads)
        last = iteration == num_iterations - 1
        in_ranges(
            finish_rows, rows, values, *unary_layout, *smoothness, lattice, *appearance, *costs_of_labels, last, blocks
        )
    del lattice
    out = np.empty(labels * count, np.float32)
    in_ranges(write_scores, even_bounds(count, num_threads), values, channels, out, labels, count)
    return out.reshape(labels, count)


def _padded(numbers: np.ndarray, channels: int) -> np.ndarray:
    out = np.zeros(channels, np.float32)
    out[: len(numbers)] = numbers
    return out
