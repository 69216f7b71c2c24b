"""`trace_labels`: what DIN holds on the way from the boxes of one image to its label map (arXiv:1704.02386).

    eq. 3, 4, 6     psi_Box, psi_Global, psi_Shape of every label            `LabelTrace.terms`
    eq. 2           the unary, as the probability of each label              `LabelTrace.unary_probs`
    Sec. 3.3        the mean field after every iteration                     `LabelTrace.iterations`

The image goes the predictor's way: prepared, cut into tiles. One tile is traced.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from seriatim.analysis.box_tiles import cut_tile
from seriatim.core.boxes import Boxes
from seriatim.core.errors import ConfigError
from seriatim.core.shapes import Box
from seriatim.inference.predictor import Predictor
from seriatim.models.din import DIN

TERMS = ("box", "global", "shape")


@dataclass(frozen=True, slots=True, eq=False)
class LabelTrace:
    """What DIN held of one tile of an image; label 0 is the background, 1 .. D are the detections in the order of their recalibrated scores.

    Attributes:
        model: name of the architecture.
        tile_image: the prepared tile.
        box: of the tile in the prepared image.
        tile: number of the tile, from 0, in reading order.
        num_tiles: tiles that the prepared image is cut into.
        boxes: the detections, in pixels of the tile, with their scores as given.
        recalibrated: Q(Y_d = 1) of each.
        semantic_probs: Q of the background and the classes.
        terms: name of a term, of those that the network has -> its map for every label.
        unary_probs: softmax of the unary.
        iterations: probabilities of the labels after each mean-field iteration, the last being the result.
    """

    model: str
    tile_image: Float32[np.ndarray, "channels height width"]
    box: Box
    tile: int
    num_tiles: int
    boxes: Boxes
    recalibrated: Float32[np.ndarray, " detections"]
    semantic_probs: Float32[np.ndarray, "labels height width"]
    terms: dict[str, Float32[np.ndarray, "instances height width"]]
    unary_probs: Float32[np.ndarray, "instances height width"]
    iterations: tuple[Float32[np.ndarray, "instances height width"], ...]

    def owners(self) -> Int[np.ndarray, "height width"]:
        """The label map: of every pixel its best label."""
        return np.asarray(self.iterations[-1].argmax(axis=0))


def trace_labels(
    predictor: Predictor,
    image: Float32[np.ndarray, "channels height width"],
    boxes: Boxes,
    tile: int | None = None,
) -> LabelTrace:
    """What DIN holds on the way to the labels of one tile of an image.

    Args:
        predictor: of a DIN.
        image: values in 0..1, not yet prepared.
        boxes: detections, in pixels of the image.
        tile: number of the tile, from 0, in reading order; None takes the one in the middle.

    Raises:
        ConfigError: if the model is no DIN, there is no such tile, or a box is none.
        ShapeError: as for `Predictor.prepared`.
    """
    network = predictor.network
    if not isinstance(network, DIN):
        raise ConfigError(f"model {predictor.description.model.name!r}: makes no labels from boxes")
    with predictor.evaluating(), predictor.arithmetic():
        cut = cut_tile(predictor, image, boxes, tile)
        trace = network.trace(torch.from_numpy(cut.image).to(predictor.device), cut.prompts)
        found = trace.output.detections
        planes = zip(TERMS, zip(*trace.terms, strict=True), strict=True)
        return LabelTrace(
            predictor.description.model.name,
            cut.image,
            cut.box,
            cut.number,
            cut.num_tiles,
            Boxes.of(_numbers(found.edges), _numbers(found.scores), found.class_ids.cpu().numpy()),
            _numbers(trace.output.recalibrated),
            _numbers(trace.output.semantic_logits.softmax(dim=0)),
            {
                name: np.stack([_numbers(plane) for plane in of_labels])
                for name, of_labels in planes
                if of_labels[0] is not None
            },
            _numbers(trace.output.unary_logits.softmax(dim=0)),
            tuple(_numbers(logits.softmax(dim=0)) for logits in trace.iterations),
        )


def summarise_labels(trace: LabelTrace) -> dict[str, Any]:
    """The numbers of a trace without its maps, for JSON."""
    owners = trace.owners()
    changed = [
        int((first.argmax(axis=0) != second.argmax(axis=0)).sum())
        for first, second in zip((trace.unary_probs, *trace.iterations), trace.iterations, strict=False)
    ]
    boxes = trace.boxes
    return {
        "model": trace.model,
        "tile": trace.tile + 1,
        "num_tiles": trace.num_tiles,
        "box": list(trace.box),
        "changed_pixels": changed,
        "labels": [
            {
                "label": number + 1,
                "class": int(boxes.class_ids[number]),
                "box": [round(float(edge), 1) for edge in boxes.edges[number]],
                "score": round(float(boxes.scores[number]), 6),
                "recalibrated": round(float(trace.recalibrated[number]), 6),
                "area_of_unary": int((trace.unary_probs.argmax(axis=0) == number + 1).sum()),
                "area": int((owners == number + 1).sum()),
                "term_max": {name: round(float(planes[number + 1].max()), 6) for name, planes in trace.terms.items()},
            }
            for number in range(len(boxes))
        ],
    }


def _numbers(values: Float[Tensor, "..."]) -> Float32[np.ndarray, "..."]:
    return values.detach().float().cpu().numpy()
