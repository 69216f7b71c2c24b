"""`BoxMasks`, a model that is not sequential: boxes in, one mask for each box out, and the masks may overlap.

It stands in the catalogue only within a test (`in_catalogue`), to show that training, prediction and evaluation know no model by name. Before it has
learned anything, the mask of a box is the box.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from seriatim.core.batch import Batch, Prompts
from seriatim.core.config import Config
from seriatim.core.errors import ConfigError
from seriatim.core.instances import Instance
from seriatim.models import catalogue
from seriatim.models.interface import Found, Model, ModelConfig, TrainingContext

NAME = "box_masks"


class BoxMasksConfig(ModelConfig):
    """Settings of the network."""

    width: int = Field(default=4, ge=1)
    """Channels of the features."""


class BoxMasksObjectiveConfig(Config):
    """Weights of the terms of the loss."""

    mask: float = 1.0
    """Of the cross entropy of the pixels."""
    score: float = 1.0
    """Of the cross entropy of the score, whose target is the IoU of the mask."""


class BoxMasks(Model[BoxMasksConfig]):
    """A convolution over the image, and one over its features and the box."""

    takes_boxes = True

    def __init__(self, config: BoxMasksConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Sequential(
            nn.Conv2d(config.input_channels, config.width, 3, padding=1), nn.BatchNorm2d(config.width), nn.ReLU()
        )
        self.head = nn.Conv2d(config.width + 1, 2, 1)
        with torch.no_grad():
            self.head.weight.zero_()
            self.head.weight[0, -1], self.head.bias[0] = 8.0, -4.0

    def segment(
        self, images: Float[Tensor, "batch channels height width"], prompts: Sequence[Prompts]
    ) -> Iterator[tuple[Float[Tensor, "boxes height width"], Float[Tensor, " boxes"]]]:
        """Logits of masks and of scores, image by image."""
        size = images.shape[2:]
        for features, given in zip(self.encoder(images), prompts, strict=True):
            planes = torch.stack([box_plane(box, size) for box in given.boxes]) if len(given.boxes) else None
            if planes is None:
                yield images.new_zeros(0, *size), images.new_zeros(0)
                continue
            logits = self.head(torch.cat((features.expand(len(planes), -1, -1, -1), planes[:, None]), dim=1))
            yield logits[:, 0], logits[:, 1].mean(dim=(1, 2))

    def losses(
        self, batch: Batch, weights: BoxMasksObjectiveConfig, context: TrainingContext
    ) -> dict[str, Float[Tensor, ""]]:
        if batch.prompts is None:
            raise ConfigError("box_masks: needs boxes; set data.boxes")
        terms = [self.head.bias.sum() * 0], [self.head.bias.sum() * 0]  # also a crop without boxes has a gradient
        for labels, (masks, scores) in zip(batch.labels, self.segment(batch.images, batch.prompts), strict=True):
            for mask, score in zip(masks[: context.num_objects], scores, strict=False):
                truth = object_in(labels, mask > 0)
                found = mask > 0
                iou = (truth & found).sum() / (truth | found).sum().clamp(min=1)
                terms[0].append(F.binary_cross_entropy_with_logits(mask, truth.float()))
                terms[1].append(F.binary_cross_entropy_with_logits(score, iou))
        return {
            "mask": weights.mask * torch.stack(terms[0]).mean(),
            "score": weights.score * torch.stack(terms[1]).mean(),
        }

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"head": list(self.head.parameters()), "encoder": list(self.encoder.parameters())}

    @torch.no_grad()
    def detect(
        self, images: Float[Tensor, "batch channels height width"], prompts: Sequence[Prompts] | None = None
    ) -> Iterator[Found]:
        if prompts is None:
            raise ConfigError("box_masks: needs boxes")
        for image, (masks, scores) in enumerate(self.segment(images, prompts)):
            for step, (mask, score) in enumerate(zip(masks.sigmoid(), scores.sigmoid(), strict=True)):
                given = prompts[image]
                instance = Instance.from_mask(
                    (mask >= self.config.mask_threshold).cpu().numpy(),
                    score=float(score) * float(given.scores[step]),
                    class_id=max(int(given.class_ids[step]), 1),
                    step=step,
                )
                if instance is not None:
                    yield Found(image, instance, mask)


def box_plane(box: Float[Tensor, "4"], size: Sequence[int]) -> Float[Tensor, "height width"]:
    """1 where the centre of a pixel lies in the box, 0 elsewhere."""
    rows, columns = (torch.arange(extent, device=box.device) + 0.5 for extent in size)
    inside = [(places >= box[axis]) & (places < box[axis + 2]) for axis, places in enumerate((rows, columns))]
    return (inside[0][:, None] & inside[1]).float()


def object_in(labels: Tensor, inside: Tensor) -> Tensor:
    """The pixels of the object that has most of them in a region; none where the region holds no object."""
    numbers = labels[inside & (labels > 0)]
    return labels == numbers.mode().values if len(numbers) else torch.zeros_like(labels, dtype=torch.bool)


def in_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the model into the catalogue for the length of a test."""
    entry = catalogue.Entry(network=BoxMasks, config=BoxMasksConfig, objective_config=BoxMasksObjectiveConfig)
    monkeypatch.setitem(catalogue.CATALOGUE, NAME, entry)


def write_data(folder: Path, count: int = 4) -> tuple[str, Path]:
    """Images with two overlapping rectangles, and a COCO results file with a box for each, as `KIND:PATH` and path."""
    boxes = []
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    for index in range(count):
        labels = np.zeros((48, 64), dtype=np.uint8)
        corners = (26 - index, 20, 44, 50), (6, 8 + index, 30, 30)
        for number, (y0, x0, y1, x1) in enumerate(corners, start=1):
            labels[y0:y1, x0:x1] = number
            box = [x0, y0, x1 - x0, y1 - y0]
            boxes.append({"image_id": str(index), "category_id": 1, "bbox": box, "score": 0.5 + 0.2 * number})
        noise = np.random.default_rng(index).integers(0, 80, size=(*labels.shape, 3))
        Image.fromarray((noise + 80 * labels[..., None]).astype(np.uint8)).save(folder / "images" / f"{index}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{index}.png")
    path = folder / "boxes.json"
    path.write_text(json.dumps(boxes))
    return f"folder:{folder}", path
