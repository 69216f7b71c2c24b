"""Parts of a source: splits into training, validation and test images, plain selections, and the objects of some classes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from seriatim.core.errors import ConfigError, DataError, did_you_mean
from seriatim.core.instances import Instances
from seriatim.data.samples import Sample
from seriatim.data.source import Source, WholeTruth, Wrapper


class Subset(Wrapper):
    """Some samples of a source, in the order given."""

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        """
        Args:
            source: the whole.
            indices: which of its samples.
        """
        super().__init__(source)
        self.indices = [int(index) for index in indices]

    def place(self, index: int) -> int:
        """The number in the whole of image number `index`."""
        return self.indices[index]

    def __len__(self) -> int:
        return len(self.indices)


class OfClasses(Wrapper):
    """The images of a source with the objects of some classes only; RIS segments one class (Sec. 4.2: people).

    All images stay, those without such an object too: training leaves them out, AP on a whole validation set needs them. Pixels of other
    objects become background, since another thing is seen there. `ignore` stays as it is, and so do boxes of no known class.

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
        super().__init__(source)
        for name in names:
            if name not in source.class_names:
                raise ConfigError(
                    f"data.classes: the images have no class {name!r}{did_you_mean(name, source.class_names)}"
                )
        self.is_of_some_classes = True
        self.class_names = tuple(dict.fromkeys(names))
        old_classes = [source.class_names.index(name) + 1 for name in self.class_names]
        self.category_ids = tuple(source.category_ids[class_id - 1] for class_id in old_classes)
        self._new_classes = np.zeros(len(source.class_names) + 1, dtype=np.int64)
        self._new_classes[old_classes] = np.arange(1, len(old_classes) + 1)
        if self.coco is not None:
            class_ids = {
                category_id: int(self._new_classes[class_id]) for category_id, class_id in self.coco.class_ids.items()
            }
            self.coco = self.coco._replace(class_ids=class_ids)

    def read(self, index: int) -> Sample:
        """The sample with what is kept of its objects, in their order."""
        sample = self.source.read(index)
        kept = np.flatnonzero(self._new_classes[sample.classes])
        labels = np.zeros(len(sample.classes) + 1, dtype=np.int32)
        labels[kept + 1] = np.arange(1, len(kept) + 1)
        boxes = sample.boxes
        if boxes is not None:
            new_classes = self._new_classes[boxes.class_ids]
            boxes = replace(boxes, class_ids=new_classes).select((new_classes > 0) | (boxes.class_ids == 0))
        return replace(
            sample,
            labels=labels[sample.labels],
            classes=self._new_classes[sample.classes[kept]],
            objects=None if sample.objects is None else self._keep(sample.objects, sample.classes),
            crowds=None if sample.crowds is None else self._keep(sample.crowds, sample.crowds.class_ids),
            distances=None if sample.distances is None else sample.distances[kept],
            distance_confidences=None if sample.distance_confidences is None else sample.distance_confidences[kept],
            boxes=boxes,
        )

    def whole_truth(self, index: int) -> WholeTruth | None:
        """What the whole knows of the objects and crowds that are kept."""
        whole = self.source.whole_truth(index)
        if whole is None:
            return None
        is_kept = self._new_classes[np.concatenate((whole.objects.class_ids, whole.crowds.class_ids))] > 0
        objects, crowds = (self._keep(part, part.class_ids) for part in (whole.objects, whole.crowds))
        return WholeTruth(objects, crowds, whole.areas[is_kept])

    def _keep(self, instances: Instances, classes: Int[np.ndarray, " instances"]) -> Instances:
        """Those of a class that is kept, with its new number."""
        pairs = zip(instances, self._new_classes[classes].tolist(), strict=True)
        return Instances(instances.size, [replace(one, class_id=number) for one, number in pairs if number])


def split(source: Source, num_validation: int, num_test: int, seed: int) -> tuple[Subset, Subset, Subset]:
    """Training, validation and test images, drawn at random from `seed`, each in the source's order.

    Raises:
        DataError: if nothing would be left to train on.
    """
    if num_validation + num_test >= len(source):
        raise DataError(
            f"split: {num_validation} validation images (data.num_validation) and {num_test} test images (data.num_test) "
            f"leave none of {len(source)} to train on; set these numbers lower, or add images"
        )
    order = np.random.default_rng((seed, 3)).permutation(len(source))
    test, validation, training = np.split(order, (num_test, num_test + num_validation))
    return (
        Subset(source, np.sort(training).tolist()),
        Subset(source, np.sort(validation).tolist()),
        Subset(source, np.sort(test).tolist()),
    )
