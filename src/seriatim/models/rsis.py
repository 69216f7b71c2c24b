"""RSIS: Salvador et al., "Recurrent Neural Networks for Semantic Instance Segmentation" (arXiv:1712.00617).

Original here: the code. Weights: trained by this project's recipes (`zoo/`), or ImageNet's for the encoder, from hub or file.

    eq. 1, 2   h_{i,t} = ConvLSTM_i([B2(h_{i-1,t}) | S_i]),  h_{0,t} = ConvLSTM_0(S_0)      `RSIS.step`
    eq. 3, 4   segmentation loss: soft IoU of the pairs of the Hungarian assignment           `objective`
    eq. 5, 6   classification and stop loss                                                    `objective`

Everything that is the same at every step (the encoder, the projections S_i and their share of every gate) is computed in `encode`.
Where the released code differs, its behaviour is an option of `RSISConfig`; extensions that are not in the paper are `RSISExtensions`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

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
from seriatim.nn.encoders import Encoder, TopDownPathway
from seriatim.nn.gaze_teacher import lead


class RSISExtensions(Config):
    """What the paper does not have; all off by default."""

    pyramid_channels: int = Field(default=0, ge=0)
    """Channels of a top-down pathway over the encoder's features; 0 for none (the paper)."""
    coordinates: bool = False
    """Give the position (y, x, in -1..1) of every cell as two more constant features."""
    gaze: bool = False
    """Tell every step where to look, from dense maps trained beside it (`nn/gaze.py`)."""
    class_from_mask: bool = False
    """Let the class be told also from the features of the top-down pathway, averaged over the step's mask at every level."""
    teacher_objects: int = Field(default=16, ge=1)
    """With the gaze: objects that a training sequence shows at the most; of the others, the truth is on the canvas from the start."""


class RSISConfig(Config):
    """Everything that fixes an RSIS network."""

    encoder: str = "resnet101"
    """A timm model with a feature pyramid. Sec. 3.1: resnet101; the ablations: vgg16, resnet50."""
    encoder_weights: str | None = None
    """"hub", the path of a state dict, or nothing. Sec. 3.1: ImageNet."""
    encoder_depth: int = Field(default=5, ge=1, le=5)
    """How many levels of the encoder are used, from the shallowest."""
    input_channels: Literal[1, 3, 4] = 3
    """Channels of the image."""
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
    max_steps: int = Field(default=20, ge=1)
    """Steps at the most, at test time."""
    stop_threshold: float = Field(default=0.5, ge=0, le=1)
    """A step whose stop probability is below this holds no object."""
    stop_policy: Literal["first", "skip"] = "first"
    """At such a step: end the sequence (paper), or leave the step out and go on (released code, Pascal)."""
    mask_threshold: float = Field(default=0.5, gt=0, lt=1)
    """A pixel with at least this probability belongs to the mask."""
    min_area_fraction: float = Field(default=0.001, ge=0, lt=1)
    """Masks smaller than this fraction of the image are dropped (released code)."""
    seed_threshold: float = Field(default=0.3, ge=0, le=1)
    """With the gaze: the sequence ends where the best seed that is left is below this."""
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
    """Weight of the dense maps (extension `gaze`)."""
    reduction: Literal["sum", "mean"] = "sum"
    """Over the matched pairs and steps of an image: the paper sums, the released code takes means."""


class Memory(NamedTuple):
    """What stays the same over the steps."""

    size: tuple[int, int]
    level_sizes: list[tuple[int, int]]
    skips: list[Tensor | None]
    constant_gates: list[Tensor]
    gaze: gaze.GazeMemory | None
    features: list[Tensor]

    def first(self, count: int) -> "Memory":
        """Of the first `count` images only."""
        skips = [None if skip is None else skip[:count] for skip in self.skips]
        watched = None if self.gaze is None else self.gaze.first(count)
        gates, features = ([one[:count] for one in parts] for parts in (self.constant_gates, self.features))
        return Memory(self.size, self.level_sizes, skips, gates, watched, features)

    def select(self, images: Int[Tensor, " chosen"]) -> "Memory":
        """Of the images with these numbers only; gates that are the same for all images stay as they are."""
        skips = [None if skip is None else skip[images] for skip in self.skips]
        gates = [one if len(one) == 1 else one[images] for one in self.constant_gates]
        watched = None if self.gaze is None else self.gaze.select(images)
        return Memory(self.size, self.level_sizes, skips, gates, watched, [one[images] for one in self.features])


