"""A fully connected CRF whose mean-field iterations are unrolled as a layer.

Source: Krähenbühl, Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials" (NIPS 2011), eq. 1-4 and
algorithm 1; unrolled as Zheng et al., "Conditional Random Fields as Recurrent Neural Networks" (ICCV 2015). With label
probabilities q, positions p in pixels and colours I in 0..255, one iteration is

    a_i(l) = sum_j exp(-|p_i - p_j|^2 / (2 theta_alpha^2) - |I_i - I_j|^2 / (2 theta_beta^2)) q_j(l)     appearance, on the lattice
    s_i(l) = sum_j exp(-|p_i - p_j|^2 / (2 theta_gamma^2)) q_j(l)                                        smoothness, separable
    m_i(l) = w_b a_i(l) / a_i[1] + w_s s_i(l) / s_i[1]                  each kernel's output divided by the kernel filtered ones
    q_i = softmax(unary_i - sum_l' mu(l, l') m_i(l'))                                            mu: Potts, [l != l'], or learned

For Potts the sum is that over all labels minus m_i(l); the first part is the same for all labels, so + m_i(l) is used.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from seriatim.core.errors import ConfigError, ShapeError
from seriatim.nn.crf.permutohedral import (
    FLOATS,
    METHODS,
    LatticeTables,
    PermutohedralLattice,
    check_choice,
    check_floats,
)

if TYPE_CHECKING:
    from seriatim.nn.crf.crf_kernels import Smoothing

COMPATIBILITIES = ("potts", "learned")
REACH = 3.3

MAX_FIELD_BYTES = 2**27
"""A mean field that takes more, and needs no gradient, is updated some labels at a time, where labels do not mix (Potts).

With a gradient, its iterations are computed again on the way back instead of being kept.
"""

LABELS_AT_ONCE = 16


def gaussian_taps(theta: float) -> Float[Tensor, " taps"]:
    """A Gaussian at the distances -r .. r pixels, r = 3.3 theta rounded up, beyond which it is below 0.5 % (float64).

    >>> gaussian_taps(0.5)
    tensor([3.3546e-04, 1.3534e-01, 1.0000e+00, 1.3534e-01, 3.3546e-04],
           dtype=torch.float64)
    """
    reach = math.ceil(REACH * theta)
    distances = torch.arange(-reach, reach + 1, dtype=torch.float64)
    return torch.exp(-(distances**2) / (2 * theta**2))


def taps_inside(taps: Float[Tensor, " taps"], length: int) -> Float[Tensor, " length"]:
    """For each pixel of a line, the sum of the taps around it that lie on the line.

    >>> taps_inside(torch.tensor([1.0, 2.0, 1.0]), 3)
    tensor([3., 4., 3.])
    """
    reach = len(taps) // 2
    sums = F.pad(taps.cumsum(0), (1, 0))
    places = torch.arange(length)
    return sums[reach + 1 + (length - 1 - places).clamp(max=reach)] - sums[reach - places.clamp(max=reach)]


def gaussian_band(length: int, theta: float) -> Float[Tensor, "length length"]:
    """The matrix that smooths a line of pixels, each row divided by its sum (float64).

    >>> gaussian_band(3, 1.0)[0]
    tensor([0.5741, 0.3482, 0.0777], dtype=torch.float64)
    """
    taps = gaussian_taps(theta)
    reach = len(taps) // 2
    places = torch.arange(length)
    offsets = places - places[:, None]
    band = taps[(offsets + reach).clamp(0, 2 * reach)] * (offsets.abs() <= reach)
    return band / band.sum(dim=1, keepdim=True)


class Smoothness:
    """The smoothness kernel of an image: a Gaussian along the columns and along the rows, cut at 3.3 theta, normalised.

    The cut removes 1e-3 of its mass; otherwise it is exact. `docs/dense-crf.md` compares it with a lattice of two dimensions.
    """

    def __init__(self, size: tuple[int, int], theta: float, compiled: bool) -> None:
        """
        Args:
            size: (height, width) in pixels.
            theta: standard deviation in pixels.
            compiled: use the kernels for the CPU instead of a product with a matrix on either side.
        """
        self.size, self.theta, self.compiled = size, theta, compiled

    def filter(self, values: Float[Tensor, "points labels"]) -> Float[Tensor, "points labels"]:
        """The smoothed values; differentiable, any number of times."""
        if self.compiled:
            return _Smooth.apply(values, self, False)  # pyright: ignore[reportReturnType]
        height, width = self.size
        columns, rows = (gaussian_band(length, self.theta).to(values) for length in self.size)
        plane = (columns @ values.reshape(height, -1)).view(height, width, -1)
        return (rows @ plane).reshape(values.shape)

    def for_kernels(self, dtype: torch.dtype) -> "Smoothing":
        """The taps and the normalisation as the kernels take them."""
        from seriatim.nn.crf.crf_kernels import Smoothing

        taps = gaussian_taps(self.theta)
        scales = ((1 / taps_inside(taps, length)).to(dtype).numpy() for length in self.size)
        return Smoothing(F.pad(taps, (3, 3)).to(dtype).numpy(), len(taps) // 2, *scales)


class _Smooth(torch.autograd.Function):
    """Smoothing by the kernels, s = D K v with a symmetric K and the diagonal D of the normalisation; its transpose is K D g."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, smoothness: Smoothness, transposed: bool) -> Tensor:
        from seriatim.nn.crf.crf_kernels import smooth_compiled

        ctx.smoothness, ctx.transposed = smoothness, transposed
        smoothing = smoothness.for_kernels(values.dtype)
        rows = values.detach()
        if transposed:
            scale = torch.from_numpy(smoothing.row_scale)[:, None] * torch.from_numpy(smoothing.column_scale)
            rows = rows * scale.view(-1, 1)
            ones = (np.ones_like(each) for each in (smoothing.row_scale, smoothing.column_scale))
            smoothing = type(smoothing)(smoothing.taps, smoothing.reach, *ones)
        return torch.from_numpy(smooth_compiled(rows.numpy(), smoothness.size, smoothing, torch.get_num_threads()))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Smooth.apply(gradients[0], ctx.smoothness, not ctx.transposed), None, None  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class CRFKernels:
    """The kernels of one image or of a batch; they refine any number of labels, any number of times.

    Attributes:
        size: (height, width) of the image.
        appearance: the appearance kernel of each image.
        smoothness: the smoothness kernel, the same for all.
        batched: whether the image has a batch axis.
    """

    size: tuple[int, int]
    appearance: list[PermutohedralLattice]
    smoothness: Smoothness
    batched: bool


