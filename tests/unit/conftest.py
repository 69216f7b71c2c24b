from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from seriatim.core.instances import Instance, Instances
from seriatim.inference.model_folder import ModelDescription
from seriatim.models import catalogue
from seriatim.models.guidance import DenseMaps, GuidanceMemory, prepare
from seriatim.models.rsis import RSIS, RSISConfig, StepOutput
from seriatim.results.folder import ResultFolder
from seriatim.results.interface import SegmentedImage

TINY = {
    "encoder": "resnet18",
    "encoder_depth": 3,
    "levels": 3,
    "width": 8,
    "input_channels": 1,
    "max_steps": 4,
    "stop_threshold": 0.0,
    "mask_threshold": 0.45,
    "min_area_fraction": 0.0,
}


@pytest.fixture(scope="session")
def tiny_config():
    return {**TINY, "extensions": {"pyramid_channels": 8}, "guidance": {"seed_threshold": 0.0}}


@pytest.fixture(scope="session")
def tiny_network(tiny_config):
    return catalogue.build("rsis", tiny_config, seed=3).eval()


@pytest.fixture(scope="session")
def tiny_description(tiny_config):
    return describe(tiny_config)


def describe(config, **parts):
    values = {"model": {"name": "rsis", "config": config}, "preparation": {"channels": 1}, **parts}
    return ModelDescription.parse(values)


class OracleMemory(NamedTuple):
    size: tuple[int, int]
    values: torch.Tensor
    parts: torch.Tensor
    guidance: GuidanceMemory


class OracleState(NamedTuple):
    steps: torch.Tensor


class Oracle(RSIS):
    """Finds the bright patches of an image without fault, one a step, from top to bottom."""

    def __init__(self):
        nn.Module.__init__(self)
        self.config = RSISConfig(input_channels=1, max_steps=500, min_area_fraction=0.0, guidance={})
        self.place = nn.Parameter(torch.zeros(1))
        self.num_encoded, self.num_steps, self.batches = 0, 0, []

    def dense_maps(self, images):
        return self.encode(images).guidance.maps

    def encode(self, images):
        self.num_encoded += len(images)
        values = images[:, 0]
        parts = np.stack([ndimage.label(one > 0.5)[0] for one in values.numpy()])
        seeds, sizes = np.full(parts.shape, -6.0), np.zeros(parts.shape)
        for index, labels in enumerate(parts):
            for number in range(1, labels.max() + 1):
                depth = ndimage.distance_transform_edt(labels == number)
                peak = np.unravel_index(depth.argmax(), depth.shape)
                seeds[index][peak] = 6.0
                sizes[index][labels == number] = np.log2(np.sqrt(4 * (labels == number).sum() / np.pi) / 16)
        zeros = torch.zeros(parts.shape)
        maps = DenseMaps(
            zeros,
            torch.from_numpy(seeds).float(),
            torch.zeros(len(parts), 2, *parts.shape[1:]),
            torch.from_numpy(sizes).float(),
        )
        size = tuple(values.shape[1:])
        return OracleMemory(size, values, torch.from_numpy(parts.astype(np.int64)), prepare(maps, [size], size))

    def initial_state(self, memory, batch):
        return OracleState(torch.zeros(batch, dtype=torch.int64))

    def step(self, memory, state, cell=None):
        self.num_steps += 1
        self.batches.append(len(state.steps))
        numbers = state.steps + 1
        chosen = memory.parts == numbers[:, None, None]
        near = torch.nn.functional.max_pool2d(chosen.float(), 3, 1, 1) > 0
        logits = torch.where(near, (memory.values - 0.5) * 20, torch.full_like(memory.values, -10.0))
        left = (memory.parts.flatten(1).amax(dim=1) >= numbers).float()
        count = len(numbers)
        return StepOutput(logits, torch.zeros(count, 1), torch.full((count,), 3.0), left), OracleState(numbers)


@pytest.fixture
def oracle():
    return Oracle()


def paint_discs(size, centres, radius):
    rows, columns = np.mgrid[: size[0], : size[1]]
    labels = np.zeros(size, dtype=np.int32)
    for number, (y, x) in enumerate(centres, start=1):
        labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number
    return labels


@pytest.fixture
def found():
    return Instances.from_label_map(paint_discs((80, 120), [(20, 20), (50, 60), (30, 100)], 14))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 120, (80, 120, 3), dtype=np.uint8)


@pytest.fixture
def hard():
    """A ring, a pixel in its hole, two parts, a diagonal of touching corners, and one that overlaps the ring; classes and scores differ."""
    labels = np.zeros((37, 53), dtype=np.int32)
    labels[2:12, 3:20] = 1
    labels[4:8, 6:10] = 0
    labels[5, 7] = 2
    labels[20:25, 5:9] = labels[30:37, 40:53] = 3
    labels[range(14, 19), range(30, 35)] = 4
    parts = [
        replace(one, class_id=class_id, score=score)
        for one, class_id, score in zip(
            Instances.from_label_map(labels), (1, 2, 1, 2), (0.9, 0.25, 1.0, 0.5), strict=True
        )
    ]
    return Instances(labels.shape, [*parts, Instance((10, 15, 14, 25), np.ones((4, 10), dtype=bool), 0.75, 2)])


def segmented(pixels, instances, class_names=("leaf", "stem"), stem="photo", folder=Path("out")):
    return SegmentedImage(f"{stem}.png", stem, folder, pixels, instances, class_names)


def write_results(folder, formats, file, pixels, instances, class_names=("leaf", "stem")):
    """Writes formats of one image."""
    results = ResultFolder(folder, formats, class_names)
    results.add(str(file), Path(file).stem, pixels, instances, 1.0)
    results.finish()
