"""`trace_states`: what a sequential network holds at every step of one image.

Source: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (arXiv:1511.08250), appendix A, Fig. 5 to 7:

    B                 the features that every step reads (Fig. 6)                                       `StateTrace.features`
    kappa(h_t)        sum over the channels of |h_t|, the state of a ConvLSTM (Fig. 7, first row)       `StepTrace.kappa`
    two stages        of the spatial inhibition: after the 1x1 convolution, and before the sigmoid      `StepTrace.stages`
    Y_t, s_t          the mask and the confidence                                                       `StepTrace.mask_probs`, `.score`

RSIS has no inhibition: its only stage is the mask before the sigmoid, its score the stop probability, and it has a state a level. Its features
are those of the finest level that its ConvLSTMs use, before they are projected.

The image goes the predictor's way: prepared, brought to the network's scale, cut into tiles, padded. One tile is traced.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from seriatim.core.errors import ConfigError
from seriatim.core.instances import Instance, Instances
from seriatim.core.shapes import Box, Size
from seriatim.inference.predictor import MULTIPLE, Predictor, pad_tile
from seriatim.inference.tiling import OverlapResolver, plan_tiles
from seriatim.models import catalogue
from seriatim.nn import gaze

KEPT = "kept"
NO_SEED = "no seed is left"
LOW_SCORE = "score below the threshold"
EMPTY = "no pixel in the mask"
SMALL = "mask too small"
PADDING = "only in the padding"
TAKEN = "too little is left by earlier objects"
FATES = (KEPT, NO_SEED, LOW_SCORE, EMPTY, SMALL, PADDING, TAKEN)
"""What can become of a step."""


@dataclass(frozen=True, slots=True, eq=False)
class StepTrace:
    """What the network held at one step.

    Attributes:
        kappa: of every ConvLSTM in the order in which they run, the sum over its channels of |h_t|.
        stages: name of a map on the way from the state to the mask -> the map. RIS: `response` (after the 1x1 convolution) and
            `inhibited_logits` (before the sigmoid); RSIS: `mask_logits` (before the sigmoid).
        mask_probs: probability that a pixel belongs to the object.
        score: RIS: confidence; RSIS: stop probability; 0..1.
        seed_left: with the gaze, the best seed that was left to look at; 1 without it.
        gaze: with the gaze, (y, x) in pixels of the tile where the step looked; None without it.
        fate: one of `FATES`.
        found: the object that the step gives, cut to what is left of it; None unless kept.
    """

    kappa: tuple[Float32[np.ndarray, "_ _"], ...]
    stages: dict[str, Float32[np.ndarray, "_ _"]]
    mask_probs: Float32[np.ndarray, "height width"]
    score: float
    seed_left: float
    gaze: tuple[float, float] | None
    fate: str
    found: Instance | None


@dataclass(frozen=True, slots=True, eq=False)
class StateTrace:
    """What the network held at every step of one tile of a image.

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


@dataclass(frozen=True, slots=True)
class _Reading:
    """Where a model keeps what is traced."""

    score: str
    stages: tuple[str, ...]
    features: Callable[[Any, Any, Tensor], Tensor]


def _finest_features(network: Any, memory: Any, images: Tensor) -> Tensor:
    """RSIS keeps its features only as they have passed the gates' convolution, so they are computed again."""
    del memory
    levels = network.encoder(images.contiguous(memory_format=torch.channels_last))
    if network.pathway is not None:
        levels = network.pathway(levels)
    return levels[network.config.levels - 1]


_READINGS = {
    "ris": _Reading("confidence_logits", ("response", "inhibited_logits"), lambda _, memory, images: memory.features),
    "rsis": _Reading("stop_logits", ("mask_logits",), _finest_features),
}


