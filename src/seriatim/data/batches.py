"""Batches of training crops, drawn so that crop number n depends on the seed and on n alone.

The same number gives the same crop, whatever the number of workers and wherever a run was stopped. So a resumed run is exact.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from seriatim.core.batch import Batch, Prompts
from seriatim.core.signals import kept_from_children
from seriatim.data.augment import AugmentationConfig, Crop, augment
from seriatim.data.preparation import PreparationConfig, prepare_sample
from seriatim.data.samples import Sample
from seriatim.data.source import Source


class Crops(Dataset[Crop]):
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
            augmentation: drawn again for each crop.
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

    def __getitem__(self, number: int) -> Crop:
        epoch, position = divmod(number, len(self.source))
        index = int(np.random.default_rng((self.seed, 1, epoch)).permutation(len(self.source))[position])
        return augment(self._prepared(index), self.augmentation, np.random.default_rng((self.seed, 2, number)))

    def _prepared(self, index: int) -> Sample:
        if index not in self._cache:
            sample = prepare_sample(self.source.read(index), self.preparation)
            self._cache[index] = sample
            self._cached_bytes += sample.image.nbytes + sample.labels.nbytes
            while self._cached_bytes > self.cache_bytes and len(self._cache) > 1:
                _, oldest = self._cache.popitem(last=False)
                self._cached_bytes -= oldest.image.nbytes + oldest.labels.nbytes
        return self._cache[index]


def collate(crops: Sequence[Crop]) -> Batch:
    """Stack crops of one size, those with most objects first; `prompts` is None where no crop has boxes."""
    ordered = sorted(crops, key=lambda crop: -len(crop.classes))
    classes = np.zeros((len(ordered), max((len(crop.classes) for crop in ordered), default=0)), dtype=np.int64)
    for row, crop in zip(classes, ordered, strict=True):
        row[: len(crop.classes)] = crop.classes
    prompts = tuple(Prompts.none() if crop.boxes is None else crop.boxes.to_prompts() for crop in ordered)
    return Batch(
        torch.from_numpy(np.stack([crop.image for crop in ordered])),
        torch.from_numpy(np.stack([crop.labels for crop in ordered]).astype(np.int64)),
        torch.from_numpy(classes),
        tuple(crop.name for crop in ordered),
        prompts if any(crop.boxes is not None for crop in ordered) else None,
    )


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
    loader = DataLoader(
        crops,
        batch_sampler=numbers,
        collate_fn=collate,
        num_workers=num_workers,
        prefetch_factor=2 if num_workers else None,
    )
    with (
        kept_from_children()
    ):  # a worker that ended by itself would break the iteration in which the checkpoint is written
        drawn = iter(loader)
    yield from drawn
