"""RIS: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (ECCV 2016, arXiv:1511.08250).

Original here: the code. Weights: trained by this project's recipes (`zoo/`), or ImageNet's for VGG-16, from hub or file.

    Sec. 3      B = FCN(image), the input x_t of the recurrent stage at every step               `RIS.encode`
    eq. 1       stacked ConvLSTMs: h^1_t = ConvLSTM(B, h^1_{t-1}), h^2_t = ConvLSTM(h^1_t, h^2_{t-1})   `RIS.step`
    Sec. 3.2    mask by spatial inhibition; confidence s_t = sigmoid(linear(max-pool(h_t)))      `RIS.step`
    eq. 2-5     the loss, and Algorithm 1, which is its gradient                                 `objective`
    Sec. 4.1    a step is an object if s_t >= 0.5, a pixel is of it if its probability is        `decode_step`

What B adds to the gates of the first ConvLSTM is the same at every step and computed in `encode`. Where the released code differs, its
behaviour is an option of `RISConfig`; extensions that are not in the paper are `RISExtensions`.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from seriatim.core.config import Config
from seriatim.core.dense_maps import DenseMaps
from seriatim.core.errors import ConfigError, ShapeError
from seriatim.core.instances import Instance, Instances
from seriatim.losses.dense_maps import coarse_map_losses
from seriatim.losses.matching import hungarian
from seriatim.losses.soft_iou import soft_iou, soft_iou_costs
from seriatim.losses.stopping import first_steps, stop_loss
from seriatim.models.sequential import decode_sequence
from seriatim.nn import gaze
from seriatim.nn.convlstm import ConvLSTM, ConvLSTMState
from seriatim.nn.encoders import Encoder
from seriatim.nn.fcn import FC_CHANNELS, VGG16, FCN8sScores, FinestLevel, LeafNetwork
from seriatim.nn.gaze_teacher import lead
from seriatim.nn.spatial_inhibition import SpatialInhibition

INITIAL_RANGE = 0.08
"""The weights of the recurrent structure are drawn uniformly from -0.08..0.08 (Sec. 4.1)."""


class RISExtensions(Config):
    """What the paper does not have; all off by default."""

    gaze: bool = False
    """Tell every step where to look, from dense maps trained beside it (`nn/gaze.py`)."""
    teacher_objects: int = Field(default=16, ge=1)
    """With the gaze: objects that a training sequence shows at the most; of the others, the truth is on the canvas from the start."""


class RISConfig(Config):
    """Everything that fixes a RIS network."""

    fcn: Literal["leaf", "fcn8s", "pyramid"] = "leaf"
    """The fully convolutional network: five convolutions (Sec. 4.3), FCN-8s on VGG-16 (Sec. 4.2), or any timm pyramid."""
    input_channels: Literal[1, 3, 4] = 3
    """Channels of the image; the fourth is the depth (Sec. 3)."""
    channels: int = Field(default=30, ge=4)
    """d: channels of B and of every ConvLSTM: 30 (leaves), 100 (people)."""
    stride: int = Field(default=5, ge=1, le=16)
    """Of the leaf network: pixels a cell of B is wide."""
    subsampling: Literal["convolution", "bilinear"] = "convolution"
    """Of the leaf network: its first convolution steps, or the image is shrunk before it (released code)."""
    encoder: str = "resnet18"
    """Of the pyramid: a timm model."""
    encoder_depth: int = Field(default=4, ge=1, le=5)
    """Of the pyramid: how many levels of the encoder are used, from the shallowest."""
    finest_level: int = Field(default=1, ge=0, le=4)
    """Of the pyramid: the level whose resolution B has, 0 for the shallowest (in a ResNet: stride 2, then 4, 8 ...)."""
    encoder_weights: str | None = None
    """Of FCN-8s and the pyramid: "hub", the path of a state dict, or nothing. Sec. 4.2: ImageNet."""
    fc_channels: int = Field(default=FC_CHANNELS, ge=1)
    """Of FCN-8s: channels of fc6 and fc7; ImageNet's weights have 4096."""
    depth: int = Field(default=2, ge=1, le=3)
    """Number of stacked ConvLSTMs."""
    kernel_size: Literal[1, 3] = 3
    """Of the gates: 3 (leaves) or 1 (people)."""
    initial_threshold: float = 1.0
    """b of the spatial inhibition at the start of the training."""
    max_steps: int = Field(default=20, ge=1)
    """Steps at the most, at test time."""
    stop_threshold: float = Field(default=0.5, ge=0, le=1)
    """A step whose confidence is below this holds no object."""
    stop_policy: Literal["first", "skip"] = "first"
    """At such a step: end the sequence (paper), or leave the step out and go on."""
    mask_threshold: float = Field(default=0.5, gt=0, lt=1)
    """A pixel with at least this probability belongs to the mask."""
    seed_threshold: float = Field(default=0.3, ge=0, le=1)
    """With the gaze: the sequence ends where the best seed that is left is below this."""
    extensions: RISExtensions = RISExtensions()


