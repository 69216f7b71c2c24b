"""The compiled kernels of the permutohedral lattice, for the CPU; `permutohedral` holds the plain form that they are tested against.

    locate, insert, renumber, chain_direction    build the tables of a lattice
    splat, blur, slice_points                    filter with them

A kernel works on a range of points, vertices or chains, so that threads share the work without locks. Kernels release the lock of
the interpreter, and every number is computed by a single thread, so results do not depend on the number of threads. Vertices are
numbered in the order of their keys, so that one pass over the keys finds all neighbours in a direction. A direction is blurred in
place: its chains of neighbours are walked from end to end, each row is read and written once, and vertices without neighbours in
that direction are not touched.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, no_type_check

import numba
import numpy as np

from seriatim.nn.crf.lattice_keys import key_strides
from seriatim.nn.crf.simd import WIDTH, add, broadcast, load, multiply_add, store

EMPTY = -1
MAX_LATTICE_BYTES = 2**28
"""A lattice whose rows would take more bytes filters its channels in several parts."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled at its first call and cached on disk for later runs if a folder can be written."""
    try:
        return numba.njit(function, nogil=True, cache=True, error_model="numpy")
    except RuntimeError:  # numba found no folder that it can write to
        return numba.njit(function, nogil=True, error_model="numpy")


def in_ranges(kernel: Callable[..., Any], bounds: Sequence[int], *arguments: Any) -> None:
    """Run kernel(start, stop, *arguments) for every neighbouring pair of bounds: the first here, each other one in a thread."""
    ranges = [(start, stop) for start, stop in pairwise(bounds) if stop > start]
    with ThreadPoolExecutor(max(len(ranges), 1)) as pool:  # a thread is started with each submission, none without
        others = [pool.submit(kernel, *each, *arguments) for each in ranges[1:]]
        for first in ranges[:1]:
            kernel(*first, *arguments)
    for other in others:
        other.result()


