"""Parts of a source: splits into training, validation and test images, plain selections, and the objects of some classes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from seriatim.core.errors import ConfigError, DataError, did_you_mean
from seriatim.core.instances import Instances
from seriatim.data.samples import Sample, Source


class Subset:
    """Some samples of a source, in the order given."""

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        """
        Args:
            source: the whole.
            indices: which of its samples.
        """
        self.source = source
        self.indices = [int(index) for index in indices]
        self.class_names = source.class_names

    def __len__(self) -> int:
        return len(self.indices)

    def name(self, index: int) -> str:
        """What messages call the image."""
        return self.source.name(self.indices[index])

    def read(self, index: int) -> Sample:
        """The sample of the source."""
        return self.source.read(self.indices[index])


class OfClasses:
    """The images of a source with the objects of some classes only; RIS segments one class (Sec. 4.2: people).

    All images stay, those without such an object too: whether they are of use is for the reader to say (training leaves them out, AP on a
    whole validation set needs them). Pixels of other objects become background, since another thing is seen there. `ignore` stays as it is.

    Attributes:
        class_names: the classes kept, numbered 1, 2 ... in this order.
    """

    def __init__(self, source: Source, names: Sequence[str]) -> None:
        """
        Args:
            source: the whole.
            names: of its classes, those to keep.

        Raises:
            ConfigError: if the source has no class of a name.
        """
        for name in names:
            if name not in source.class_names:
                raise ConfigError(
                    f"data.classes: the images have no class {name!r}{did_you_mean(name, source.class_names)}"
                )
        self.source = source
        self.class_names = tuple(dict.fromkeys(names))
        self._numbers = np.zeros(len(source.class_names) + 1, dtype=np.int64)
        for number, name in enumerate(self.class_names, start=1):
            self._numbers[source.class_names.index(name) + 1] = number

    def __len__(self) -> int:
        return len(self.source)

    def name(self, index: int) -> str:
        """What messages call the image."""
        return self.source.name(index)

    def read(self, index: int) -> Sample:
        """The sample with what is kept of its objects, in their order."""
        sample = self.source.read(index)
        kept = np.flatnonzero(self._numbers[sample.classes])
        numbers = np.zeros(len(sample.classes) + 1, dtype=np.int32)
        numbers[kept + 1] = np.arange(1, len(kept) + 1)
        return replace(
            sample,
            labels=numbers[sample.labels],
            classes=self._numbers[sample.classes[kept]],
            objects=None if sample.objects is None else self._of_classes(sample.objects, sample.classes),
            crowds=None if sample.crowds is None else self._of_classes(sample.crowds, sample.crowds.class_ids),
            distances=None if sample.distances is None else sample.distances[kept],
            distance_confidences=None if sample.distance_confidences is None else sample.distance_confidences[kept],
        )

    def _of_classes(self, instances: Instances, classes: Int[np.ndarray, " instances"]) -> Instances:
        """Those of a class that is kept, with its new number."""
        pairs = zip(instances, self._numbers[classes].tolist(), strict=True)
        return Instances(instances.size, [replace(one, class_id=number) for one, number in pairs if number])


def split(source: Source, num_validation: int, num_test: int, seed: int) -> tuple[Subset, Subset, Subset]:
    """Training, validation and test images, drawn by chance from `seed`, each in the source's order.

    Raises:
        DataError: if nothing would be left to train on.
    """
    if num_validation + num_test >= len(source):
        raise DataError(
            f"split: {num_validation} validation and {num_test} test images leave none of {len(source)} to train on"
        )
    order = np.random.default_rng((seed, 3)).permutation(len(source))
    test, validation, training = np.split(order, (num_test, num_test + num_validation))
    return (
        Subset(source, np.sort(training).tolist()),
        Subset(source, np.sort(validation).tolist()),
        Subset(source, np.sort(test).tolist()),
    )
