"""The CRF of a semantic network as its last, recurrent layer: dense pairwise potentials, and the detection potential where there are detections.

Source: Zheng et al., "Conditional Random Fields as Recurrent Neural Networks" (ICCV 2015), for the pairwise part with learned kernel weights and label
compatibility; `detection_potential` for the other. DIN, Sec. 3.1. Pixels and detections are updated in parallel, as in the released code: both from
the mean field of the iteration before.
"""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from seriatim.nn.crf.dense_crf import CRFKernels, DenseCRF
from seriatim.nn.crf.detection_potential import DetectionPotential
from seriatim.nn.detections import Detections


class SemanticField(NamedTuple):
    """The mean field of one image.

    Attributes:
        logits: whose softmax over the labels is Q.
        detection_probs: Q(Y_d = 1), the recalibrated score of every detection; its score as it came where there is no detection potential.
    """

    logits: Float[Tensor, "labels height width"]
    detection_probs: Float[Tensor, " detections"]


class SemanticCRF(nn.Module):
    """CRF-RNN with detections.

    Attributes:
        dense: the pairwise part.
        potential: the detection potential, or None.
    """

    def __init__(
        self, dense: DenseCRF, potential: DetectionPotential | None, training_iterations: int = 5, iterations: int = 10
    ) -> None:
        """
        Args:
            dense: with as many labels as the network has.
            potential: for the same labels; None leaves detections out.
            training_iterations: mean-field iterations in training mode.
            iterations: mean-field iterations otherwise.
        """
        super().__init__()
        self.dense, self.potential = dense, potential
        self.training_iterations, self.iterations = training_iterations, iterations

    def forward(
        self,
        unary_logits: Float[Tensor, "labels height width"],
        kernels: CRFKernels,
        detections: Detections,
        image: int = 0,
    ) -> SemanticField:
        """The mean field after the last iteration.

        Args:
            unary_logits: of the network.
            kernels: of `dense.prepare` for the image or its batch.
            detections: of the image.
            image: number of the image in the batch of the kernels.
        """
        count = self.training_iterations if self.training else self.iterations
        if self.potential is None or not len(detections):
            alone = CRFKernels(kernels.size, [kernels.appearance[image]], kernels.smoothness, batched=False)
            return SemanticField(self.dense.refine(unary_logits, alone, count), detections.scores)
        logits, held = unary_logits, self.potential.initial_probs(detections)
        for _ in range(count):
            probs = logits.softmax(dim=0)
            scores = unary_logits + self.potential.pixel_logits(held, detections)
            logits = self.dense.iterate(scores, probs, kernels, image)
            held = self.potential.detection_probs(probs, detections)
        return SemanticField(logits, held)
