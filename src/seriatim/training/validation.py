"""What a run looks at from time to time: the loss on validation crops, the score of validation images, and sequences to look at."""

import io
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image

from seriatim.core.config import Config
from seriatim.core.files import write_atomically
from seriatim.data.batches import Crops, batches
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.evaluation.evaluate import evaluate_model
from seriatim.inference.predictor import Predictor
from seriatim.models.interface import Model, TrainingContext

SCORES = {
    "nuclei": lambda result: fmean(result["AP"].values()),
    "cvppp": lambda result: result["SBD"]["mean"],
    "coco": lambda result: result["AP50"],
}
"""The one number of a protocol that picks the best model."""


@torch.no_grad()
def validation_loss(
    network: Model[Any],
    crops: Crops,
    batch_size: int,
    num_batches: int,
    weights: Config,
    num_objects: int | None,
    fabric: Fabric,
) -> float:
    """Mean of the total loss over the first batches of the validation stream, the same at every call."""
    network.eval()
    totals = []
    for number, batch in enumerate(batches(crops, batch_size, 0, num_batches)):
        batch = fabric.to_device(batch)
        with fabric.autocast():
            context = TrainingContext(torch.Generator().manual_seed(number), num_objects)
            terms = network.losses(batch, weights, context)
        totals.append(float(torch.stack(list(terms.values())).sum()))
    network.train()
    return float(np.mean(totals))


def score_images(
    predictor: Predictor, source: Source, protocol: str, num_images: int
) -> tuple[float, dict[str, float]]:
    """The protocol's one number over the first images of a source, and what belongs into the log."""
    scored = Subset(source, range(min(num_images, len(source))))
    result = evaluate_model(predictor, scored, [protocol])[protocol]
    score = float(SCORES[protocol](result))
    numbers = {f"{protocol}_score": score}
    if protocol == "coco":
        return score, numbers | {"coco_AP": float(result["AP"])}
    numbers[f"{protocol}_absDiC"] = float(result["absDiC"]["mean"] if protocol == "cvppp" else result["absDiC"])
    return score, numbers


def write_samples(
    path: Path, predictor: Predictor, source: Source, count: int = 4, steps: int = 12, height: int = 160
) -> None:
    """Validation images, a row each: the image, the truth, then the masks in the order they were emitted."""
    rows = []
    for index in range(min(count, len(source))):
        sample = source.read(index)
        found = predictor.predict_values(sample.image)
        grey = np.repeat(sample.image[:1], 3, axis=0) if sample.image.shape[0] < 3 else sample.image[:3]
        pixels = (grey.transpose(1, 2, 0) * 255).astype(np.uint8)
        tiles = [pixels, _tinted(pixels, sample.labels > 0, (90, 200, 90))]
        for step in range(steps):
            mask = np.asarray(found[step : step + 1].masks().any(axis=0))
            tiles.append(_tinted(pixels, mask, (255, 120, 40)))
        rows.append(np.hstack([_resized(tile, height) for tile in tiles]))
    if rows:
        width = max(row.shape[1] for row in rows)
        sheet = np.vstack([np.pad(row, ((0, 4), (0, width - row.shape[1]), (0, 0))) for row in rows])
        buffer = io.BytesIO()
        Image.fromarray(sheet).save(buffer, format="PNG")
        write_atomically(path, buffer.getvalue())


def _resized(tile: np.ndarray, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(tile).resize((max(1, round(tile.shape[1] * height / tile.shape[0])), height)))


def _tinted(pixels: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    tinted = pixels // 2
    tinted[mask] = tinted[mask] // 2 + np.array(colour, dtype=np.uint8) // 2 + 32
    return tinted
