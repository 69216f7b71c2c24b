"""High-dimensional Gaussian filtering on the permutohedral lattice, built once and reused.

Source: Adams, Baek, Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice" (Eurographics 2010). With
features f that are already divided by the bandwidths, the filter approximates

    out_i = sum_j exp(-|f_i - f_j|^2 / 2) v_j

in time linear in the number of points: every point adds its value to the d + 1 corners of the simplex around it (splat),
neighbouring corners mix with (1/4, 1/2, 1/4) along each of the d + 1 directions (blur), and every point reads its corners (slice). Splat, blur and slice are linear in the values, so the gradient is the transposed filter: the same three
steps with the directions in reverse.

A lattice point is stored as d integers m_i = (c_d - c_i) / (d + 1), where c are the paper's d + 1 coordinates of zero sum. They
have no gaps; a step along direction j < d changes m_j alone, and a step along direction d changes all of them. So a point packs
into one 64-bit key, and its neighbours are at a constant distance from that key.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from seriatim.core.errors import ConfigError, ShapeError, did_you_mean
from seriatim.nn.crf.lattice_keys import key_strides

if TYPE_CHECKING:
    from seriatim.nn.crf.lattice_kernels import CompiledTables

NORMALIZATIONS = ("none", "before", "after", "symmetric")
METHODS = ("auto", "compiled", "plain")
FLOATS = (torch.float32, torch.float64)
MAX_FEATURE = 1e7


def lattice_basis(dims: int) -> Float[Tensor, "corners dims"]:
    """The matrix that maps features to the paper's d + 1 coordinates, scaled so that the whole filter has unit variance (float64).

    >>> lattice_basis(1)
    tensor([[ 1.1547],
            [-1.1547]], dtype=torch.float64)
    """
    basis = torch.zeros(dims + 1, dims, dtype=torch.float64)
    for feature in range(dims):
        scale = 1 / math.sqrt((feature + 1) * (feature + 2))
        basis[: feature + 1, feature] = scale
        basis[feature + 1, feature] = -(feature + 1) * scale
    return basis * (math.sqrt(2 / 3) * (dims + 1))


def enclosing_simplices(
    features: Float[Tensor, "points dims"],
) -> tuple[Int[Tensor, "points corners dims"], Float[Tensor, "points corners"]]:
    """The integers m of the corners of the simplex around each point, and the weights of the corners, which sum to one.

    Args:
        features: positions in units of the bandwidth.

    Source: Sec. 3.1 of the paper. The corner of remainder k has c_i = rem_i + k, less d + 1 where the rank of i is above d - k.
    """
    dims = features.shape[1]
    elevated = features.double() @ lattice_basis(dims).to(features.device).T
    base = (elevated / (dims + 1)).round()
    surplus = base.sum(dim=1, keepdim=True).long()
    rank = _descending_ranks(elevated - base * (dims + 1)) + surplus
    below, above = rank < 0, rank > dims
    base = base + below.double() - above.double()
    rank = rank + (dims + 1) * (below.long() - above.long())
    residues = torch.zeros_like(elevated).scatter_(1, rank, elevated / (dims + 1) - base)
    weights = torch.cat((1 + residues[:, -1:] - residues[:, :1], (residues[:, :-1] - residues[:, 1:]).flip(1)), dim=1)
    corners = torch.arange(dims + 1, device=features.device)
    wraps = (rank[:, None, :] > dims - corners[None, :, None]).long()
    whole = base.long()
    integers = (whole[:, -1:] - whole[:, :-1])[:, None] + wraps[:, :, :-1] - wraps[:, :, -1:]
    return integers, weights


def _descending_ranks(values: Tensor) -> Tensor:
    """How many entries of the same row are larger; among equals the earlier counts as larger."""
    order = values.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(values.shape[1], device=values.device).expand_as(order)
    return torch.zeros_like(order).scatter_(1, order, places)


@dataclass(frozen=True)
class LatticeTables:
    """The lattice as index tables, for the plain filter.

    Attributes:
        corners: the vertices of the simplex around each point.
        weights: their weights.
        ahead: for each direction, the vertex one step ahead of each vertex; `num_vertices` where there is none.
        behind: the same, one step back.
        num_vertices: how many vertices have a point near them.
    """

    corners: Int[Tensor, "points corners"]
    weights: Float[Tensor, "points corners"]
    ahead: Int[Tensor, "corners vertices"]
    behind: Int[Tensor, "corners vertices"]
    num_vertices: int


def build_tables(features: Float[Tensor, "points dims"], group_size: int) -> LatticeTables:
    """The index tables of a lattice, by sorting packed keys.

    Args:
        features: positions in units of the bandwidth.
        group_size: points of different groups, this many each, share no vertex.
    """
    integers, weights = enclosing_simplices(features)
    lowest, highest = integers.amin(dim=(0, 1)), integers.amax(dim=(0, 1))
    ranges = [(int(low), int(high)) for low, high in zip(lowest, highest, strict=True)]
    strides = key_strides(ranges, len(features) // group_size)
    keys = ((integers - lowest + 1) * torch.tensor(strides[:-1], device=features.device)).sum(dim=2)
    keys += (torch.arange(len(features), device=features.device) // group_size * strides[-1])[:, None]
    vertices, corners = torch.unique(keys, return_inverse=True)
    jumps = (*strides[:-1], -sum(strides[:-1]))
    ahead = torch.stack([_find(vertices, vertices + jump) for jump in jumps])
    behind = torch.stack([_find(vertices, vertices - jump) for jump in jumps])
    return LatticeTables(corners, weights, ahead, behind, len(vertices))


def _find(vertices: Tensor, wanted: Tensor) -> Tensor:
    """The position of each wanted key among the sorted vertices; the number of vertices where it is missing."""
    places = torch.searchsorted(vertices, wanted).clamp_(max=len(vertices) - 1)
    return torch.where(vertices[places] == wanted, places, len(vertices))


def filter_plainly(
    tables: LatticeTables, values: Float[Tensor, "points channels"], reverse: bool
) -> Float[Tensor, "points channels"]:
    """Splat, blur and slice, 2^(d + 1) times too large; with `reverse`, the directions run from last to first: the transpose."""
    weights = tables.weights.to(values.dtype)
    lattice = values.new_zeros(tables.num_vertices + 1, values.shape[1])
    for corner in range(weights.shape[1]):
        lattice.index_add_(0, tables.corners[:, corner], weights[:, corner, None] * values)
    order = range(len(tables.ahead))
    for direction in reversed(order) if reverse else order:
        around = lattice[tables.ahead[direction]] + lattice[tables.behind[direction]]
        lattice[:-1] += around / 2
    out = torch.zeros_like(values)
    for corner in range(weights.shape[1]):
        out.addcmul_(weights[:, corner, None], lattice[tables.corners[:, corner]])
    return out


class _Filter(torch.autograd.Function):
    """The filter as a linear function; its gradient is itself with the directions in reverse."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lattice: "PermutohedralLattice", reverse: bool) -> Tensor:
        ctx.lattice, ctx.reverse = lattice, reverse
        return lattice.apply_filter(values, reverse)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Filter.apply(gradients[0], ctx.lattice, not ctx.reverse), None, None  # pyright: ignore[reportReturnType]


