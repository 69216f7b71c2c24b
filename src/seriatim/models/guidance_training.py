"""How seed guidance is trained: the dense loss of its maps, and the teacher that forces the sequence (extension, see `guidance.py`).

Each step gets the network's favourite cell among the objects not yet shown, so no assignment of targets to steps is needed.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from seriatim.core.batch import select_images
from seriatim.models.guidance import OFFSET_UNIT, DenseMaps, GuidanceMemory, choose_cell


class DenseTargets(NamedTuple):
    """The truth for `DenseMaps`, of the same resolution.

    For a pixel p of an object of area a: foreground 1; seed = distance of p to the edge over the largest such distance in the object; offset =
    centroid - p; log2 diameter = log2(sqrt(4 a / pi) / 16). Outside the objects: foreground 0 and seed 0, the rest is not counted.
    """

    foreground: Float[Tensor, "batch height width"]
    seeds: Float[Tensor, "batch height width"]
    offsets: Float[Tensor, "batch 2 height width"]
    log2_diameters: Float[Tensor, "batch height width"]


def dense_targets(labels: Int[Tensor, "batch height width"], stride: tuple[float, float] = (1.0, 1.0)) -> DenseTargets:
    """The truth from label maps.

    Args:
        labels: 0 background, 1..N; negative pixels (to ignore) count as background here.
        stride: height and width of a cell in pixels of the image, so that offsets and diameters are in pixels.
    """
    maps = [_targets_of_one(one, stride) for one in labels.cpu().numpy()]
    return DenseTargets(*(torch.from_numpy(np.stack(parts)).to(labels.device) for parts in zip(*maps, strict=True)))


def _targets_of_one(labels: np.ndarray, stride: tuple[float, float]) -> tuple[np.ndarray, ...]:
    labels = np.maximum(labels, 0)
    padded = np.pad(labels, 1)
    inside = labels > 0
    for neighbour in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        inside &= neighbour == labels
    distances = np.asarray(ndimage.distance_transform_edt(np.pad(inside, 1)))
    depths = distances[1:-1, 1:-1].astype(np.float32) + (labels > 0)
    count = int(labels.max()) + 1
    flat = labels.ravel()
    areas = np.maximum(np.bincount(flat, minlength=count), 1)
    deepest = np.zeros(count, dtype=np.float32)
    np.maximum.at(deepest, flat, depths.ravel())
    deepest[0] = 1.0
    rows, columns = np.indices(labels.shape, dtype=np.float32)
    centre_rows = np.bincount(flat, weights=rows.ravel(), minlength=count) / areas
    centre_columns = np.bincount(flat, weights=columns.ravel(), minlength=count) / areas
    foreground = (labels > 0).astype(np.float32)
    offsets = np.stack(((centre_rows[labels] - rows) * stride[0], (centre_columns[labels] - columns) * stride[1]))
    diameters = np.sqrt(4 * areas * stride[0] * stride[1] / np.pi)
    return (
        foreground,
        (depths / deepest[labels]).astype(np.float32) * foreground,
        (offsets * foreground).astype(np.float32),
        (np.log2(diameters / OFFSET_UNIT)[labels] * foreground).astype(np.float32),
    )


def dense_losses(maps: DenseMaps, labels: Int[Tensor, "batch height width"]) -> dict[str, Float[Tensor, ""]]:
    """Named costs of the maps: means over the cells that are not ignored (offsets and diameters: over those of objects).

    Args:
        maps: the predictions.
        labels: 0 background, 1..N, negative to ignore, at the size of the image or of the maps.
    """
    cells = maps.foreground_logits.shape[-2:]
    coarse = F.interpolate(labels[:, None].float(), size=cells, mode="nearest-exact")[:, 0].long()
    targets = dense_targets(coarse, (labels.shape[1] / cells[0], labels.shape[2] / cells[1]))
    weights = (coarse >= 0).float()
    objects = weights * targets.foreground
    num_cells, num_object_cells = weights.sum().clamp(min=1), objects.sum().clamp(min=1)
    foreground = F.binary_cross_entropy_with_logits(maps.foreground_logits, targets.foreground, reduction="none")
    seed = F.binary_cross_entropy_with_logits(maps.seed_logits, targets.seeds, reduction="none")
    diameters = OFFSET_UNIT * 2**targets.log2_diameters
    offset = F.smooth_l1_loss(
        maps.offsets / diameters[:, None], targets.offsets / diameters[:, None], reduction="none", beta=0.1
    )
    diameter = F.smooth_l1_loss(maps.log2_diameters, targets.log2_diameters, reduction="none", beta=0.25)
    return {
        "foreground": (foreground * weights).sum() / num_cells,
        "seed": (seed * weights).sum() / num_cells,
        "offset": (offset.sum(dim=1) * objects).sum() / num_object_cells,
        "diameter": (diameter * objects).sum() / num_object_cells,
    }


class Teacher:
    """Chooses the cell of every step of a batch and remembers which target each step stands for.

    Among the cells of the remaining objects it takes the one with the best seed, so the order is the network's own. On some steps it lets the
    network choose the cell itself, so that it also sees background and objects that it has already found.
    """

    def __init__(
        self,
        labels: Int[Tensor, "batch height width"],
        generator: torch.Generator,
        max_objects: int,
        free_share: float = 0.15,
        noise: float = 0.2,
    ) -> None:
        """
        Args:
            labels: label maps at the finest level; 0 background, negative to ignore.
            generator: source of all randomness, on the CPU.
            max_objects: objects shown at most; of an image with more, the others count as taken before the first step.
            free_share: probability of a step on which the network looks by itself.
            noise: uniform noise on the seeds, so that the same cell is not always taken.
        """
        self.labels = labels.flatten(1)
        self.shape = labels.shape
        self.generator = generator
        self.free_share = free_share
        self.noise = noise
        present = F.one_hot(self.labels.clamp(min=0), int(self.labels.max().clamp(min=0)) + 1).amax(dim=1).bool()
        present[:, 0] = False
        ranks = torch.rand(present.shape, generator=generator).to(labels.device) * present
        surplus = ranks.argsort(dim=1, descending=True).argsort(dim=1) >= max_objects
        taken = present & surplus
        self.remaining: Bool[Tensor, "batch labels"] = present & ~surplus
        self.taken_before = taken.gather(1, self.labels.clamp(min=0)).view(labels.shape).float()

    @property
    def counts(self) -> Int[Tensor, " batch"]:
        """Objects not yet shown."""
        return self.remaining.sum(dim=1)

    def choose(
        self, memory: GuidanceMemory, occupancy: Tensor, batch: int
    ) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"], Bool[Tensor, " batch"]]:
        """Where to look, which target (from 0) lies there, -1 for none, and whether the step is to be counted.

        Args:
            memory: of the first `batch` images.
            occupancy: of the first `batch` images.
            batch: number of images that still go on.
        """
        labels = self.labels[:batch]
        allowed = self.remaining[:batch].gather(1, labels.clamp(min=0))
        free = torch.rand(batch, generator=self.generator).to(labels.device) < self.free_share
        allowed = allowed & ~free[:, None]
        noise = torch.rand(labels.shape, generator=self.generator).to(labels.device) * self.noise
        seeds = memory.seed_probs[:batch].detach() + noise.view(batch, *self.shape[1:])
        cell, _ = choose_cell(seeds, occupancy, allowed.view(batch, *self.shape[1:]))
        hit = labels.gather(1, cell[:, None])[:, 0]
        rows = torch.arange(batch, device=labels.device)
        held = self.remaining[rows, hit.clamp(min=0)] & (hit > 0)
        self.remaining[rows, hit.clamp(min=0)] = False
        return cell, torch.where(held, hit - 1, -1), hit >= 0


class Led(NamedTuple):
    """A sequence that a teacher forced."""

    steps: list[Tensor]
    """The fields of the steps' outputs, each stacked along a second axis."""
    targets: Int[Tensor, "batch steps"]
    """The object that each step stands for, from 0; -1 for none."""
    counted: Bool[Tensor, "batch steps"]
    """False where a step is left out of the loss."""


