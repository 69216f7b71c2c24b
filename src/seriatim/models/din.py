"""DIN: Arnab & Torr, "Pixelwise Instance Segmentation with a Dynamically Instantiated Network" (CVPR 2017, arXiv:1704.02386).

Original here: the code. The training, the shape term and the semantic CRF of the authors were never released in full. Weights: ImageNet's for the
encoder, from hub or file.

    Sec. 3.1      Q: FCN-8s, then a CRF-RNN with the detection potential               `DIN.semantic_logits`, `nn/crf/semantic_crf.py`
    eq. 1         the energy of the labels 0 .. D, one for each detection              `DIN.segment`
    eq. 2-4       unary: box and global terms, weighted                                `nn/instance_terms.py`
    eq. 5-6       shape term                                                           `nn/shape_templates.py`
    Sec. 3.2.4    pairwise terms; Sec. 3.3: mean field                                 `nn/crf/dense_crf.py`
    eq. 7         matched truth, cross entropy (Sec. 3.4)                              `objective`, `losses/segments.py`
    Sec. 3.5      training, and the boxes of true objects                              `din_training.py`, `nn/disturbed_boxes.py`

Labels are the detections in the order of their recalibrated scores, so the label map is a partition of the image: every pixel is of one object or of the
background.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seriatim.core.batch import Batch, Prompts
from seriatim.core.config import Config
from seriatim.core.errors import ConfigError, ShapeError
from seriatim.core.instances import Instance
from seriatim.losses.segments import label_cross_entropy, label_iou_cost, match_segments, reorder_target
from seriatim.models.din_training import DINObjectiveConfig, semantic_objective
from seriatim.models.interface import Found, Model, ModelConfig, TrainingContext
from seriatim.nn.crf import DenseCRF
from seriatim.nn.crf.detection_potential import DetectionPotential
from seriatim.nn.crf.semantic_crf import SemanticCRF, SemanticField
from seriatim.nn.detections import Detections, read_detections, true_boxes
from seriatim.nn.disturbed_boxes import disturb_boxes
from seriatim.nn.encoders import Encoder
from seriatim.nn.fcn import FC_CHANNELS, VGG16, FCN8sScores, FinestLevel
from seriatim.nn.instance_terms import InstanceTerms, Terms
from seriatim.nn.padding import continue_images
from seriatim.nn.shape_templates import NUM_BINS, ShapeTerm, make_templates, read_templates


class DenseCRFConfig(Config):
    """The pairwise part of a CRF."""

    theta_alpha: float = Field(gt=0)
    """Reach of the appearance kernel in pixels."""
    theta_beta: float = Field(gt=0)
    """Reach of the appearance kernel in colour, in levels of 0..255."""
    theta_gamma: float = Field(gt=0)
    """Reach of the smoothness kernel in pixels."""
    bilateral_weight: float
    """Initial weight of the appearance kernel."""
    spatial_weight: float
    """Initial weight of the smoothness kernel."""


SEMANTIC_CRF = DenseCRFConfig(
    theta_alpha=160.0, theta_beta=3.0, theta_gamma=3.0, bilateral_weight=5.0, spatial_weight=3.0
)
"""As in CRF-RNN's released model."""

INSTANCE_CRF = DenseCRFConfig(
    theta_alpha=49.0, theta_beta=5.0, theta_gamma=3.0, bilateral_weight=4.0, spatial_weight=3.0
)
"""As in the released code."""


MASKS_PER_TEMPLATE = 20
"""Masks that a run takes for each shape template that there is room for."""


