import numpy as np
import pytest

from seriatim.data.synthetic.noise import smooth_noise


@pytest.mark.parametrize("cell", [0.5, 1.0, 3.0, 25.0])
def test_noise_has_mean_zero_and_bumps_as_wide_as_its_cells(cell):
    plane = smooth_noise(np.random.default_rng(0), 200, 300, cell)
    assert plane.shape == (200, 300)
    assert plane.dtype == np.float32
    assert abs(plane.mean()) < 0.15
    assert 0.3 < plane.std() < 0.6
    step = np.abs(np.diff(plane, axis=1)).mean()
    assert (step < 0.05) == (cell == 25.0)