class RISObjectiveConfig(Config):
    """Weights of the terms of the loss."""

    mask: float = Field(default=1.0, ge=0)
    """Weight of the matched soft IoUs, the first sum of eq. 5."""
    confidence: float = Field(default=1.0, ge=0)
    """lambda of eq. 5; Sec. 4.1: 1."""
    maps: float = Field(default=0.0, ge=0)
    """Weight of the dense maps (extension `gaze`)."""
    reduction: Literal["sum", "mean"] = "sum"
    """Over the matched pairs and steps of an image: the paper sums."""


class Memory(NamedTuple):
    """What stays the same over the steps."""

    size: tuple[int, int]
    features: Float[Tensor, "batch channels map_height map_width"]
    constant_gates: list[Tensor]
    gaze: gaze.GazeMemory | None

    def first(self, count: int) -> "Memory":
        """Of the first `count` images only."""
        gates = [one[:count] for one in self.constant_gates]
        return Memory(self.size, self.features[:count], gates, None if self.gaze is None else self.gaze.first(count))

    def select(self, images: Int[Tensor, " chosen"]) -> "Memory":
        """Of the images with these numbers only; gates that are the same for all images stay as they are."""
        gates = [one if len(one) == 1 else one[images] for one in self.constant_gates]
        watched = None if self.gaze is None else self.gaze.select(images)
        return Memory(self.size, self.features[images], gates, watched)


class State(NamedTuple):
    """What a step hands to the next: a state a ConvLSTM, and with the gaze what has been taken."""

    cells: list[ConvLSTMState]
    canvas: Float[Tensor, "batch map_height map_width"] | None

    def first(self, count: int) -> "State":
        """Of the first `count` images only."""
        return self._of(slice(count))

    def select(self, images: Int[Tensor, " chosen"]) -> "State":
        """Of the images with these numbers only."""
        return self._of(images)

    def _of(self, images: slice | Tensor) -> "State":
        cells = [one._replace(hidden=one.hidden[images], cell=one.cell[images]) for one in self.cells]
        return State(cells, None if self.canvas is None else self.canvas[images])


class StepOutput(NamedTuple):
    """One emitted instance of every image; `response` and `inhibited_logits` are the stages of the spatial inhibition."""

    mask_probs: Float[Tensor, "batch height width"]
    confidence_logits: Float[Tensor, " batch"]
    seed_left: Float[Tensor, " batch"]
    response: Float[Tensor, "batch map_height map_width"]
    inhibited_logits: Float[Tensor, "batch map_height map_width"]


@dataclass(frozen=True, slots=True)
class RISOutput:
    """Output of a whole sequence; `targets` only where a teacher led the gaze."""

    mask_probs: Float[Tensor, "batch steps height width"]
    confidence_logits: Float[Tensor, "batch steps"]
    seed_left: Float[Tensor, "batch steps"]
    response: Float[Tensor, "batch steps map_height map_width"]
    inhibited_logits: Float[Tensor, "batch steps map_height map_width"]
    maps: DenseMaps | None = None
    targets: Int[Tensor, "batch steps"] | None = None
    counted: Bool[Tensor, "batch steps"] | None = None


