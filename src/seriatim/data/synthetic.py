"""Kind `rosettes:N` or `rosettes:N@SEED`: N synthetic plants, made when they are read.

Picture number i of seed S is `make_rosette(S + i)`; without a seed they start at 0, and this project never trains on seeds below 1000.
"""

import re

import numpy as np

from seriatim.core.errors import ConfigError
from seriatim.data.images import to_float_image
from seriatim.data.rosettes import make_rosette
from seriatim.data.samples import Sample


class RosetteSource:
    """Synthetic plants seen from above, with their leaves."""

    class_names: tuple[str, ...] = ("leaf",)

    def __init__(self, count: int, seed: int = 0) -> None:
        """
        Args:
            count: number of plants.
            seed: of the first; the next have the next seeds.
        """
        self.count = count
        self.seed = seed

    @classmethod
    def parse(cls, spec: str) -> "RosetteSource":
        """The source of `N` or `N@SEED`.

        Raises:
            ConfigError: if `spec` is neither.
        """
        found = re.fullmatch(r"(\d+)(?:@(\d+))?", spec)
        if not found or int(found[1]) < 1:
            raise ConfigError(f"rosettes:{spec}: expected rosettes:N or rosettes:N@SEED, such as rosettes:64")
        return cls(int(found[1]), int(found[2] or 0))

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """Its seed, in six digits."""
        return f"rosette-{self.seed + index:06d}"

    def read(self, index: int) -> Sample:
        """The plant and its leaves."""
        plant = make_rosette(self.seed + index)
        classes = np.ones(int(plant.labels.max(initial=0)), dtype=np.int64)
        return Sample(self.name(index), to_float_image(plant.image), plant.labels, classes)
