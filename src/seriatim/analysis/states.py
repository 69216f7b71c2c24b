"""`trace_states`: what a sequential network holds at every step of one image.

Source: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (arXiv:1511.08250), appendix A, Fig. 5 to 7:

    B                 the features that every step reads (Fig. 6)                                       `StateTrace.features`
    kappa(h_t)        sum over the channels of |h_t|, the state of a ConvLSTM (Fig. 4, and 7, first row) `StepTrace.kappa`
    kappa(c_t)        the same of its cell, in which the paper sees no clear clues (Sec. 4.3)           `StepTrace.kappa_cell`
    two stages        of the spatial inhibition: after the 1x1 convolution, and before the sigmoid      `StepTrace.stages`
    Y_t, s_t          the mask and the confidence                                                       `StepTrace.mask_probs`, `.score`

RSIS has no inhibition: its only stage is the mask before the sigmoid, its score the stop probability, and it has a state a level. Its features
are those of the finest level that its ConvLSTMs use, before they are projected.

The image goes the predictor's way: prepared, brought to the network's scale, cut into tiles, padded. One tile is traced.
"""

from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from seriatim.core.errors import ConfigError
from seriatim.core.instances import Instance, Instances
from seriatim.core.shapes import Box, Size
from seriatim.inference.overlaps import OverlapResolver
from seriatim.inference.placement import pad_tile
from seriatim.inference.predictor import Predictor
from seriatim.inference.tiling import plan_tiles
from seriatim.models import guidance
from seriatim.models.sequential import Fate, SequentialModel, Step, run_steps

KEPT = "kept"
PADDING = "only in the padding"
TAKEN = "too little is left by earlier objects"
FATES = (*get_args(Fate), PADDING, TAKEN)
"""What can become of a step: what the model decides, and what happens to the mask after that."""


@dataclass(frozen=True, slots=True, eq=False)
class StepTrace:
    """What the network held at one step.

    Attributes:
        kappa: of every ConvLSTM in the order in which they run, the sum over its channels of |h_t|.
        kappa_cell: of every ConvLSTM, the sum over its channels of |c_t|.
        stages: name of a map on the way from the state to the mask -> the map. RIS: `response` (after the 1x1 convolution) and
            `inhibited_logits` (before the sigmoid); RSIS: `mask_logits` (before the sigmoid).
        mask_probs: probability that a pixel belongs to the object.
        score: RIS: confidence; RSIS: stop probability; 0..1.
        seed_left: with guidance, the best seed that was left to look at; 1 without it.
        place: with guidance, (y, x) in pixels of the tile where the step looked; None without it.
        fate: one of `FATES`.
        found: the object that the step gives, cut to what is left of it; None unless kept.
    """

    kappa: tuple[Float32[np.ndarray, "_ _"], ...]
    kappa_cell: tuple[Float32[np.ndarray, "_ _"], ...]
    stages: dict[str, Float32[np.ndarray, "_ _"]]
    mask_probs: Float32[np.ndarray, "height width"]
    score: float
    seed_left: float
    place: tuple[float, float] | None
    fate: str
    found: Instance | None


@dataclass(frozen=True, slots=True, eq=False)
class StateTrace:
    """What the network held at every step of one tile of an image.

    Maps and image are as the network saw them, with the padding that makes both sides multiples of 32 on their lower and right edges.

    Attributes:
        model: name of the architecture.
        tile_image: the prepared tile.
        size: (height, width) of the tile without the padding.
        box: of the tile in the prepared image.
        tile: number of the tile, from 0, in reading order.
        num_tiles: tiles that the prepared image is cut into.
        features: that every step reads; B of RIS.
        steps: in their order, the one that ended the sequence among them.
        ended: whether the sequence ended within these steps.
        stop_threshold: a step whose score is below this holds no object.
    """

    model: str
    tile_image: Float32[np.ndarray, "channels height width"]
    size: Size
    box: Box
    tile: int
    num_tiles: int
    features: Float32[np.ndarray, "features map_height map_width"]
    steps: tuple[StepTrace, ...]
    ended: bool
    stop_threshold: float

    def instances(self) -> Instances:
        """The objects kept, in pixels of the tile; `Instance.step` tells the step of each."""
        return Instances(self.size, [step.found for step in self.steps if step.found is not None])


def trace_states(
    predictor: Predictor,
    image: Float32[np.ndarray, "channels height width"],
    tile: int | None = None,
    num_steps: int | None = None,
) -> StateTrace:
    """What the network holds at every step of one tile of an image.

    The objects kept are those that the predictor gives of this tile, in pixels of the network, before tiles are joined and masks return to
    the size of the image.

    Args:
        predictor: of a sequential model.
        image: values in 0..1, not yet prepared, as data sets hold it and `data.images.to_float_image` gives it.
        tile: number of the tile, from 0, in reading order; None takes the one in the middle.
        num_steps: maximum number of steps; None continues to the end of the sequence.

    Raises:
        ConfigError: if the model emits no sequence, or there is no such tile.
        ShapeError: as for `Predictor.prepared`.
    """
    network = predictor.network
    if not isinstance(network, SequentialModel):
        hint = "; give boxes (--boxes) to trace its labels" if network.takes_boxes else ""
        raise ConfigError(
            f"model {predictor.description.model.name!r}: is not sequential, so it has no states to trace{hint}"
        )
    if num_steps is not None and num_steps < 1:
        raise ConfigError(f"num_steps: expected at least 1, got {num_steps}")
    with predictor.evaluating(), predictor.arithmetic():
        return _trace(predictor, network, image, tile, num_steps)


