import numpy as np
import pytest

from seriatim.nn.crf.lattice_kernels import compiled
from seriatim.nn.crf.simd import exp_minus, load, multiply_add, reduce_max, reduce_sum, store, transpose_tile

BLOCKS = [(0,), (0, 0), (0, 0, 0, 0)]


def numbers(count, dtype=np.float32):
    return np.random.default_rng(count).standard_normal(count).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("blocks", BLOCKS)
def test_lanes_are_read_combined_and_written_place_by_place(blocks, dtype):
    def kernel(source, out, blocks):
        lanes = load(source, 3, blocks)
        store(out, 1, multiply_add(source.dtype.type(2), lanes, lanes))
        return reduce_max(lanes), reduce_sum(lanes)

    count = 8 * len(blocks)
    source, out = numbers(count + 5, dtype), np.zeros(count + 2, dtype)
    largest, total = compiled(kernel)(source, out, blocks)
    part = source[3 : 3 + count]
    np.testing.assert_allclose(out, np.concatenate(([0], 3 * part, [0])), rtol=1e-6)
    assert largest == part.max()
    assert total == pytest.approx(part.sum(), abs=1e-5)


def test_exp_is_right_to_seven_digits_and_zero_where_it_is_negligible():
    def kernel(source, out, blocks):
        store(out, 0, exp_minus(load(source, 0, blocks), np.float32(1)))

    source, out = np.array([1, 0.5, 0, -3, -20, -44, -46, -90], np.float32), np.zeros(8, np.float32)
    compiled(kernel)(source, out, (0,))
    np.testing.assert_allclose(out[:6], np.exp(source[:6].astype(float) - 1), rtol=3e-7)
    assert out[6:].tolist() == [0, 0]


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (5, 8), (8, 3), (1, 1)])
def test_a_tile_is_transposed_and_missing_rows_get_the_other_number(rows, columns):
    def kernel(source, rows, target, columns):
        transpose_tile(source, 2, 10, rows, target, 1, 9, columns, np.float32(-1))

    source, target = numbers(2 + 80), np.zeros(1 + 9 * 8, np.float32)
    compiled(kernel)(source, rows, target, columns)
    tile = np.full((8, 8), -1, np.float32)
    tile[:rows] = source[2:].reshape(8, 10)[:rows, :8]
    expected = np.zeros((8, 9), np.float32)
    expected[:columns, :8] = tile.T[:columns]
    np.testing.assert_array_equal(target[1:].reshape(8, 9), expected)
