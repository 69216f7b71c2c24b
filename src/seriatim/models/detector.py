"""Detectors of boxes: torchvision's FCOS and Faster R-CNN on any timm pyramid, whose detections DIN and other models that take boxes start from.

Not one of the systems of this project: it gives boxes, not masks, so `seriatim.models.names()` leaves it out. An object that it finds is a box whose
mask fills it. Tian et al., "FCOS: Fully Convolutional One-Stage Object Detection" (ICCV 2019), and Ren et al., "Faster R-CNN" (NIPS 2015), with the
feature pyramid of Lin et al. (CVPR 2017).

Original: torchvision's heads, losses and suppression of doubles. Here: the pyramid, sizes for small objects, and boxes from label maps. Images are
neither resized nor normalised by torchvision; the encoder normalises them. Pixels to ignore count as background.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torchvision.models.detection import FCOS, FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from seriatim.core.batch import Batch, Prompts
from seriatim.core.config import Config
from seriatim.core.errors import ConfigError, ShapeError
from seriatim.core.instances import Instance
from seriatim.models.interface import Found, Model, ModelConfig, TrainingContext
from seriatim.nn.detections import true_boxes
from seriatim.nn.encoders import Encoder
from seriatim.nn.padding import continue_images

FIRST_DISTANCE = 4.0
"""FCOS: distance from a place to the edges of its box that the untrained network gives, in units of the level (an eighth of the size of its objects)."""

TERMS = {
    "classification": "classification",
    "bbox_regression": "box",
    "bbox_ctrness": "centreness",
    "loss_classifier": "classification",
    "loss_box_reg": "box",
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposal_box",
}
"""Torchvision's name of a term of the loss -> ours."""


class DetectorConfig(ModelConfig):
    """Everything that fixes a detector."""

    kind: Literal["fcos", "faster_rcnn"] = "fcos"
    """FCOS: one stage, a class and a box at every place. Faster R-CNN: proposals first, then a class and a better box of each."""
    encoder: str = "resnet10t"
    """A timm model with a pyramid."""
    encoder_depth: int = Field(default=4, ge=1, le=5)
    """Levels of the encoder that are used, from the shallowest."""
    finest_level: int = Field(default=1, ge=0, le=4)
    """The finest level in which boxes are looked for, 0 for the encoder's shallowest; the deeper ones follow. Of a ResNet, 1 has stride 4."""
    encoder_weights: str | None = None
    """"hub", the path of a state dict, or nothing."""
    channels: int = Field(default=64, ge=32, multiple_of=32)
    """Of the feature pyramid and the convolutions of the head, which are normalised in 32 groups (torchvision: 256)."""
    head_convolutions: int = Field(default=2, ge=1)
    """FCOS: convolutions of each of the two branches of the head (torchvision: 4)."""
    representation: int = Field(default=256, ge=1)
    """Faster R-CNN: width of the two layers that judge a proposal (torchvision: 1024)."""
    finest_size: int = Field(default=32, ge=16, multiple_of=16)
    """Side in pixels of the objects that the finest level is for, twice that at each deeper one: the side of Faster R-CNN's anchors; FCOS looks in the
    finest level for objects up to about twice this size (torchvision: 32 at stride 4, 64 at stride 8)."""
    min_score: float = Field(default=0.05, ge=0, lt=1)
    """Detections with at most this score are left out (torchvision: 0.05 and 0.2)."""
    max_overlap: float = Field(default=0.5, gt=0, le=1)
    """Of two detections of one class with a larger intersection over union than this, the better one stays (torchvision: 0.5 and 0.6)."""
    max_detections: int = Field(default=300, ge=1)
    """So many detections of an image are kept, the best (torchvision: 100)."""
    max_candidates: int = Field(default=1000, ge=1)
    """So many places of a level are looked at before doubles are removed, the best (torchvision: 1000)."""


class DetectorObjectiveConfig(Config):
    """Weights of the terms of the loss; torchvision adds them up as they are."""

    classification: float = Field(default=1.0, ge=0)
    """Of the classes: focal loss (FCOS) or cross entropy."""
    box: float = Field(default=1.0, ge=0)
    """Of the edges: generalised IoU (FCOS) or smooth L1."""
    centreness: float = Field(default=1.0, ge=0)
    """FCOS: of how far from the centre of its box a place lies."""
    objectness: float = Field(default=1.0, ge=0)
    """Faster R-CNN: of whether a proposal is an object."""
    proposal_box: float = Field(default=1.0, ge=0)
    """Faster R-CNN: of the edges of the proposals."""


