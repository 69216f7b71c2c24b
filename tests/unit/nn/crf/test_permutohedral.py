import math
import subprocess
import sys

import pytest
import torch
from skimage import data

from seriatim.core.errors import ConfigError, ShapeError
from seriatim.nn import PermutohedralLattice
from seriatim.nn.crf.permutohedral import enclosing_simplices, lattice_basis

METHODS = ["plain", "compiled"]
FLOAT_TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def gaussian(features):
    """K(i, j) = exp(-|f_i - f_j|^2 / 2), one pair at a time."""
    differences = features[:, None] - features[None]
    return torch.exp(-(differences**2).sum(dim=2) / 2)


def image_features(size, theta_alpha, theta_beta, top=100):
    image = torch.from_numpy(data.immunohistochemistry()[top : top + size, 100 : 100 + size].copy()).double()
    rows, columns = torch.meshgrid(torch.arange(size).double(), torch.arange(size).double(), indexing="ij")
    places = torch.stack((rows, columns), dim=2) / theta_alpha
    return torch.cat((image / theta_beta, places), dim=2).reshape(-1, 5)


def blocks_of_labels(size, labels=5):
    places = torch.arange(size) // 12
    return torch.nn.functional.one_hot((places[:, None] + 2 * places).flatten() % labels, labels).double()


def relative_error(ours, truth):
    return float((ours - truth).norm() / truth.norm())


@pytest.mark.parametrize("dims", [1, 2, 3, 5])
def test_the_corners_of_a_simplex_average_to_the_point_itself(dims):
    features = 3 * random(50, dims)
    integers, weights = enclosing_simplices(features)
    assert weights.min() > -1e-12
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(50, dtype=torch.float64))
    elevated = features @ lattice_basis(dims).T
    wanted = (elevated[:, -1:] - elevated[:, :-1]) / (dims + 1)
    torch.testing.assert_close((weights[..., None] * integers).sum(dim=1), wanted)
    assert all(len(set(map(tuple, corners.tolist()))) == dims + 1 for corners in integers)


def test_the_basis_keeps_distances_but_for_one_factor():
    basis = lattice_basis(4)
    torch.testing.assert_close(basis.T @ basis, torch.eye(4, dtype=torch.float64) * 2 / 3 * 25)
    torch.testing.assert_close(basis.sum(dim=0), torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dims", [1, 2, 3, 4, 5, 6])
def test_compiled_equals_plain(dims, dtype):
    features = 1.5 * random(400, dims, seed=dims, dtype=dtype)
    values = random(400, 21, seed=9, dtype=dtype)
    ours, plain = (PermutohedralLattice(features, "none", method) for method in ("compiled", "plain"))
    assert ours.num_vertices == plain.num_vertices
    expected = plain.filter(values)
    torch.testing.assert_close(
        ours.filter(values), expected, rtol=0, atol=FLOAT_TOLERANCE[dtype] * float(expected.abs().max())
    )


@pytest.mark.parametrize(
    "features",
    [
        torch.zeros(1, 3),
        torch.full((7, 2), -4.25),
        torch.cat((random(20, 3, dtype=torch.float32),) * 3),
        random(50, 4, dtype=torch.float32) - 300,
        torch.tensor([[-9e6, 9e6], [9e6, -9e6], [0.0, 0.0]]),
        torch.arange(12.0).reshape(4, 3),
    ],
    ids=["one point", "all the same", "duplicates", "negative", "far apart", "on lattice planes"],
)
def test_odd_features_are_filtered_alike_by_both_methods(features):
    values = random(len(features), 3, dtype=torch.float32)
    ours, plain = (PermutohedralLattice(features, "none", method).filter(values) for method in ("compiled", "plain"))
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)
    assert ours.isfinite().all()


def test_duplicates_get_the_same_result():
    features = random(10, 3).repeat(2, 1)
    out = PermutohedralLattice(features).filter(random(20, 2))
    torch.testing.assert_close(out[:10], out[10:])


@pytest.mark.parametrize("channels", [1, 8, 9, 17, 32, 33, 70])
def test_any_number_of_channels_is_filtered_channel_by_channel(channels):
    features, values = random(60, 2, dtype=torch.float32), random(60, channels, dtype=torch.float32)
    lattice = PermutohedralLattice(features)
    apart = torch.cat([lattice.filter(values[:, [channel]]) for channel in range(channels)], dim=1)
    torch.testing.assert_close(lattice.filter(values), apart)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("normalization", ["none", "before", "after", "symmetric"])
def test_the_gradient_is_the_adjoint_of_the_filter(normalization, method):
    lattice = PermutohedralLattice(2 * random(150, 5), normalization, method)
    x, y = random(150, 3, seed=1).requires_grad_(), random(150, 3, seed=2)
    forward = (lattice.filter(x) * y).sum()
    (adjoint,) = torch.autograd.grad(forward, x)
    other = random(150, 3, seed=3)
    left, right = (lattice.filter(other) * y).sum(), (other * adjoint).sum()
    assert abs(left - right) < 1e-12 * lattice.filter(other).norm() * y.norm()
    if normalization == "none":
        symmetric = (other * lattice.filter(y)).sum()
        assert abs(left - symmetric) > 1e-9  # the lattice has borders, so that the order of the directions shows


