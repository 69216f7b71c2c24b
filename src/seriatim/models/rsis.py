"""RSIS: Salvador et al., "Recurrent Neural Networks for Semantic Instance Segmentation" (arXiv:1712.00617).

Original here: the code. Weights: trained by this project's recipes (`zoo/`), or ImageNet's for the encoder, from hub or file.

    eq. 1, 2   h_{i,t} = ConvLSTM_i([B2(h_{i-1,t}) | S_i]),  h_{0,t} = ConvLSTM_0(S_0)      `RSIS.step`
    eq. 3, 4   segmentation loss: soft IoU of the pairs of the Hungarian assignment           `objective`
    eq. 5, 6   classification and stop loss                                                    `objective`

Everything that is the same at every step (the encoder, the projections S_i and their share of every gate) is computed in `encode`.
Where the released code differs, its behaviour is an option of `RSISConfig`. What is not in the paper: `RSISExtensions` and the optional guidance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seriatim.core.batch import Batch
from seriatim.core.config import Config
from seriatim.core.errors import ConfigError, ShapeError
from seriatim.core.instances import Instance
from seriatim.losses.matching import MatchedSteps, match_steps, reduce_steps, steps_of_targets
from seriatim.losses.stopping import stop_costs
from seriatim.models import guidance, sequential
from seriatim.models.guidance_training import dense_losses
from seriatim.models.interface import TrainingContext
from seriatim.nn.convlstm import ConvLSTM, ConvLSTMState
from seriatim.nn.encoders import Encoder, TopDownPathway, VGGLevels


class RSISExtensions(Config):
    """What the paper does not have; all off by default."""

    pyramid_channels: int = Field(default=0, ge=0)
    """Channels of a top-down pathway over the encoder's features; 0 for none (the paper)."""
    coordinates: bool = False
    """Give the position (y, x, in -1..1) of every cell as two more constant features."""
    class_from_mask: bool = False
    """Tell the class also from the features of the top-down pathway, averaged over the step's mask at every level."""


class RSISConfig(sequential.SequentialConfig):
    """Everything that fixes an RSIS network."""

    encoder: str = "resnet101"
    """A timm model with a feature pyramid. Sec. 3.1: resnet101; the ablations: vgg16, resnet50."""
    encoder_weights: str | None = None
    """"hub", the path of a state dict, or nothing. Sec. 3.1: ImageNet."""
    encoder_depth: int = Field(default=5, ge=1, le=5)
    """Levels of the encoder that are used, from the shallowest."""
    vgg_levels: VGGLevels = "blocks"
    """Of a VGG: the outputs of the five blocks before their poolings (Sec. 3.1), or the five poolings (released code)."""
    width: int = Field(default=128, ge=8)
    """D of Sec. 3.2: 128 for Pascal VOC and Cityscapes, 64 for CVPPP."""
    widths: Literal["paper", "release"] = "paper"
    """Widths of the ConvLSTMs: D, D, D/2, D/4, D/8 (paper) or D, D/2, D/4, D/8, D/16 (released code)."""
    levels: int = Field(default=5, ge=1, le=5)
    """Number of ConvLSTMs, from the deepest level up (Table 5: 1 to 5)."""
    skip_mode: Literal["concat", "sum", "mult", "none"] = "concat"
    """How S_i joins the upsampled hidden state (Table 5)."""
    skip_batch_norm: bool = False
    """Batch norm behind the projection that makes S_i (released code)."""
    num_classes: int = Field(default=1, ge=1)
    """Classes of objects, C."""
    extensions: RSISExtensions = RSISExtensions()


class RSISObjectiveConfig(Config):
    """Weights of the terms of the loss."""

    mask: float = Field(default=1.0, ge=0)
    """Weight of L_m."""
    classification: float = Field(default=0.0, ge=0)
    """lambda of Sec. 4.2: 0 at first, then 0.1."""
    stop: float = Field(default=0.0, ge=0)
    """gamma of Sec. 4.2: 0 at first, then 0.5 (VOC), 0.1 (CVPPP), 1.0 (Cityscapes)."""
    maps: float = Field(default=0.0, ge=0)
    """Weight of the dense maps of the guidance."""
    reduction: Literal["sum", "mean"] = "sum"
    """Over the matched pairs and steps of an image: the paper sums, the released code takes means."""


class Memory(NamedTuple):
    """What stays the same over the steps; levels from the deepest to the finest.

    Attributes:
        size: (height, width) of the images.
        level_sizes: (height, width) of the levels.
        skips: S_i of each level where it is multiplied at every step, else None.
        constant_gates: what the constant input adds to the gates of each ConvLSTM.
        guidance: of the guidance, or None.
        features: of each level, for `class_from_mask`; else empty.
    """

    size: tuple[int, int]
    level_sizes: list[tuple[int, int]]
    skips: list[Tensor | None]
    constant_gates: list[Tensor]
    guidance: guidance.GuidanceMemory | None
    features: list[Tensor]