class Detector(Model[DetectorConfig]):
    """A detector of boxes behind the interface of all models."""

    size_multiple = 1  # images are padded here, so that boxes end at the edge of the image

    def __init__(self, config: DetectorConfig) -> None:
        """
        Args:
            config: see `DetectorConfig`.

        Raises:
            ConfigError: if the settings contradict each other.
            CheckpointError: if the weights of the encoder are not available.
        """
        super().__init__()
        self.config = config
        if config.finest_level >= config.encoder_depth:
            raise ConfigError(
                f"finest_level: {config.finest_level} needs an encoder_depth above {config.finest_level}, got {config.encoder_depth}"
            )
        encoder = Encoder(config.encoder, config.input_channels, config.encoder_depth, config.encoder_weights)
        backbone = _Pyramid(encoder, config.finest_level, config.channels)
        self.detector = _make_fcos(config, backbone) if config.kind == "fcos" else _make_faster_rcnn(config, backbone)
        self.detector.add_module("transform", _AsItIs(encoder.strides[0]))  # in place of torchvision's, which resizes

    def losses(
        self, batch: Batch, weights: DetectorObjectiveConfig, context: TrainingContext
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms of the loss of one batch; the true boxes are those around the visible pixels of each label.

        Args:
            batch: images and truth.
            weights: of the terms; one of weight 0 is left out.
            context: whose generator draws the proposals that Faster R-CNN is trained on.

        Raises:
            ConfigError: if an object is of a class that the model does not have.
        """
        self._check(batch.images)
        targets = [self._target(*pair) for pair in zip(batch.labels, batch.classes, strict=True)]
        seed = int(torch.randint(2**31, (1,), generator=context.generator))
        device = batch.images.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []), self._training(True):
            torch.manual_seed(seed)
            given = self.detector(list(batch.images), targets)
        factors = weights.model_dump()
        return {TERMS[name]: factors[TERMS[name]] * term for name, term in given.items() if factors[TERMS[name]]}

    def parameter_groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """The encoder, and what reads it."""
        backbone = self.detector.backbone
        assert isinstance(backbone, _Pyramid)
        encoder = list(backbone.encoder.parameters())
        of_encoder = {id(parameter) for parameter in encoder}
        return {"encoder": encoder, "head": [one for one in self.parameters() if id(one) not in of_encoder]}

    def detect(
        self, images: Float[Tensor, "batch channels height width"], prompts: Sequence[Prompts] | None = None
    ) -> Iterator[Found]:
        """The boxes of every image, best score first, each as an object that fills it.

        `Found.probs` is the share of a pixel's height or width that the box covers, whichever is less: 1 inside, 0 outside.

        Args:
            images: values in 0..1, of any size.
            prompts: None.

        Raises:
            ConfigError: if there are prompts.
            ShapeError: if the number of channels is not the configured one.
        """
        if prompts is not None:
            raise ConfigError("boxes: a detector takes neither boxes nor points; it finds the objects itself")
        self._check(images)
        height, width = images.shape[-2:]
        with self._training(False):
            detections = self.detector(list(images))
        for image, found in enumerate(detections):
            order = found["scores"].argsort(descending=True, stable=True)
            class_ids = found["labels"] + (1 if self.config.kind == "fcos" else 0)
            rows = zip(
                found["boxes"][order].float(), found["scores"][order].tolist(), class_ids[order].tolist(), strict=True
            )
            for step, ((x0, y0, x1, y1), score, class_id) in enumerate(rows):
                down, across = _coverage(y0, y1, height), _coverage(x0, x1, width)
                spans = [
                    torch.nonzero(line >= self.config.mask_threshold).flatten().tolist() for line in (down, across)
                ]
                if not all(spans):
                    continue
                (top, bottom), (left, right) = ((span[0], span[-1] + 1) for span in spans)
                mask = torch.ones(bottom - top, right - left, dtype=torch.bool).numpy()
                instance = Instance((top, left, bottom, right), mask, min(score, 1.0), class_id, step=step)
                yield Found(image, instance, torch.minimum(down[:, None], across))

    def _check(self, images: Tensor) -> None:
        if images.shape[1] != self.config.input_channels:
            raise ShapeError(f"images: expected {self.config.input_channels} channels, got {images.shape[1]}")

    def _target(self, labels: Tensor, classes: Tensor) -> dict[str, Tensor]:
        """The true boxes of one image as torchvision takes them: (x0, y0, x1, y1), classes from 0 (FCOS) or 1."""
        truth = true_boxes(labels, classes)
        class_ids = truth.class_ids.clamp(max=1) if self.config.num_classes == 0 else truth.class_ids
        num_classes = max(self.config.num_classes, 1)
        wrong = class_ids[(class_ids < 1) | (class_ids > num_classes)].tolist()
        if wrong:
            raise ConfigError(
                f"classes: an object of class {wrong[0]}, the model has {num_classes} (model.config.num_classes)"
            )
        return {
            "boxes": truth.boxes[:, [1, 0, 3, 2]],
            "labels": class_ids - (1 if self.config.kind == "fcos" else 0),
        }

    @contextmanager
    def _training(self, training: bool) -> Iterator[None]:
        """Within it torchvision gives losses, or detections; its layers stay in their mode."""
        parts = [
            self.detector,
            *(
                part
                for part in self.detector.children()
                if type(part).__name__ in ("RegionProposalNetwork", "RoIHeads")
            ),
        ]
        before = [part.training for part in parts]
        for part in parts:
            part.training = training
        try:
            yield
        finally:
            for part, was_training in zip(parts, before, strict=True):
                part.training = was_training


class _Pyramid(nn.Module):
    """An encoder and torchvision's feature pyramid over its levels, finest first, in single precision: anchors take their type from it."""

    def __init__(self, encoder: Encoder, finest_level: int, channels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.pyramid = FeaturePyramidNetwork(encoder.widths[::-1][finest_level:], channels)
        self.strides = encoder.strides[::-1][finest_level:]
        self.finest_level = finest_level
        self.out_channels = channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        levels = self.encoder(images.contiguous(memory_format=torch.channels_last))[::-1][self.finest_level :]
        merged = self.pyramid(OrderedDict((str(number), level) for number, level in enumerate(levels)))
        return OrderedDict((name, _in_single_precision(level)) for name, level in merged.items())


class _AsItIs(nn.Module):
    """In the place of torchvision's transform: images keep size and values, and are continued until the encoder halves them evenly."""

    def __init__(self, multiple: int) -> None:
        super().__init__()
        self.multiple = multiple

    def forward(self, images: list[Tensor], targets: Any = None) -> tuple[ImageList, Any]:
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        return ImageList(continue_images(torch.stack(images), self.multiple), sizes), targets

    def postprocess(self, result: list[dict[str, Tensor]], *sizes: Any) -> list[dict[str, Tensor]]:
        del sizes
        return result


def _make_fcos(config: DetectorConfig, backbone: _Pyramid) -> FCOS:
    units = [config.finest_size * 2**level // 8 for level in range(len(backbone.strides))]
    if 3 * units[0] < backbone.strides[0]:
        raise ConfigError(
            f"finest_size: {config.finest_size} leaves objects between the places of stride {backbone.strides[0]}; take at least "
            f"{16 * math.ceil(backbone.strides[0] / 6)}, or a lower finest_level"
        )
    num_classes = max(config.num_classes, 1)
    head = FCOSHead(config.channels, 1, num_classes, config.head_convolutions)
    bias = head.regression_head.bbox_reg.bias
    assert bias is not None
    nn.init.constant_(bias, FIRST_DISTANCE)  # at 0 half of the ReLUs would begin dead
    head.register_forward_hook(_give_single_precision)
    return FCOS(
        backbone,
        num_classes,
        anchor_generator=AnchorGenerator(tuple((unit,) for unit in units), ((1.0,),) * len(units)),
        head=head,
        score_thresh=config.min_score,
        nms_thresh=config.max_overlap,
        detections_per_img=config.max_detections,
        topk_candidates=config.max_candidates,
    )


def _make_faster_rcnn(config: DetectorConfig, backbone: _Pyramid) -> FasterRCNN:
    sizes = tuple((config.finest_size * 2**level,) for level in range(len(backbone.strides)))
    pool = MultiScaleRoIAlign([str(number) for number in range(len(sizes))], output_size=7, sampling_ratio=2)
    pool.scales = [1 / stride for stride in backbone.strides]  # not from the first image, whose size may be odd
    pool.map_levels = initLevelMapper(
        *(int(math.log2(stride)) for stride in (backbone.strides[0], backbone.strides[-1]))
    )
    num_labels = max(config.num_classes, 1) + 1
    detector = FasterRCNN(
        backbone,
        rpn_anchor_generator=AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes)),
        rpn_pre_nms_top_n_train=2 * config.max_candidates,
        rpn_pre_nms_top_n_test=config.max_candidates,
        rpn_post_nms_top_n_train=2 * config.max_candidates,
        rpn_post_nms_top_n_test=config.max_candidates,
        box_roi_pool=pool,
        box_head=TwoMLPHead(config.channels * 7**2, config.representation),
        box_predictor=FastRCNNPredictor(config.representation, num_labels),
        box_score_thresh=config.min_score,
        box_nms_thresh=config.max_overlap,
        box_detections_per_img=config.max_detections,
    )
    for part in (detector.rpn.head, detector.roi_heads.box_predictor):
        assert isinstance(part, nn.Module)
        part.register_forward_hook(_give_single_precision)
    return detector


def _give_single_precision(module: nn.Module, given: Any, output: Any) -> Any:
    """The output of a head with at least 32 bits a number, since 16 are too few for the places of an image."""
    del module, given
    return _in_single_precision(output)


def _in_single_precision(values: Any) -> Any:
    if isinstance(values, Tensor):
        return values if values.dtype == torch.float64 else values.float()
    if isinstance(values, dict):
        return {name: _in_single_precision(value) for name, value in values.items()}
    return type(values)(_in_single_precision(value) for value in values)


def _coverage(start: Tensor, end: Tensor, length: int) -> Float[Tensor, " length"]:
    """The share of each pixel of a line that an interval covers."""
    pixels = torch.arange(length, device=start.device)
    return (torch.minimum(pixels + 1, end) - torch.maximum(pixels, start)).clamp(0, 1)
