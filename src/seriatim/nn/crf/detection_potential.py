"""The higher-order detection potential of a semantic CRF, and its mean-field updates.

Source: Arnab, Jayasumana, Zheng, Torr, "Higher Order Conditional Random Fields in Deep Neural Networks" (ECCV 2016), which DIN takes over
(Sec. 3.1). Detection d has the class l_d, the score s_d and the n_d pixels F_d of its box; its latent Y_d says whether it holds. With Y_d = 1 every
pixel of F_d of another class costs, with Y_d = 0 every pixel of the class:

    psi_d(x, y_d) = (w / n_d) s_d sum_{i in F_d} ([x_i = l_d] [y_d = 0] + [x_i != l_d] [y_d = 1])

In the mean field, in which pixels and detections have weights of their own, w^x and w^y, learned for each class (as in the released code):

    logit_i(l_d)     -= w^x s_d Q(Y_d = 0),    logit_i(l) -= w^x s_d Q(Y_d = 1) for the other labels                 i in F_d
    Q(Y_d = 0) ~ exp(1 - p_d - w^y (s_d / n_d) sum_{i in F_d} Q_i(l_d)),    p_d = min(s_d / s_max, 1 - eps)
    Q(Y_d = 1) ~ exp(p_d - w^y (s_d / n_d) sum_{i in F_d} (1 - Q_i(l_d)))

So they are the mean field of one energy where w^x = w^y / n_d. Q(Y_d = 1) is the recalibrated score of the detection.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from seriatim.nn.detections import Detections

MARGIN = 1e-6
"""eps: how far the probability of a detection stays below 1."""


class DetectionPotential(nn.Module):
    """The two updates of the mean field, and what they start from.

    Attributes:
        pixel_weight: learned w^x of every label; that of the background is without effect.
        detection_weight: learned w^y of every label.
    """

    def __init__(
        self, num_labels: int, pixel_weight: float = 1.0, detection_weight: float = 1.0, max_score: float = 1.0
    ) -> None:
        """
        Args:
            num_labels: classes and the background, which is label 0.
            pixel_weight: initial w^x.
            detection_weight: initial w^y.
            max_score: s_max, the largest score that a detector gives.
        """
        super().__init__()
        self.pixel_weight = nn.Parameter(torch.full((num_labels,), float(pixel_weight)))
        self.detection_weight = nn.Parameter(torch.full((num_labels,), float(detection_weight)))
        self.max_score = max_score

    def initial_probs(self, detections: Detections) -> Float[Tensor, " detections"]:
        """Q(Y_d = 1) before the first iteration: exp(p_d) / (exp(p_d) + exp(1 - p_d))."""
        return (2 * self._priors(detections) - 1).sigmoid()

    def detection_probs(
        self, probs: Float[Tensor, "labels height width"], detections: Detections
    ) -> Float[Tensor, " detections"]:
        """Q(Y_d = 1) of every detection.

        Args:
            probs: Q_i(l).
            detections: of the image.
        """
        areas, priors = detections.areas, self._priors(detections)
        share = self.detection_weight[detections.class_ids].to(probs.dtype) * detections.scores / areas
        of_class = torch.zeros_like(areas)
        for label, (own, numbers) in self._by_label(detections).items():
            of_class = of_class.index_put((numbers,), own.box_sums(probs[label]))
        absent = 1 - priors - share * of_class
        present = priors - share * (areas - of_class)
        return (present - absent).sigmoid()

    def pixel_logits(
        self, detection_probs: Float[Tensor, " detections"], detections: Detections
    ) -> Float[Tensor, "labels height width"]:
        """What all detections add to the logits of every pixel.

        Args:
            detection_probs: Q(Y_d = 1).
            detections: of the image.
        """
        weights = self.pixel_weight[detections.class_ids].to(detection_probs.dtype) * detections.scores
        of_others = (detections.rows * (weights * detection_probs)[:, None]).T @ detections.columns
        surplus = weights * (2 * detection_probs - 1)
        planes = [-of_others] * len(self.pixel_weight)
        for label, (own, numbers) in self._by_label(detections).items():
            planes[label] = (own.rows * surplus[numbers, None]).T @ own.columns - of_others
        return torch.stack(planes)

    def _by_label(self, detections: Detections) -> dict[int, tuple[Detections, Tensor]]:
        """Of every class that has any, its detections and their numbers."""
        labels = detections.class_ids.unique().tolist()
        numbers = [torch.nonzero(detections.class_ids == label).flatten() for label in labels]
        return {label: (detections.select(each), each) for label, each in zip(labels, numbers, strict=True)}

    def _priors(self, detections: Detections) -> Tensor:
        return (detections.scores / self.max_score).clamp(max=1 - MARGIN)