def trace_states(
    predictor: Predictor,
    image: Float32[np.ndarray, "channels height width"],
    tile: int | None = None,
    num_steps: int | None = None,
) -> StateTrace:
    """What the network holds at every step of one tile of a image.

    The objects kept are those that the predictor gives of this tile, in pixels of the network, before tiles are joined and masks return to
    the size of the image.

    Args:
        predictor: of a sequential model.
        image: values in 0..1, not yet prepared, as data sets hold it and `data.images.to_float_image` gives it.
        tile: number of the tile, from 0, in reading order; None takes the one in the middle.
        num_steps: steps at the most; None goes on to the end of the sequence.

    Raises:
        ConfigError: if the model emits no sequence, or there is no such tile.
        ShapeError: as for `Predictor.prepared`.
    """
    name = predictor.description.model.name
    if name not in _READINGS:
        raise ConfigError(f"model {name!r}: has no states to trace; expected one of {', '.join(sorted(_READINGS))}")
    if num_steps is not None and num_steps < 1:
        raise ConfigError(f"num_steps: expected at least 1, got {num_steps}")
    with predictor.evaluating(), predictor.arithmetic():
        return _trace(predictor, _READINGS[name], image, tile, num_steps)


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
        "gaze": None if step.gaze is None else [round(place, 1) for place in step.gaze],
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
    predictor: Predictor, reading: _Reading, image: np.ndarray, tile: int | None, num_steps: int | None
) -> StateTrace:
    network, config = predictor.network, predictor.network.config
    prepared = predictor.prepared(image)
    settings = predictor.description.inference
    rows = plan_tiles((prepared.shape[1], prepared.shape[2]), settings.tile_size, settings.overlap, MULTIPLE)
    boxes = [box for row in rows for box in row]
    chosen = _middle(boxes) if tile is None else tile
    if not 0 <= chosen < len(boxes):
        raise ConfigError(f"tile {chosen + 1}: the image has {len(boxes)} at the scale of the network")
    y0, x0, y1, x1 = boxes[chosen]
    size = (y1 - y0, x1 - x0)
    tile_image = pad_tile(prepared[:, y0:y1, x0:x1])
    images = torch.from_numpy(tile_image)[None].to(predictor.device)
    memory = network.encode(images)
    shrink = (prepared.shape[1] * prepared.shape[2]) / (image.shape[1] * image.shape[2])
    resolver = OverlapResolver(size, settings.max_hidden, max(1, round(settings.min_area * shrink)), settings.solid)
    steps = []
    ended = False
    for step, ended in _steps(predictor, reading, memory, resolver, size):
        steps.append(step)
        if ended or len(steps) == num_steps:
            break
    return StateTrace(
        predictor.description.model.name,
        tile_image,
        size,
        boxes[chosen],
        chosen,
        len(boxes),
        _numbers(reading.features(network, memory, images)[0]),
        tuple(steps),
        ended,
        float(config.stop_threshold),
    )


def _steps(
    predictor: Predictor, reading: _Reading, memory: Any, resolver: OverlapResolver, size: Size
) -> Iterator[tuple[StepTrace, bool]]:
    """Each step, and whether the sequence ends with it."""
    network, config = predictor.network, predictor.network.config
    entry = catalogue.entry(predictor.description.model.name)
    state = network.initial_state(memory, 1)
    for number in range(config.max_steps):
        looked_at = _gaze(memory, state)
        output, state = network.step(memory, state)
        score = float(getattr(output, reading.score)[0].sigmoid())
        instance, ended = entry.decode_step(output, 0, number, config)
        fate, found = _judge(instance, score, output, config)
        if instance is not None:
            fate, found = _claim(instance, resolver, size)
        ended = ended or number + 1 == config.max_steps
        yield (
            StepTrace(
                tuple(_numbers(cell.hidden[0].abs().float().sum(dim=0)) for cell in state.cells),
                {stage: _numbers(getattr(output, stage)[0]) for stage in reading.stages},
                _numbers(output.mask_probs[0]),
                score,
                float(output.seed_left[0]),
                looked_at,
                fate,
                found,
            ),
            ended,
        )


def _judge(instance: Instance | None, score: float, output: Any, config: Any) -> tuple[str, Instance | None]:
    """Why a step gives nothing, in the order in which the models ask."""
    if instance is not None:
        return KEPT, instance
    if float(output.seed_left[0]) < config.seed_threshold:
        return NO_SEED, None
    if score < config.stop_threshold:
        return LOW_SCORE, None
    return SMALL if bool((output.mask_probs[0] >= config.mask_threshold).any()) else EMPTY, None


def _claim(instance: Instance, resolver: OverlapResolver, size: Size) -> tuple[str, Instance | None]:
    """What is left of an object outside the padding and the earlier objects."""
    y0, x0 = instance.box[:2]
    seen = Instance.from_mask(instance.mask[: max(size[0] - y0, 0), : max(size[1] - x0, 0)], (y0, x0))
    if seen is None:
        return PADDING, None
    found = resolver.claim(replace(instance, box=seen.box, mask=seen.mask))
    return (TAKEN, None) if found is None else (KEPT, found)


def _gaze(memory: Any, state: Any) -> tuple[float, float] | None:
    if memory.gaze is None:
        return None
    cell, _ = gaze.look(memory.gaze, state.canvas)
    y, x = memory.gaze.positions[-1].flatten(1)[:, int(cell[0])].tolist()
    return y, x


def _middle(boxes: list[Box]) -> int:
    """The tile whose centre lies nearest to that of the image."""
    centres = np.array([(y0 + y1, x0 + x1) for y0, x0, y1, x1 in boxes])
    middle = np.array([max(box[2] for box in boxes), max(box[3] for box in boxes)])
    return int(np.abs(centres - middle).sum(axis=1).argmin())


def _numbers(values: Float[Tensor, "..."]) -> Float32[np.ndarray, "..."]:
    return values.detach().float().cpu().numpy()
