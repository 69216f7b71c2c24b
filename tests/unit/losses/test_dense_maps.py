import math

import numpy as np
import pytest
import torch

from seriatim.core.dense_maps import DenseMaps
from seriatim.losses.dense_maps import coarse_map_losses, dense_map_losses, dense_targets


def square():
    """A 3 x 3 object in a image of 5 x 6, its upper left corner at (1, 2)."""
    labels = torch.zeros(1, 5, 6, dtype=torch.long)
    labels[0, 1:4, 2:5] = 1
    return labels


def test_the_targets_of_a_small_square():
    targets = dense_targets(square())
    inside = square()[0] > 0
    assert (targets.foreground[0] > 0).tolist() == inside.tolist()
    # depth: 2 in the middle, 1 around it; over the deepest
    assert targets.seeds[0, 1:4, 2:5].tolist() == [[0.5, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 0.5]]
    assert targets.seeds[0][~inside].abs().sum() == 0
    assert targets.offsets[0, 0, 1:4, 2:5].tolist() == [[1, 1, 1], [0, 0, 0], [-1, -1, -1]]
    assert targets.offsets[0, 1, 1:4, 2:5].tolist() == [[1, 0, -1]] * 3
    log2 = math.log2(math.sqrt(4 * 9 / math.pi) / 16)
    np.testing.assert_allclose(targets.log2_diameters[0][inside], log2, rtol=1e-6)


def test_cells_of_several_pixels_give_offsets_and_diameters_in_pixels():
    targets = dense_targets(square(), (2.0, 4.0))
    assert targets.offsets[0, 0, 1, 2].item() == 2
    assert targets.offsets[0, 1, 1, 2].item() == 4
    expected = math.log2(math.sqrt(4 * 9 * 8 / math.pi) / 16)
    assert targets.log2_diameters[0, 2, 3].item() == pytest.approx(expected, rel=1e-6)


def test_touching_objects_have_centres_and_edges_of_their_own():
    labels = torch.zeros(1, 3, 6, dtype=torch.long)
    labels[0, :, :3], labels[0, :, 3:] = 1, 2
    targets = dense_targets(labels)
    assert targets.seeds[0, 1].tolist() == [0.5, 1.0, 0.5, 0.5, 1.0, 0.5]
    assert targets.offsets[0, 1, 1].tolist() == [1, 0, -1, 1, 0, -1]


def test_an_object_at_the_border_of_the_image_ends_there():
    targets = dense_targets(torch.ones(1, 3, 3, dtype=torch.long))
    assert targets.seeds[0].tolist() == [[0.5, 0.5, 0.5], [0.5, 1.0, 0.5], [0.5, 0.5, 0.5]]


@pytest.mark.parametrize("value", [0, -1])
def test_a_image_without_objects_has_empty_targets(value):
    for part in dense_targets(torch.full((2, 3, 4), value)):
        assert part.abs().sum() == 0


def test_perfect_maps_cost_almost_nothing_and_every_fault_costs_its_own_term():
    targets = dense_targets(square())
    counted = torch.ones(1, 5, 6, dtype=torch.bool)

    def maps(**changes):
        parts = {
            "foreground_logits": (targets.foreground - 0.5) * 40,
            "seed_logits": torch.logit(targets.seeds, eps=1e-7),
            "offsets": targets.offsets,
            "log2_diameters": targets.log2_diameters,
        }
        return DenseMaps(**parts | changes)

    perfect = dense_map_losses(maps(), targets, counted)
    assert set(perfect) == {"foreground", "seed", "offset", "diameter"}
    assert perfect["foreground"] < 1e-6
    assert perfect["offset"] == perfect["diameter"] == 0
    # binary cross entropy of a soft target has its entropy as the least: 8 pixels of 0.5 among 30
    assert perfect["seed"].item() == pytest.approx(8 * math.log(2) / 30, abs=1e-4)
    diameter = math.sqrt(4 * 9 / math.pi)
    shifted = dense_map_losses(maps(offsets=targets.offsets + diameter), targets, counted)
    assert shifted["offset"].item() == pytest.approx(
        2 * (1 - 0.05), rel=1e-5
    )  # smooth L1 of 1 with beta 0.1, in y and in x
    larger = dense_map_losses(maps(log2_diameters=targets.log2_diameters + 1), targets, counted)
    assert larger["diameter"].item() == pytest.approx(1 - 0.125, rel=1e-5)


def test_pixels_that_do_not_count_cost_nothing():
    targets = dense_targets(square())
    wrong = DenseMaps(*(torch.randn_like(part) * 9 for part in targets))
    nothing = torch.zeros(1, 5, 6, dtype=torch.bool)
    assert all(cost == 0 for cost in dense_map_losses(wrong, targets, nothing).values())


def test_maps_that_are_coarser_than_the_labels_are_compared_cell_by_cell_in_pixels():
    labels = torch.zeros(1, 20, 24, dtype=torch.long)
    labels[0, 4:16, 8:20] = 1  # the square of 3 x 3 cells of 4 pixels
    labels[0, :4] = -1  # the first row of cells is to be ignored
    maps = DenseMaps(*(torch.randn_like(part) for part in dense_targets(square())))
    counted = torch.ones(1, 5, 6, dtype=torch.bool)
    counted[0, 0] = False
    expected = dense_map_losses(maps, dense_targets(square(), (4.0, 4.0)), counted)
    ours = coarse_map_losses(maps, labels)
    assert ours.keys() == expected.keys()
    for name, cost in ours.items():
        assert cost.item() == pytest.approx(expected[name].item()), name
