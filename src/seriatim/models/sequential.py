"""The loop of a sequential model, once: `encode`, then `step` until every image has ended. RSIS and RIS run it in training, use and analysis.

`encode(images)` computes what stays the same over the steps. `step(memory, state)` emits one object of every image. State is passed and returned.
An image whose sequence has ended leaves the batch.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn

from seriatim.core.batch import Prompts, select_images
from seriatim.core.errors import ConfigError
from seriatim.core.instances import Instance
from seriatim.models.guidance import DenseMaps, GuidanceConfig, cells_at, predicted_diameters
from seriatim.models.guidance_training import lead
from seriatim.models.interface import DiameterEstimator, Found, Model, ModelConfig
from seriatim.models.windows import Window, WindowPlanner, cells_in, corner, cut, in_image, owned, put_back

Fate = Literal["kept", "no seed is left", "score below the threshold", "no pixel in the mask", "mask too small"]
"""What becomes of a step."""


class SequentialConfig(ModelConfig):
    """The settings of a sequential model's sequence."""

    max_steps: int = Field(default=20, ge=1)
    """Steps at most, at test time."""
    stop_threshold: float = Field(default=0.5, ge=0, le=1)
    """A step whose stop probability (RSIS) or confidence (RIS) is below this holds no object."""
    stop_policy: Literal["first", "skip"] = "first"
    """At such a step: end the sequence (papers), or leave the step out and go on (released code of RSIS, Pascal)."""
    min_area_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Masks smaller than this fraction of the image are dropped; the papers drop none, the released evaluation of RSIS on Pascal 0.001."""
    guidance: GuidanceConfig | None = None
    """Seed guidance, an extension of this project (`models/guidance.py`); None for the paper's model."""