class State(NamedTuple):
    """What a step hands to the next: a ConvLSTM state a level, and with the gaze what has been taken."""

    cells: list[ConvLSTMState]
    canvas: Float[Tensor, "batch height width"] | None

    def first(self, count: int) -> "State":
        """Of the first `count` images only."""
        cells = [one._replace(hidden=one.hidden[:count], cell=one.cell[:count]) for one in self.cells]
        return State(cells, None if self.canvas is None else self.canvas[:count])

    def select(self, images: Int[Tensor, " chosen"]) -> "State":
        """Of the images with these numbers only."""
        cells = [one._replace(hidden=one.hidden[images], cell=one.cell[images]) for one in self.cells]
        return State(cells, None if self.canvas is None else self.canvas[images])


class StepOutput(NamedTuple):
    """One emitted instance of every image."""

    mask_logits: Float[Tensor, "batch height width"]
    class_logits: Float[Tensor, "batch classes"]
    stop_logits: Float[Tensor, " batch"]
    seed_left: Float[Tensor, " batch"]

    @property
    def mask_probs(self) -> Float[Tensor, "batch height width"]:
        """Probability that a pixel belongs to the instance."""
        return self.mask_logits.sigmoid()


@dataclass(frozen=True, slots=True)
class RSISOutput:
    """Raw output of a whole sequence; `targets` only where a teacher led the gaze."""

    mask_logits: Float[Tensor, "batch steps height width"]
    class_logits: Float[Tensor, "batch steps classes"]
    stop_logits: Float[Tensor, "batch steps"]
    seed_left: Float[Tensor, "batch steps"]
    maps: DenseMaps | None = None
    targets: Int[Tensor, "batch steps"] | None = None
    counted: Bool[Tensor, "batch steps"] | None = None


