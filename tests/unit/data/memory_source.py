"""A source whose samples are in the memory."""

from seriatim.core.errors import DataError
from seriatim.data.source import Source


class MemorySource(Source):
    """Samples from a list; a name instead of a sample cannot be read."""

    def __init__(self, *samples, class_names=("object",)):
        self.samples = samples
        self.class_names = class_names

    def __len__(self):
        return len(self.samples)

    def name(self, index):
        sample = self.samples[index]
        return sample if isinstance(sample, str) else sample.name

    def read(self, index):
        if isinstance(self.samples[index], str):
            raise DataError(f"{self.samples[index]}.png: damaged")
        return self.samples[index]
