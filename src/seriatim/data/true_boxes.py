"""A source whose samples have the boxes of their own true objects, for watching a model that takes boxes where nobody gives any."""

from dataclasses import replace

from seriatim.core.boxes import Boxes
from seriatim.core.instances import Instances
from seriatim.data.samples import Sample
from seriatim.data.source import Wrapper


class WithTrueBoxes(Wrapper):
    """The samples of a source, each with the boxes of the visible pixels of its objects, score 1 and the true classes."""

    def read(self, index: int) -> Sample:
        """The sample with the boxes of its objects in place of those that it has."""
        sample = super().read(index)
        objects = Instances.from_label_map(sample.labels)
        boxes = Boxes.of([one.box for one in objects], class_ids=sample.classes)
        return replace(sample, boxes=boxes)
