"""RIS: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (ECCV 2016, arXiv:1511.08250).

Original here: the code. Weights: trained by this project's recipes (`zoo/`), or ImageNet's for VGG-16, from hub or file.

    Sec. 3      B = FCN(image), the input x_t of the recurrent stage at every step               `RIS.encode`
    eq. 1       stacked ConvLSTMs: h^1_t = ConvLSTM(B, h^1_{t-1}), h^2_t = ConvLSTM(h^1_t, h^2_{t-1})   `RIS.step`
    Sec. 3.2    mask by spatial inhibition; confidence s_t = sigmoid(linear(max-pool(h_t)))      `RIS.step`
    eq. 2-5     the loss, and Algorithm 1, which is its gradient                                 `objective`
    Sec. 4.1    a step is an object if s_t >= 0.5, a pixel is of it if its probability is        `sequential.decide`

What B adds to the gates of the first ConvLSTM is the same at every step and computed in `encode`. Where the released code differs, its
behaviour is an option of `RISConfig`; so is what Sec. 5 says was tried, `feed_back_masks` and `similarity`. What is not in the paper: the
pyramid as network, and the optional guidance.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seriatim.core.batch import OUTSIDE, Batch
from seriatim.core.config import Config
from seriatim.core.errors import ConfigError, ShapeError
from seriatim.core.instances import Instance
from seriatim.losses.log_likelihood import log_likelihood_costs
from seriatim.losses.matching import match_steps, reduce_steps, steps_of_targets
from seriatim.losses.soft_iou import soft_iou_costs
from seriatim.losses.stopping import stop_costs
from seriatim.models import guidance, sequential
from seriatim.models.guidance_training import dense_losses
from seriatim.models.interface import TrainingContext
from seriatim.nn.convlstm import ConvLSTM, ConvLSTMState
from seriatim.nn.encoders import Encoder
from seriatim.nn.fcn import FC_CHANNELS, VGG16, FCN8sScores, FinestLevel, LeafNetwork
from seriatim.nn.spatial_inhibition import SpatialInhibition

INITIAL_RANGE = 0.08
"""The weights of the recurrent structure are drawn uniformly from -0.08..0.08 (Sec. 4.1)."""


class RISConfig(sequential.SequentialConfig):
    """Everything that fixes a RIS network."""

    fcn: Literal["leaf", "fcn8s", "pyramid"] = "leaf"
    """The fully convolutional network: five convolutions (Sec. 4.3), FCN-8s on VGG-16 (Sec. 4.2), or any timm pyramid."""
    input_channels: Literal[1, 3, 4] = 3
    """Channels of the image; the fourth is the depth (Sec. 3)."""
    channels: int = Field(default=30, ge=4)
    """d: channels of B and of every ConvLSTM: 30 (leaves), 100 (people)."""
    stride: int = Field(default=5, ge=1, le=16)
    """Leaf network: width of a cell of B in pixels."""
    subsampling: Literal["convolution", "bilinear"] = "convolution"
    """Leaf network: its first convolution has the stride, or the image is shrunk before it (released code)."""
    encoder: str = "resnet18"
    """Pyramid: a timm model."""
    encoder_depth: int = Field(default=4, ge=1, le=5)
    """Pyramid: levels of the encoder that are used, from the shallowest."""
    finest_level: int = Field(default=1, ge=0, le=4)
    """Pyramid: the level whose resolution B has, 0 for the shallowest (in a ResNet: stride 2, then 4, 8 ...; in a VGG from 1)."""
    encoder_weights: str | None = None
    """FCN-8s and pyramid: "hub", the path of a state dict, or nothing. Sec. 4.2: ImageNet."""
    fc_channels: int = Field(default=FC_CHANNELS, ge=1)
    """FCN-8s: channels of fc6 and fc7; ImageNet's weights have 4096."""
    depth: int = Field(default=2, ge=1, le=3)
    """Number of stacked ConvLSTMs."""
    kernel_size: Literal[1, 3] = 3
    """Kernel size of the gates: 3 (leaves) or 1 (people)."""
    initial_threshold: float = 1.0
    """b of the spatial inhibition at the start of the training."""
    feed_back_masks: bool = False
    """Give the first ConvLSTM the sum of the masks so far as a further input; Sec. 5: tried, and not better."""


# From here to `objective`, declarations and heads resemble those of rsis.py: each file is complete, so that it reads as its paper.
class RISObjectiveConfig(Config):
    """Weights of the terms of the loss."""

    mask: float = Field(default=1.0, ge=0)
    """Weight of the matched soft IoUs, the first sum of eq. 5."""
    confidence: float = Field(default=1.0, ge=0)
    """lambda of eq. 5; Sec. 4.1: 1."""
    maps: float = Field(default=0.0, ge=0)
    """Weight of the dense maps of the guidance."""
    reduction: Literal["sum", "mean"] = "sum"
    """Over the matched pairs and steps of an image: the paper sums."""
    similarity: Literal["iou", "log_likelihood"] = "iou"
    """f of eq. 3: the IoU (the paper), or the log-likelihood of the mask, a mean over the pixels; Sec. 5: tried, and not better."""


