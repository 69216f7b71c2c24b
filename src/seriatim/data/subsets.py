"""Parts of a source: splits into training, validation and test pictures, and plain selections."""

from collections.abc import Sequence

import numpy as np

from seriatim.core.errors import DataError
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
        """What messages call the picture."""
        return self.source.name(self.indices[index])

    def read(self, index: int) -> Sample:
        """The sample of the source."""
        return self.source.read(self.indices[index])


def split(source: Source, num_validation: int, num_test: int, seed: int) -> tuple[Subset, Subset, Subset]:
    """Training, validation and test pictures, drawn by chance from `seed`, each in the source's order.

    Raises:
        DataError: if nothing would be left to train on.
    """
    if num_validation + num_test >= len(source):
        raise DataError(
            f"split: {num_validation} validation and {num_test} test pictures leave none of {len(source)} to train on"
        )
    order = np.random.default_rng((seed, 3)).permutation(len(source))
    test, validation, training = np.split(order, (num_test, num_test + num_validation))
    return (
        Subset(source, np.sort(training).tolist()),
        Subset(source, np.sort(validation).tolist()),
        Subset(source, np.sort(test).tolist()),
    )