@runtime_checkable
class SequentialOutput(Protocol):
    """What a step emits for every image; a named tuple."""

    @property
    def mask_probs(self) -> Float[Tensor, "batch height width"]:
        """Probability that a pixel belongs to the object."""
        ...

    @property
    def presence_logits(self) -> Float[Tensor, " batch"]:
        """Whether the step holds an object: RSIS's stop signal, RIS's confidence."""
        ...

    @property
    def seed_left(self) -> Float[Tensor, " batch"]:
        """With guidance, what was left at the best seed; 1 without it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceOutput:
    """What guidance adds to the output of a whole sequence.

    Attributes:
        maps: with guidance, the dense maps.
        targets: where a teacher led, the object that each step stands for, from 0; -1 for none.
        counted: where a teacher led, False where a step is left out of the loss.
    """

    maps: DenseMaps | None = None
    targets: Int[Tensor, "batch steps"] | None = None
    counted: Bool[Tensor, "batch steps"] | None = None


SequentialConfigT = TypeVar("SequentialConfigT", bound=SequentialConfig)


class SequentialModel(Model[SequentialConfigT], Generic[SequentialConfigT]):
    """A network that emits one object a step: what it must give, and what follows from that."""

    stages: ClassVar[tuple[str, ...]]
    """Fields of a step's output that show the way from the state to the mask."""

    output: ClassVar[type[SequenceOutput]]
    """Class of the output of a whole sequence: the fields of a step's output, each stacked along a second axis."""

    @abstractmethod
    def encode(self, images: Float[Tensor, "batch channels height width"]) -> Any:
        """What stays the same over the steps: a named tuple with `size` of the images and `guidance`, or None."""

    @abstractmethod
    def dense_maps(self, images: Float[Tensor, "batch channels height width"]) -> DenseMaps | None:
        """What the dense head of the guidance says, without the rest of `encode`; None without guidance."""

    @abstractmethod
    def initial_state(self, memory: Any, batch: int) -> Any:
        """The state before the first step: a named tuple with `occupancy`, or None without guidance."""

    @abstractmethod
    def step(self, memory: Any, state: Any, cell: Int[Tensor, " batch"] | None = None) -> tuple[Any, Any]:
        """One object of every image as a `SequentialOutput`, and the next state; `cell` says where a guided network looks."""

    @abstractmethod
    def found_in(self, output: Any, image: int, step: int) -> Instance | None:
        """The object that a step has emitted for one image, present or not; None if its mask has no pixel."""

    @abstractmethod
    def features_read(self, memory: Any, images: Float[Tensor, "batch channels height width"]) -> Tensor:
        """The features that every step reads, for looking at."""

    def forward(self, images: Float[Tensor, "batch channels height width"], num_steps: int) -> Any:
        """The `output` of a sequence of `num_steps` steps, none left out."""
        return self.unroll(self.encode(images), len(images), num_steps)

    def unroll(self, memory: Any, batch: int, num_steps: int) -> Any:
        """The `output` of `num_steps` steps over the `batch` images of a memory."""
        state = self.initial_state(memory, batch)
        steps = []
        for _ in range(num_steps):
            step, state = self.step(memory, state)
            steps.append(step)
        stacked = [torch.stack(parts, dim=1) for parts in zip(*steps, strict=True)]
        return self.output(*stacked, maps=None if memory.guidance is None else memory.guidance.maps)

    def unroll_led(
        self,
        memory: Any,
        labels: Int[Tensor, "batch height width"],
        generator: torch.Generator,
        settings: GuidanceConfig,
    ) -> Any:
        """The `output` of a sequence that a teacher leads through the objects of a batch.

        Args:
            memory: of the images.
            labels: 0 background, 1..N, negative to ignore.
            generator: the teacher's source of randomness.
            settings: of the guidance.
        """
        led = lead(self, memory, labels, generator, settings.teacher_objects)
        return self.output(*led.steps, maps=memory.guidance.maps, targets=led.targets, counted=led.counted)

    def detect(
        self, images: Float[Tensor, "batch channels height width"], prompts: Sequence[Prompts] | None = None
    ) -> Iterator[Found]:
        """The objects of every image in the order found; with points, the object at each point, whatever its score.

        Args:
            images: values in 0..1.
            prompts: points of every image, for a guided network.

        Raises:
            ConfigError: if there are boxes, or points for a network without guidance.
        """
        if prompts is not None:
            yield from self._detect_at(images, prompts)
            return
        memory = self.encode(images)
        if self.config.guidance is not None and self.config.guidance.window:
            yield from run_windows(self, memory, len(images))
            return
        for step in run_steps(self, memory, len(images)):
            probs = None
            for image, position, instance in step.kept():
                probs = step.output.mask_probs if probs is None else probs
                yield Found(image, instance, probs[position])

    def _detect_at(self, images: Tensor, prompts: Sequence[Prompts]) -> Iterator[Found]:
        if any(len(one.boxes) for one in prompts):
            raise ConfigError("boxes: this model takes none; it finds the objects itself")
        if self.config.guidance is None:
            raise ConfigError("points: this model has no guidance, so it cannot be told where to look")
        for image, one in enumerate(prompts):
            if not len(one.points):
                continue
            memory = self.encode(images[image : image + 1])
            walk = WindowWalk(self, memory, 1)
            for number, cell in enumerate(cells_at(memory.guidance, one.points).tolist()):
                window = walk.planner.around(0, divmod(cell, memory.guidance.seed_probs.shape[-1]))
                output = walk.step([window])
                instance = self.found_in(output, 0, number)
                if instance is not None:
                    yield walk.found(window, instance, output.mask_probs[0], number)._replace(image=image)

    def parameter_groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """`decoder`, and `encoder`: the part of that name, which learns more slowly in the papers' recipes or is frozen at first."""
        encoder = {id(parameter) for parameter in cast(nn.Module, self.encoder).parameters()}
        parts: dict[str, list[nn.Parameter]] = {"decoder": [], "encoder": []}
        for parameter in self.parameters():
            parts["encoder" if id(parameter) in encoder else "decoder"].append(parameter)
        return parts

    @property
    def diameter_estimator(self) -> DiameterEstimator | None:
        """With guidance, the diameters that its dense maps give."""
        return None if self.config.guidance is None else self._estimate_diameters

    def _estimate_diameters(self, images: Tensor) -> np.ndarray:
        maps = self.dense_maps(images)
        assert maps is not None, "only a guided network is asked"
        return predicted_diameters(maps, (images.shape[-2], images.shape[-1]))


class Decision(NamedTuple):
    """What one step of one image gives, why, and whether its sequence ends here."""

    instance: Instance | None
    fate: Fate
    ended: bool = False


def decide(network: SequentialModel[Any], output: SequentialOutput, image: int, step: int, num_pixels: int) -> Decision:
    """What one step of one image gives.

    Args:
        network: that emitted it.
        output: of the step.
        image: number of the image in the batch.
        step: number of the step, from 0.
        num_pixels: of the image.
    """
    config = network.config
    if config.guidance is not None and float(output.seed_left[image]) < config.guidance.seed_threshold:
        return Decision(None, "no seed is left", ended=True)
    if float(output.presence_logits[image].sigmoid()) < config.stop_threshold:
        return Decision(None, "score below the threshold", ended=config.stop_policy == "first")
    instance = network.found_in(output, image, step)
    if instance is None:
        return Decision(None, "no pixel in the mask")
    if instance.area < config.min_area_fraction * num_pixels:
        return Decision(None, "mask too small")
    return Decision(instance, "kept")