class DINConfig(ModelConfig):
    """Everything that fixes a DIN."""

    mask_threshold: float = Field(default=0.5, ge=0.5, lt=1)
    """A pixel is of its best label where that is at least this probable against the second best; 0.5 leaves no pixel undecided."""
    fcn: Literal["fcn8s", "pyramid"] = "fcn8s"
    """The semantic network: FCN-8s on VGG-16 (Sec. 3.1), or any timm pyramid (Sec. 4.7: ResNet-101)."""
    encoder: str = "resnet101"
    """Pyramid: a timm model."""
    encoder_depth: int = Field(default=5, ge=1, le=5)
    """Pyramid: levels of the encoder that are used, from the shallowest."""
    finest_level: int = Field(default=1, ge=0, le=4)
    """Pyramid: the level whose resolution the scores have, 0 for the shallowest."""
    pyramid_channels: int = Field(default=128, ge=1)
    """Pyramid: channels of the top-down pathway."""
    encoder_weights: str | None = None
    """"hub", the path of a state dict, or nothing. Sec. 3.1: ImageNet."""
    fc_channels: int = Field(default=FC_CHANNELS, ge=1)
    """FCN-8s: channels of fc6 and fc7; ImageNet's weights have 4096."""
    semantic_crf: DenseCRFConfig | None = SEMANTIC_CRF
    """The CRF of the semantic network, with learned label compatibility and a kernel weight for each label; None leaves it out."""
    training_iterations: int = Field(default=5, ge=1)
    """Mean-field iterations of the semantic CRF in training."""
    iterations: int = Field(default=10, ge=1)
    """Mean-field iterations of the semantic CRF in use."""
    detection_potential: bool = True
    """Whether the semantic CRF has the detection potential."""
    max_score: float = Field(default=1.0, gt=0)
    """Detection potential: s_max, the largest score of the detector."""
    use_global: bool = True
    """Whether the unary has the global term, eq. 4."""
    use_shape: bool = True
    """Whether the unary has the shape term, eq. 5 and 6."""
    templates_per_bin: int = Field(default=250, ge=1)
    """Room for shape templates of each of five aspect ratios (Sec. 3.2.3)."""
    template_side: int = Field(default=32, ge=2)
    """Cells of a shape template, along and across."""
    shape_templates: str | None = None
    """File of `shape_templates.write_templates` to begin with; None makes them from the training objects when a run begins, and is one ellipse until then."""
    box_scores: Literal["detector", "recalibrated", "sigmoid"] = "detector"
    """s_k of eq. 3: the detector's score, Q(Y_k = 1) of the detection potential (released code), or sigmoid(2 s - 1) (the same without it)."""
    instance_crf: DenseCRFConfig = INSTANCE_CRF
    """The pairwise part of the instance CRF: Potts, weights shared over the labels."""
    instance_iterations: int = Field(default=3, ge=1)
    """Mean-field iterations of the instance CRF (released code: 3)."""
    min_detection_score: float = Field(default=0.0, ge=0, le=1)
    """Detections below it are left out."""
    max_detections: int = Field(default=300, ge=1)
    """So many detections of an image are kept, the best."""


class DINOutput(NamedTuple):
    """What the network gives for one image.

    Attributes:
        detections: labels 1 .. D, in the order of their recalibrated scores.
        recalibrated: these scores, Q(Y_k = 1).
        semantic_logits: whose softmax is Q.
        unary_logits: -U(v_i = k) of eq. 2, the background first.
        logits: of the mean field after the last iteration.
    """

    detections: Detections
    recalibrated: Float[Tensor, " detections"]
    semantic_logits: Float[Tensor, "labels height width"]
    unary_logits: Float[Tensor, "instances height width"]
    logits: Float[Tensor, "instances height width"]


class DINTrace(NamedTuple):
    """The way to the output for one image, for looking at.

    Attributes:
        network_logits: of the semantic network before its CRF.
        output: of the whole network.
        terms: psi_Box, psi_Global and psi_Shape of every label, the background first.
        iterations: logits of the instance CRF after each mean-field iteration.
    """

    network_logits: Float[Tensor, "labels height width"]
    output: DINOutput
    terms: list[Terms]
    iterations: list[Tensor]