@pytest.mark.parametrize("method", METHODS)
def test_gradients_of_gradients_are_right(method):
    lattice = PermutohedralLattice(random(12, 2), "after", method)
    values = random(12, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lattice.filter, values)
    assert torch.autograd.gradgradcheck(lambda v: lattice.filter(v) ** 2, values)


def test_normalizations_are_what_they_say():
    features, values = random(80, 3), random(80, 2, seed=1)
    plain = PermutohedralLattice(features, "none")
    norm = plain.norm(torch.float64)
    expected = {
        "before": plain.filter(values / norm),
        "after": plain.filter(values) / norm,
        "symmetric": plain.filter(values / norm.sqrt()) / norm.sqrt(),
    }
    for name, wanted in expected.items():
        torch.testing.assert_close(PermutohedralLattice(features, name).filter(values), wanted)
    ones = torch.ones(80, 1, dtype=torch.float64)
    torch.testing.assert_close(norm, plain.filter(ones))
    torch.testing.assert_close(PermutohedralLattice(features).filter(ones), ones)


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_dense_cloud_has_the_mass_of_the_gaussian(dims):
    side = 21
    grid = torch.stack(torch.meshgrid(*[torch.arange(side) / 2.0] * dims, indexing="ij"), dim=-1).reshape(-1, dims)
    norm = PermutohedralLattice(grid.double(), "none").norm(torch.float64)
    middle = norm[side**dims // 2].item()
    assert middle == pytest.approx((2 * math.pi) ** (dims / 2) * 2**dims, rel=0.03)


@pytest.mark.parametrize("thetas", [(49.0, 5.0), (160.0, 3.0), (80.0, 13.0)])
@pytest.mark.parametrize("top", [0, 200])
def test_the_filter_is_within_12_percent_of_brute_force_on_an_image(thetas, top):
    features = image_features(48, *thetas, top)
    exact = gaussian(features)
    values = blocks_of_labels(48)
    truth = exact @ values / exact.sum(dim=1, keepdim=True)
    assert relative_error(PermutohedralLattice(features).filter(values), truth) < 0.12


def test_a_batch_is_filtered_image_by_image():
    features, values = random(3, 40, 2), random(3, 40, 2, seed=1)
    for method in METHODS:
        batch = PermutohedralLattice(features, method=method).filter(values)
        for number in range(3):
            alone = PermutohedralLattice(features[number], method=method).filter(values[number])
            torch.testing.assert_close(batch[number], alone)


def test_results_do_not_depend_on_the_number_of_threads():
    features, values = random(3000, 4, dtype=torch.float32), random(3000, 5, dtype=torch.float32)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            results.append(PermutohedralLattice(features).filter(values))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_values_keep_their_dtype_and_may_lie_anyhow_in_memory():
    lattice = PermutohedralLattice(random(30, 2, dtype=torch.float32))
    values = random(4, 60)[:, ::2].T
    assert lattice.filter(values).dtype == torch.float64
    torch.testing.assert_close(lattice.filter(values), lattice.filter(values.contiguous()))
    assert lattice.filter(values.float()).dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("features", "error", "words"),
    [
        (torch.tensor([[0.0, math.nan]]), ShapeError, "not finite"),
        (torch.tensor([[math.inf]]), ShapeError, "not finite"),
        (torch.zeros(2, 2, 2, 2), ShapeError, "points x dims"),
        (torch.zeros(0, 2), ShapeError, "at least one"),
        (torch.zeros(2, 2, dtype=torch.bfloat16), ShapeError, "float32 or float64"),
        (torch.tensor([[1e9, 0.0]]), ConfigError, "bandwidths from the origin"),
        (8e6 * random(50, 6).clamp(-1, 1), ConfigError, "do not fit into keys of 62 bits"),
    ],
)
def test_features_that_cannot_be_used_are_refused(features, error, words, method):
    with pytest.raises(error, match=words):
        PermutohedralLattice(features, method=method)


def test_values_and_names_that_do_not_fit_are_refused():
    lattice = PermutohedralLattice(torch.zeros(3, 2))
    with pytest.raises(ShapeError, match="3 x channels"):
        lattice.filter(torch.zeros(4, 2))
    with pytest.raises(ShapeError, match="float32 or float64"):
        lattice.filter(torch.zeros(3, 2, dtype=torch.bfloat16))
    with pytest.raises(ConfigError, match="did you mean 'after'"):
        PermutohedralLattice(torch.zeros(3, 2), "aftr")
    with pytest.raises(ConfigError, match="did you mean 'plain'"):
        PermutohedralLattice(torch.zeros(3, 2), method="plan")


def test_importing_the_lattice_does_not_import_numba():
    program = "import sys; from seriatim.nn import DenseCRF, PermutohedralLattice; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=300).returncode == 0


def test_kernels_work_where_nothing_can_be_written(tmp_path):
    program = (
        "import torch, numba.core.caching as caching\n"
        "caching.CacheImpl._locator_classes = []\n"
        "from seriatim.nn import PermutohedralLattice\n"
        "import seriatim.nn.crf.lattice_kernels as kernels\n"
        "assert type(kernels.blur._cache).__name__ == 'NullCache', kernels.blur._cache\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
