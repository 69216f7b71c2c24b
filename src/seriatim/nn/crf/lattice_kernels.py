"""The compiled kernels of the permutohedral lattice, for the CPU; `permutohedral` holds the plain form that they are tested against.

    place, insert, renumber, chain_direction     build the tables of a lattice
    splat, blur, slice_points                    filter with them

Kernels work on a range of points, vertices or chains, so that a few threads can share the work without locks: they hold no
lock of the interpreter, and every number is computed by one thread alone, so results do not depend on how many there are.
Vertices are numbered in the order of their keys, so that the neighbours in one direction are found by running along the keys
once. A direction is blurred in place: its chains of neighbours are walked from end to end, each row is read and written once,
and vertices without neighbours in that direction are not touched.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, no_type_check

import numba
import numpy as np

from seriatim.nn.crf.permutohedral import key_strides
from seriatim.nn.crf.simd import WIDTH, add, add_scaled, fill, load, store

EMPTY = -1
ROOM = 2**28
"""Bytes that the rows of a lattice may take before its channels are filtered part by part."""


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled when it is first called; kept on disk for later runs wherever a folder can be written."""
    try:
        return numba.njit(function, nogil=True, cache=True, error_model="numpy")
    except RuntimeError:  # numba found no folder that it may write to
        return numba.njit(function, nogil=True, error_model="numpy")


def in_ranges(kernel: Callable[..., Any], bounds: Sequence[int], *arguments: Any) -> None:
    """Runs kernel(start, stop, *arguments) for every neighbouring pair of bounds, each in a thread of its own."""
    ranges = [(start, stop) for start, stop in pairwise(bounds) if stop > start]
    failures: list[BaseException] = []
    threads = [
        threading.Thread(target=_run_range, args=(kernel, start, stop, arguments, failures))
        for start, stop in ranges[1:]
    ]
    for thread in threads:
        thread.start()
    try:
        if ranges:
            kernel(*ranges[0], *arguments)
    finally:
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def _run_range(
    kernel: Callable[..., Any], start: int, stop: int, arguments: tuple[Any, ...], failures: list[BaseException]
) -> None:
    try:
        kernel(start, stop, *arguments)
    except BaseException as error:  # handed to the thread that waits
        failures.append(error)


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
def place(start, stop, features, basis, whole, rank, weights):
    """Corner 0 of the simplex of each point (`whole`, d integers), the rank of each coordinate, and the weights of the corners."""
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
    """The smallest and the largest of each of the d integers over the corners of all simplices."""
    points, dims = whole.shape
    for point in range(points):
        last = rank[point, dims]
        for coordinate in range(dims):
            # going through the corners, a coordinate rises once and the last one lowers all of them once; the earlier shows
            value = whole[point, coordinate]
            ahead = rank[point, coordinate] > last
            lowest[coordinate] = min(lowest[coordinate], value if ahead else value - 1)
            highest[coordinate] = max(highest[coordinate], value + 1 if ahead else value)


@compiled
@no_type_check
def insert(whole, rank, group_size, strides, lowest, table_keys, table_places, keys, corners):
    """Numbers the vertices in the order met; returns how many there are, or -1 when the table is too full.

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
    """Gives the corners of a range of points the new numbers of their vertices."""
    for point in range(start, stop):
        for corner in range(corners.shape[1]):
            corners[point, corner] = places[corners[point, corner]]


@compiled
@no_type_check
def chain_direction(keys, jump, ahead, walk, starts):
    """The chains of neighbours in one direction: vertices in the order of the walk, and where each chain starts in it.

    Returns how many chains of two or more vertices there are. `jump` is what a step adds to a key, and is positive.
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
def count_shares(corners, starts):
    """How many shares of points the vertices before each one take; `starts` holds zeros, one more than there are vertices."""
    for point in range(corners.shape[0]):
        for corner in range(corners.shape[1]):
            starts[corners[point, corner] + 1] += 1
    for vertex in range(len(starts) - 1):
        starts[vertex + 1] += starts[vertex]


@compiled
@no_type_check
def splat(start, stop, values, channels, corners, weights, lattice, blocks):
    """Every vertex of a range takes its share of the values of its points. `values` and `lattice` are flat, `channels` a row."""
    for place in range(start * channels, stop * channels, 8):
        store(lattice, place, fill(lattice.dtype.type(0), (0,)))
    for point in range(corners.shape[0]):
        for channel in range(0, channels, 8 * len(blocks)):
            row = load(values, point * channels + channel, blocks)
            for corner in range(corners.shape[1]):
                vertex = np.int64(corners[point, corner])
                if start <= vertex and vertex < stop:
                    at = vertex * channels + channel
                    store(lattice, at, add_scaled(weights[point, corner], row, load(lattice, at, blocks)))