class Memory(NamedTuple):
    """What stays the same over the steps.

    Attributes:
        size: (height, width) of the images.
        grid_size: (height, width) of the cells of B, in pixels; larger than `size` where the last cells reach beyond the images.
        inside: False where a cell lies outside the image of which the batch holds a crop; None if all lie inside.
        features: B.
        constant_gates: what the constant input adds to the gates of each ConvLSTM.
        guidance: of the guidance, or None.
    """

    size: tuple[int, int]
    grid_size: tuple[int, int]
    inside: Bool[Tensor, "batch map_height map_width"] | None
    features: Float[Tensor, "batch channels map_height map_width"]
    constant_gates: list[Tensor]
    guidance: guidance.GuidanceMemory | None


class State(NamedTuple):
    """What a step hands to the next: a state a ConvLSTM, with guidance what has been taken, and with `feed_back_masks` the sum of the masks."""

    cells: list[ConvLSTMState]
    occupancy: Float[Tensor, "batch map_height map_width"] | None
    mask_sum: Float[Tensor, "batch map_height map_width"] | None = None


class StepOutput(NamedTuple):
    """One emitted instance of every image; `response` and `inhibited_logits` are the stages of the spatial inhibition.

    `seed_left` is what guidance had left at the best seed, 1 without it.
    """

    mask_probs: Float[Tensor, "batch height width"]
    confidence_logits: Float[Tensor, " batch"]
    seed_left: Float[Tensor, " batch"]
    response: Float[Tensor, "batch map_height map_width"]
    inhibited_logits: Float[Tensor, "batch map_height map_width"]

    @property
    def presence_logits(self) -> Float[Tensor, " batch"]:
        """Whether the step holds an instance: the confidence."""
        return self.confidence_logits


@dataclass(frozen=True, slots=True)
class RISOutput(sequential.SequenceOutput):
    """Raw output of a whole sequence."""

    mask_probs: Float[Tensor, "batch steps height width"]
    confidence_logits: Float[Tensor, "batch steps"]
    seed_left: Float[Tensor, "batch steps"]
    response: Float[Tensor, "batch steps map_height map_width"]
    inhibited_logits: Float[Tensor, "batch steps map_height map_width"]