def summarise(trace: StateTrace) -> dict[str, Any]:
    """The numbers of a trace without its maps, for JSON."""
    return {
        "model": trace.model,
        "tile": trace.tile + 1,
        "num_tiles": trace.num_tiles,
        "box": list(trace.box),
        "feature_channels": len(trace.features),
        "stop_threshold": trace.stop_threshold,
        "ended": trace.ended,
        "steps": [_summarise_step(number, step) for number, step in enumerate(trace.steps, start=1)],
    }


def _summarise_step(number: int, step: StepTrace) -> dict[str, Any]:
    return {
        "step": number,
        "score": round(step.score, 6),
        "seed_left": round(step.seed_left, 6),
        "place": None if step.place is None else [round(edge, 1) for edge in step.place],
        "fate": step.fate,
        "box": None if step.found is None else [int(edge) for edge in step.found.box],
        "area": 0 if step.found is None else step.found.area,
        "kappa_mean": [round(float(level.mean()), 6) for level in step.kappa],
        "kappa_max": [round(float(level.max()), 6) for level in step.kappa],
        "stages": {
            name: {"min": round(float(stage.min()), 6), "max": round(float(stage.max()), 6)}
            for name, stage in step.stages.items()
        },
    }


def _trace(
    predictor: Predictor, network: SequentialModel[Any], image: np.ndarray, tile: int | None, num_steps: int | None
) -> StateTrace:
    prepared = predictor.prepared(image)
    settings = predictor.description.inference
    boxes, chosen = choose_tile(predictor, (prepared.shape[1], prepared.shape[2]), tile)
    y0, x0, y1, x1 = boxes[chosen]
    size = (y1 - y0, x1 - x0)
    tile_image = pad_tile(prepared[:, y0:y1, x0:x1], predictor.tile_multiple)
    images = torch.from_numpy(tile_image)[None].to(predictor.device)
    memory = network.encode(images)
    shrink = (prepared.shape[1] * prepared.shape[2]) / (image.shape[1] * image.shape[2])
    min_area = max(1, round(settings.min_area * shrink))
    resolver = OverlapResolver(size, settings.max_hidden, min_area, settings.solid, settings.overlaps == "keep")
    steps = []
    ended = False
    before = network.initial_state(memory, 1)
    for step in run_steps(network, memory, 1):
        look = guidance.look(memory.guidance, before.occupancy, None)
        steps.append(_trace_step(network, step, look, resolver, size))
        before = step.state
        ended = step.decisions[0].ended or len(steps) == network.config.max_steps
        if len(steps) == num_steps:
            break
    return StateTrace(
        predictor.description.model.name,
        tile_image,
        size,
        boxes[chosen],
        chosen,
        len(boxes),
        _numbers(network.features_read(memory, images)[0]),
        tuple(steps),
        ended,
        float(network.config.stop_threshold),
    )


def choose_tile(predictor: Predictor, size: Size, tile: int | None) -> tuple[list[Box], int]:
    """The tiles of a prepared image, in reading order, and the number of the one to trace.

    Args:
        predictor: whose settings cut the image.
        size: (height, width) of the prepared image.
        tile: its number, from 0; None takes the one in the middle.

    Raises:
        ConfigError: if there is no such tile.
    """
    settings = predictor.description.inference
    boxes = [box for row in plan_tiles(size, settings.tile_size, settings.overlap) for box in row]
    chosen = _middle(boxes) if tile is None else tile
    if not 0 <= chosen < len(boxes):
        raise ConfigError(f"tile {chosen + 1}: the image has {len(boxes)} at the scale of the network")
    return boxes, chosen


def _trace_step(
    network: SequentialModel[Any], step: Step, look: guidance.Look | None, resolver: OverlapResolver, size: Size
) -> StepTrace:
    decision, output = step.decisions[0], step.output
    fate, found = str(decision.fate), decision.instance
    if found is not None:
        fate, found = _claim(found, resolver, size)
    y, x = (None, None) if look is None else look.place[0].tolist()
    return StepTrace(
        kappa=tuple(_numbers(state.hidden[0].abs().float().sum(dim=0)) for state in step.state.cells),
        kappa_cell=tuple(_numbers(state.cell[0].abs().float().sum(dim=0)) for state in step.state.cells),
        stages={stage: _numbers(getattr(output, stage)[0]) for stage in network.stages},
        mask_probs=_numbers(output.mask_probs[0]),
        score=float(output.presence_logits[0].sigmoid()),
        seed_left=float(output.seed_left[0]),
        place=None if y is None or x is None else (y, x),
        fate=fate,
        found=found,
    )


def _claim(instance: Instance, resolver: OverlapResolver, size: Size) -> tuple[str, Instance | None]:
    """What is left of an object outside the padding and the earlier objects."""
    y0, x0 = instance.box[:2]
    seen = Instance.from_mask(instance.mask[: max(size[0] - y0, 0), : max(size[1] - x0, 0)], (y0, x0))
    if seen is None:
        return PADDING, None
    found = resolver.claim(replace(instance, box=seen.box, mask=seen.mask))
    return (TAKEN, None) if found is None else (KEPT, found)


def _middle(boxes: list[Box]) -> int:
    """The tile whose centre lies nearest to that of the image."""
    centres = np.array([(y0 + y1, x0 + x1) for y0, x0, y1, x1 in boxes])
    middle = np.array([max(box[2] for box in boxes), max(box[3] for box in boxes)])
    return int(np.abs(centres - middle).sum(axis=1).argmin())


def _numbers(values: Float[Tensor, "..."]) -> Float32[np.ndarray, "..."]:
    return values.detach().float().cpu().numpy()