def even_bounds(count: int, parts: int) -> list[int]:
    """The bounds of `parts` ranges of nearly the same length.

    >>> even_bounds(10, 3)
    [0, 3, 6, 10]
    """
    return [count * part // parts for part in range(parts + 1)]


def bounds_by_load(starts: np.ndarray, parts: int) -> list[int]:
    """The bounds of ranges with nearly the same number of entries, where entry k owns starts[k]..starts[k + 1].

    >>> bounds_by_load(np.array([0, 8, 9, 10, 11, 12]), 2)
    [0, 1, 5]
    """
    wanted = [int(starts[-1]) * part // parts for part in range(1, parts)]
    return [0, *(int(np.searchsorted(starts, load)) for load in wanted), len(starts) - 1]


@compiled
@no_type_check
def locate(start, stop, features, basis, whole, rank, weights):
    """Compute corner 0 of each point's simplex (`whole`, d integers), the rank of each coordinate, and the corners' weights."""
    dims = features.shape[1]
    elevated = np.empty(dims + 1, np.float64)
    base = np.empty(dims + 1, np.float64)
    ordered = np.empty(dims + 2, np.float64)
    for point in range(start, stop):
        surplus = 0.0
        for coordinate in range(dims + 1):
            position = 0.0
            for feature in range(max(coordinate - 1, 0), dims):
                position += basis[coordinate, feature] * features[point, feature]
            elevated[coordinate] = position / (dims + 1)
            base[coordinate] = np.rint(elevated[coordinate])
            surplus += base[coordinate]
        for coordinate in range(dims + 1):
            rest = elevated[coordinate] - base[coordinate]
            place_in_order = np.int64(surplus)
            for other in range(dims + 1):
                difference = elevated[other] - base[other]
                if difference > rest or (difference == rest and other < coordinate):
                    place_in_order += 1
            rank[point, coordinate] = place_in_order
        for coordinate in range(dims + 1):
            order = rank[point, coordinate]
            if order < 0:
                base[coordinate] += 1
                order += dims + 1
            elif order > dims:
                base[coordinate] -= 1
                order -= dims + 1
            rank[point, coordinate] = order
            ordered[order] = elevated[coordinate] - base[coordinate]
        weights[point, 0] = 1 + ordered[dims] - ordered[0]
        for corner in range(1, dims + 1):
            weights[point, corner] = ordered[dims - corner] - ordered[dims + 1 - corner]
        for coordinate in range(dims):
            whole[point, coordinate] = np.int64(base[dims] - base[coordinate])


@compiled
@no_type_check
def corner_ranges(whole, rank, lowest, highest):
    """Compute the smallest and the largest of each of the d integers over the corners of all simplices."""
    points, dims = whole.shape
    for point in range(points):
        last = rank[point, dims]
        for coordinate in range(dims):
            # along the corners a coordinate rises once, and the last one lowers all of them once; the earlier change counts
            value = whole[point, coordinate]
            ahead = rank[point, coordinate] > last
            lowest[coordinate] = min(lowest[coordinate], value if ahead else value - 1)
            highest[coordinate] = max(highest[coordinate], value + 1 if ahead else value)


@compiled
@no_type_check
def insert(whole, rank, group_size, strides, lowest, table_keys, table_places, keys, corners):
    """Number the vertices in the order in which points meet them; return their count, or -1 when the table is too full.

    From one corner of a simplex to the next the coordinate of rank d, then d - 1, ... rises: that is a step along its direction.
    """
    points, dims = whole.shape
    mask = len(table_keys) - 1
    limit = len(table_keys) // 2
    jumps = np.empty(dims + 1, np.int64)
    backwards = np.int64(0)
    for coordinate in range(dims):
        backwards -= strides[coordinate]
    found = 0
    for point in range(points):
        key = (point // group_size) * strides[dims]
        for coordinate in range(dims):
            key += (whole[point, coordinate] - lowest[coordinate] + 1) * strides[coordinate]
            jumps[rank[point, coordinate]] = strides[coordinate]
        jumps[rank[point, dims]] = backwards
        for corner in range(dims + 1):
            if corner:
                key += jumps[dims + 1 - corner]
            mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
            slot = np.int64((mixed ^ (mixed >> np.uint64(32))) & np.uint64(mask))
            while table_keys[slot] != key and table_keys[slot] != EMPTY:
                slot = (slot + 1) & mask
            if table_keys[slot] == EMPTY:
                if found >= limit or found >= len(keys):
                    return -1
                table_keys[slot] = key
                table_places[slot] = found
                keys[found] = key
                found += 1
            corners[point, corner] = table_places[slot]
    return found


@compiled
@no_type_check
def renumber(start, stop, corners, places):
    """Replace the vertex numbers at the corners of a range of points."""
    for point in range(start, stop):
        for corner in range(corners.shape[1]):
            corners[point, corner] = places[corners[point, corner]]


@compiled
@no_type_check
def chain_direction(keys, jump, ahead, walk, starts):
    """Find the chains of neighbours in one direction: the vertices in walking order, and where each chain starts in it.

    Returns the number of chains of at least two vertices. `jump`, which is positive, is what a step adds to a key.
    """
    count = len(keys)
    for vertex in range(count):
        ahead[vertex] = EMPTY
    followed = np.zeros(count, np.uint8)
    target = 0
    for vertex in range(count):
        wanted = keys[vertex] + jump
        while target < count and keys[target] < wanted:
            target += 1
        if target < count and keys[target] == wanted:
            ahead[vertex] = target
            followed[target] = 1
    chains, written = 0, 0
    for vertex in range(count):
        if followed[vertex] == 0 and ahead[vertex] != EMPTY:
            starts[chains] = written
            chains += 1
            current = vertex
            while current != EMPTY:
                walk[written] = current
                written += 1
                current = ahead[current]
    starts[chains] = written
    return chains


@compiled
@no_type_check
def count_corners(corners, starts):
    """Count, for each vertex, the corners of points at the vertices before it; `starts` holds one zero more than vertices."""
    for point in range(corners.shape[0]):
        for corner in range(corners.shape[1]):
            starts[corners[point, corner] + 1] += 1
    for vertex in range(len(starts) - 1):
        starts[vertex + 1] += starts[vertex]


@compiled
@no_type_check
def splat(start, stop, values, channels, corners, weights, lattice, blocks):
    """Add to every vertex of a range the weighted values of its points. `values` and `lattice` are flat, rows of `channels`."""
    for place in range(start * channels, stop * channels, 8):
        store(lattice, place, broadcast(lattice.dtype.type(0), (0,)))
    for point in range(corners.shape[0]):
        for channel in range(0, channels, 8 * len(blocks)):
            row = load(values, point * channels + channel, blocks)
            for corner in range(corners.shape[1]):
                vertex = np.int64(corners[point, corner])
                if start <= vertex and vertex < stop:
                    at = vertex * channels + channel
                    store(lattice, at, multiply_add(weights[point, corner], row, load(lattice, at, blocks)))


@compiled
@no_type_check
def blur(start, stop, walk, starts, lattice, channels, blocks):
    """Add half of both neighbours in the chain to every vertex of a range of chains, in place."""
    half = lattice.dtype.type(0.5)
    for chain in range(start, stop):
        for channel in range(0, channels, 8 * len(blocks)):
            place_now = np.int64(walk[starts[chain]]) * channels + channel
            behind = broadcast(lattice.dtype.type(0), blocks)
            current = load(lattice, place_now, blocks)
            for step in range(starts[chain] + 1, starts[chain + 1]):
                place_ahead = np.int64(walk[step]) * channels + channel
                ahead = load(lattice, place_ahead, blocks)
                store(lattice, place_now, multiply_add(half, add(behind, ahead), current))
                behind, current, place_now = current, ahead, place_ahead
            store(lattice, place_now, multiply_add(half, behind, current))


@compiled
@no_type_check
def slice_points(start, stop, lattice, channels, corners, weights, out, blocks):
    """Sum the weighted vertices of its simplex for every point of a range."""
    for point in range(start, stop):
        for channel in range(0, channels, 8 * len(blocks)):
            read = broadcast(lattice.dtype.type(0), blocks)
            for corner in range(corners.shape[1]):
                row = load(lattice, np.int64(corners[point, corner]) * channels + channel, blocks)
                read = multiply_add(weights[point, corner], row, read)
            store(out, point * channels + channel, read)


@dataclass(frozen=True)
class CompiledTables:
    """The lattice in the form that the kernels read.

    Attributes:
        corners, weights: the vertices of the simplex around each point, and their weights (float32 or float64).
        starts: the number of corners at the vertices before each one, which tells how to divide the work.
        chains: for each direction, the walk through its chains, and where each chain starts in it.
        num_vertices: number of vertices that have a point near them.
    """

    corners: np.ndarray
    weights: np.ndarray
    starts: np.ndarray
    chains: list[tuple[np.ndarray, np.ndarray]]
    num_vertices: int


def build_compiled(features: np.ndarray, basis: np.ndarray, group_size: int, num_threads: int) -> CompiledTables:
    """The tables of a lattice.

    Args:
        features: points x dims of float32 or float64, finite and not too large; the weights get their type.
        basis: result of `lattice_basis`.
        group_size: number of points in each group; points of different groups share no vertex.
        num_threads: number of threads.

    Raises:
        ConfigError: if the keys would not fit into 64 bits.
    """
    count, dims = features.shape
    whole = np.empty((count, dims), np.int32)
    rank = np.empty((count, dims + 1), np.int16)
    weights = np.empty((count, dims + 1), features.dtype)
    in_ranges(locate, even_bounds(count, num_threads), features, basis, whole, rank, weights)
    lowest, highest = np.full(dims, np.iinfo(np.int64).max), np.full(dims, np.iinfo(np.int64).min)
    corner_ranges(whole, rank, lowest, highest)
    ranges = [(int(low), int(high)) for low, high in zip(lowest, highest, strict=True)]
    steps = key_strides(ranges, count // group_size)
    strides = np.array(steps, np.int64)
    corners = np.empty((count, dims + 1), np.int32)
    keys = _insert_all(whole, rank, group_size, strides, lowest, corners)
    del whole, rank
    order = np.argsort(keys)
    places = np.empty(len(keys), np.int32)
    places[order] = np.arange(len(keys), dtype=np.int32)
    in_ranges(renumber, even_bounds(count, num_threads), corners, places)
    jumps = [*steps[:-1], sum(steps[:-1])]
    chains: list[Any] = [None] * len(jumps)
    in_ranges(_walk_directions, even_bounds(len(jumps), num_threads), keys[order], jumps, chains)
    starts = np.zeros(len(keys) + 1, np.int64)
    count_corners(corners, starts)
    return CompiledTables(corners, weights, starts, chains, len(keys))


def _insert_all(
    whole: np.ndarray, rank: np.ndarray, group_size: int, strides: np.ndarray, lowest: np.ndarray, corners: np.ndarray
) -> np.ndarray:
    """Number the vertices, with a larger table if the first is too small; return their keys."""
    capacity = min(2 * len(whole), corners.size)
    while True:
        slots = 1 << (2 * capacity - 1).bit_length()
        table_keys, table_places = np.full(slots, EMPTY, np.int64), np.empty(slots, np.int32)
        keys = np.empty(capacity, np.int64)
        found = insert(whole, rank, group_size, strides, lowest, table_keys, table_places, keys, corners)
        if found >= 0:
            return keys[:found].copy()
        capacity = corners.size


def _walk_directions(start: int, stop: int, keys: np.ndarray, jumps: Sequence[int], chains: list[Any]) -> None:
    ahead = np.empty(len(keys), np.int32)
    walk, starts = np.empty(len(keys), np.int32), np.empty(len(keys) // 2 + 1, np.int32)
    for direction in range(start, stop):
        number = chain_direction(keys, np.int64(jumps[direction]), ahead, walk, starts)
        chains[direction] = (walk[: starts[number]].copy(), starts[: number + 1].copy())


def padded_channels(channels: int) -> tuple[int, tuple[int, ...]]:
    """The padded width of a row of channels, and the blocks that the kernels process at a time.

    >>> padded_channels(21)
    (24, (0, 0, 0))
    >>> padded_channels(40)
    (48, (0, 0, 0))
    """
    eights = -(-channels // WIDTH)
    chunks = -(-eights // 4)
    blocks = -(-eights // chunks)
    return WIDTH * blocks * chunks, (0,) * blocks


def spread_over_lattice(
    tables: CompiledTables,
    values: np.ndarray,
    lattice: np.ndarray,
    channels: int,
    blocks: tuple[int, ...],
    reverse: bool,
    num_threads: int,
) -> None:
    """Splat flat rows of values and blur them in the flat rows of the vertices, 2^(d + 1) times too large."""
    bounds = bounds_by_load(tables.starts, num_threads)
    in_ranges(splat, bounds, values, channels, tables.corners, tables.weights, lattice, blocks)
    for walk, starts in reversed(tables.chains) if reverse else tables.chains:
        in_ranges(blur, bounds_by_load(starts, num_threads), walk, starts, lattice, channels, blocks)


def channels_at_once(tables: CompiledTables, itemsize: int) -> int:
    """Number of channels to filter together: 32, or fewer, at least 8, if the lattice would exceed MAX_LATTICE_BYTES."""
    fitting = MAX_LATTICE_BYTES // (tables.num_vertices * itemsize) // WIDTH * WIDTH
    return max(WIDTH, min(4 * WIDTH, fitting))


def filter_compiled(
    tables: CompiledTables, values: np.ndarray, reverse: bool, num_threads: int, out: np.ndarray | None = None
) -> np.ndarray:
    """Splat, blur and slice points x channels, as `permutohedral.filter_plainly`; the result is written to `out` if given."""
    count, together = len(tables.corners), channels_at_once(tables, values.itemsize)
    out = np.empty_like(values) if out is None else out
    for first in range(0, values.shape[1], together):
        part = values[:, first : first + together]
        channels, blocks = padded_channels(part.shape[1])
        rows = np.zeros((count, channels), values.dtype)
        rows[:, : part.shape[1]] = part
        flat, lattice = rows.reshape(-1), np.empty(tables.num_vertices * channels, values.dtype)
        spread_over_lattice(tables, flat, lattice, channels, blocks, reverse, num_threads)
        bounds = even_bounds(count, num_threads)
        in_ranges(slice_points, bounds, lattice, channels, tables.corners, tables.weights, flat, blocks)
        out[:, first : first + together] = rows[:, : part.shape[1]]
    return out