class DenseCRF(nn.Module):
    """Refines the label scores of an image by the colours and the positions of its pixels.

    Attributes:
        bilateral_weight: learned weight of the appearance kernel, one, or one per label.
        spatial_weight: the same for the smoothness kernel.
        compatibility: learned mu(l, l'), or None for Potts.
        num_mean_field_iterations: may be changed, as CRF-RNN does: 5 in training, 10 in test.
    """

    def __init__(
        self,
        theta_alpha: float = 49.0,
        theta_beta: float = 5.0,
        theta_gamma: float = 3.0,
        bilateral_weight: float = 4.0,
        spatial_weight: float = 3.0,
        num_mean_field_iterations: int = 5,
        compatibility: str = "potts",
        num_labels: int | None = None,
        label_weights: bool = False,
        method: str = "auto",
    ) -> None:
        """
        Args:
            theta_alpha: reach of the appearance kernel in pixels.
            theta_beta: reach of the appearance kernel in colour, in levels of 0..255.
            theta_gamma: reach of the smoothness kernel in pixels.
            bilateral_weight: initial value of the learned weight of the appearance kernel.
            spatial_weight: initial value of the learned weight of the smoothness kernel.
            num_mean_field_iterations: how often the messages are passed.
            compatibility: "potts", or "learned" (starting from Potts), which fixes the number of labels.
            num_labels: the number of labels, if it is fixed.
            label_weights: one weight per label instead of one for all; fixes the number of labels.
            method: "compiled", "plain" or "auto", as in `PermutohedralLattice`.

        Raises:
            ConfigError: if a theta is not positive, a name is unknown, or the number of labels is needed and missing.
        """
        super().__init__()
        for name, theta in (("theta_alpha", theta_alpha), ("theta_beta", theta_beta), ("theta_gamma", theta_gamma)):
            if not (math.isfinite(theta) and theta > 0):
                raise ConfigError(f"{name}: expected a positive number, got {theta}")
        if num_mean_field_iterations < 1:
            raise ConfigError(f"num_mean_field_iterations: expected at least 1, got {num_mean_field_iterations}")
        check_choice("compatibility", compatibility, COMPATIBILITIES)
        check_choice("method", method, METHODS)
        if num_labels is None and (compatibility == "learned" or label_weights):
            raise ConfigError("num_labels: needed if the compatibility or the weights are learned label by label")
        self.theta_alpha, self.theta_beta, self.theta_gamma = theta_alpha, theta_beta, theta_gamma
        self.num_mean_field_iterations = num_mean_field_iterations
        self.num_labels, self.method = num_labels, method
        shape = (num_labels,) if label_weights and num_labels is not None else ()
        self.bilateral_weight = nn.Parameter(torch.full(shape, float(bilateral_weight)))
        self.spatial_weight = nn.Parameter(torch.full(shape, float(spatial_weight)))
        self.compatibility = None
        if compatibility == "learned" and num_labels is not None:
            self.compatibility = nn.Parameter(1 - torch.eye(num_labels))

    def forward(
        self,
        unary_logits: Float[Tensor, "*batch labels height width"],
        image: Float[Tensor, "*batch channels height width"],
    ) -> Float[Tensor, "*batch labels height width"]:
        """The refined logits: softmax over the labels gives the mean field after the last iteration.

        Args:
            unary_logits: scores of each label, -infinity where a label is impossible.
            image: the image in [0, 1], any number of channels; no gradient goes to it.

        Raises:
            ShapeError: if the two do not fit together or contain NaN.
        """
        return self.refine(unary_logits, self.prepare(image))

    def prepare(self, image: Float[Tensor, "*batch channels height width"]) -> CRFKernels:
        """The kernels of an image or a batch, for any number of calls of `refine`.

        Raises:
            ShapeError: if the image is not channels x height x width of finite floats, with or without a batch axis.
        """
        check_floats("image", image, "channels x height x width")
        images = image[None] if image.ndim == 3 else image
        appearance = [PermutohedralLattice(self._features(plane), method=self.method) for plane in images]
        compiled = not isinstance(appearance[0].tables, LatticeTables)
        size = (image.shape[-2], image.shape[-1])
        return CRFKernels(size, appearance, Smoothness(size, self.theta_gamma, compiled), image.ndim == 4)

    def refine(
        self,
        unary_logits: Float[Tensor, "*batch labels height width"],
        kernels: CRFKernels,
        num_iterations: int | None = None,
    ) -> Float[Tensor, "*batch labels height width"]:
        """The refined logits of an image whose kernels `prepare` made.

        Args:
            unary_logits: as for `forward`.
            kernels: of the image.
            num_iterations: how often the messages are passed; None takes `num_mean_field_iterations`.

        Raises:
            ShapeError: if the logits do not fit the kernels or contain NaN.
        """
        self._check_unary(unary_logits, kernels)
        count = self.num_mean_field_iterations if num_iterations is None else num_iterations
        if not kernels.batched:
            return self._refine_image(unary_logits, kernels, kernels.appearance[0], count)
        pairs = zip(unary_logits, kernels.appearance, strict=True)
        return torch.stack([self._refine_image(unary, kernels, lattice, count) for unary, lattice in pairs])

    def iterate(
        self,
        unary_logits: Float[Tensor, "labels height width"],
        probs: Float[Tensor, "labels height width"],
        kernels: CRFKernels,
        image: int = 0,
    ) -> Float[Tensor, "labels height width"]:
        """The logits after one mean-field iteration, for who adds potentials of their own or looks at the iterations.

        Args:
            unary_logits: as for `forward`, of one image.
            probs: the mean field so far.
            kernels: of the image or of its batch.
            image: number of the image in the batch of the kernels.
        """
        scores, flat = unary_logits.flatten(1).T, probs.flatten(1).T
        logits = self._iterate(scores, flat, kernels, kernels.appearance[image])
        return logits.T.reshape(unary_logits.shape)

    def _features(self, plane: Tensor) -> Tensor:
        """The features of the appearance kernel: colours divided by theta_beta, positions divided by theta_alpha."""
        channels, height, width = plane.shape
        options = {"dtype": plane.dtype, "device": plane.device}
        rows = torch.arange(height, **options) / self.theta_alpha
        columns = torch.arange(width, **options) / self.theta_alpha
        places = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).reshape(-1, 2)
        colours = plane.detach().reshape(channels, -1).T * (255 / self.theta_beta)
        return torch.cat((colours, places), dim=1)

    def _check_unary(self, unary: Tensor, kernels: CRFKernels) -> None:
        batch = (len(kernels.appearance),) if kernels.batched else ()
        fits = unary.ndim == 3 + len(batch) and unary.shape[: len(batch)] == batch and unary.shape[-2:] == kernels.size
        if not fits or unary.dtype not in FLOATS or 0 in unary.shape:
            expected = " x ".join([*map(str, batch), "labels", *map(str, kernels.size)])
            raise ShapeError(
                f"unary_logits: expected float32 or float64 {expected}, got {unary.dtype} of shape {tuple(unary.shape)}"
            )
        if self.num_labels is not None and unary.shape[-3] != self.num_labels:
            raise ShapeError(f"unary_logits: expected {self.num_labels} labels, got {unary.shape[-3]}")
        if unary.isnan().any():
            raise ShapeError("unary_logits: contain NaN")

    def _refine_image(self, unary: Tensor, kernels: CRFKernels, lattice: PermutohedralLattice, count: int) -> Tensor:
        learns = torch.is_grad_enabled() and (
            unary.requires_grad or any(each.requires_grad for each in self.parameters())
        )
        if not learns and self.compatibility is None and unary.nbytes > MAX_FIELD_BYTES:
            return self._refine_in_parts(unary, kernels, lattice, count)
        if kernels.smoothness.compiled and unary.dtype == torch.float32 and not learns:
            return self._refine_compiled(unary, kernels, lattice, count)
        scores = unary.flatten(1).T
        logits = scores

        def iterate(logits: Tensor) -> Tensor:
            return self._iterate(scores, logits.softmax(dim=1), kernels, lattice)

        for _ in range(count):
            if learns and unary.nbytes > MAX_FIELD_BYTES:
                logits = checkpoint(iterate, logits, use_reentrant=False)
                assert isinstance(logits, Tensor)
            else:
                logits = iterate(logits)
        return logits.T.reshape(unary.shape)

    def _iterate(self, scores: Tensor, probs: Tensor, kernels: CRFKernels, lattice: PermutohedralLattice) -> Tensor:
        looks, places = (weight.to(scores.dtype).flatten() for weight in (self.bilateral_weight, self.spatial_weight))
        messages = looks * lattice.filter(probs) + places * kernels.smoothness.filter(probs)
        if self.compatibility is None:
            return scores + messages
        return scores - messages @ self.compatibility.to(scores.dtype).T

    def _refine_in_parts(self, unary: Tensor, kernels: CRFKernels, lattice: PermutohedralLattice, count: int) -> Tensor:
        """The same without a gradient in one field beside the unary: a label's messages come from its own probabilities alone."""
        field, weights = unary.clone(), [self.bilateral_weight, self.spatial_weight]
        looks, places = (weight.to(unary.dtype).flatten().expand(len(unary)) for weight in weights)
        for _ in range(count):
            for row in range(field.shape[1]):
                field[:, row] = field[:, row].softmax(dim=0)
            for first in range(0, len(field), LABELS_AT_ONCE):
                part = slice(first, first + LABELS_AT_ONCE)
                probs = field[part].flatten(1).T
                messages = looks[part] * lattice.filter(probs) + places[part] * kernels.smoothness.filter(probs)
                field[part] = unary[part] + messages.T.reshape(field[part].shape)
        return field

    def _refine_compiled(self, unary: Tensor, kernels: CRFKernels, lattice: PermutohedralLattice, count: int) -> Tensor:
        """The same without a gradient: the kernels do all steps of an iteration."""
        from seriatim.nn.crf.crf_kernels import Energies, mean_field

        assert not isinstance(lattice.tables, LatticeTables)
        labels = len(unary)
        looks, places = (
            weight.detach().float().flatten().expand(labels).contiguous().numpy()
            for weight in (self.bilateral_weight, self.spatial_weight)
        )
        costs = None if self.compatibility is None else self.compatibility.detach().float().numpy()
        share = (lattice.scale / lattice.norm(torch.float32)).flatten().numpy()
        energies = Energies(lattice.tables, share, kernels.smoothness.for_kernels(torch.float32), looks, places, costs)
        scores = unary.detach().reshape(labels, -1).contiguous().numpy()
        out = mean_field(scores, kernels.size, energies, count, torch.get_num_threads())
        return torch.from_numpy(out).view(unary.shape)