class State(NamedTuple):
    """What a step hands to the next: a ConvLSTM state a level, and with guidance what has been taken."""

    cells: list[ConvLSTMState]
    occupancy: Float[Tensor, "batch height width"] | None


class StepOutput(NamedTuple):
    """One emitted instance of every image; `seed_left` is what guidance had left at the best seed, 1 without it."""

    mask_logits: Float[Tensor, "batch height width"]
    class_logits: Float[Tensor, "batch classes"]
    stop_logits: Float[Tensor, " batch"]
    seed_left: Float[Tensor, " batch"]

    @property
    def mask_probs(self) -> Float[Tensor, "batch height width"]:
        """Probability that a pixel belongs to the instance."""
        return self.mask_logits.sigmoid()

    @property
    def presence_logits(self) -> Float[Tensor, " batch"]:
        """Whether the step holds an instance: the stop signal."""
        return self.stop_logits


@dataclass(frozen=True, slots=True)
class RSISOutput(sequential.SequenceOutput):
    """Raw output of a whole sequence."""

    mask_logits: Float[Tensor, "batch steps height width"]
    class_logits: Float[Tensor, "batch steps classes"]
    stop_logits: Float[Tensor, "batch steps"]
    seed_left: Float[Tensor, "batch steps"]


class RSIS(sequential.SequentialModel[RSISConfig]):
    """The network of Fig. 2."""

    stages = ("mask_logits",)
    output = RSISOutput

    def __init__(self, config: RSISConfig) -> None:
        """
        Args:
            config: see `RSISConfig`.

        Raises:
            ConfigError: if the settings contradict each other.
        """
        super().__init__()
        self.config = config
        extensions, guided = config.extensions, config.guidance is not None
        if config.levels > config.encoder_depth:
            raise ConfigError(
                f"levels: {config.levels} ConvLSTMs need as many encoder levels, encoder_depth is {config.encoder_depth}"
            )
        for name, is_on in (("guidance", guided), ("extensions.class_from_mask", extensions.class_from_mask)):
            if is_on and not extensions.pyramid_channels:
                raise ConfigError(f"{name}: needs extensions.pyramid_channels above 0")
        self.encoder = Encoder(
            config.encoder, config.input_channels, config.encoder_depth, config.encoder_weights, config.vgg_levels
        )
        sources = self.encoder.widths[: config.levels]
        self.pathway = None
        if extensions.pyramid_channels:
            self.pathway = TopDownPathway(self.encoder.widths, extensions.pyramid_channels)
            sources = [extensions.pyramid_channels] * config.levels
        self.dense_head = guidance.DenseHead(extensions.pyramid_channels) if guided else None
        constant = guidance.NUM_MAPS * guided + 2 * extensions.coordinates
        hidden = _hidden_widths(config)
        joined = [hidden[0], *hidden[:-1]]
        self.projections = nn.ModuleList()
        self.convlstms = nn.ModuleList()
        guides = guidance.NUM_CHANNELS * guided
        for level in range(config.levels):
            used = level == 0 or config.skip_mode != "none"
            self.projections.append(
                _projection(sources[level] + constant, joined[level], config.skip_batch_norm) if used else nn.Identity()
            )
            concatenated = joined[level] if level == 0 or config.skip_mode == "concat" else 0
            changing = 0 if level == 0 else hidden[level - 1]
            self.convlstms.append(ConvLSTM(changing + guides, concatenated, hidden[level]))
        self.mask_head: nn.Module = nn.Conv2d(hidden[-1], 1, 1)
        if guided:
            self.mask_head = nn.Sequential(
                nn.Conv2d(hidden[-1] + guides, 16, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(16, 1, 1)
            )
        seen_in_mask = config.levels * extensions.pyramid_channels if extensions.class_from_mask else 0
        self.class_head = nn.Linear(sum(hidden) + seen_in_mask, config.num_classes)
        self.stop_head = nn.Linear(sum(hidden) + guided, 1)

    def encode(self, images: Float[Tensor, "batch channels height width"]) -> Memory:
        """Everything that is the same at every step.

        Args:
            images: values in 0..1, of any size of at least 1 pixel.

        Raises:
            ShapeError: if the number of channels is not the configured one.
        """
        size = (images.shape[-2], images.shape[-1])
        features, maps = self._features_and_maps(images)
        for_class = features[: self.config.levels] if self.config.extensions.class_from_mask else []
        if maps is not None:
            seen = maps.as_features().to(features[-1].dtype)
            features = [torch.cat((level, _resize(seen, level.shape[-2:])), dim=1) for level in features]
        features = features[: self.config.levels]
        if self.config.extensions.coordinates:
            features = [torch.cat((level, _coordinates(level)), dim=1) for level in features]
        level_sizes = [(level.shape[-2], level.shape[-1]) for level in features]
        skips = [
            None if isinstance(projection, nn.Identity) else projection(feature)
            for projection, feature in zip(self.projections, features, strict=True)
        ]
        multiplies = self.config.skip_mode == "mult"
        gates = [
            convlstm.constant_gates(None if multiplies and level else skip)  # pyright: ignore[reportCallIssue]
            for level, (convlstm, skip) in enumerate(zip(self.convlstms, skips, strict=True))
        ]
        guide = None if maps is None else guidance.prepare(maps, level_sizes, size)
        kept: list[Tensor | None] = skips if multiplies else [None] * len(skips)
        return Memory(size, level_sizes, kept, gates, guide, for_class)

    def dense_maps(self, images: Float[Tensor, "batch channels height width"]) -> guidance.DenseMaps | None:
        """What the dense head says, without the rest of `encode`; None without guidance."""
        return self._features_and_maps(images)[1]

    def _features_and_maps(self, images: Tensor) -> tuple[list[Tensor], guidance.DenseMaps | None]:
        if images.shape[1] != self.config.input_channels:
            raise ShapeError(f"images: expected {self.config.input_channels} channels, got {images.shape[1]}")
        features = self.encoder(images.contiguous(memory_format=torch.channels_last))
        if self.pathway is not None:
            features = self.pathway(features)
        return features, None if self.dense_head is None else self.dense_head(features[-1])

    def initial_state(self, memory: Memory, batch: int) -> State:
        """Zeros: nothing seen, nothing taken."""
        like = memory.constant_gates[0]
        cells = [
            convlstm.initial_state(batch, height, width, like)  # pyright: ignore[reportCallIssue]
            for convlstm, (height, width) in zip(self.convlstms, memory.level_sizes, strict=True)
        ]
        return State(cells, None if memory.guidance is None else torch.zeros_like(memory.guidance.seed_probs))

    def step(self, memory: Memory, state: State, cell: Int[Tensor, " batch"] | None = None) -> tuple[StepOutput, State]:
        """One instance: eq. 2, then eq. 1 level by level, then the heads.

        Args:
            memory: of `encode`.
            state: of `initial_state` or of the step before.
            cell: with guidance, where to look, as a flat index of the finest level; None lets the network look by itself.
        """
        look = guidance.look(memory.guidance, state.occupancy, cell)
        cells: list[ConvLSTMState] = []
        for level, convlstm in enumerate(self.convlstms):
            changing = None
            if level:
                changing = _resize(cells[-1].hidden, memory.level_sizes[level])
                skip = memory.skips[level]
                changing = changing if skip is None else changing * skip
            if look is not None:
                changing = look.join(changing, level, state.cells[level].hidden.dtype)
            cells.append(convlstm(changing, memory.constant_gates[level], state.cells[level]))
        hidden = cells[-1].hidden
        coarse_mask = self.mask_head(hidden if look is None else look.join(hidden, -1, hidden.dtype))
        pooled = torch.cat([level.hidden.amax(dim=(2, 3)) for level in cells], dim=1)
        class_logits = self.class_head(torch.cat([pooled, *_averages(memory.features, coarse_mask)], dim=1))
        if look is not None:
            pooled = torch.cat((pooled, look.seed_left[:, None].detach().to(pooled.dtype)), dim=1)
        stop_logits = _full_precision(self.stop_head(pooled)[:, 0])
        occupancy = None if look is None else look.occupied_after(coarse_mask[:, 0], stop_logits)
        mask_logits = _resize(_full_precision(coarse_mask), memory.size)[:, 0]
        seed_left = torch.ones_like(stop_logits, dtype=torch.float32) if look is None else look.seed_left
        return StepOutput(mask_logits, _full_precision(class_logits), stop_logits, seed_left), State(cells, occupancy)

    def losses(
        self, batch: Batch, weights: RSISObjectiveConfig, context: TrainingContext
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms of the loss of one batch.

        Args:
            batch: images and truth.
            weights: of the terms.
            context: the curriculum's number of objects k (with the stop loss the sequence has one step more, which is matched to nothing), not used
                with guidance, whose teacher leads through all; and randomness.
        """
        num_steps = None
        if self.config.guidance is not None:
            memory = self.encode(batch.images)
            output = self.unroll_led(memory, batch.labels, context.generator, self.config.guidance)
        else:
            most = max(int((batch.classes > 0).sum(dim=1).max()), 1)
            num_steps = min(most, self.config.max_steps, context.num_objects or most)
            output = self(batch.images, num_steps + 1 if weights.stop else num_steps)
        return objective(output, batch.labels, batch.classes, weights, num_steps)

    def features_read(self, memory: Memory, images: Tensor) -> Tensor:
        """Those of the finest level before they are projected; computed again, since `Memory` holds them behind the gates' convolution."""
        levels = self.encoder(images.contiguous(memory_format=torch.channels_last))
        return (levels if self.pathway is None else self.pathway(levels))[self.config.levels - 1]

    def found_in(self, output: StepOutput, image: int, step: int) -> Instance | None:
        """The instance that a step has emitted; its score is the stop probability times that of its class."""
        limit = math.log(self.config.mask_threshold / (1 - self.config.mask_threshold))
        mask = (output.mask_logits[image] >= limit).cpu().numpy()
        probs = output.class_logits[image].softmax(dim=0).cpu().numpy()
        best = int(probs.argmax())
        score = float(output.stop_logits[image].sigmoid()) * float(probs[best])
        return Instance.from_mask(mask, score=score, class_id=best + 1, class_probs=probs, step=step)


def objective(
    output: RSISOutput,
    labels: Int[Tensor, "batch height width"],
    classes: Int[Tensor, "batch instances"],
    weights: RSISObjectiveConfig,
    max_matched: int | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """The weighted terms of the loss, L_t = L_m + lambda L_c + gamma L_s, each a mean over the images.

    A step behind the last that is matched says whether the image holds a further object, and nothing else.

    Args:
        output: of a whole sequence.
        labels: 0 background, 1..N, negative to ignore.
        classes: of every object, from 1; 0 where an image has fewer objects than the batch's most.
        weights: of the terms.
        max_matched: steps that are matched at most, from the first; None for all.
    """
    probs = output.mask_logits.sigmoid()
    steps = (
        match_steps(probs, labels, (classes > 0).sum(dim=1), steps_after=1, max_matched=max_matched)
        if output.targets is None or output.counted is None
        else steps_of_targets(probs, labels, output.targets, output.counted)
    )
    terms = {"mask": weights.mask * reduce_steps(steps.costs, steps.matched, weights.reduction)}
    if weights.classification:
        costs = _class_costs(output.class_logits, classes, steps)
        terms["classification"] = weights.classification * reduce_steps(costs, steps.matched, weights.reduction)
    if weights.stop:
        costs = stop_costs(output.stop_logits, steps.present)
        terms["stop"] = weights.stop * reduce_steps(costs, steps.counted, weights.reduction)
    if weights.maps and output.maps is not None:
        terms |= {name: weights.maps * cost for name, cost in dense_losses(output.maps, labels).items()}
    return terms


def _class_costs(
    class_logits: Float[Tensor, "batch steps classes"], classes: Int[Tensor, "batch instances"], steps: MatchedSteps
) -> Float[Tensor, "batch steps"]:
    """Eq. 5: the cross entropy of each step with the class of its object; without meaning where it has none."""
    wanted = classes.gather(1, steps.targets.clamp(min=0)) - 1 if classes.shape[1] else steps.targets
    costs = F.cross_entropy(class_logits.flatten(0, 1), wanted.clamp(min=0).flatten(), reduction="none")
    return costs.view_as(steps.costs)


def _hidden_widths(config: RSISConfig) -> list[int]:
    width = config.width
    shrunk = [width, width, width // 2, width // 4, width // 8]
    if config.widths == "release":
        shrunk = [width, width // 2, width // 4, width // 8, width // 16]
    return [max(one, 1) for one in shrunk[: config.levels]]


def _projection(in_channels: int, out_channels: int, batch_norm: bool) -> nn.Module:
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels)) if batch_norm else convolution


def _averages(features: Sequence[Tensor], mask_logits: Tensor) -> list[Tensor]:
    """The mean of each level's features over a mask, through which no gradient passes."""
    mask = mask_logits.detach().float().sigmoid()
    averages = []
    for level in features:
        weights = F.adaptive_avg_pool2d(mask, (level.shape[-2], level.shape[-1])).to(level.dtype)
        averages.append((level * weights).sum(dim=(2, 3)) / weights.sum(dim=(2, 3)).clamp(min=1e-3))
    return averages


def _full_precision(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _resize(features: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    return F.interpolate(
        features[:, None] if features.ndim == 3 else features, size=tuple(size), mode="bilinear", align_corners=False
    )


def _coordinates(level: Tensor) -> Tensor:
    rows, columns = (
        torch.linspace(-1, 1, cells, dtype=level.dtype, device=level.device) if cells > 1 else level.new_zeros(1)
        for cells in level.shape[-2:]
    )
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(level), -1, -1, -1)
