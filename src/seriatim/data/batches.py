"""Batches of training crops, drawn so that crop number n depends on the seed and on n alone.

Whatever the number of workers, and wherever a run was stopped, the same number gives the same crop: that is what makes resuming exact.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from seriatim.data.augment import AugmentationConfig, augment
from seriatim.data.preparation import PreparationConfig, prepare_sample
from seriatim.data.samples import Sample, Source


class Batch(NamedTuple):
    """Crops, those with most objects first.

    Attributes:
        images: values in 0..1.
        labels: 0 background, 1..N, -1 to ignore.
        classes: of every object, from 1; 0 pads.
        names: of the images that the crops come from.
    """

    images: Float[Tensor, "batch channels height width"]
    labels: Int[Tensor, "batch height width"]
    classes: Int[Tensor, "batch instances"]
    names: tuple[str, ...]


class Crops(Dataset[tuple[str, np.ndarray, np.ndarray, np.ndarray]]):
    """Crop number n of an endless, seeded stream over a source."""

    def __init__(
        self,
        source: Source,
        preparation: PreparationConfig,
        augmentation: AugmentationConfig,
        seed: int,
        cache_bytes: int = 2**31,
    ) -> None:
        """
        Args:
            source: the training images.
            preparation: done once to each image.
            augmentation: drawn anew for each crop.
            seed: of the stream.
            cache_bytes: memory for prepared images in each worker.
        """
        self.source = source
        self.preparation = preparation
        self.augmentation = augmentation
        self.seed = seed
        self.cache_bytes = cache_bytes
        self._cache: OrderedDict[int, Sample] = OrderedDict()
        self._cached_bytes = 0

    def __getitem__(self, number: int) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
        epoch, position = divmod(number, len(self.source))
        index = int(np.random.default_rng((self.seed, 1, epoch)).permutation(len(self.source))[position])
        sample = self._prepared(index)
        image, labels, classes = augment(sample, self.augmentation, np.random.default_rng((self.seed, 2, number)))
        return sample.name, image, labels, classes

    def _prepared(self, index: int) -> Sample:
        if index not in self._cache:
            sample = prepare_sample(self.source.read(index), self.preparation)
            self._cache[index] = sample
            self._cached_bytes += sample.image.nbytes + sample.labels.nbytes
            while self._cached_bytes > self.cache_bytes and len(self._cache) > 1:
                _, oldest = self._cache.popitem(last=False)
                self._cached_bytes -= oldest.image.nbytes + oldest.labels.nbytes
        return self._cache[index]


def collate(crops: Sequence[tuple[str, np.ndarray, np.ndarray, np.ndarray]]) -> Batch:
    """Stack crops of one size, those with most objects first."""
    ordered = sorted(crops, key=lambda crop: -len(crop[3]))
    classes = np.zeros((len(ordered), max((len(crop[3]) for crop in ordered), default=0)), dtype=np.int64)
    for row, crop in zip(classes, ordered, strict=True):
        row[: len(crop[3])] = crop[3]
    images = torch.from_numpy(np.stack([crop[1] for crop in ordered]))
    labels = torch.from_numpy(np.stack([crop[2] for crop in ordered]).astype(np.int64))
    return Batch(images, labels, torch.from_numpy(classes), tuple(crop[0] for crop in ordered))


def batches(
    crops: Crops, batch_size: int, first_crop: int, num_batches: int, share: range | None = None, num_workers: int = 0
) -> Iterator[Batch]:
    """Batches of the stream.

    Args:
        crops: the stream.
        batch_size: crops a batch, over all processes.
        first_crop: number of the first crop.
        num_batches: how many batches.
        share: positions within each batch that this process takes; None for all.
        num_workers: processes that draw; they do not change what is drawn.
    """
    taken = share if share is not None else range(batch_size)
    numbers = [[first_crop + index * batch_size + position for position in taken] for index in range(num_batches)]
    yield from DataLoader(
        crops,
        batch_sampler=numbers,
        collate_fn=collate,
        num_workers=num_workers,
        prefetch_factor=2 if num_workers else None,
    )
