import numpy as np

from seriatim.core.boxes import Boxes
from seriatim.data.samples import Sample
from seriatim.data.true_boxes import WithTrueBoxes

from .memory_source import MemorySource


def sample_of(labels, classes, boxes=None):
    labels = np.array(labels, dtype=np.int32)
    image = np.zeros((1, *labels.shape), dtype=np.float32)
    return Sample("one", image, labels, np.array(classes, dtype=np.int64), boxes=boxes)


def test_every_object_has_a_box_around_its_visible_pixels_with_score_one_and_its_class():
    given = Boxes.of([(0, 0, 1, 1)])
    source = WithTrueBoxes(MemorySource(sample_of([[0, 2, 2], [1, 0, 2]], [5, 3], given)))
    boxes = source.read(0).boxes
    assert boxes.edges.tolist() == [[1, 0, 2, 1], [0, 1, 2, 3]]
    assert boxes.class_ids.tolist() == [5, 3]
    assert boxes.scores.tolist() == [1, 1]


def test_an_image_without_objects_has_no_box():
    assert len(WithTrueBoxes(MemorySource(sample_of([[0, 0]], []))).read(0).boxes) == 0
