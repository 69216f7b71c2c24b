import numpy as np

from seriatim.core.instances import Instance
from seriatim.data.masks.overlaps import lay_objects

IMAGE = np.zeros((1, 6, 6), dtype=np.float32)


def square(y, x, side, class_id):
    return Instance((y, x, y + side, x + side), np.ones((side, side), dtype=bool), class_id=class_id)


def test_the_smaller_object_lies_on_top_and_the_order_stays():
    sample, covered = lay_objects("a", IMAGE, [square(1, 1, 2, 5), square(0, 0, 4, 7)])
    assert covered == []
    assert sample.labels[:4, :4].tolist() == [[2, 2, 2, 2], [2, 1, 1, 2], [2, 1, 1, 2], [2, 2, 2, 2]]
    assert sample.classes.tolist() == [5, 7]
    assert [one.area for one in sample.objects] == [4, 16]


def test_objects_without_overlap_are_the_label_map_alone():
    sample, _ = lay_objects("a", IMAGE, [square(0, 0, 2, 1), square(3, 3, 2, 2)])
    assert sample.objects is None
    back = sample.instances()
    assert [(one.box, one.class_id) for one in back] == [((0, 0, 2, 2), 1), ((3, 3, 5, 5), 2)]


def test_what_others_cover_wholly_is_left_out_and_named_and_leaves_no_gap():
    found = [square(0, 0, 2, 1), square(0, 0, 2, 2), square(3, 3, 1, 3)]
    sample, covered = lay_objects("a", IMAGE, found)
    assert covered == [1]
    assert sample.classes.tolist() == [1, 3]
    assert np.unique(sample.labels).tolist() == [0, 1, 2]
    assert sample.objects is None


def test_pixels_of_an_object_are_not_ignored():
    ignore = np.ones((6, 6), dtype=bool)
    sample, _ = lay_objects("a", IMAGE, [square(0, 0, 2, 1)], ignore)
    assert (sample.ignore == (sample.labels == 0)).all()
    assert lay_objects("a", IMAGE, [square(0, 0, 6, 1)], ignore)[0].ignore is None


def test_an_image_without_objects_is_a_sample_all_the_same():
    sample, covered = lay_objects("a", IMAGE, [])
    assert (len(sample.classes), sample.labels.max(), covered) == (0, 0, [])


def test_overlapping_objects_keep_covered_pixels_and_their_classes():
    sample, _ = lay_objects("a", IMAGE, [square(1, 1, 2, 5), square(0, 0, 4, 7)])
    assert [(one.area, one.class_id) for one in sample.instances()] == [(4, 5), (16, 7)]