class RSIS(nn.Module):
    """The network of Fig. 2."""

    def __init__(self, config: RSISConfig) -> None:
        """
        Args:
            config: see `RSISConfig`.

        Raises:
            ConfigError: if the settings contradict each other.
        """
        super().__init__()
        self.config = config
        extensions = config.extensions
        if config.levels > config.encoder_depth:
            raise ConfigError(
                f"levels: {config.levels} ConvLSTMs need as many encoder levels, encoder_depth is {config.encoder_depth}"
            )
        if extensions.gaze and not extensions.pyramid_channels:
            raise ConfigError("extensions.gaze: needs extensions.pyramid_channels above 0")
        if extensions.class_from_mask and not extensions.pyramid_channels:
            raise ConfigError("extensions.class_from_mask: needs extensions.pyramid_channels above 0")
        self.encoder = Encoder(config.encoder, config.input_channels, config.encoder_depth, config.encoder_weights)
        sources = self.encoder.widths[: config.levels]
        self.pathway = None
        self.dense_head = None
        if extensions.pyramid_channels:
            self.pathway = TopDownPathway(self.encoder.widths, extensions.pyramid_channels)
            sources = [extensions.pyramid_channels] * config.levels
        if extensions.gaze:
            self.dense_head = gaze.DenseHead(extensions.pyramid_channels)
            sources = [source + gaze.NUM_MAPS for source in sources]
        sources = [source + 2 * extensions.coordinates for source in sources]
        hidden = _hidden_widths(config)
        joined = [hidden[0], *hidden[:-1]]
        self.projections = nn.ModuleList()
        self.convlstms = nn.ModuleList()
        guides = gaze.NUM_GAZE_CHANNELS if extensions.gaze else 0
        for level in range(config.levels):
            used = level == 0 or config.skip_mode != "none"
            self.projections.append(
                _projection(sources[level], joined[level], config.skip_batch_norm) if used else nn.Identity()
            )
            constant = joined[level] if level == 0 or config.skip_mode == "concat" else 0
            changing = 0 if level == 0 else hidden[level - 1]
            self.convlstms.append(ConvLSTM(changing + guides, constant, hidden[level]))
        self.mask_head: nn.Module = nn.Conv2d(hidden[-1], 1, 1)
        if extensions.gaze:
            self.mask_head = nn.Sequential(
                nn.Conv2d(hidden[-1] + gaze.NUM_GAZE_CHANNELS, 16, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.Conv2d(16, 1, 1),
            )
        seen_in_mask = config.levels * extensions.pyramid_channels if extensions.class_from_mask else 0
        self.class_head = nn.Linear(sum(hidden) + seen_in_mask, config.num_classes)
        self.stop_head = nn.Linear(sum(hidden) + (1 if extensions.gaze else 0), 1)

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
        features = self.encoder(images.contiguous(memory_format=torch.channels_last))
        maps = None
        if self.pathway is not None:
            features = self.pathway(features)
        seen_by_class = features[: self.config.levels] if self.config.extensions.class_from_mask else []
        if self.dense_head is not None:
            maps = self.dense_head(features[-1])
            seen = gaze.DenseHead.as_features(maps).to(features[-1].dtype)
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
        watched = None
        if maps is not None:
            watched = gaze.prepare_gaze(maps, level_sizes, size)
        kept: list[Tensor | None] = skips if multiplies else [None] * len(skips)
        return Memory(size, level_sizes, kept, gates, watched, seen_by_class)

    def initial_state(self, memory: Memory, batch: int) -> State:
        """Zeros: nothing seen, nothing taken."""
        like = memory.constant_gates[0]
        cells = [
            convlstm.initial_state(batch, height, width, like)  # pyright: ignore[reportCallIssue]
            for convlstm, (height, width) in zip(self.convlstms, memory.level_sizes, strict=True)
        ]
        canvas = None if memory.gaze is None else torch.zeros_like(memory.gaze.seed_probs)
        return State(cells, canvas)

    def step(self, memory: Memory, state: State, cell: Int[Tensor, " batch"] | None = None) -> tuple[StepOutput, State]:
        """One instance: eq. 2, then eq. 1 level by level, then the heads.

        Args:
            memory: of `encode`.
            state: of `initial_state` or of the step before.
            cell: where to look, as a flat index of the finest level; None lets the network look by itself.
        """
        seed_left = memory.constant_gates[0].new_ones(len(state.cells[0].hidden), dtype=torch.float32)
        if memory.gaze is not None:
            assert state.canvas is not None
            cell, seed_left = gaze.look(memory.gaze, state.canvas, cell)
        cells: list[ConvLSTMState] = []
        guide = None
        for level, convlstm in enumerate(self.convlstms):
            parts = []
            if level:
                upsampled = _resize(cells[-1].hidden, memory.level_sizes[level])
                skip = memory.skips[level]
                parts.append(upsampled if skip is None else upsampled * skip)
            if memory.gaze is not None and cell is not None and state.canvas is not None:
                guide = gaze.gaze_features(memory.gaze, level, cell, state.canvas)
                parts.append(guide.to(state.cells[level].hidden.dtype))
            changing = torch.cat(parts, dim=1) if len(parts) > 1 else (parts[0] if parts else None)
            cells.append(convlstm(changing, memory.constant_gates[level], state.cells[level]))
        shown = (
            cells[-1].hidden
            if guide is None
            else torch.cat((cells[-1].hidden, guide.to(cells[-1].hidden.dtype)), dim=1)
        )
        coarse_mask = self.mask_head(shown)
        pooled = torch.cat([level.hidden.amax(dim=(2, 3)) for level in cells], dim=1)
        class_logits = self.class_head(torch.cat([pooled, *_averages(memory.features, coarse_mask)], dim=1))
        canvas = state.canvas
        if memory.gaze is not None:
            pooled = torch.cat((pooled, seed_left[:, None].detach().to(pooled.dtype)), dim=1)
        stop_logits = _full_precision(self.stop_head(pooled)[:, 0])
        if canvas is not None and guide is not None:
            canvas = gaze.take(canvas, coarse_mask[:, 0], stop_logits, guide)
        mask_logits = _resize(_full_precision(coarse_mask), memory.size)[:, 0]
        return StepOutput(mask_logits, _full_precision(class_logits), stop_logits, seed_left), State(cells, canvas)

    def forward(self, images: Float[Tensor, "batch channels height width"], num_steps: int) -> RSISOutput:
        """A sequence of `num_steps` steps, none left out."""
        memory = self.encode(images)
        state = self.initial_state(memory, len(images))
        outputs = []
        for _ in range(num_steps):
            output, state = self.step(memory, state)
            outputs.append(output)
        stacked = [torch.stack(parts, dim=1) for parts in zip(*outputs, strict=True)]
        return RSISOutput(*stacked, maps=None if memory.gaze is None else memory.gaze.maps)

    def follow(
        self,
        images: Float[Tensor, "batch channels height width"],
        labels: Int[Tensor, "batch height width"],
        generator: torch.Generator,
    ) -> RSISOutput:
        """A sequence whose gaze a teacher leads through the objects of `labels` (extension `gaze`, training only).

        Args:
            images: values in 0..1.
            labels: 0 background, 1..N, negative to ignore.
            generator: the teacher's source of chance.
        """
        memory = self.encode(images)
        assert memory.gaze is not None
        led = lead(self, memory, labels, generator, self.config.extensions.teacher_objects)
        return RSISOutput(*led.steps, maps=memory.gaze.maps, targets=led.targets, counted=led.counted)


def decode_step(output: StepOutput, index: int, step: int, config: RSISConfig) -> tuple[Instance | None, bool]:
    """What one step of one image of a batch emits, and whether the sequence ends here.

    Args:
        output: of the step.
        index: of the image in the batch.
        step: number of the step, from 0.
        config: the network's, with the thresholds.
    """
    present = float(output.stop_logits[index].sigmoid())
    if float(output.seed_left[index]) < config.seed_threshold:
        return None, True
    if present < config.stop_threshold:
        return None, config.stop_policy == "first"
    limit = math.log(config.mask_threshold / (1 - config.mask_threshold))
    mask = (output.mask_logits[index] >= limit).cpu().numpy()
    probs = output.class_logits[index].softmax(dim=0).cpu().numpy()
    best = int(probs.argmax())
    instance = Instance.from_mask(
        mask, score=present * float(probs[best]), class_id=best + 1, class_probs=probs, step=step
    )
    if instance is None or instance.area < config.min_area_fraction * mask.size:
        return None, False
    return instance, False


def decode(output: RSISOutput, config: RSISConfig) -> list[Instances]:
    """The instances of every image of a batch, in the order found.

    Args:
        output: of a whole sequence.
        config: the network's, with the thresholds.
    """
    batch, num_steps, height, width = output.mask_logits.shape
    steps = [
        StepOutput(
            output.mask_logits[:, step],
            output.class_logits[:, step],
            output.stop_logits[:, step],
            output.seed_left[:, step],
        )
        for step in range(num_steps)
    ]
    return decode_sequence(steps, batch, (height, width), decode_step, config)


def objective(
    output: RSISOutput,
    labels: Int[Tensor, "batch height width"],
    classes: Int[Tensor, "batch instances"],
    weights: RSISObjectiveConfig,
) -> dict[str, Float[Tensor, ""]]:
    """The weighted terms of the loss, L_t = L_m + lambda L_c + gamma L_s, each a mean over the images.

    Args:
        output: of a whole sequence.
        labels: 0 background, 1..N, negative to ignore.
        classes: of every object, from 1; 0 where an image has fewer objects than the batch's most.
        weights: of the terms.
    """
    num_targets = (classes > 0).sum(dim=1)
    probs = (output.mask_logits.sigmoid() * (labels >= 0)[:, None]).flatten(2)
    if output.targets is not None and output.counted is not None:
        assignment = output.targets
        counted = output.counted
        present = assignment >= 0
        chosen = (labels.flatten(1)[:, None] == assignment[:, :, None] + 1).to(probs.dtype)
        mask_costs = soft_iou(probs, chosen)
    else:
        numbers = torch.arange(1, classes.shape[1] + 1, device=labels.device)
        masks = (labels.flatten(1)[:, None] == numbers[None, :, None]).to(probs.dtype)
        costs = soft_iou_costs(probs, masks)
        assignment = hungarian(costs, num_targets)
        present, counted = first_steps(num_targets, probs.shape[1])
        mask_costs = (
            costs.gather(2, assignment.clamp(min=0)[:, :, None])[:, :, 0] if classes.shape[1] else costs.sum(-1)
        )
    matched = (assignment >= 0).to(probs.dtype)
    pairs = matched.sum(dim=1).clamp(min=1) if weights.reduction == "mean" else torch.ones_like(matched[:, 0])
    steps = counted.sum(dim=1).clamp(min=1) if weights.reduction == "mean" else torch.ones_like(matched[:, 0])
    terms = {"mask": weights.mask * ((mask_costs * matched).sum(dim=1) / pairs).mean()}
    if weights.classification:
        wanted = classes.gather(1, assignment.clamp(min=0)) - 1 if classes.shape[1] else assignment
        costs = F.cross_entropy(output.class_logits.flatten(0, 1), wanted.clamp(min=0).flatten(), reduction="none")
        terms["classification"] = (
            weights.classification * ((costs.view_as(matched) * matched).sum(dim=1) / pairs).mean()
        )
    if weights.stop:
        terms["stop"] = weights.stop * (stop_loss(output.stop_logits, present, counted) / steps).mean()
    if weights.maps and output.maps is not None:
        costs_of_maps = coarse_map_losses(output.maps, labels)
        terms |= {name: weights.maps * cost for name, cost in costs_of_maps.items()}
    return terms


def training_terms(
    network: nn.Module,
    images: Float[Tensor, "batch channels height width"],
    labels: Int[Tensor, "batch height width"],
    classes: Int[Tensor, "batch instances"],
    weights: RSISObjectiveConfig,
    num_objects: int | None,
    generator: torch.Generator,
) -> dict[str, Float[Tensor, ""]]:
    """The terms of the loss of one batch, from images and truth.

    Args:
        network: an `RSIS`.
        images: values in 0..1.
        labels: 0 background, 1..N, negative to ignore.
        classes: of every object, from 1; 0 pads.
        weights: of the terms.
        num_objects: the curriculum's number of objects, or None for all; not used where a teacher leads the gaze.
        generator: source of chance.
    """
    assert isinstance(network, RSIS)
    if network.config.extensions.gaze:
        output = network.follow(images, labels, generator)
    else:
        most = max(int((classes > 0).sum(dim=1).max()), 1)
        num_steps = min(most, network.config.max_steps, num_objects or most)
        output = network(images, num_steps + 1 if weights.stop else num_steps)
    return objective(output, labels, classes, weights)


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