@compiled
@no_type_check
def blur(start, stop, walk, starts, lattice, channels, blocks):
    """Every vertex of a range of chains adds half of what its neighbours in the chain hold, in place."""
    half = lattice.dtype.type(0.5)
    for chain in range(start, stop):
        for channel in range(0, channels, 8 * len(blocks)):
            place_now = np.int64(walk[starts[chain]]) * channels + channel
            behind = fill(lattice.dtype.type(0), blocks)
            current = load(lattice, place_now, blocks)
            for step in range(starts[chain] + 1, starts[chain + 1]):
                place_ahead = np.int64(walk[step]) * channels + channel
                ahead = load(lattice, place_ahead, blocks)
                store(lattice, place_now, add_scaled(half, add(behind, ahead), current))
                behind, current, place_now = current, ahead, place_ahead
            store(lattice, place_now, add_scaled(half, behind, current))


@compiled
@no_type_check
def slice_points(start, stop, lattice, channels, corners, weights, out, blocks):
    """Every point of a range reads the vertices of its simplex, by their weights."""
    for point in range(start, stop):
        for channel in range(0, channels, 8 * len(blocks)):
            read = fill(lattice.dtype.type(0), blocks)
            for corner in range(corners.shape[1]):
                row = load(lattice, np.int64(corners[point, corner]) * channels + channel, blocks)
                read = add_scaled(weights[point, corner], row, read)
            store(out, point * channels + channel, read)


@dataclass(frozen=True)
class CompiledTables:
    """The lattice as the kernels read it.

    Attributes:
        corners, weights: the vertices of the simplex around each point, and their weights (float32 or float64).
        starts: how many shares of points the vertices before each one take, which tells how to divide the work.
        chains: for each direction the walk through its chains, and where each chain starts in it.
        num_vertices: how many vertices have a point near them.
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
        basis: what `lattice_basis` gives.
        group_size: points of different groups, this many each, share no vertex.
        num_threads: how many threads may work.

    Raises:
        ConfigError: if the keys would not fit into 64 bits.
    """
    count, dims = features.shape
    whole = np.empty((count, dims), np.int32)
    rank = np.empty((count, dims + 1), np.int16)
    weights = np.empty((count, dims + 1), features.dtype)
    in_ranges(place, even_bounds(count, num_threads), features, basis, whole, rank, weights)
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
    chains = _all_chains(keys[order], [*steps[:-1], sum(steps[:-1])], num_threads)
    starts = np.zeros(len(keys) + 1, np.int64)
    count_shares(corners, starts)
    return CompiledTables(corners, weights, starts, chains, len(keys))


def _insert_all(
    whole: np.ndarray, rank: np.ndarray, group_size: int, strides: np.ndarray, lowest: np.ndarray, corners: np.ndarray
) -> np.ndarray:
    """Numbers the vertices, in a table that is made larger when it fills; returns their keys."""
    room = min(2 * len(whole), corners.size)
    while True:
        slots = 1 << (2 * room - 1).bit_length()
        table_keys, table_places = np.full(slots, EMPTY, np.int64), np.empty(slots, np.int32)
        keys = np.empty(room, np.int64)
        found = insert(whole, rank, group_size, strides, lowest, table_keys, table_places, keys, corners)
        if found >= 0:
            return keys[:found].copy()
        room = corners.size


def _all_chains(keys: np.ndarray, jumps: Sequence[int], num_threads: int) -> list[tuple[np.ndarray, np.ndarray]]:
    chains: list[Any] = [None] * len(jumps)
    in_ranges(_walk_directions, even_bounds(len(jumps), num_threads), keys, jumps, chains)
    return chains


def _walk_directions(start: int, stop: int, keys: np.ndarray, jumps: Sequence[int], chains: list[Any]) -> None:
    ahead = np.empty(len(keys), np.int32)
    walk, starts = np.empty(len(keys), np.int32), np.empty(len(keys) // 2 + 1, np.int32)
    for direction in range(start, stop):
        number = chain_direction(keys, np.int64(jumps[direction]), ahead, walk, starts)
        chains[direction] = (walk[: starts[number]].copy(), starts[: number + 1].copy())


def padded_channels(channels: int) -> tuple[int, tuple[int, ...]]:
    """How wide a row of so many channels becomes, and the blocks that the kernels take at a time.

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
    """Splats flat rows of values and blurs them into the flat rows of the vertices, 2^(d + 1) times too large."""
    bounds = bounds_by_load(tables.starts, num_threads)
    in_ranges(splat, bounds, values, channels, tables.corners, tables.weights, lattice, blocks)
    for walk, starts in reversed(tables.chains) if reverse else tables.chains:
        in_ranges(blur, bounds_by_load(starts, num_threads), walk, starts, lattice, channels, blocks)


def channels_at_once(tables: CompiledTables, itemsize: int) -> int:
    """How many channels are filtered together: 32, or as few as 8 where the rows of the lattice would take more than ROOM."""
    fitting = ROOM // (tables.num_vertices * itemsize) // WIDTH * WIDTH
    return max(WIDTH, min(4 * WIDTH, fitting))


def filter_compiled(
    tables: CompiledTables, values: np.ndarray, reverse: bool, num_threads: int, out: np.ndarray | None = None
) -> np.ndarray:
    """Splat, blur and slice of points x channels, as `permutohedral.filter_plainly`; written to `out` where that is given."""
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
