"""What a data set holds, counted on sets made by hand."""

import numpy as np
import pytest

from seriatim.core.instances import Instance, Instances
from seriatim.data.inspect import as_rows, inspect
from seriatim.data.samples import Sample

from .memory_source import MemorySource


def made(*samples):
    """A source of two classes that has one problem."""
    source = MemorySource(*samples, class_names=("cell", "nerve"))
    source.problems.note("made.json", "annotation 3", "has no pixels; left out")
    return source


def sample(name, labels, classes, **fields):
    labels = np.array(labels, dtype=np.int32)
    image = np.linspace(0, 1, 3 * labels.size, dtype=np.float32).reshape(3, *labels.shape)
    return Sample(name, image, labels, np.array(classes, dtype=np.int64), **fields)


def blocks(size=(12, 16)):
    labels = np.zeros(size, dtype=np.int32)
    labels[1:5, 1:6] = 1
    labels[6:11, 2:9] = 2
    labels[2:9, 11:15] = 3
    return labels


def test_everything_is_counted():
    ignore = np.zeros((12, 16), dtype=bool)
    ignore[0] = True
    source = made(
        *[
            sample("a", blocks(), [1, 2, 1], ignore=ignore),
            sample("b", np.zeros((6, 8)), []),
            "torn",
            sample("c", [[1, 0]], [2]),
        ]
    )
    found = inspect(source)
    assert (found.num_images, found.num_read, found.num_objects, found.num_empty) == (4, 3, 4, 1)
    assert found.objects_per_class == {"cell": 2, "nerve": 2}
    assert found.object_areas is not None
    assert (found.object_areas.smallest, found.object_areas.largest) == (1, 35)
    assert found.num_small == 1
    assert found.heights is not None
    assert (found.heights.smallest, found.heights.median, found.heights.largest) == (1, 6, 12)
    assert found.channels == {3: 3}
    assert found.ignored_share == pytest.approx(16 / (12 * 16 + 48 + 2))
    assert [str(problem) for problem in found.problems] == [
        "made.json: annotation 3: has no pixels; left out",
        "torn: cannot be read: torn.png: damaged",
    ]


def test_areas_of_overlapping_objects_are_those_of_the_whole_objects():
    labels = np.array([[1, 1, 2]], dtype=np.int32)
    whole = Instances(
        (1, 3), [Instance((0, 0, 1, 2), np.ones((1, 2), bool)), Instance((0, 0, 1, 3), np.ones((1, 3), bool))]
    )
    found = inspect(made(sample("a", labels, [1, 1], objects=whole)))
    assert found.object_areas is not None
    assert found.object_areas.largest == 3


def test_the_table_names_each_class_that_has_objects():
    rows = dict(as_rows(inspect(made(sample("a", blocks(), [1, 1, 1])))))
    assert rows["  cell"] == "3"
    assert "  nerve" not in rows
    assert rows["classes"] == "1 of 2 have objects"


def test_a_set_without_images_is_described_too():
    assert dict(as_rows(inspect(made())))["height"] == "-"
