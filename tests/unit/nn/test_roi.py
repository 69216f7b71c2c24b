"""Features under boxes, offsets between boxes, and masks laid back into the image."""

import math

import numpy as np
import pytest
import torch

from seriatim.nn.roi import clip_boxes, decode_offsets, encode_offsets, move_boxes, paste_probs, pool_boxes

SCALE, UNSCALED = (0.1, 0.1, 0.2, 0.2), (1.0, 1.0, 1.0, 1.0)


def random_boxes(count, seed=0):
    corners = torch.rand(count, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 20
    return torch.cat((corners[:, :2], corners[:, :2] + corners[:, 2:] + 1), dim=1)


def test_a_box_of_whole_cells_pools_to_the_cells_themselves_row_before_column():
    features = torch.arange(2 * 24.0).view(2, 1, 4, 6)
    boxes = torch.tensor([[8.0, 16.0, 24.0, 48.0], [0.0, 0.0, 16.0, 8.0]])
    # rows 1 and 2, columns 2 to 5 in pairs: means of two
    aligned = pool_boxes(features, boxes, torch.tensor([1, 0]), 2, 8)
    assert aligned[0, 0].tolist() == [[24 + 8.5, 24 + 10.5], [24 + 14.5, 24 + 16.5]]
    # half a cell of the features wide: a quarter before the centre of the first column, where its value holds on, and a quarter behind it
    assert aligned[1, 0].tolist() == [[0.0, 0.25], [6.0, 6.25]]


def test_the_largest_value_of_a_cell_is_taken_where_that_is_asked_for():
    features = torch.zeros(1, 1, 8, 8)
    features[0, 0, 1, 6] = 5.0
    pooled = pool_boxes(features, torch.tensor([[0.0, 0.0, 64.0, 64.0]]), torch.tensor([0]), 2, 8, "max")
    assert pooled[0, 0].tolist() == [[0.0, 5.0], [0.0, 0.0]]


@pytest.mark.parametrize("pooling", ["align", "max"])
def test_no_box_gives_no_features_and_still_a_gradient(pooling):
    features = torch.rand(1, 3, 4, 4, requires_grad=True)
    pooled = pool_boxes(features, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), 5, 8, pooling)
    assert pooled.shape == (0, 3, 5, 5)
    pooled.sum().backward()
    assert not features.grad.any()


def test_no_gradient_reaches_a_box():
    boxes = torch.tensor([[1.0, 2.0, 9.0, 9.0]], requires_grad=True)
    features = torch.rand(1, 1, 4, 4, requires_grad=True)
    pool_boxes(features, boxes, torch.tensor([0]), 3, 4).sum().backward()
    assert boxes.grad is None
    assert features.grad.any()


def test_offsets_and_their_inverse_cancel():
    boxes, targets = random_boxes(30), random_boxes(30, seed=1)
    torch.testing.assert_close(decode_offsets(boxes, encode_offsets(boxes, targets, SCALE), SCALE), targets)


def test_offsets_beyond_all_measure_give_a_finite_box():
    moved = decode_offsets(torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.tensor([[0.0, 0.0, 1e6, 1e6]]), UNSCALED)
    assert bool(moved.isfinite().all())
    assert float(moved[0, 2] - moved[0, 0]) == pytest.approx(4 * 1000 / 16)


def test_boxes_are_cut_to_the_image():
    boxes = torch.tensor([[-3.0, 2.0, 12.0, 30.0]])
    assert clip_boxes(boxes, (10, 20)).tolist() == [[0.0, 2.0, 10.0, 20.0]]


def test_a_box_that_would_leave_the_image_or_vanish_stays_and_others_move():
    boxes = torch.tensor([[2.0, 2.0, 6.0, 6.0]]).repeat(4, 1)
    offsets = torch.tensor([[3.0, 0, 0, 0], [0.5, 0, 0, 0], [0, 0, math.log(0.1), 0], [0, float("nan"), 0, 0]])
    moved = move_boxes(boxes, offsets, UNSCALED, (10, 7))
    assert moved.tolist() == [[2, 2, 6, 6], [4, 2, 8, 6], [2, 2, 6, 6], [2, 2, 6, 6]]
    # the first would be at rows 14 to 18 of 10; the second reaches the edge and is cut
    assert move_boxes(boxes[:1], torch.tensor([[1.5, 0, 0, 0]]), UNSCALED, (10, 7)).tolist() == [[8, 2, 10, 6]]


def test_no_gradient_passes_through_a_move():
    offsets = torch.zeros(1, 4, requires_grad=True)
    assert not move_boxes(torch.tensor([[0.0, 0.0, 4.0, 4.0]]), offsets, SCALE, (8, 8)).requires_grad


def test_a_pasted_mask_equals_interpolation_pixel_by_pixel():
    probs = torch.rand(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y0, x0, y1, x1 = box = (2.3, -1.5, 11.7, 8.25)
    pasted = paste_probs(probs, torch.tensor(box), (13, 9)).numpy()
    expected = np.zeros((13, 9))
    for row in range(13):
        for column in range(9):
            y, x = row + 0.5, column + 0.5
            if y0 <= y < y1 and x0 <= x < x1:
                v = min(max((y - y0) / (y1 - y0) * 5 - 0.5, 0), 4)
                u = min(max((x - x0) / (x1 - x0) * 4 - 0.5, 0), 3)
                top, left = min(int(v), 3), min(int(u), 2)
                a, b = v - top, u - left
                corner = probs[top : top + 2, left : left + 2].numpy()
                expected[row, column] = (1 - a) * ((1 - b) * corner[0, 0] + b * corner[0, 1]) + a * (
                    (1 - b) * corner[1, 0] + b * corner[1, 1]
                )
    np.testing.assert_allclose(pasted, expected, atol=1e-6)


def test_a_box_between_the_centres_of_pixels_pastes_nothing():
    assert not paste_probs(torch.ones(2, 2), torch.tensor([0.6, 0.0, 1.4, 4.0]), (4, 4)).any()
