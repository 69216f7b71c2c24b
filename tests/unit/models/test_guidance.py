import math

import pytest
import torch

from seriatim.core.batch import select_images
from seriatim.models.guidance import (
    NUM_CHANNELS,
    OFFSET_UNIT,
    DenseHead,
    DenseMaps,
    Look,
    cell_positions,
    cells_at,
    choose_cell,
    predicted_diameters,
    prepare,
)


def maps_of(batch=1, size=(4, 6), seeds=None, offsets=None, log2_diameter=0.0):
    zeros = torch.zeros(batch, *size)
    return DenseMaps(
        zeros,
        zeros if seeds is None else torch.logit(torch.as_tensor(seeds).float().expand(batch, *size), eps=1e-6),
        torch.zeros(batch, 2, *size) if offsets is None else offsets,
        zeros + log2_diameter,
    )


def test_the_best_seed_that_is_left_is_looked_at():
    seeds = torch.tensor([[[0.9, 0.8], [0.1, 0.2]], [[0.1, 0.2], [0.3, 0.4]]])
    occupancy = torch.tensor([[[0.5, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    cell, left = choose_cell(seeds, occupancy)
    assert cell.tolist() == [1, 3]  # 0.9 (1 - 0.5) is less than 0.8
    torch.testing.assert_close(left, torch.tensor([0.8, 0.4]))


def test_a_teachers_wish_beats_any_seed_and_an_image_without_one_is_free():
    seeds = torch.tensor([[[0.9, 0.0]], [[0.9, 0.0]]])
    allowed = torch.tensor([[[False, True]], [[False, False]]])
    assert choose_cell(seeds, torch.zeros(2, 1, 2), allowed)[0].tolist() == [1, 0]


def test_positions_are_the_centres_of_the_cells_in_pixels():
    positions = cell_positions((2, 3), (8, 9), torch.zeros(1))
    assert positions[0, 0].tolist() == [[2, 2, 2], [6, 6, 6]]
    assert positions[0, 1].tolist() == [[1.5, 4.5, 7.5]] * 2


def test_features_are_positions_and_votes_in_diameters_from_where_the_network_looks():
    offsets = torch.zeros(1, 2, 4, 6)
    offsets[0, 1, 0, 0] = 16.0  # the cell in the corner votes for a place 16 pixels to its right
    memory = prepare(maps_of(offsets=offsets, log2_diameter=1.0), [(4, 6)], (8, 12))  # cells of 2 pixels, diameter 32
    look = Look(memory, torch.full((1, 4, 6), 0.25), torch.tensor([7]))  # row 1, column 1: pixel (3, 3)
    features = look.features(0)
    assert features.shape == (1, NUM_CHANNELS, 4, 6)
    assert features[0, :2, 1, 1].tolist() == [0, 0]
    torch.testing.assert_close(features[0, :2, 3, 5], torch.tensor([(7 - 3) / 32, (11 - 3) / 32]))
    torch.testing.assert_close(features[0, 2:4, 0, 0], torch.tensor([(1 - 3) / 32, (1 + 16 - 3) / 32]))
    near = math.exp(-8 * ((2 / 32) ** 2 + (14 / 32) ** 2))
    assert features[0, 4, 0, 0].item() == pytest.approx(near)
    assert features[0, 4, 1, 1].item() == 1
    assert (features[0, 5] == 0.25).all()


def test_features_of_a_coarser_level_have_its_size_and_the_mean_of_the_occupancy():
    memory = prepare(maps_of(size=(4, 4)), [(2, 2), (4, 4)], (16, 16))
    occupancy = torch.zeros(1, 4, 4)
    occupancy[0, 0, 0] = 1
    features = Look(memory, occupancy, torch.tensor([0])).features(0)
    assert features.shape == (1, NUM_CHANNELS, 2, 2)
    assert features[0, 5].tolist() == [[0.25, 0], [0, 0]]


def test_images_of_a_batch_do_not_see_each_other():
    memory = prepare(maps_of(batch=2, offsets=torch.randn(2, 2, 4, 6)), [(4, 6)], (8, 12))
    both = Look(memory, torch.rand(2, 4, 6).round(), torch.tensor([3, 9])).features(0)
    second = Look(select_images(memory, torch.tensor([1])), both[1:, 5], torch.tensor([9])).features(0)
    torch.testing.assert_close(both[1:], second)
    first = Look(select_images(memory, slice(1)), both[:1, 5], torch.tensor([3])).features(0)
    torch.testing.assert_close(both[:1], first)


def test_the_occupancy_never_decreases_and_always_takes_the_place_looked_at():
    generator = torch.Generator().manual_seed(0)
    memory = prepare(maps_of(batch=3, log2_diameter=-1.0), [(4, 6)], (8, 12))
    occupancy = torch.zeros(3, 4, 6)
    for _ in range(12):
        cell, _ = choose_cell(memory.seed_probs, occupancy)
        look = Look(memory, occupancy, cell)
        masks = torch.randn(3, 4, 6, generator=generator) * 4
        stops = torch.tensor([-8.0, 0.0, 8.0])
        after = look.occupied_after(masks, stops)
        assert (after >= occupancy).all()
        assert (after <= 1).all()
        assert (
            after.flatten(1).gather(1, cell[:, None]).allclose(torch.ones(3, 1))
        )  # so that no place is looked at for ever
        occupancy = after
    assert occupancy[2].mean() > occupancy[0].mean()  # a step without an object takes only where it looked


def test_no_gradient_passes_through_the_occupancy():
    memory = prepare(maps_of(), [(4, 6)], (8, 12))
    look = Look(memory, torch.zeros(1, 4, 6), torch.tensor([0]))
    masks = torch.zeros(1, 4, 6, requires_grad=True)
    assert not look.occupied_after(masks, torch.zeros(1, requires_grad=True)).requires_grad


@torch.no_grad()
def test_the_dense_head_gives_offsets_in_pixels():
    torch.manual_seed(0)
    head = DenseHead(4).eval()
    torch.nn.init.zeros_(head.layers[3].weight)
    head.layers[3].bias.data = torch.tensor([1.0, 2.0, 0.5, -0.5, 3.0])
    maps = head(torch.rand(1, 4, 3, 3))
    values = [maps.foreground_logits, maps.seed_logits, maps.offsets[:, 0], maps.offsets[:, 1], maps.log2_diameters]
    assert [float(one.mean()) for one in values] == [1, 2, 0.5 * OFFSET_UNIT, -0.5 * OFFSET_UNIT, 3]
    seen = maps.as_features()
    torch.testing.assert_close(
        seen[0, :, 0, 0], torch.tensor([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2)), 0.5, -0.5, 3.0])
    )


def test_a_step_looks_where_it_is_told_or_at_the_best_seed_and_says_what_is_left_there():
    memory = prepare(maps_of(2, (2, 4), torch.tensor([[0.1, 0.2, 0.9, 0.6], [0.95, 0.3, 0.7, 0.0]])), [(2, 4)], (2, 4))
    occupancy = torch.zeros(2, 2, 4)
    occupancy[0, 1, 0] = 0.5
    free = Look(memory, occupancy)
    assert free.cell.tolist() == [2, 4]
    assert free.place.tolist() == [[0.5, 2.5], [1.5, 0.5]]
    torch.testing.assert_close(free.seed_left, torch.tensor([0.9, 0.95]))
    told = Look(memory, occupancy, torch.tensor([4, 3]))
    assert told.cell.tolist() == [4, 3]
    torch.testing.assert_close(told.seed_left, torch.tensor([0.475, 0.6]))


def test_the_cell_at_a_point_is_the_nearest_one():
    memory = prepare(maps_of(batch=2), [(4, 6)], (8, 12))  # cells of 2 pixels
    assert cells_at(memory, torch.tensor([[3.2, 0.4], [99.0, 99.0]])).tolist() == [6, 23]


def test_every_object_has_one_diameter_that_of_its_best_seed():
    seeds = torch.zeros(1, 8, 8)
    seeds[0, 1, 1], seeds[0, 2, 3], seeds[0, 6, 6], seeds[0, 6, 1] = 0.9, 0.8, 0.7, 0.4
    maps = maps_of(size=(8, 8), seeds=seeds, log2_diameter=-2.0)  # 4 pixels; cells of 1 pixel
    assert predicted_diameters(maps, (8, 8)).tolist() == [4, 4, 4]
    larger = maps._replace(log2_diameters=maps.log2_diameters + 1)  # 8 pixels: the second lies within the first
    assert predicted_diameters(larger, (8, 8)).tolist() == [8, 8]
