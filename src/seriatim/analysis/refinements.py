"""`trace_refinements`: what R2-IOS sees and gives at every look at the proposals of one image (arXiv:1511.04517, Fig. 3 and 4).

    Sec. 3.3   l_t-1, which look t reads          `RefinementTrace.boxes`
    Sec. 3.2   confidences of the classes         `RefinementTrace.class_probs`
    Sec. 3.1   the mask of the dominant object    `RefinementTrace.masks`
    Sec. 3.2   t', which the gate takes           `RefinementTrace.optimal`

The image goes the predictor's way: prepared, cut into tiles. One tile is traced.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64

from seriatim.analysis.box_tiles import cut_tile
from seriatim.core.boxes import Boxes
from seriatim.core.errors import ConfigError
from seriatim.core.shapes import Box
from seriatim.inference.predictor import Predictor
from seriatim.models.r2ios import R2IOS


@dataclass(frozen=True, slots=True, eq=False)
class RefinementTrace:
    """Every look at the proposals of one tile, those with the highest confidence at t' first.

    Attributes:
        model: name of the architecture.
        tile_image: the prepared tile.
        box: of the tile in the prepared image.
        tile: number of the tile, from 0, in reading order.
        num_tiles: tiles that the prepared image is cut into.
        boxes: l_0 .. l_T, in pixels of the tile; look t reads number t - 1 and moves it to number t.
        class_probs: of the background and the classes.
        masks: probability of the foreground in every cell of the box that the look reads.
        optimal: t' of every proposal, counted from 0.
    """

    model: str
    tile_image: Float32[np.ndarray, "channels height width"]
    box: Box
    tile: int
    num_tiles: int
    boxes: Float32[np.ndarray, "looks_and_1 proposals 4"]
    class_probs: Float32[np.ndarray, "looks proposals labels"]
    masks: Float32[np.ndarray, "looks proposals side side"]
    optimal: Int64[np.ndarray, " proposals"]


def trace_refinements(
    predictor: Predictor,
    image: Float32[np.ndarray, "channels height width"],
    boxes: Boxes,
    tile: int | None = None,
) -> RefinementTrace:
    """Every look of R2-IOS at the proposals of one tile of an image.

    Args:
        predictor: of an R2-IOS.
        image: values in 0..1, not yet prepared.
        boxes: proposals, in pixels of the image.
        tile: number of the tile, from 0, in reading order; None takes the one in the middle.

    Raises:
        ConfigError: if the model is no R2-IOS, there is no such tile, or a box is none.
        ShapeError: as for `Predictor.prepared`.
    """
    network = predictor.network
    if not isinstance(network, R2IOS):
        raise ConfigError(f"model {predictor.description.model.name!r}: refines no proposals")
    with predictor.evaluating(), predictor.arithmetic():
        cut = cut_tile(predictor, image, boxes, tile)
        looks, optimal = network.trace(torch.from_numpy(cut.image).to(predictor.device), cut.prompts)
        class_probs = torch.stack([look.class_logits.float().softmax(dim=1) for look in looks])
        every = torch.arange(len(optimal), device=optimal.device)
        taken = class_probs[optimal, every, 1:].amax(dim=1)
        order = taken.argsort(descending=True, stable=True)
        places = torch.stack([*(look.boxes for look in looks), looks[-1].moved])
        masks = torch.stack([look.mask_logits.float().softmax(dim=1)[:, 1] for look in looks])
        return RefinementTrace(
            predictor.description.model.name,
            cut.image,
            cut.box,
            cut.number,
            cut.num_tiles,
            places[:, order].float().cpu().numpy(),
            class_probs[:, order].cpu().numpy(),
            masks[:, order].cpu().numpy(),
            optimal[order].cpu().numpy(),
        )


def summarise_refinements(trace: RefinementTrace) -> dict[str, Any]:
    """The numbers of a trace without its masks, for JSON."""
    num_looks = len(trace.class_probs)
    return {
        "model": trace.model,
        "tile": trace.tile + 1,
        "num_tiles": trace.num_tiles,
        "box": list(trace.box),
        "taken": [int((trace.optimal == look).sum()) for look in range(num_looks)],
        "proposals": [
            {
                "taken": int(trace.optimal[number]) + 1,
                "looks": [
                    {
                        "box": [round(float(edge), 1) for edge in trace.boxes[look, number]],
                        "class": int(trace.class_probs[look, number].argmax()),
                        "confidence": round(float(trace.class_probs[look, number, 1:].max()), 6),
                        "filled": round(float((trace.masks[look, number] >= 0.5).mean()), 6),
                    }
                    for look in range(num_looks)
                ],
            }
            for number in range(len(trace.optimal))
        ],
    }
