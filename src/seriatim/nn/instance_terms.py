"""The unary potentials of DIN's instance CRF: eq. 2 to 4 of the paper; the shape term, eq. 5 and 6, is in `shape_templates`.

    U(v_i = k) = -ln[w_1 psi_Box + w_2 psi_Global + w_3 psi_Shape]         (2)
    psi_Box    = s_k Q_i(l_k) where i lies in B_k, else 0                  (3)
    psi_Global = Q_i(l_k)                                                  (4)

The background, label 0, has Box 0, Global Q_i(0) and Shape 0; without the global term it is a detection of the whole image with score 1 instead
(Sec. 4.3), so that Box is Q_i(0). A sum that is 0 (outside the box, without the global term) or that learned weights make negative counts as `FLOOR`:
such a label is not taken where any other can be, and gets no gradient there.

With a gradient, the terms of many labels on a large image are computed again on the way back, label by label, instead of being kept.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from seriatim.nn.crf.dense_crf import MAX_FIELD_BYTES
from seriatim.nn.detections import Detections
from seriatim.nn.shape_templates import ShapeTerm

FLOOR = 1e-20
"""The smallest sum of the terms; its logarithm is -46, beyond what pairwise messages make up for."""


class Terms(NamedTuple):
    """psi_Box, psi_Global and psi_Shape of one label; None for those that are switched off."""

    box: Float[Tensor, "height width"] | None
    anywhere: Float[Tensor, "height width"] | None
    shape: Float[Tensor, "height width"] | None


def box_term(
    probs: Float[Tensor, "height width"], score: Float[Tensor, ""], detections: Detections, number: int
) -> Float[Tensor, "height width"]:
    """Eq. 3.

    Args:
        probs: Q_i(l_k).
        score: s_k.
        detections: of the image.
        number: k.
    """
    return probs * score * torch.outer(detections.rows[number], detections.columns[number])


class InstanceTerms(nn.Module):
    """The unary logits, -U, of every label.

    Attributes:
        box_weight: learned w_1, or None.
        global_weight: learned w_2, or None.
        shape_weight: learned w_3, or None.
        shape: the shape term, or None.
    """

    def __init__(self, shape: ShapeTerm | None, use_global: bool = True) -> None:
        """
        Args:
            shape: the shape term; None leaves it out.
            use_global: False leaves the global term out.
        """
        super().__init__()
        self.box_weight = nn.Parameter(torch.ones(()))
        self.global_weight = nn.Parameter(torch.ones(())) if use_global else None
        self.shape_weight = None if shape is None else nn.Parameter(torch.ones(()))
        self.shape = shape

    def forward(
        self,
        probs: Float[Tensor, "labels height width"],
        scores: Float[Tensor, " detections"],
        detections: Detections,
    ) -> Float[Tensor, "instances height width"]:
        """-U(v_i = k) of eq. 2, the background first.

        Args:
            probs: Q.
            scores: s_k, as the box term takes them.
            detections: of the image.
        """
        labels = range(len(detections) + 1)
        if torch.is_grad_enabled():
            is_large = probs[0].nbytes * len(labels) > MAX_FIELD_BYTES
            keep = partial(checkpoint, use_reentrant=False, preserve_rng_state=False) if is_large else _call
            return torch.stack([keep(self._plane, probs, scores, detections, label) for label in labels])
        out = probs.new_empty(len(labels), *probs.shape[1:])
        for label in labels:
            out[label] = self._plane(probs, scores, detections, label)
        return out

    def terms(
        self,
        probs: Float[Tensor, "labels height width"],
        scores: Float[Tensor, " detections"],
        detections: Detections,
    ) -> Iterator[Terms]:
        """The terms of every label, the background first; arguments as for `forward`."""
        return (self.terms_of(probs, scores, detections, label) for label in range(len(detections) + 1))

    def terms_of(
        self,
        probs: Float[Tensor, "labels height width"],
        scores: Float[Tensor, " detections"],
        detections: Detections,
        label: int,
    ) -> Terms:
        """The terms of one label, 0 for the background; other arguments as for `forward`."""
        is_alone, number = self.global_weight is None, label - 1
        if not label:
            nothing = torch.zeros_like(probs[0])
            shape = None if self.shape is None else nothing
            return Terms(probs[0] if is_alone else nothing, None if is_alone else probs[0], shape)
        of_class = probs[int(detections.class_ids[number])]
        return Terms(
            box_term(of_class, scores[number], detections, number),
            None if is_alone else of_class,
            None if self.shape is None else self.shape(of_class, detections, number),
        )

    def _plane(self, probs: Tensor, scores: Tensor, detections: Detections, label: int) -> Tensor:
        return self.weigh(self.terms_of(probs, scores, detections, label))

    def weigh(self, terms: Terms) -> Float[Tensor, "height width"]:
        """The logarithm of the weighted sum of the terms of one label."""
        weights = (self.box_weight, self.global_weight, self.shape_weight)
        parts = [
            weight.to(term.dtype) * term
            for weight, term in zip(weights, terms, strict=True)
            if weight is not None and term is not None
        ]
        return torch.stack(parts).sum(dim=0).clamp(min=FLOOR).log()


def _call(function: Callable[..., Tensor], *arguments: Any) -> Tensor:
    return function(*arguments)