class Step(NamedTuple):
    """One step of the images that still go on.

    Attributes:
        images: numbers of these images in the batch.
        output: of the step, an entry for each of `images`.
        state: after the step.
        decisions: for each of `images`.
    """

    images: list[int]
    output: Any
    state: Any
    decisions: list[Decision]

    def kept(self) -> Iterator[tuple[int, int, Instance]]:
        """Of every object kept: number of the image in the batch, position in `images`, and the object."""
        for position, (image, decision) in enumerate(zip(self.images, self.decisions, strict=True)):
            if decision.instance is not None:
                yield image, position, decision.instance


def run_steps(network: SequentialModel[Any], memory: Any, batch: int, max_steps: int | None = None) -> Iterator[Step]:
    """The steps of a sequence, until every image has ended.

    Args:
        network: sequential.
        memory: of the images.
        batch: number of images.
        max_steps: steps at most; None takes the network's setting.
    """
    state = network.initial_state(memory, batch)
    images, num_pixels = list(range(batch)), memory.size[0] * memory.size[1]
    for number in range(network.config.max_steps if max_steps is None else max_steps):
        output, state = network.step(memory, state)
        decisions = [decide(network, output, position, number, num_pixels) for position in range(len(images))]
        yield Step(images, output, state, decisions)
        staying = [position for position, decision in enumerate(decisions) if not decision.ended]
        if not staying:
            return
        if len(staying) < len(images):
            chosen = torch.tensor(staying, device=output.seed_left.device)
            memory, state = select_images(memory, chosen), select_images(state, chosen)
            images = [images[position] for position in staying]


class WindowWalk:
    """The steps of a guided network in windows: its memory, and the state that they write."""

    def __init__(self, network: SequentialModel[Any], memory: Any, batch: int) -> None:
        """
        Args:
            network: guided.
            memory: of the images.
            batch: number of images.
        """
        settings = network.config.guidance
        assert settings is not None, "only a guided network knows where to look"
        self.network, self.memory, self.settings = network, memory, settings
        self.planner = WindowPlanner(memory.guidance, settings, memory.size)
        self.state = owned(network.initial_state(memory, batch))

    def seeds_left(self) -> Float[np.ndarray, "batch height width"]:
        """What is left at every cell: seed (1 - occupancy)."""
        return (self.memory.guidance.seed_probs * (1 - self.state.occupancy)).detach().float().cpu().numpy()

    def step(self, windows: Sequence[Window]) -> Any:
        """One step of the network in windows of one size that share no cell: its output for them.

        Args:
            windows: of any images.
        """
        grid, finest = self.planner.grids[0], self.planner.grids[-1]
        cells = torch.tensor(cells_in(windows, grid, finest), device=self.state.occupancy.device)
        output, part = self.network.step(cut(self.memory, windows, grid), cut(self.state, windows, grid), cells)
        put_back(self.state, part, windows, grid)
        return output

    def found(self, window: Window, instance: Instance, probs: Tensor, step: int) -> Found:
        """An object of a window in its image."""
        grid, size = self.planner.grids[0], self.memory.size
        y, x = corner(window, grid, size)
        y0, x0, y1, x1 = instance.box
        moved = replace(instance, box=(y0 + y, x0 + x, y1 + y, x1 + x), step=step)
        return Found(window.image, moved, in_image(probs[None], [window], grid, size, 0.0)[0])


def run_windows(network: SequentialModel[Any], memory: Any, batch: int) -> Iterator[Found]:
    """The objects of a guided network whose steps read and write windows, each image's in the order of its steps.

    In every round each image gives the windows around its best seeds that share no cell. An image ends as in `run_steps`.

    Args:
        network: guided.
        memory: of the images.
        batch: number of images.
    """
    walk, config = WindowWalk(network, memory, batch), network.config
    num_steps, num_pixels = dict.fromkeys(range(batch), 0), memory.size[0] * memory.size[1]
    while num_steps:
        left, windows = walk.seeds_left(), list[Window]()
        for image in list(num_steps):
            chosen = walk.planner.choose(left[image], image, config.max_steps - num_steps[image])
            windows += chosen
            if not chosen:
                del num_steps[image]
        steps: dict[Window, tuple[Decision, Tensor]] = {}
        for size in dict.fromkeys(window.size for window in windows):
            group = [window for window in windows if window.size == size]
            output = walk.step(group)
            probs = output.mask_probs
            for position, window in enumerate(group):
                steps[window] = decide(network, output, position, num_steps[window.image], num_pixels), probs[position]
        for window in windows:
            image = window.image
            if image not in num_steps:
                continue  # its sequence has ended at a better place of this round
            decision, probs = steps[window]
            if decision.instance is not None:
                yield walk.found(window, decision.instance, probs, num_steps[image])
            num_steps[image] += 1
            if decision.ended or num_steps[image] >= config.max_steps:
                del num_steps[image]
