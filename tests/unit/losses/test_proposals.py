"""The objects that proposals stand for, their masks, and the costs of eq. 1."""

import math

import pytest
import torch

from seriatim.losses.proposals import (
    IGNORED,
    assign_objects,
    dominant_masks,
    dominant_objects,
    draw_proposals,
    find_objects,
    location_costs,
    segmentation_costs,
)

LABELS = torch.tensor([[1, 1, 0, 4], [1, 0, 0, 4], [0, 0, 0, -1]])
"""A bent object of three pixels, an upright one of two, and a pixel to ignore."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_objects_are_those_with_a_pixel_in_the_order_of_their_labels():
    objects = find_objects(LABELS)
    assert objects.numbers.tolist() == [1, 4]
    assert objects.boxes.tolist() == [[0, 0, 2, 2], [0, 3, 2, 4]]
    assert objects.planes.sum(dim=(1, 2)).tolist() == [3, 2]


def test_an_image_without_objects_has_none():
    objects = find_objects(torch.tensor([[0, -1], [0, 0]]))
    assert objects.boxes.shape == (0, 4)
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    assert assign_objects(boxes, objects).overlaps.tolist() == [0.0]
    assert dominant_objects(boxes, objects).tolist() == [0]
    assert dominant_masks(boxes, torch.tensor([[0, -1], [0, 0]]), objects, 2).tolist() == [[[0, -1], [0, 0]]]


def test_a_proposal_is_of_the_object_whose_box_overlaps_it_most():
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 2.0, 2.0, 4.0], [2.0, 0.0, 3.0, 1.0], [0.0, 1.0, 2.0, 4.0]])
    assigned = assign_objects(boxes, find_objects(LABELS))
    assert assigned.rows.tolist()[:2] == [0, 1]
    # equal; half of the box; nothing; 2 of 6 of the second, which is more than 2 of 8 of the first
    assert assigned.overlaps.tolist() == pytest.approx([1.0, 0.5, 0.0, 2 / 6])
    assert assigned.rows.tolist()[3] == 1


def test_a_quarter_of_the_drawn_proposals_is_foreground_and_the_rest_background():
    overlaps = torch.cat((torch.full((30,), 0.5), torch.full((80,), 0.49)))
    drawn = draw_proposals(overlaps, 64, 0.25, 0.5, 0.0, generator())
    assert len(set(drawn.tolist())) == 64
    assert int((drawn < 30).sum()) == 16


def test_too_few_of_a_kind_are_not_made_up_for():
    overlaps = torch.cat((torch.full((3,), 0.8), torch.full((10,), 0.2), torch.full((5,), 0.05)))
    assert sorted(draw_proposals(overlaps, 64, 0.25, 0.5, 0.0, generator()).tolist()) == list(range(18))
    assert sorted(draw_proposals(overlaps, 64, 0.25, 0.5, 0.1, generator()).tolist()) == list(range(13))
    assert draw_proposals(torch.zeros(0), 64, 0.25, 0.5, 0.0, generator()).tolist() == []


def test_the_generator_alone_decides_which_are_drawn():
    overlaps = torch.rand(200, generator=generator(1))
    first, again = (draw_proposals(overlaps, 20, 0.25, 0.5, 0.0, generator(2)) for _ in range(2))
    other = draw_proposals(overlaps, 20, 0.25, 0.5, 0.0, generator(3))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_dominant_object_has_most_pixels_in_the_box_and_equal_ones_the_smaller_label():
    objects = find_objects(LABELS)
    boxes = torch.tensor(
        [
            [0.0, 0.0, 3.0, 4.0],  # 3 and 2
            [1.0, 0.0, 3.0, 4.0],  # 1 and 1
            [0.0, 1.6, 3.0, 4.0],  # centres from column 2 on: 0 and 2
            [2.0, 0.0, 3.0, 3.0],  # none
            [0.4, 0.4, 0.6, 0.6],  # the centre of the first pixel
        ]
    )
    assert dominant_objects(boxes, objects).tolist() == [1, 1, 4, 0, 1]


def test_the_counts_equal_those_of_a_loop_over_pixels():
    labels = torch.randint(-1, 4, (9, 11), generator=generator())
    corners = torch.rand(40, 4, generator=generator(1)) * torch.tensor([5.0, 7.0, 4.0, 4.0])
    boxes = torch.cat((corners[:, :2], corners[:, :2] + corners[:, 2:]), dim=1)
    expected = []
    for y0, x0, y1, x1 in boxes.tolist():
        counts = [0] * 4
        for row in range(9):
            for column in range(11):
                if y0 <= row + 0.5 < y1 and x0 <= column + 0.5 < x1 and labels[row, column] > 0:
                    counts[labels[row, column]] += 1
        expected.append(counts.index(max(counts)) if max(counts) else 0)
    assert dominant_objects(boxes, find_objects(labels)).tolist() == expected


def test_a_dominant_mask_leaves_other_objects_out_and_ignores_what_is_void():
    masks = dominant_masks(torch.tensor([[0.0, 0.0, 3.0, 4.0]]), LABELS, find_objects(LABELS), 12)
    every_pixel = masks[0, 2::4, 1::3]
    assert every_pixel.tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, IGNORED]]
    assert torch.equal(masks[0], every_pixel.repeat_interleave(4, 0).repeat_interleave(3, 1))


def test_location_costs_are_squares_within_1_and_lines_beyond_of_the_true_class_alone():
    offsets = torch.tensor([[[9.0] * 4, [0.5, -1.0, 2.0, -3.0]], [[9.0] * 4, [9.0] * 4]])
    costs = location_costs(offsets, torch.tensor([[0.0] * 4, [float("inf")] * 4]), torch.tensor([1, 0]))
    assert costs.tolist() == [0.125 + 0.5 + 1.5 + 2.5, 0.0]


def test_location_costs_of_background_have_no_gradient():
    offsets = torch.ones(2, 2, 4, requires_grad=True)
    location_costs(offsets, torch.zeros(2, 4), torch.tensor([0, 1])).sum().backward()
    assert offsets.grad[0].abs().sum() == 0
    assert offsets.grad[1].tolist() == [[0.0] * 4, [1.0] * 4]


def test_segmentation_costs_are_means_over_the_cells_that_count():
    logits = torch.zeros(3, 2, 2, 2)
    logits[0, 1, 0, 0] = math.log(3)  # 3/4 foreground
    void = [IGNORED, IGNORED]
    targets = torch.tensor([[[1, 0], void], [void, void], [[1, 1], [1, 1]]])
    costs = segmentation_costs(logits, targets, torch.tensor([2, 1, 0]))
    assert costs.tolist() == pytest.approx([(-math.log(0.75) + math.log(2)) / 2, 0.0, 0.0])