class RIS(nn.Module):
    """The network of Fig. 1."""

    def __init__(self, config: RISConfig) -> None:
        """
        Args:
            config: see `RISConfig`.

        Raises:
            ConfigError: if the settings contradict each other.
            CheckpointError: if the encoder's weights cannot be had.
        """
        super().__init__()
        self.config = config
        watches = config.extensions.gaze
        self.encoder, self.last = _make_fcn(config)
        self.dense_head = gaze.DenseHead(config.channels) if watches else None
        guides = gaze.NUM_GAZE_CHANNELS if watches else 0
        self.convlstms = nn.ModuleList()
        for layer in range(config.depth):
            changing = (config.channels if layer else 0) + guides
            constant = 0 if layer else config.channels + (gaze.NUM_MAPS if watches else 0)
            self.convlstms.append(ConvLSTM(changing, constant, config.channels, config.kernel_size))
        for convlstm in self.convlstms:
            _initialise(convlstm)  # pyright: ignore[reportArgumentType]
        self.inhibition = SpatialInhibition(
            config.channels + guides, config.initial_threshold, hidden_channels=16 if watches else 0
        )
        self.confidence = nn.Linear(config.channels + (1 if watches else 0), 1)

    def encode(self, images: Float[Tensor, "batch channels height width"]) -> Memory:
        """Everything that is the same at every step.

        Args:
            images: values in 0..1, of any size of at least 1 pixel.

        Raises:
            ShapeError: if the number of channels is not the configured one.
        """
        if images.shape[1] != self.config.input_channels:
            raise ShapeError(f"images: expected {self.config.input_channels} channels, got {images.shape[1]}")
        size = (images.shape[-2], images.shape[-1])
        features = self.last(self.encoder(images.contiguous(memory_format=torch.channels_last)))
        watched = None
        constant = features
        if self.dense_head is not None:
            maps = self.dense_head(features)
            constant = torch.cat((features, gaze.DenseHead.as_features(maps).to(features.dtype)), dim=1)
            watched = gaze.prepare_gaze(maps, [(features.shape[-2], features.shape[-1])], size)
        gates = [
            convlstm.constant_gates(None if layer else constant)  # pyright: ignore[reportCallIssue]
            for layer, convlstm in enumerate(self.convlstms)
        ]
        return Memory(size, features, gates, watched)

    def initial_state(self, memory: Memory, batch: int) -> State:
        """Zeros: h_0 and c_0, nothing taken."""
        height, width = memory.features.shape[-2:]
        cells = [
            convlstm.initial_state(batch, height, width, memory.constant_gates[0])  # pyright: ignore[reportCallIssue]
            for convlstm in self.convlstms
        ]
        return State(cells, None if memory.gaze is None else torch.zeros_like(memory.gaze.seed_probs))

    def step(self, memory: Memory, state: State, cell: Int[Tensor, " batch"] | None = None) -> tuple[StepOutput, State]:
        """One instance: eq. 1 layer by layer, then r(h_t) of Sec. 3.2.

        Args:
            memory: of `encode`.
            state: of `initial_state` or of the step before.
            cell: where to look, as a flat index of B's cells (extension `gaze`); None lets the network look by itself.
        """
        seed_left = memory.features.new_ones(len(state.cells[0].hidden), dtype=torch.float32)
        guide = None
        if memory.gaze is not None and state.canvas is not None:
            cell, seed_left = gaze.look(memory.gaze, state.canvas, cell)
            guide = gaze.gaze_features(memory.gaze, 0, cell, state.canvas)
        cells: list[ConvLSTMState] = []
        for layer, convlstm in enumerate(self.convlstms):
            parts = [cells[-1].hidden] if layer else []
            if guide is not None:
                parts.append(guide.to(state.cells[layer].hidden.dtype))
            changing = torch.cat(parts, dim=1) if len(parts) > 1 else (parts[0] if parts else None)
            cells.append(convlstm(changing, memory.constant_gates[layer], state.cells[layer]))
        hidden = cells[-1].hidden
        pooled = hidden.amax(dim=(2, 3))
        if guide is not None:
            pooled = torch.cat((pooled, seed_left[:, None].detach().to(pooled.dtype)), dim=1)
            hidden = torch.cat((hidden, guide.to(hidden.dtype)), dim=1)
        confidence_logits = self.confidence(pooled)[:, 0]
        if confidence_logits.dtype != torch.float64:
            confidence_logits = confidence_logits.float()
        inhibition = self.inhibition(hidden, memory.size)
        canvas = state.canvas
        if canvas is not None and guide is not None:
            canvas = gaze.take(canvas, inhibition.inhibited_logits, confidence_logits, guide)
        output = StepOutput(
            inhibition.mask_probs, confidence_logits, seed_left, inhibition.response, inhibition.inhibited_logits
        )
        return output, State(cells, canvas)

    def forward(self, images: Float[Tensor, "batch channels height width"], num_steps: int) -> RISOutput:
        """A sequence of `num_steps` steps, none left out."""
        memory = self.encode(images)
        state = self.initial_state(memory, len(images))
        outputs = []
        for _ in range(num_steps):
            output, state = self.step(memory, state)
            outputs.append(output)
        stacked = [torch.stack(parts, dim=1) for parts in zip(*outputs, strict=True)]
        return RISOutput(*stacked, maps=None if memory.gaze is None else memory.gaze.maps)

    def follow(
        self,
        images: Float[Tensor, "batch channels height width"],
        labels: Int[Tensor, "batch height width"],
        generator: torch.Generator,
    ) -> RISOutput:
        """A sequence whose gaze a teacher leads through the objects of `labels` (extension `gaze`, training only).

        Args:
            images: values in 0..1.
            labels: 0 background, 1..N, negative to ignore.
            generator: the teacher's source of chance.
        """
        memory = self.encode(images)
        assert memory.gaze is not None
        led = lead(self, memory, labels, generator, self.config.extensions.teacher_objects)
        return RISOutput(*led.steps, maps=memory.gaze.maps, targets=led.targets, counted=led.counted)