class DIN(Model[DINConfig]):
    """The network of Fig. 2."""

    takes_boxes = True
    size_multiple = 1  # `semantic_logits` pads by itself, since what is padded must not take part in the CRFs

    def __init__(self, config: DINConfig) -> None:
        """
        Args:
            config: see `DINConfig`.

        Raises:
            ConfigError: if the settings contradict each other.
            CheckpointError: if the weights of the encoder or the templates are not available.
        """
        super().__init__()
        self.config = config
        self.num_classes = max(config.num_classes, 1)
        num_labels = self.num_classes + 1
        self.encoder, self.head, self.cell_size, self.padded_multiple = _make_fcn(config, num_labels)
        self.semantic_crf = None
        if config.semantic_crf is not None:
            dense = DenseCRF(
                **config.semantic_crf.model_dump(), compatibility="learned", num_labels=num_labels, label_weights=True
            )
            potential = (
                DetectionPotential(num_labels, max_score=config.max_score) if config.detection_potential else None
            )
            self.semantic_crf = SemanticCRF(dense, potential, config.training_iterations, config.iterations)
        if config.box_scores == "recalibrated" and (self.semantic_crf is None or not config.detection_potential):
            raise ConfigError("box_scores: recalibrated scores need semantic_crf and detection_potential")
        shape = ShapeTerm(config.templates_per_bin, config.template_side) if config.use_shape else None
        if config.shape_templates is not None:
            if shape is None:
                raise ConfigError("shape_templates: without the shape term (use_shape) they are not used")
            shape.set_templates(read_templates(Path(config.shape_templates)))
        self.terms = InstanceTerms(shape, config.use_global)
        self.instance_crf = DenseCRF(
            **config.instance_crf.model_dump(), num_mean_field_iterations=config.instance_iterations
        )

    def semantic_logits(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch labels height width"]:
        """The scores of the background and the classes at every pixel, before the CRF.

        Args:
            images: values in 0..1, of any size of at least 1 pixel.

        Raises:
            ShapeError: if the number of channels is not the configured one.
        """
        if images.shape[1] != self.config.input_channels:
            raise ShapeError(f"images: expected {self.config.input_channels} channels, got {images.shape[1]}")
        height, width = images.shape[-2:]
        padded = continue_images(images, self.padded_multiple).contiguous(memory_format=torch.channels_last)
        scores = self.head(self.encoder(padded))
        scores = scores if scores.dtype == torch.float64 else scores.float()
        whole = F.interpolate(scores, scale_factor=self.cell_size, mode="bilinear", align_corners=False)
        return whole[..., :height, :width].contiguous()

    def segment(
        self,
        network_logits: Float[Tensor, "labels height width"],
        image: Float[Tensor, "channels height width"],
        prompts: Prompts,
    ) -> DINOutput:
        """The labels of one image: the semantic CRF, the unary of every detection, the instance CRF.

        Args:
            network_logits: of `semantic_logits`.
            image: values in 0..1.
            prompts: its detections.

        Raises:
            ConfigError: if a detection is none.
        """
        image = image.to(network_logits.dtype)
        detections = self._read(prompts, (image.shape[1], image.shape[2]), image.dtype)
        field = self._semantic_field(network_logits, image, detections)
        order = field.detection_probs.argsort(descending=True, stable=True)
        detections, recalibrated = detections.select(order), field.detection_probs[order]
        unary = self.terms(field.logits.softmax(dim=0), self._box_scores(detections, recalibrated), detections)
        kernels = self.instance_crf.prepare(image)
        return DINOutput(detections, recalibrated, field.logits, unary, self.instance_crf.refine(unary, kernels))

    def trace(self, image: Float[Tensor, "channels height width"], prompts: Prompts) -> DINTrace:
        """Everything on the way to the labels of one image; arguments as for `segment`."""
        network_logits = self.semantic_logits(image[None])[0]
        output = self.segment(network_logits, image, prompts)
        probs = output.semantic_logits.softmax(dim=0)
        scores = self._box_scores(output.detections, output.recalibrated)
        terms = list(self.terms.terms(probs, scores, output.detections))
        kernels = self.instance_crf.prepare(image.to(probs.dtype))
        counts = range(1, self.config.instance_iterations + 1)
        iterations = [self.instance_crf.refine(output.unary_logits, kernels, count) for count in counts]
        return DINTrace(network_logits, output, terms, iterations)

    def detect(
        self, images: Float[Tensor, "batch channels height width"], prompts: Sequence[Prompts] | None = None
    ) -> Iterator[Found]:
        """The objects of every image in the order of the recalibrated scores of their detections; one whose pixels are all taken is left out.

        The score of an object is the mean of Q_i(l_k) over its pixels. `Found.probs` is how probable its label is against the best of the
        others, so that from 0.5 on it is the best of all.

        Args:
            images: values in 0..1.
            prompts: detections of every image: boxes with scores and classes.

        Raises:
            ConfigError: if there are none, or points, or a box that is none.
        """
        if prompts is None:
            raise ConfigError("boxes: this model needs the boxes of a detector, with their scores and classes")
        if any(len(one.points) for one in prompts):
            raise ConfigError("points: this model has no guidance, so it cannot be told where to look")
        for number, (image, given) in enumerate(zip(images, prompts, strict=True)):
            output = self.segment(self.semantic_logits(image[None])[0], image, given)
            for instance, probs in decode(output, self.config.mask_threshold):
                yield Found(number, instance, probs)

    def losses(
        self, batch: Batch, weights: DINObjectiveConfig, context: TrainingContext
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms of the loss of one batch.

        Args:
            batch: images, truth and detections.
            weights: of the terms.
            context: the source of randomness of disturbed boxes.

        Raises:
            ConfigError: if the loss needs detections and the batch has none.
        """
        classes = batch.classes if self.config.num_classes else batch.classes.clamp(max=1)
        prompts = batch.prompts
        if weights.detections == "truth":
            size, number = (batch.images.shape[2], batch.images.shape[3]), self.num_classes
            truth = (true_boxes(labels, of_image) for labels, of_image in zip(batch.labels, classes, strict=True))
            prompts = tuple(
                disturb_boxes(boxes, size, number, weights.box_jitter, weights.false_boxes, context.generator)
                for boxes in truth
            )
        elif prompts is None and (weights.instance or weights.iou):
            raise ConfigError("data.boxes: needed, or objective.detections = truth for the boxes of the true objects")
        network_logits = self.semantic_logits(batch.images)
        totals: dict[str, list[Tensor]] = {}
        for number, (logits, image) in enumerate(zip(network_logits, batch.images, strict=True)):
            given = Prompts.none().to(image.device) if prompts is None else prompts[number].to(image.device)
            terms = self._losses_of_image(logits, image, given, batch.labels[number], classes[number], weights)
            for name, term in terms.items():
                totals.setdefault(name, []).append(term)
        return {name: torch.stack(terms).mean() for name, terms in totals.items()}

    @property
    def num_masks(self) -> int:
        """Enough for each template to be the mean of several masks; none without the shape term, or where a file has the templates."""
        if self.terms.shape is None or self.config.shape_templates is not None:
            return 0
        return MASKS_PER_TEMPLATE * NUM_BINS * self.config.templates_per_bin

    def begin_with_masks(self, masks: Iterable[np.ndarray], seed: int) -> None:
        """Make the shape templates (Sec. 3.2.3); arguments as for every model.

        Raises:
            DataError: if there is no mask.
        """
        assert self.terms.shape is not None, "num_masks is 0"
        settings = self.config
        self.terms.shape.set_templates(make_templates(masks, settings.templates_per_bin, settings.template_side, seed))

    def parameter_groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """The two parts of the semantic network, its CRF, and of the instance network the weights of the terms, the CRF and the templates."""
        shape = [] if self.terms.shape is None else list(self.terms.shape.parameters())
        templates = {id(parameter) for parameter in shape}
        groups = {
            "encoder": list(self.encoder.parameters()),
            "head": list(self.head.parameters()),
            "semantic_crf": [] if self.semantic_crf is None else list(self.semantic_crf.parameters()),
            "terms": [each for each in self.terms.parameters() if id(each) not in templates],
            "instance_crf": list(self.instance_crf.parameters()),
            "templates": shape,
        }
        return {name: parameters for name, parameters in groups.items() if parameters}

    def _losses_of_image(
        self,
        logits: Tensor,
        image: Tensor,
        prompts: Prompts,
        labels: Int[Tensor, "height width"],
        classes: Int[Tensor, " instances"],
        weights: DINObjectiveConfig,
    ) -> dict[str, Tensor]:
        if weights.instance or weights.iou:
            output = self.segment(logits, image, prompts)
            return objective(output, labels, classes, weights)
        detections = self._read(prompts, (image.shape[1], image.shape[2]), logits.dtype)
        field = self._semantic_field(logits, image.to(logits.dtype), detections)
        return semantic_objective(field.logits, labels, classes, weights)

    def _read(self, prompts: Prompts, size: tuple[int, int], dtype: torch.dtype) -> Detections:
        if self.config.num_classes == 0:
            prompts = prompts._replace(class_ids=torch.ones_like(prompts.class_ids))
        settings = self.config
        return read_detections(
            prompts, size, self.num_classes, settings.min_detection_score, settings.max_detections, dtype
        )

    def _semantic_field(self, network_logits: Tensor, image: Tensor, detections: Detections) -> SemanticField:
        if self.semantic_crf is None:
            return SemanticField(network_logits, detections.scores)
        return self.semantic_crf(network_logits, self.semantic_crf.dense.prepare(image), detections)

    def _box_scores(self, detections: Detections, recalibrated: Tensor) -> Tensor:
        if self.config.box_scores == "sigmoid":
            return (2 * detections.scores - 1).sigmoid()
        return recalibrated if self.config.box_scores == "recalibrated" else detections.scores


def decode(output: DINOutput, mask_threshold: float = 0.5) -> Iterator[tuple[Instance, Float[Tensor, "height width"]]]:
    """The objects of an image, label by label, each with its probability against the best of the other labels.

    Args:
        output: of the image.
        mask_threshold: a pixel is of its best label from this probability on.
    """
    owner = output.logits.argmax(dim=0)
    best = output.logits.topk(min(2, len(output.logits)), dim=0).values
    rows = zip(output.detections.class_ids.tolist(), output.logits[1:], strict=True)
    for label, (class_id, logits) in enumerate(rows, start=1):
        is_own = owner == label
        rival = torch.where(is_own, best[-1], best[0])
        probs = (logits - rival).sigmoid()
        mask = is_own & (probs >= mask_threshold)
        if bool(mask.any()):
            score = float(output.semantic_logits[:, mask].softmax(dim=0)[class_id].mean())
            instance = Instance.from_mask(mask.cpu().numpy(), score=min(score, 1.0), class_id=class_id, step=label - 1)
            assert instance is not None
            yield instance, probs


def objective(
    output: DINOutput,
    labels: Int[Tensor, "height width"],
    classes: Int[Tensor, " instances"],
    weights: DINObjectiveConfig,
) -> dict[str, Float[Tensor, ""]]:
    """The weighted terms of the loss of one image.

    Args:
        output: of the network.
        labels: 0 background, 1..N, negative to ignore.
        classes: of the objects, from 1; 0 pads.
        weights: of the terms; one of weight 0 is left out.
    """
    pred = output.logits.detach().argmax(dim=0)
    matched = match_segments(pred, output.detections.class_ids, labels, classes)
    target = reorder_target(labels, matched, weights.unmatched)
    terms: dict[str, Tensor] = {}
    if weights.instance:
        terms["instance"] = weights.instance * label_cross_entropy(output.logits, target, weights.reduction)
    if weights.iou:
        terms["iou"] = weights.iou * label_iou_cost(output.logits, target)
    return terms | semantic_objective(output.semantic_logits, labels, classes, weights)


def _make_fcn(config: DINConfig, num_labels: int) -> tuple[nn.Module, nn.Module, int, int]:
    """The encoder, the layers from it to the scores, the width of a cell of the scores in pixels, and of which the sides of an image are multiples."""
    if config.fcn == "fcn8s":
        if config.input_channels == 1:
            raise ConfigError("input_channels: FCN-8s takes 3 or 4 channels, got 1")
        trunk = VGG16(config.input_channels, config.encoder_weights, config.fc_channels)
        return trunk, FCN8sScores(trunk.widths, num_labels), 8, 32
    if config.finest_level >= config.encoder_depth:
        raise ConfigError(f"finest_level: {config.finest_level} needs an encoder_depth above {config.encoder_depth}")
    encoder = Encoder(config.encoder, config.input_channels, config.encoder_depth, config.encoder_weights)
    finest = FinestLevel(encoder.widths[: config.encoder_depth - config.finest_level], config.pyramid_channels)
    head = nn.Sequential(finest, nn.Conv2d(config.pyramid_channels, num_labels, 1))
    return encoder, head, encoder.strides[-1 - config.finest_level], encoder.strides[0]