class RIS(sequential.SequentialModel[RISConfig]):
    """The network of Fig. 1."""

    stages = ("response", "inhibited_logits")
    output = RISOutput
    size_multiple = 1  # `encode` pads by itself, since what is padded must not compete with the image (Sec. 3.2)

    def __init__(self, config: RISConfig) -> None:
        """
        Args:
            config: see `RISConfig`.

        Raises:
            ConfigError: if the settings contradict each other.
            CheckpointError: if the encoder's weights are not available.
        """
        super().__init__()
        self.config = config
        guided = config.guidance is not None
        self.encoder, self.last, self.cell_size, self.padded_multiple = _make_fcn(config)
        self.dense_head = guidance.DenseHead(config.channels) if guided else None
        guides = guidance.NUM_CHANNELS * guided
        self.convlstms = nn.ModuleList()
        for layer in range(config.depth):
            changing = (config.channels if layer else int(config.feed_back_masks)) + guides
            constant = 0 if layer else config.channels + guidance.NUM_MAPS * guided
            self.convlstms.append(ConvLSTM(changing, constant, config.channels, config.kernel_size))
        for convlstm in self.convlstms:
            _initialise(convlstm)  # pyright: ignore[reportArgumentType]
        self.inhibition = SpatialInhibition(
            config.channels + guides, config.initial_threshold, hidden_channels=16 if guided else 0
        )
        self.confidence = nn.Linear(config.channels + guided, 1)

    def encode(
        self,
        images: Float[Tensor, "batch channels height width"],
        inside: Bool[Tensor, "batch height width"] | None = None,
    ) -> Memory:
        """Everything that is the same at every step.

        The images are padded until the network halves them evenly; cells of B that lie in the padding are left out.

        Args:
            images: values in 0..1, of any size of at least 1 pixel.
            inside: False for pixels outside the image of which `images` is a crop; cells that hold no other are left out of the log-softmax.

        Raises:
            ShapeError: if the number of channels is not the configured one.
        """
        size = (images.shape[-2], images.shape[-1])
        features, maps = self._features_and_maps(images)
        rows, columns = features.shape[-2:]
        grid_size = (rows * self.cell_size, columns * self.cell_size)
        if inside is not None:
            missing = (0, grid_size[1] - size[1], 0, grid_size[0] - size[0])
            inside = F.max_pool2d(F.pad(inside.float(), missing), self.cell_size) > 0
        constant, guide = features, None
        if maps is not None:
            constant = torch.cat((features, maps.as_features().to(features.dtype)), dim=1)
            guide = guidance.prepare(maps, [(rows, columns)], grid_size)
        gates = [
            convlstm.constant_gates(None if layer else constant)  # pyright: ignore[reportCallIssue]
            for layer, convlstm in enumerate(self.convlstms)
        ]
        return Memory(size, grid_size, inside, features, gates, guide)

    def dense_maps(self, images: Float[Tensor, "batch channels height width"]) -> guidance.DenseMaps | None:
        """What the dense head says, without the rest of `encode`; None without guidance."""
        return self._features_and_maps(images)[1]

    def _features_and_maps(self, images: Tensor) -> tuple[Tensor, guidance.DenseMaps | None]:
        if images.shape[1] != self.config.input_channels:
            raise ShapeError(f"images: expected {self.config.input_channels} channels, got {images.shape[1]}")
        padded = _pad(images, self.padded_multiple).contiguous(memory_format=torch.channels_last)
        rows, columns = (-(-extent // self.cell_size) for extent in images.shape[-2:])
        features = self.last(self.encoder(padded))[..., :rows, :columns]
        return features, None if self.dense_head is None else self.dense_head(features)

    def initial_state(self, memory: Memory, batch: int) -> State:
        """Zeros: h_0 and c_0, nothing taken."""
        height, width = memory.features.shape[-2:]
        cells = [
            convlstm.initial_state(batch, height, width, memory.constant_gates[0])  # pyright: ignore[reportCallIssue]
            for convlstm in self.convlstms
        ]
        occupancy = None if memory.guidance is None else torch.zeros_like(memory.guidance.seed_probs)
        mask_sum = cells[0].hidden.new_zeros(batch, height, width) if self.config.feed_back_masks else None
        return State(cells, occupancy, mask_sum)

    def step(self, memory: Memory, state: State, cell: Int[Tensor, " batch"] | None = None) -> tuple[StepOutput, State]:
        """One instance: eq. 1 layer by layer, then r(h_t) of Sec. 3.2.

        Args:
            memory: of `encode`.
            state: of `initial_state` or of the step before.
            cell: with guidance, where to look, as a flat index of B's cells; None lets the network look by itself.
        """
        look = guidance.look(memory.guidance, state.occupancy, cell)
        cells: list[ConvLSTMState] = []
        for layer, convlstm in enumerate(self.convlstms):
            changing = cells[-1].hidden if layer else None
            if state.mask_sum is not None and not layer:
                changing = state.mask_sum[:, None]
            if look is not None:
                changing = look.join(changing, 0, state.cells[layer].hidden.dtype)
            cells.append(convlstm(changing, memory.constant_gates[layer], state.cells[layer]))
        hidden = cells[-1].hidden
        pooled = hidden.amax(dim=(2, 3))
        if look is not None:
            pooled = torch.cat((pooled, look.seed_left[:, None].detach().to(pooled.dtype)), dim=1)
            hidden = look.join(hidden, 0, hidden.dtype)
        confidence_logits = self.confidence(pooled)[:, 0]
        if confidence_logits.dtype != torch.float64:
            confidence_logits = confidence_logits.float()
        inhibition = self.inhibition(hidden, memory.grid_size, memory.inside)
        mask_probs = inhibition.mask_probs[:, : memory.size[0], : memory.size[1]]
        occupancy = None if look is None else look.occupied_after(inhibition.inhibited_logits, confidence_logits)
        seed_left = torch.ones_like(confidence_logits, dtype=torch.float32) if look is None else look.seed_left
        output = StepOutput(mask_probs, confidence_logits, seed_left, inhibition.response, inhibition.inhibited_logits)
        mask_sum = state.mask_sum
        if mask_sum is not None:
            mask_sum = mask_sum + inhibition.inhibited_logits.sigmoid().to(mask_sum.dtype)
        return output, State(cells, occupancy, mask_sum)

    def losses(
        self, batch: Batch, weights: RISObjectiveConfig, context: TrainingContext
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms of the loss of one batch.

        Args:
            batch: images and truth, whose classes RIS does not tell apart.
            weights: of the terms.
            context: the curriculum's number of steps, None for two more than there are objects (Sec. 3.3), not used with guidance, whose teacher
                leads through all objects; and randomness.
        """
        num_targets = (batch.classes > 0).sum(dim=1)
        memory = self.encode(batch.images, batch.labels != OUTSIDE)
        if self.config.guidance is not None:
            output = self.unroll_led(memory, batch.labels, context.generator, self.config.guidance)
        else:
            num_steps = int(num_targets.max()) + 2
            output = self.unroll(memory, len(batch.images), min(num_steps, context.num_objects or num_steps))
        return objective(output, batch.labels, num_targets, weights)

    def features_read(self, memory: Memory, images: Tensor) -> Tensor:
        """B."""
        del images
        return memory.features

    def found_in(self, output: StepOutput, image: int, step: int) -> Instance | None:
        """The instance that a step has emitted; its score is the confidence."""
        mask = (output.mask_probs[image] >= self.config.mask_threshold).cpu().numpy()
        return Instance.from_mask(mask, score=float(output.confidence_logits[image].sigmoid()), class_id=1, step=step)


def objective(
    output: RISOutput,
    labels: Int[Tensor, "batch height width"],
    num_targets: Int[Tensor, " batch"],
    weights: RISObjectiveConfig,
) -> dict[str, Float[Tensor, ""]]:
    """The weighted terms of eq. 5, each a mean over the images; `mask` is the negative sum of the matched IoUs, or log-likelihoods.

    An image with n objects counts its first n + 2 steps. The matching is over its first min(n, steps) steps (Sec. 3.3), and gradients pass
    through the matched pairs alone, as Algorithm 1 has it.

    Args:
        output: of a whole sequence.
        labels: 0 background, 1..N, negative to ignore.
        num_targets: objects of every image.
        weights: of the terms.

    Raises:
        ConfigError: if a teacher led the sequence and the similarity is not the IoU.
    """
    is_iou = weights.similarity == "iou"
    if output.targets is None or output.counted is None:
        costs = soft_iou_costs if is_iou else log_likelihood_costs
        steps = match_steps(output.mask_probs, labels, num_targets, steps_after=2, pair_costs=costs)
    elif is_iou:
        steps = steps_of_targets(output.mask_probs, labels, output.targets, output.counted)
    else:
        raise ConfigError(
            "similarity: with guidance expected iou, got log_likelihood, which is for the Hungarian matching"
        )
    negative_similarities = reduce_steps(steps.costs - float(is_iou), steps.matched, weights.reduction)
    confidence = reduce_steps(stop_costs(output.confidence_logits, steps.present), steps.counted, weights.reduction)
    terms = {"mask": weights.mask * negative_similarities, "confidence": weights.confidence * confidence}
    if weights.maps and output.maps is not None:
        terms |= {name: weights.maps * cost for name, cost in dense_losses(output.maps, labels).items()}
    return terms


def _make_fcn(config: RISConfig) -> tuple[nn.Module, nn.Module, int, int]:
    """The network that makes B: the part that a first stage of the training keeps fixed, the last layer, and two lengths in pixels.

    These are the width of a cell of B, and the multiple of which the sides of an image must be for cells of that width.
    """
    if config.fcn == "leaf":
        if config.encoder_weights is not None:
            raise ConfigError("encoder_weights: the leaf network is learned from scratch (fcn = leaf)")
        leaf = LeafNetwork(config.input_channels, config.channels, config.stride, config.subsampling)
        return leaf, nn.Identity(), config.stride, config.stride
    if config.fcn == "fcn8s":
        if config.input_channels == 1:
            raise ConfigError("input_channels: FCN-8s takes 3 or 4 channels, got 1")
        trunk = VGG16(config.input_channels, config.encoder_weights, config.fc_channels)
        return trunk, FCN8sScores(trunk.widths, config.channels), 8, 32
    if config.finest_level >= config.encoder_depth:
        raise ConfigError(f"finest_level: {config.finest_level} needs an encoder_depth above {config.encoder_depth}")
    encoder = Encoder(config.encoder, config.input_channels, config.encoder_depth, config.encoder_weights)
    last = FinestLevel(encoder.widths[: config.encoder_depth - config.finest_level], config.channels)
    return encoder, last, encoder.strides[-1 - config.finest_level], encoder.strides[0]


def _pad(images: Tensor, multiple: int) -> Tensor:
    """The images continued by reflection on their lower and right edges until their sides are multiples of `multiple`."""
    missing = [-extent % multiple for extent in images.shape[-2:]]
    can_reflect = all(extent > more for extent, more in zip(images.shape[-2:], missing, strict=True))
    return F.pad(images, (0, missing[1], 0, missing[0]), mode="reflect" if can_reflect else "replicate")


def _initialise(convlstm: ConvLSTM) -> None:
    """Sec. 4.1: uniform in -0.08..0.08, the bias of the forget gate 1."""
    for parameter in convlstm.parameters():
        nn.init.uniform_(parameter, -INITIAL_RANGE, INITIAL_RANGE)
    bias = convlstm.bias if convlstm.constant is None else convlstm.constant.bias
    assert bias is not None
    with torch.no_grad():
        bias[convlstm.hidden_channels : 2 * convlstm.hidden_channels] = 1.0