def decode_step(output: StepOutput, index: int, step: int, config: RISConfig) -> tuple[Instance | None, bool]:
    """What one step of one image of a batch emits, and whether the sequence ends here.

    Args:
        output: of the step.
        index: of the image in the batch.
        step: number of the step, from 0.
        config: the network's, with the thresholds.
    """
    confidence = float(output.confidence_logits[index].sigmoid())
    if float(output.seed_left[index]) < config.seed_threshold:
        return None, True
    if confidence < config.stop_threshold:
        return None, config.stop_policy == "first"
    mask = (output.mask_probs[index] >= config.mask_threshold).cpu().numpy()
    return Instance.from_mask(mask, score=confidence, class_id=1, step=step), False


def decode(output: RISOutput, config: RISConfig) -> list[Instances]:
    """The instances of every image of a batch, in the order found.

    Args:
        output: of a whole sequence.
        config: the network's, with the thresholds.
    """
    batch, num_steps, height, width = output.mask_probs.shape
    fields = [getattr(output, name) for name in StepOutput._fields]
    steps = [StepOutput(*(field[:, step] for field in fields)) for step in range(num_steps)]
    return decode_sequence(steps, batch, (height, width), decode_step, config)


def objective(
    output: RISOutput,
    labels: Int[Tensor, "batch height width"],
    num_targets: Int[Tensor, " batch"],
    weights: RISObjectiveConfig,
) -> dict[str, Float[Tensor, ""]]:
    """The weighted terms of eq. 5, each a mean over the images; `mask` is the negative sum of the matched IoUs.

    An image with n objects counts its first n + 2 steps. The matching is over its first min(n, steps) steps (Sec. 3.3), and gradients pass
    through the matched pairs alone, as Algorithm 1 has it.

    Args:
        output: of a whole sequence.
        labels: 0 background, 1..N, negative to ignore.
        num_targets: objects of every image.
        weights: of the terms.
    """
    probs = (output.mask_probs * (labels >= 0)[:, None]).flatten(2)
    if output.targets is not None and output.counted is not None:
        assignment, counted = output.targets, output.counted
        present = assignment >= 0
        chosen = (labels.flatten(1)[:, None] == assignment[:, :, None] + 1).to(probs.dtype)
        ious = 1 - soft_iou(probs, chosen)
    else:
        most = int(num_targets.max())
        numbers = torch.arange(1, most + 1, device=labels.device)
        masks = (labels.flatten(1)[:, None] == numbers[None, :, None]).to(probs.dtype)
        costs = soft_iou_costs(probs, masks)
        assignment = hungarian(costs, num_targets)
        present, _ = first_steps(num_targets, probs.shape[1])
        _, counted = first_steps(num_targets + 1, probs.shape[1])
        ious = 1 - costs.gather(2, assignment.clamp(min=0)[:, :, None])[:, :, 0] if most else probs.sum(-1)
    matched = (assignment >= 0).to(probs.dtype)
    confidence = stop_loss(output.confidence_logits, present, counted)
    negative_ious = -(ious * matched).sum(dim=1)
    if weights.reduction == "mean":
        negative_ious = negative_ious / matched.sum(dim=1).clamp(min=1)
        confidence = confidence / counted.sum(dim=1).clamp(min=1)
    terms = {"mask": weights.mask * negative_ious.mean(), "confidence": weights.confidence * confidence.mean()}
    if weights.maps and output.maps is not None:
        costs_of_maps = coarse_map_losses(output.maps, labels)
        terms |= {name: weights.maps * cost for name, cost in costs_of_maps.items()}
    return terms


