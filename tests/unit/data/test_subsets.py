"""Parts of a source: the objects of some classes."""

from dataclasses import replace

import numpy as np
import pytest

from seriatim.core.errors import ConfigError, DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.samples import Sample
from seriatim.data.subsets import OfClasses, Subset, split
from seriatim.data.synthetic.sources import RosetteSource

from .memory_source import MemorySource

LABELS = np.array([[1, 1, 0, 2], [3, 0, 4, 4]], dtype=np.int32)


class Street(MemorySource):
    """Two images: a car, a person, a dog and a person; and nothing."""

    def __init__(self, sample=None):
        image = np.zeros((3, 2, 4), dtype=np.float32)
        full = Sample("full", image, LABELS, np.array([1, 3, 2, 3]), ignore=LABELS == 0)
        empty = Sample("empty", image, np.zeros_like(LABELS), np.zeros(0, dtype=np.int64))
        super().__init__(full if sample is None else sample(full), empty, class_names=("car", "dog", "person"))


def test_objects_of_other_classes_become_background_and_the_rest_is_numbered_anew():
    people = OfClasses(Street(), ["person"])
    sample = people.read(0)
    assert people.class_names == ("person",)
    assert sample.labels.tolist() == [[0, 0, 0, 1], [0, 0, 2, 2]]
    assert sample.labels.dtype == np.int32
    assert sample.classes.tolist() == [1, 1]
    assert (sample.ignore == (LABELS == 0)).all()


def test_classes_are_numbered_in_the_order_asked_for_and_objects_keep_theirs():
    sample = OfClasses(Street(), ["person", "car"]).read(0)
    assert sample.labels.tolist() == [[1, 1, 0, 2], [0, 0, 3, 3]]
    assert sample.classes.tolist() == [2, 1, 1]


def test_all_images_stay_and_one_without_such_objects_is_empty():
    dogs = OfClasses(Subset(Street(), [1, 0]), ["dog"])
    assert [dogs.name(index) for index in range(len(dogs))] == ["empty", "full"]
    assert dogs.read(0).labels.max() == len(dogs.read(0).classes) == 0
    assert dogs.read(1).classes.tolist() == [1]


def whole(labels, number, class_id):
    return Instance((0, 0, 2, 4), labels == number, class_id=class_id)


def test_whole_objects_crowds_and_distances_are_chosen_alike():
    def rich(sample):
        masks = [whole(LABELS, number, 0) for number in (1, 2, 3, 4)]
        crowds = Instances((2, 4), [whole(LABELS, 0, 3), whole(LABELS, 0, 1)])
        distances = np.array([1.0, 2.0, 3.0, 4.0])
        return replace(
            sample,
            objects=Instances((2, 4), masks),
            crowds=crowds,
            distances=distances,
            distance_confidences=distances / 10,
        )

    sample = OfClasses(Street(rich), ["dog", "person"]).read(0)
    assert sample.objects.class_ids.tolist() == [2, 1, 2]
    assert [one.area for one in sample.objects] == [1, 1, 2]
    assert sample.crowds.class_ids.tolist() == [2]
    assert sample.distances.tolist() == [2.0, 3.0, 4.0]
    assert sample.distance_confidences.tolist() == pytest.approx([0.2, 0.3, 0.4])


def test_a_class_that_the_images_do_not_have_is_refused_with_a_near_one():
    with pytest.raises(ConfigError, match=r"data\.classes: the images have no class 'persn'; did you mean 'person'"):
        OfClasses(Street(), ["persn"])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_parts_of_a_split_share_no_image_and_miss_none(seed):
    source = RosetteSource(23)
    parts = split(source, 5, 4, seed)
    assert [len(part) for part in parts] == [14, 5, 4]
    assert sorted(index for part in parts for index in part.indices) == list(range(23))
    assert all(part.indices == sorted(part.indices) for part in parts)


def test_a_split_depends_on_its_seed_alone():
    def parts(seed):
        return [part.indices for part in split(RosetteSource(40), 5, 5, seed)]

    assert parts(3) == parts(3)
    assert parts(3) != parts(4)


def test_the_test_part_stays_when_the_validation_part_grows():
    source = RosetteSource(40)
    assert split(source, 2, 5, 0)[2].indices == split(source, 9, 5, 0)[2].indices


def test_a_split_that_leaves_nothing_to_train_on_is_refused():
    with pytest.raises(DataError, match=r"data\.num_validation.*data\.num_test.*leave none of 4 to train on; set"):
        split(RosetteSource(4), 2, 2, 0)


def test_a_subset_knows_names_and_samples_of_its_source():
    subset = Subset(Street(), [1])
    assert len(subset) == 1
    assert subset.name(0) == subset.read(0).name == "empty"
    assert subset.class_names == ("car", "dog", "person")