class PermutohedralLattice:
    """A Gaussian filter over fixed points of a feature space.

    >>> lattice = PermutohedralLattice(torch.tensor([[0.0, 0.0], [0.1, 0.0], [9.0, 9.0]]))
    >>> lattice.filter(torch.tensor([[1.0], [1.0], [5.0]])).T.round(decimals=4)
    tensor([[1., 1., 5.]])
    """

    def __init__(
        self, features: Float[Tensor, "*batch points dims"], normalization: str = "after", method: str = "auto"
    ) -> None:
        """
        Args:
            features: positions, already divided by the bandwidths. No gradient goes to them. With a leading batch axis the
                entries of the batch are filtered separately.
            normalization: with K the plain filter and n = K 1, "none" gives K v, "after" (the default, as DIN's CRF does)
                (K v) / n, which keeps constants, "before" K (v / n), and "symmetric" K (v / sqrt n) / sqrt n.
            method: "compiled" for the kernels on the CPU, "plain" for PyTorch operations on any device, "auto" for the
                former on the CPU and the latter elsewhere.

        Raises:
            ShapeError: if the features are not finite numbers in points x dims.
            ConfigError: if a name is unknown, or the features span more than the keys can hold.
        """
        check_choice("method", method, METHODS)
        check_choice("normalization", normalization, NORMALIZATIONS)
        if method == "compiled" and features.device.type != "cpu":
            raise ConfigError(f"method: the compiled kernels run on the CPU, the features are on {features.device}")
        check_features(features)
        self.normalization = normalization
        self.batch = tuple(features.shape[:-1])
        self.device = features.device
        self.scale = kernel_scale(features.shape[-1])
        self._norms: dict[torch.dtype, Tensor] = {}
        flat = features.detach().reshape(-1, features.shape[-1])
        if method == "auto":
            method = "compiled" if features.device.type == "cpu" else "plain"
        self.tables = (_build_compiled if method == "compiled" else build_tables)(flat, features.shape[-2])

    @property
    def num_vertices(self) -> int:
        """How many lattice points have a weight on some point."""
        return self.tables.num_vertices

    def filter(self, values: Float[Tensor, "*batch points channels"]) -> Float[Tensor, "*batch points channels"]:
        """The filtered and normalised values; differentiable in the values, any number of times.

        Raises:
            ShapeError: if the values do not fit the points of this lattice.
        """
        if values.shape[:-1] != self.batch or values.dtype not in FLOATS or values.device != self.device:
            expected = " x ".join(map(str, self.batch))
            raise ShapeError(
                f"values: expected float32 or float64 of {expected} x channels on {self.device}, got {values.dtype} of shape "
                f"{tuple(values.shape)} on {values.device}"
            )
        flat = values.reshape(-1, values.shape[-1])
        if self.normalization == "none":
            out = self._plain(flat)
        elif self.normalization == "before":
            out = self._plain(flat / self.norm(values.dtype))
        elif self.normalization == "after":
            out = self._plain(flat) / self.norm(values.dtype)
        else:
            root = self.norm(values.dtype).sqrt()
            out = self._plain(flat / root) / root
        return out.reshape(values.shape)

    def norm(self, dtype: torch.dtype = torch.float32) -> Float[Tensor, "points 1"]:
        """The filtered ones, K 1, without normalisation; computed once."""
        if dtype not in self._norms:
            ones = torch.ones(math.prod(self.batch), 1, dtype=dtype, device=self.device)
            self._norms[dtype] = self._plain(ones)
        return self._norms[dtype]

    def _plain(self, values: Tensor) -> Tensor:
        return _Filter.apply(values, self, False)  # pyright: ignore[reportReturnType]

    def apply_filter(self, values: Float[Tensor, "points channels"], reverse: bool) -> Float[Tensor, "points channels"]:
        """K v without normalisation, or its transpose; not recorded by automatic differentiation."""
        if isinstance(self.tables, LatticeTables):
            return filter_plainly(self.tables, values, reverse).mul_(self.scale)
        from seriatim.nn.crf.lattice_kernels import filter_compiled

        rows = filter_compiled(self.tables, values.detach().numpy(), reverse, torch.get_num_threads())
        return torch.from_numpy(rows).mul_(self.scale)


