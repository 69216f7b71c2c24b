import numpy as np
import pytest
import torch

from seriatim.core.boxes import Boxes
from seriatim.core.instances import Instance
from seriatim.inference.placement import ImagePrompts, original_box, pad_tile, place

TILES = [(0, 0, 64, 64), (0, 32, 64, 96)]


def test_boxes_are_cut_at_the_edges_of_a_tile_and_dropped_where_nothing_is_left():
    prompts = ImagePrompts(Boxes.of([(10, 40, 20, 80), (0, 0, 8, 20)], [0.5, 0.25], [2, 1]), np.zeros((0, 2)))
    left, _ = prompts.of_tile(TILES, 0, (64, 96), (64, 96))
    right, _ = prompts.of_tile(TILES, 1, (64, 96), (64, 96))
    assert left.boxes.tolist() == [[10, 40, 20, 64], [0, 0, 8, 20]]
    assert right.boxes.tolist() == [[10, 8, 20, 48]]
    assert (right.scores.tolist(), right.class_ids.tolist()) == ([0.5], [2])


def test_prompts_follow_the_scale_at_which_the_network_looks():
    prompts = ImagePrompts(Boxes.of([(10, 20, 30, 40)]), np.array([[10.0, 20.0]]))
    seen, numbers = prompts.of_tile([(0, 0, 32, 48)], 0, (32, 48), (64, 96))
    assert seen.boxes.tolist() == [[5, 10, 15, 20]]
    assert seen.points.tolist() == [[5, 10]]
    assert numbers.tolist() == [0]


def test_a_point_belongs_to_the_one_tile_in_which_it_lies_farthest_inside():
    points = np.array([[30.0, 90.0], [30.0, 10.0], [30.0, 45.0], [30.0, 51.0]])
    prompts = ImagePrompts(Boxes.none(), points)
    (left, in_left), (right, in_right) = (prompts.of_tile(TILES, number, (64, 96), (64, 96)) for number in (0, 1))
    assert (in_left.tolist(), in_right.tolist()) == ([1, 2], [0, 3])
    assert left.points.tolist() == [[30, 10], [30, 45]]
    assert right.points.tolist() == [[30, 58], [30, 19]]


def test_a_tile_is_padded_by_reflection_to_a_multiple():
    crop = np.arange(2 * 33 * 40, dtype=np.float32).reshape(2, 33, 40)
    padded = pad_tile(crop, 32)
    assert padded.shape == (2, 64, 64)
    assert np.array_equal(padded[:, :33, :40], crop)
    assert np.array_equal(padded[:, 33, :40], crop[:, 31])


def instance_at(box, size=(64, 64)):
    probs = torch.zeros(size)
    y0, x0, y1, x1 = box
    probs[y0:y1, x0:x1] = 1
    return Instance.from_mask((probs > 0.5).numpy(), score=0.75, class_id=3, step=5), probs


def test_an_object_is_moved_from_its_tile_into_the_image_and_loses_what_lies_in_the_padding():
    instance, probs = instance_at((50, 4, 62, 10))
    placed = place(instance, probs, (20, 30, 76, 90), (76, 90), (76, 90), 0.5)  # the tile is 56 pixels high
    assert (placed.box, placed.score, placed.class_id, placed.step) == ((70, 34, 76, 40), 0.75, 3, 5)
    assert place(*instance_at((57, 0, 60, 4)), (20, 30, 76, 90), (76, 90), (76, 90), 0.5) is None


@pytest.mark.parametrize(("size", "box"), [((32, 48), (10, 4, 15, 12)), ((128, 192), (40, 16, 60, 48))])
def test_an_object_of_a_scaled_image_comes_back_at_the_size_of_the_image(size, box):
    instance, probs = instance_at((20, 8, 30, 24))
    placed = place(instance, probs, (0, 0, 64, 64), (64, 96), size, 0.5)
    assert placed.box == box
    assert placed.mask.all()


def test_the_pixels_of_a_box_are_those_whose_centres_lie_in_it():
    assert original_box((0, 1, 2, 3), (4, 4), (4, 4)) == (0, 1, 2, 3)
    assert original_box((0, 1, 2, 3), (4, 4), (8, 8)) == (0, 2, 4, 6)
    assert original_box((1, 1, 3, 4), (4, 4), (2, 2)) == (0, 0, 1, 2)