def training_terms(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, "batch height width"],
    classes: Int[Tensor, "batch instances"],
    weights: RISObjectiveConfig,
    num_objects: int | None,
    generator: torch.Generator,
) -> dict[str, Float[Tensor, ""]]:
    """The terms of the loss of one batch, from images and truth.

    Args:
        network: a `RIS`.
        images: values in 0..1.
        labels: 0 background, 1..N, negative to ignore.
        classes: of every object, from 1, which RIS does not tell apart; 0 pads.
        weights: of the terms.
        num_objects: the curriculum's number of steps, or None for two more than there are objects (Sec. 3.3); not used where a teacher leads
            the gaze.
        generator: source of chance.
    """
    assert isinstance(network, RIS)
    num_targets = (classes > 0).sum(dim=1)
    if network.config.extensions.gaze:
        output = network.follow(images, labels, generator)
    else:
        num_steps = int(num_targets.max()) + 2
        output = network(images, min(num_steps, num_objects or num_steps))
    return objective(output, labels, num_targets, weights)


def _make_fcn(config: RISConfig) -> tuple[nn.Module, nn.Module]:
    """The network that makes B, without and with its last layer: the part that a first stage of the training keeps fixed, and the rest."""
    if config.fcn == "leaf":
        if config.encoder_weights is not None:
            raise ConfigError("encoder_weights: the leaf network is learned from scratch (fcn = leaf)")
        leaf = LeafNetwork(config.input_channels, config.channels, config.stride, config.subsampling)
        return leaf, nn.Identity()
    if config.fcn == "fcn8s":
        if config.input_channels == 1:
            raise ConfigError("input_channels: FCN-8s takes 3 or 4 channels, got 1")
        trunk = VGG16(config.input_channels, config.encoder_weights, config.fc_channels)
        return trunk, FCN8sScores(trunk.widths, config.channels)
    if config.finest_level >= config.encoder_depth:
        raise ConfigError(f"finest_level: {config.finest_level} needs an encoder_depth above {config.encoder_depth}")
    encoder = Encoder(config.encoder, config.input_channels, config.encoder_depth, config.encoder_weights)
    return encoder, FinestLevel(encoder.widths[: config.encoder_depth - config.finest_level], config.channels)


def _initialise(convlstm: ConvLSTM) -> None:
    """Sec. 4.1: uniform in -0.08..0.08, the bias of the forget gate 1."""
    for parameter in convlstm.parameters():
        nn.init.uniform_(parameter, -INITIAL_RANGE, INITIAL_RANGE)
    bias = convlstm.bias if convlstm.constant is None else convlstm.constant.bias
    assert bias is not None
    with torch.no_grad():
        bias[convlstm.hidden_channels : 2 * convlstm.hidden_channels] = 1.0