def _build_compiled(features: Tensor, group_size: int) -> "CompiledTables":
    """The tables of the kernels. Only here and in `apply_filter` is numba imported, which takes a while."""
    from seriatim.nn.crf.lattice_kernels import build_compiled

    basis = lattice_basis(features.shape[1]).numpy()
    return build_compiled(features.contiguous().numpy(), basis, group_size, torch.get_num_threads())


def kernel_scale(dims: int) -> float:
    """The factor that gives a dense cloud of points the mass of the Gaussian after blurs with (1/2, 1, 1/2).

    That mass is (2 pi)^(d/2) per unit of density; the cell of a vertex has the volume (3/2)^(d/2) / sqrt(d + 1) in units of the
    bandwidth, and the d + 1 blurs each double the sum.
    """
    return (2 * math.pi) ** (dims / 2) * math.sqrt(dims + 1) / 1.5 ** (dims / 2) / 2 ** (dims + 1)


def check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    """Refuse a name that is none of the known ones.

    Raises:
        ConfigError: naming the setting and the closest known name.
    """
    if value not in known:
        raise ConfigError(f"{name}: unknown {value!r}{did_you_mean(value, known)}")


def check_floats(name: str, values: Tensor, axes: str) -> None:
    """Refuse what is not a tensor of finite floats with these axes, with or without a leading batch axis.

    Args:
        name: of the argument, for the message.
        values: what was given.
        axes: their names, joined by " x ".

    Raises:
        ShapeError: saying what it got.
    """
    num_axes = len(axes.split(" x "))
    if values.ndim not in (num_axes, num_axes + 1) or values.dtype not in FLOATS or 0 in values.shape:
        raise ShapeError(
            f"{name}: expected float32 or float64 of {axes} (with or without a batch in front), at least one of each, "
            f"got {values.dtype} of shape {tuple(values.shape)}"
        )
    if not values.isfinite().all():
        raise ShapeError(f"{name}: has values that are not finite (NaN or infinity)")


def check_features(features: Tensor) -> None:
    """Refuse features that a lattice cannot hold.

    Raises:
        ShapeError: if they are not finite floats, points x dims with or without a leading batch axis.
        ConfigError: if they lie too far from the origin.
    """
    check_floats("features", features, "points x dims")
    largest = float(features.detach().abs().max())
    if largest > MAX_FEATURE:
        raise ConfigError(
            f"features: reach {largest:.3g} bandwidths from the origin, the lattice takes at most {MAX_FEATURE:.0e}; "
            "divide them by larger bandwidths, or move them"
        )
