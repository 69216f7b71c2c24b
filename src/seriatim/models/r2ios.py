"""R2-IOS: Liang et al., "Reversible Recursive Instance-level Object Segmentation" (CVPR 2016, arXiv:1511.04517).

Original here: the code; nothing was ever released. Weights: ImageNet's for the encoder, from hub or file.

    Sec. 3.1   the mask v_t of the dominant object of a proposal    `nn/two_branches.py`, `nn/proposal_heads.py`, `nn/denoising_autoencoder.py`
    Sec. 3.2   confidences p_t and offsets o_t, read with v_t       `nn/proposal_heads.py`
    Sec. 3.2   the reversible gate t'                               `nn/reversible_gate.py`
    Sec. 3.3   l_t = f^l^-1(l_t-1, o_t), t = 1 .. T                 `R2IOS.refine`, `nn/roi.py`
    eq. 1      J_t, and J = sum over t <= t' of J_t                 `r2ios_objective.py`, `losses/proposals.py`
    Sec. 3.4   what is taken of every proposal                      `R2IOS.detect`, `decode`

Boxes come from outside, such as selective search. The masks of two objects may share pixels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torchvision.ops import batched_nms

from seriatim.core.batch import Batch, Prompts
from seriatim.core.errors import ConfigError, ShapeError
from seriatim.core.instances import Instance
from seriatim.core.shapes import Size
from seriatim.models.interface import Found, Model, ModelConfig, TrainingContext
from seriatim.models.r2ios_objective import (
    R2IOSObjectiveConfig,
    Refinement,
    count_optimal,
    draw,
    find_collapse,
    label,
    make_goals,
    make_proposals,
    objective,
    optimal_looks,
    read_truth,
)
from seriatim.nn.denoising_autoencoder import INITIAL_DEVIATION
from seriatim.nn.detections import read_detections
from seriatim.nn.padding import continue_images
from seriatim.nn.proposal_heads import MaskHead, Rebuilding, RefinementHead
from seriatim.nn.reversible_gate import optimal_refinements
from seriatim.nn.roi import Pooling, clip_boxes, move_boxes, paste_probs
from seriatim.nn.two_branches import BranchMaps, PyramidBranches, VGGBranches


class R2IOSConfig(ModelConfig):
    """Everything that fixes an R2-IOS."""

    trunk: Literal["vgg16", "pyramid"] = "vgg16"
    """VGG-16 as in the paper, or any timm pyramid."""
    encoder: str = "resnet50"
    """Pyramid: a timm model."""
    encoder_depth: int = Field(default=5, ge=1, le=5)
    """Pyramid: levels of the encoder that are used, from the shallowest."""
    pyramid_channels: int = Field(default=128, ge=1)
    """Pyramid: channels of the maps that masks and boxes are read from."""
    strides: tuple[int, int] = (8, 16)
    """Pixels of a cell of these two maps; the paper's, of which VGG-16 has no others."""
    encoder_weights: str | None = None
    """"hub", the path of a state dict, or nothing. Sec. 4.1: ImageNet."""
    shared_trunk: bool = True
    """Whether both branches read the same first layers (VGG-16: conv1 to conv3; pyramid: the encoder); the paper does not say which."""
    fc_channels: int = Field(default=4096, ge=1)
    """Channels of fc6 and fc7 in both branches; ImageNet's weights have 4096."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the values behind fc6 and fc7 of the boxes that training leaves out; the paper names none, Fast R-CNN has 0.5."""
    pooling: Pooling = "align"
    """RoI pooling: `max` is the paper's (Fast R-CNN), `align` (ours) has no rounded edges."""
    mask_side: int = Field(default=40, ge=1)
    """Cells of a mask, along and across (Sec. 3.1: 40)."""
    box_side: int = Field(default=7, ge=1)
    """Cells of the features of a box, along and across (Sec. 3.2: 7)."""
    mask_channels: int = Field(default=512, ge=1)
    """Channels between the two 1x1 convolutions that make the confidence maps C; the paper says "several" (ours: 512)."""
    rebuilding: Rebuilding = "autoencoder"
    """What makes v of C: the autoencoder, two fully connected layers as wide as C, or nothing (Table 2)."""
    hidden: int = Field(default=512, ge=1)
    """Numbers of the hidden representation of the autoencoder (Sec. 3.1: 512)."""
    output_relu: bool = False
    """Whether ReLU follows the last layer of the autoencoder too; the paper's words allow both."""
    mask_deviation: float | None = Field(default=INITIAL_DEVIATION, gt=0)
    """Standard deviation of the first weights of 1x1 convolutions and autoencoder (Sec. 4.1); None takes that of He et al."""
    segmentation_aware: bool = True
    """Whether v joins the features of the boxes (Sec. 3.2; Table 2)."""
    offset_scale: tuple[float, float, float, float] = (0.1, 0.1, 0.2, 0.2)
    """Usual size of the offsets y, x, h and w, by which they are divided (Fast R-CNN's release)."""
    num_refinements: int = Field(default=4, ge=1)
    """T, how often every proposal is looked at (Sec. 4.1: 4)."""
    training_refinements: int | None = Field(default=None, ge=1)
    """The same in training; None for T. 1 with T = 4 is "recursive only testing" of Table 2."""
    gate: bool = True
    """In use: take the results of t', the refinement of the highest confidence; without it those of T."""
    paste_into: Literal["seen", "refined"] = "seen"
    """Where v_t' is laid: into the box that it was read from, l_t'-1, or into l_t'; the paper does not say."""
    max_proposals: int = Field(default=2000, ge=1)
    """So many proposals of an image are looked at, those of the best scores (Sec. 3: about 2,000)."""
    proposals_at_once: int = Field(default=128, ge=1)
    """So many of them together in use, which bounds the memory."""
    nms_iou: float = Field(default=0.3, gt=0, le=1)
    """Of two boxes l_t' of a class with a larger IoU the one with the lower score is dropped; the paper names none (Fast R-CNN: 0.3)."""
    min_score: float = Field(default=0.05, ge=0, le=1)
    """Objects below it are dropped; the paper names none (Fast R-CNN's release: 0.05)."""
    max_objects: int = Field(default=100, ge=1)
    """So many objects of an image are kept, the best; the paper names none (Fast R-CNN's release: 100)."""