def lead(
    network: Any,
    memory: Any,
    labels: Int[Tensor, "batch height width"],
    generator: torch.Generator,
    max_objects: int,
) -> Led:
    """A sequence that a teacher leads through the objects of `labels`.

    An image with n objects gets n + 1 steps. Images leave the batch once they are through, which is fastest when the batch is sorted by the number
    of objects, most first.

    Args:
        network: a guided sequential model, with `initial_state(memory, batch)` and `step(memory, state, cell)`.
        memory: of the batch, with a field `guidance`.
        labels: 0 background, 1..N, negative to ignore.
        generator: the teacher's source of randomness.
        max_objects: objects shown at most.
    """
    finest = F.interpolate(labels[:, None].float(), size=memory.guidance.seed_probs.shape[-2:], mode="nearest-exact")
    teacher = Teacher(finest[:, 0].long(), generator, max_objects)
    num_steps = teacher.counts + 1
    state = network.initial_state(memory, len(labels))._replace(occupancy=teacher.taken_before)
    outputs, targets, counted = [], [], []
    for index in range(int(num_steps.max())):
        going = int((num_steps > index).nonzero().max()) + 1
        memory, state = (select_images(one, slice(going)) for one in (memory, state))
        cell, target, counts = teacher.choose(memory.guidance, state.occupancy, going)
        output, state = network.step(memory, state, cell)
        outputs.append([_pad_batch(part, len(labels)) for part in output])
        targets.append(_pad_batch(target, len(labels), -1))
        counted.append(_pad_batch(counts & (num_steps[:going] > index), len(labels)))
    steps = [torch.stack(parts, dim=1) for parts in zip(*outputs, strict=True)]
    return Led(steps, torch.stack(targets, dim=1), torch.stack(counted, dim=1))


def _pad_batch(values: Tensor, batch: int, fill: int = 0) -> Tensor:
    missing = batch - len(values)
    return values if not missing else torch.cat((values, values.new_full((missing, *values.shape[1:]), fill)))
