"""Who leads the gaze in training (extension `gaze`): at each step the network's favourite cell among the objects not yet shown.

The order stays the network's own, since among the cells of the remaining objects the one with the best seed is taken; sometimes the teacher
lets the network look wherever it likes, so that it also meets background and objects that it has had before, and learns to say no. An image
with very many objects starts in the middle: some of them, drawn by chance, are on the canvas before the first step.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from seriatim.nn.gaze import GazeMemory, choose_gaze


class GazeTeacher:
    """Leads the gaze through the objects of a batch, and remembers which target each step stands for."""

    def __init__(
        self,
        labels: Int[Tensor, "batch height width"],
        generator: torch.Generator,
        most_objects: int,
        freedom: float = 0.15,
        noise: float = 0.2,
    ) -> None:
        """
        Args:
            labels: label maps at the finest level; 0 background, negative to ignore.
            generator: source of chance, on the CPU.
            most_objects: objects shown at the most; of an image with more, the others count as taken before the first step.
            freedom: probability of a step on which the network looks by itself.
            noise: uniform noise on the seeds, so that the teacher does not always take the same cell.
        """
        self.labels = labels.flatten(1)
        self.shape = labels.shape
        self.generator = generator
        self.freedom = freedom
        self.noise = noise
        present = F.one_hot(self.labels.clamp(min=0), int(self.labels.max().clamp(min=0)) + 1).amax(dim=1).bool()
        present[:, 0] = False
        luck = torch.rand(present.shape, generator=generator).to(labels.device) * present
        surplus = luck.argsort(dim=1, descending=True).argsort(dim=1) >= most_objects
        taken = present & surplus
        self.remaining: Bool[Tensor, "batch labels"] = present & ~surplus
        self.taken_before = taken.gather(1, self.labels.clamp(min=0)).view(labels.shape).float()

    @property
    def counts(self) -> Int[Tensor, " batch"]:
        """Objects not yet shown."""
        return self.remaining.sum(dim=1)

    def choose(
        self, memory: GazeMemory, canvas: Tensor, batch: int
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
        """Where to look, which target (from 0) lies there, -1 for none, and whether the step is to be counted.

        Args:
            memory: of the first `batch` images.
            canvas: of the first `batch` images.
            batch: how many images still go on.
        """
        labels = self.labels[:batch]
        allowed = self.remaining[:batch].gather(1, labels.clamp(min=0))
        free = torch.rand(batch, generator=self.generator).to(labels.device) < self.freedom
        allowed = allowed & ~free[:, None]
        noise = torch.rand(labels.shape, generator=self.generator).to(labels.device) * self.noise
        seeds = memory.seed_probs[:batch].detach() + noise.view(batch, *self.shape[1:])
        cell, _ = choose_gaze(seeds, canvas, allowed.view(batch, *self.shape[1:]))
        hit = labels.gather(1, cell[:, None])[:, 0]
        rows = torch.arange(batch, device=labels.device)
        held = self.remaining[rows, hit.clamp(min=0)] & (hit > 0)
        self.remaining[rows, hit.clamp(min=0)] = False
        return cell, torch.where(held, hit - 1, -1), hit >= 0


class Led(NamedTuple):
    """A sequence that a teacher led."""

    steps: list[Tensor]
    """The fields of the steps' outputs, each stacked along a second axis."""
    targets: Int[Tensor, "batch steps"]
    """The object that each step stands for, from 0; -1 for none."""
    counted: Bool[Tensor, "batch steps"]
    """False where a step is to be left out of the loss."""


def lead(
    network: Any,
    memory: Any,
    labels: Int[Tensor, "batch height width"],
    generator: torch.Generator,
    most_objects: int,
) -> Led:
    """A sequence whose gaze a teacher leads through the objects of `labels`.

    An image with n objects gets n + 1 steps; images are left out once they are through, which is fastest when the batch comes sorted by the
    number of objects, most first.

    Args:
        network: a sequential model with the gaze, `initial_state(memory, batch)` and `step(memory, state, cell)`.
        memory: of the batch, with a method `first(count)`, as the state has one.
        labels: 0 background, 1..N, negative to ignore.
        generator: the teacher's source of chance.
        most_objects: that are shown at the most; of the others, the truth is on the canvas from the start.
    """
    finest = F.interpolate(labels[:, None].float(), size=memory.gaze.seed_probs.shape[-2:], mode="nearest-exact")
    teacher = GazeTeacher(finest[:, 0].long(), generator, most_objects)
    num_steps = teacher.counts + 1
    state = network.initial_state(memory, len(labels))._replace(canvas=teacher.taken_before)
    outputs, targets, counted = [], [], []
    for index in range(int(num_steps.max())):
        going = int((num_steps > index).nonzero().max()) + 1
        memory, state = memory.first(going), state.first(going)
        cell, target, counts = teacher.choose(memory.gaze, state.canvas, going)
        output, state = network.step(memory, state, cell)
        outputs.append([_pad_batch(part, len(labels)) for part in output])
        targets.append(_pad_batch(target, len(labels), -1))
        counted.append(_pad_batch(counts & (num_steps[:going] > index), len(labels)))
    steps = [torch.stack(parts, dim=1) for parts in zip(*outputs, strict=True)]
    return Led(steps, torch.stack(targets, dim=1), torch.stack(counted, dim=1))


def _pad_batch(values: Tensor, batch: int, fill: int = 0) -> Tensor:
    missing = batch - len(values)
    return values if not missing else torch.cat((values, values.new_full((missing, *values.shape[1:]), fill)))