class R2IOSTrace(NamedTuple):
    """What becomes of every proposal of one image, for looking at.

    Attributes:
        refinements: all T.
        optimal: t' of every proposal, counted from 0.
    """

    refinements: list[Refinement]
    optimal: Int[Tensor, " proposals"]


class Candidates(NamedTuple):
    """The results of t' of some proposals.

    Attributes:
        boxes: l_t'.
        mask_boxes: which the masks are laid into.
        class_probs: p_t' without the background's.
        mask_probs: of the foreground, in every cell.
    """

    boxes: Float[Tensor, "proposals 4"]
    mask_boxes: Float[Tensor, "proposals 4"]
    class_probs: Float[Tensor, "proposals classes"]
    mask_probs: Float[Tensor, "proposals side side"]


class R2IOS(Model[R2IOSConfig]):
    """The network of Fig. 2."""

    takes_boxes = True
    size_multiple = 1  # `encode` pads by itself, so that no box is cut to what is padded

    def __init__(self, config: R2IOSConfig) -> None:
        """
        Args:
            config: see `R2IOSConfig`.

        Raises:
            ConfigError: if the settings contradict each other.
            CheckpointError: if the weights of the encoder are not available.
        """
        super().__init__()
        self.config = config
        self.num_classes = max(config.num_classes, 1)
        self.branches = _make_branches(config)
        mask_stride, box_stride = self.branches.strides
        self.mask_head = MaskHead(
            self.branches.mask_channels,
            config.mask_channels,
            config.mask_side,
            mask_stride,
            config.pooling,
            config.rebuilding,
            config.hidden,
            config.output_relu,
            config.mask_deviation,
        )
        self.refinement_head = RefinementHead(
            self.branches.box_channels,
            config.fc_channels,
            config.box_side,
            box_stride,
            config.pooling,
            self.num_classes + 1,
            2 * config.mask_side**2 if config.segmentation_aware else 0,
            config.dropout,
        )
        if config.trunk == "vgg16" and config.encoder_weights is not None:
            self.refinement_head.load_vgg16(config.encoder_weights, config.input_channels)

    def encode(self, images: Float[Tensor, "batch channels height width"]) -> BranchMaps:
        """Everything that is the same for all proposals and refinements.

        Args:
            images: values in 0..1, of any size of at least 1 pixel.

        Raises:
            ShapeError: if the number of channels is not the configured one.
        """
        if images.shape[1] != self.config.input_channels:
            raise ShapeError(f"images: expected {self.config.input_channels} channels, got {images.shape[1]}")
        padded = continue_images(images, self.branches.size_multiple).contiguous(memory_format=torch.channels_last)
        maps = self.branches(padded)
        return maps._replace(masks=self.mask_head.project(maps.masks))

    def refine(
        self,
        maps: BranchMaps,
        boxes: Float[Tensor, "proposals 4"],
        images: Int[Tensor, " proposals"],
        size: Size,
        count: int,
        choose: Callable[[Tensor, Tensor], Tensor],
        generator: torch.Generator | None = None,
    ) -> Iterator[Refinement]:
        """Looks at the proposals again and again; each moves by the offsets of one class, or stays where it is if that is the background.

        What stays is not computed again, since it would be the same; with dropout it would not, so all are.

        Args:
            maps: of `encode`.
            boxes: l_0, in the image.
            images: number of the image of each.
            size: (height, width) of the images.
            count: number of looks.
            choose: from l_t-1 and the logits of p_t to the class that moves each proposal, 0 for none.
            generator: of what dropout leaves out; None for none.
        """
        every = torch.arange(len(boxes), device=boxes.device)
        looked = self._look(maps, boxes, images, generator)
        for number in range(count):
            class_logits, offsets, mask_logits = looked
            classes = choose(boxes, class_logits)
            moved = move_boxes(boxes, offsets[every, classes], self.config.offset_scale, size)
            moved = torch.where((classes > 0)[:, None], moved, boxes)
            yield Refinement(boxes, class_logits, offsets, mask_logits, moved)
            again = every if generator is not None else torch.nonzero(classes > 0).flatten()
            boxes = moved
            if number + 1 < count and len(again):
                fresh = self._look(maps, boxes[again], images[again], generator)
                looked = tuple(old.index_put((again,), new) for old, new in zip(looked, fresh, strict=True))

    def detect(
        self, images: Float[Tensor, "batch channels height width"], prompts: Sequence[Prompts] | None = None
    ) -> Iterator[Found]:
        """The objects of every image, the best score first; their masks may share pixels.

        The score of an object is the confidence of its class at t'.

        Args:
            images: values in 0..1.
            prompts: proposals of every image; their scores choose among more than `max_proposals`, their classes are not used.

        Raises:
            ConfigError: if there are none, or points, or a box that is none.
        """
        if prompts is None:
            raise ConfigError("boxes: this model needs proposals: boxes around what may be objects")
        if any(len(one.points) for one in prompts):
            raise ConfigError("points: this model has no guidance, so it cannot be told where to look")
        for number, (image, given) in enumerate(zip(images, prompts, strict=True)):
            size = (image.shape[1], image.shape[2])
            boxes = self._read(given, size, _float_dtype(image))
            if len(boxes):
                maps = self.encode(image[None])
                parts = [
                    _select(*self._refine_part(maps, part, size), self.config)
                    for part in boxes.split(self.config.proposals_at_once)
                ]
                candidates = Candidates(*(torch.cat(values) for values in zip(*parts, strict=True)))
                yield from (Found(number, *one) for one in decode(candidates, size, self.config))

    def trace(self, image: Float[Tensor, "channels height width"], prompts: Prompts) -> R2IOSTrace:
        """Every look at every proposal of an image; without proposals, of none.

        The proposals are those that reach into the image, the best score first, cut to it: `refinements[0].boxes`.

        Args:
            image: values in 0..1.
            prompts: its proposals.

        Raises:
            ConfigError: if a box is none.
        """
        size = (image.shape[1], image.shape[2])
        return R2IOSTrace(
            *self._refine_part(self.encode(image[None]), self._read(prompts, size, _float_dtype(image)), size)
        )

    def losses(
        self, batch: Batch, weights: R2IOSObjectiveConfig, context: TrainingContext
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms of the loss of one batch.

        Args:
            batch: images, truth and proposals.
            weights: of the terms, and which proposals they are over.
            context: draws the proposals, and what dropout leaves out; notes the histogram of t'.

        Raises:
            ConfigError: if the batch has no proposals, a box is none, or an object has a class that the model does not know.
        """
        if batch.prompts is None and weights.boxes == "given":
            raise ConfigError(
                "data.boxes: this model is trained on proposals, so the data need boxes, or objective.boxes = truth"
            )
        size, dtype = (batch.images.shape[-2], batch.images.shape[-1]), _float_dtype(batch.images)
        truths = [
            read_truth(*pair, self.config.num_classes, dtype) for pair in zip(batch.labels, batch.classes, strict=True)
        ]
        if batch.prompts is None or weights.boxes == "truth":
            proposals = [make_proposals(truth, size, weights, context.generator) for truth in truths]
        else:
            proposals = [self._read(prompts.to(batch.images.device), size, dtype) for prompts in batch.prompts]
        drawn = [draw(*pair, weights, context.generator) for pair in zip(proposals, truths, strict=True)]
        counts = torch.tensor([len(one) for one in drawn], device=batch.images.device)
        images = torch.arange(len(drawn), device=counts.device).repeat_interleave(counts)
        labelled: list[tuple[Tensor, Tensor]] = []

        def choose(boxes: Tensor, _: Tensor) -> Tensor:
            is_new = weights.relabel or not labelled
            labelled.append(label(boxes, images, truths, weights.foreground_iou) if is_new else labelled[-1])
            return labelled[-1][0]

        count = self.config.training_refinements or self.config.num_refinements
        generator = context.generator if self.training and self.config.dropout else None
        maps = self.encode(batch.images)
        looks = [*self.refine(maps, torch.cat(drawn), images, size, count, choose, generator)]
        goals = [
            make_goals(look.boxes, images, truths, of_look, self.config.offset_scale, self.config.mask_side)
            for look, of_look in zip(looks, labelled, strict=True)
        ]
        optimal = optimal_looks(looks, goals, weights)
        context.notes.update(count_optimal(optimal, goals[0].classes, count))
        return objective(looks, goals, weights)

    def remark(self, notes: Mapping[str, float]) -> str | None:
        """That the gate takes the same look at nearly all proposals; argument as for every model."""
        return find_collapse(notes)

    def parameter_groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """The layers before the heads; the fully connected layers of the boxes; what makes the mask; the two output layers."""
        head = self.refinement_head
        return {
            "encoder": list(self.branches.parameters()),
            "fc": [*head.fc6.parameters(), *head.fc7.parameters()],
            "masks": list(self.mask_head.parameters()),
            "outputs": [*head.class_head.parameters(), *head.box_head.parameters()],
        }

    def _look(
        self, maps: BranchMaps, boxes: Tensor, images: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, ...]:
        mask_logits = self.mask_head(maps.masks, boxes, images)
        class_logits, offsets = self.refinement_head(maps.boxes, boxes, images, mask_logits, generator)
        return tuple(
            values if values.dtype == torch.float64 else values.float()
            for values in (class_logits, offsets, mask_logits)
        )

    def _refine_part(self, maps: BranchMaps, boxes: Tensor, size: Size) -> tuple[list[Refinement], Tensor]:
        """All looks at some proposals of one image in use, and t' of each."""
        images = torch.zeros(len(boxes), dtype=torch.long, device=boxes.device)
        count = self.config.num_refinements
        looks = [*self.refine(maps, boxes, images, size, count, lambda _, logits: logits.argmax(dim=1))]
        confidences = torch.stack([look.class_logits.softmax(dim=1)[:, 1:].amax(dim=1) for look in looks])
        optimal = optimal_refinements(confidences) if self.config.gate else torch.full_like(images, count - 1)
        return looks, optimal

    def _read(self, prompts: Prompts, size: Size, dtype: torch.dtype) -> Float[Tensor, "proposals 4"]:
        """The proposals that cover a pixel of the image, the best score first, cut to it."""
        prompts = prompts._replace(class_ids=torch.ones_like(prompts.class_ids))
        return clip_boxes(read_detections(prompts, size, 1, 0.0, self.config.max_proposals, dtype).edges, size)


def decode(
    candidates: Candidates, size: Size, config: R2IOSConfig
) -> Iterator[tuple[Instance, Float[Tensor, "height width"]]]:
    """The objects of an image, the best score first, each with the probability of its mask in every pixel.

    Args:
        candidates: of the image.
        size: (height, width) of the image.
        config: score floor, NMS and threshold of the masks.
    """
    scores, classes = candidates.class_probs.max(dim=1)
    kept = torch.nonzero(scores >= config.min_score).flatten()
    kept = kept[batched_nms(candidates.boxes[kept], scores[kept], classes[kept], config.nms_iou)][: config.max_objects]
    for step, number in enumerate(kept.tolist()):
        probs = paste_probs(candidates.mask_probs[number], candidates.mask_boxes[number], size)
        instance = Instance.from_mask(
            (probs >= config.mask_threshold).cpu().numpy(),
            score=min(float(scores[number]), 1.0),
            class_id=int(classes[number]) + 1,
            class_probs=candidates.class_probs[number].cpu().numpy(),
            step=step,
        )
        if instance is not None:
            yield instance, probs


def _select(looks: Sequence[Refinement], optimal: Tensor, config: R2IOSConfig) -> Candidates:
    """The results of t' of every proposal."""
    every = torch.arange(len(optimal), device=optimal.device)
    seen, moved, logits, mask_logits = (
        torch.stack([getattr(look, name) for look in looks])[optimal, every]
        for name in ("boxes", "moved", "class_logits", "mask_logits")
    )
    mask_boxes = seen if config.paste_into == "seen" else moved
    return Candidates(moved, mask_boxes, logits.softmax(dim=1)[:, 1:], mask_logits.softmax(dim=1)[:, 1])


def _make_branches(config: R2IOSConfig) -> VGGBranches | PyramidBranches:
    if config.trunk == "pyramid":
        return PyramidBranches(
            config.encoder,
            config.input_channels,
            config.encoder_depth,
            config.encoder_weights,
            config.pyramid_channels,
            config.strides,
            config.shared_trunk,
        )
    if config.input_channels == 1:
        raise ConfigError("input_channels: VGG-16 takes 3 or 4 channels, got 1; take trunk = pyramid")
    if config.strides != (8, 16):
        raise ConfigError(f"strides: VGG-16 has strides 8 and 16, got {config.strides}; take trunk = pyramid")
    return VGGBranches(config.input_channels, config.encoder_weights, config.fc_channels, config.shared_trunk)


def _float_dtype(values: Tensor) -> torch.dtype:
    """Of the boxes: as exact as the image, and never half."""
    return torch.float64 if values.dtype == torch.float64 else torch.float32
