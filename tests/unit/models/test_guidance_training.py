import math
from typing import NamedTuple

import numpy as np
import pytest
import torch

from seriatim.models.guidance import DenseMaps, prepare
from seriatim.models.guidance_training import Teacher, dense_losses, dense_targets, lead


def maps_of(batch=1, size=(4, 6), seeds=None, offsets=None, log2_diameter=0.0):
    zeros = torch.zeros(batch, *size)
    return DenseMaps(
        zeros,
        zeros if seeds is None else torch.logit(torch.as_tensor(seeds).float().expand(batch, *size), eps=1e-6),
        torch.zeros(batch, 2, *size) if offsets is None else offsets,
        zeros + log2_diameter,
    )


def square():
    """A 3 x 3 object in an image of 5 x 6, its upper left corner at (1, 2)."""
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
def test_an_image_without_objects_has_empty_targets(value):
    for part in dense_targets(torch.full((2, 3, 4), value)):
        assert part.abs().sum() == 0


def test_perfect_maps_cost_almost_nothing_and_every_fault_costs_its_own_term():
    targets = dense_targets(square())

    def maps(**changes):
        parts = {
            "foreground_logits": (targets.foreground - 0.5) * 40,
            "seed_logits": torch.logit(targets.seeds, eps=1e-7),
            "offsets": targets.offsets,
            "log2_diameters": targets.log2_diameters,
        }
        return DenseMaps(**parts | changes)

    perfect = dense_losses(maps(), square())
    assert set(perfect) == {"foreground", "seed", "offset", "diameter"}
    assert perfect["foreground"] < 1e-6
    assert perfect["offset"] == perfect["diameter"] == 0
    # binary cross entropy of a soft target has its entropy as the least: 8 pixels of 0.5 among 30
    assert perfect["seed"].item() == pytest.approx(8 * math.log(2) / 30, abs=1e-4)
    diameter = math.sqrt(4 * 9 / math.pi)
    shifted = dense_losses(maps(offsets=targets.offsets + diameter), square())
    assert shifted["offset"].item() == pytest.approx(
        2 * (1 - 0.05), rel=1e-5
    )  # smooth L1 of 1 with beta 0.1, in y and in x
    larger = dense_losses(maps(log2_diameters=targets.log2_diameters + 1), square())
    assert larger["diameter"].item() == pytest.approx(1 - 0.125, rel=1e-5)


def test_pixels_that_do_not_count_cost_nothing():
    wrong = DenseMaps(*(torch.randn_like(part) * 9 for part in dense_targets(square())))
    assert all(cost == 0 for cost in dense_losses(wrong, torch.full((1, 5, 6), -1)).values())


def test_maps_that_are_coarser_than_the_labels_are_compared_cell_by_cell_in_pixels():
    fine = torch.zeros(1, 20, 24, dtype=torch.long)
    fine[0, 4:16, 8:20] = 1  # the square of 3 x 3 cells of 4 pixels
    maps = DenseMaps(*(torch.randn_like(part) for part in dense_targets(square())))
    ours, cells = dense_losses(maps, fine), dense_losses(maps, square())
    assert ours["foreground"].item() == pytest.approx(cells["foreground"].item())
    in_cells = DenseMaps(maps.foreground_logits, maps.seed_logits, maps.offsets / 4, maps.log2_diameters - 2)
    for name, cost in dense_losses(
        in_cells, square()
    ).items():  # offsets and diameters over the diameter: the unit drops out
        assert ours[name].item() == pytest.approx(cost.item(), rel=1e-5), name
    fine[0, :4] = -1  # the first row of cells is to be ignored
    changed = maps._replace(foreground_logits=maps.foreground_logits.clone())
    changed.foreground_logits[0, 0] = 50
    assert dense_losses(changed, fine)["foreground"] == dense_losses(maps, fine)["foreground"]


LABELS = torch.tensor([[[1, 1, 0, 2], [-1, 3, 3, 0]], [[0, 0, 0, 0], [0, 1, 1, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]])


def teacher_of(labels=LABELS, seed=0, max_objects=16, free_share=0.0, noise=0.0):
    return Teacher(labels, torch.Generator().manual_seed(seed), max_objects, free_share, noise)


def memory_of(labels=LABELS, seeds=0.5):
    size = tuple(labels.shape[1:])
    return prepare(maps_of(len(labels), size, seeds), [size], size)


def test_the_teacher_shows_every_object_once_and_then_none():
    teacher, memory, occupancy = teacher_of(), memory_of(), torch.zeros(3, 2, 4)
    assert teacher.counts.tolist() == [3, 1, 0]
    shown = []
    for _ in range(4):
        cell, target, counted = teacher.choose(memory, occupancy, 3)
        shown.append(target.tolist())
        for image in range(3):
            label = LABELS[image].flatten()[cell[image]].item()
            if target[image] >= 0:
                assert label == target[image] + 1
            assert counted[image] == (label >= 0)
    targets = list(zip(*shown, strict=True))
    assert sorted(targets[0][:3]) == [0, 1, 2]
    assert targets[1][0] == 0
    assert [row[-1] for row in targets] == [-1, -1, -1]
    assert targets[2] == (-1, -1, -1, -1)
    assert teacher.counts.tolist() == [0, 0, 0]


def test_among_the_remaining_objects_the_best_seed_leads():
    seeds = torch.tensor(
        [[0.1, 0.2, 0.9, 0.6], [0.95, 0.3, 0.7, 0.0]]
    )  # the best two lie on background and on ignored pixels
    teacher, memory = teacher_of(LABELS[:1]), memory_of(LABELS[:1], seeds)
    order = [teacher.choose(memory, torch.zeros(1, 2, 4), 1)[1].item() for _ in range(3)]
    assert order == [2, 1, 0]


def test_left_to_itself_the_network_may_look_at_nothing_and_such_pixels_to_ignore_are_not_counted():
    seeds = torch.tensor([[0.1, 0.2, 0.9, 0.6], [0.95, 0.3, 0.7, 0.0]])
    teacher, memory = teacher_of(LABELS[:1], free_share=1.0), memory_of(LABELS[:1], seeds)
    cell, target, counted = teacher.choose(memory, torch.zeros(1, 2, 4), 1)
    assert (cell.item(), target.item(), counted.item()) == (4, -1, False)
    occupancy = torch.zeros(1, 2, 4)
    occupancy[0, 1, 0] = 1
    cell, target, counted = teacher.choose(memory, occupancy, 1)
    assert (cell.item(), target.item(), counted.item()) == (2, -1, True)
    occupancy[0, 0, 2] = 1
    assert teacher.choose(memory, occupancy, 1)[1].item() == 2
    assert teacher.choose(memory, occupancy, 1)[1].item() == -1  # had before: not an object any more
    assert teacher.counts.tolist() == [2]


def test_of_too_many_objects_the_others_are_on_the_occupancy_from_the_start():
    labels = torch.arange(1, 9).view(1, 2, 4)
    seen = set()
    for seed in range(20):
        teacher = teacher_of(labels, seed, max_objects=3)
        assert teacher.counts.tolist() == [3]
        assert teacher.taken_before.sum() == 5
        left = {int(label) for label in labels[teacher.taken_before == 0]}
        assert {number for number in range(9) if teacher.remaining[0, number]} == left
        seen |= left
    assert seen == set(range(1, 9))  # drawn at random, every one comes now and then


def test_the_same_generator_gives_the_same_sequence():
    def sequence(seed):
        teacher, memory = teacher_of(seed=seed, max_objects=2, free_share=0.3, noise=0.5), memory_of()
        return [teacher.choose(memory, torch.zeros(3, 2, 4), 3)[0].tolist() for _ in range(6)]

    assert sequence(1) == sequence(1)
    assert any(sequence(1) != sequence(seed) for seed in (2, 3))


def test_a_batch_in_which_everything_is_to_be_ignored_has_no_objects():
    teacher = teacher_of(torch.full((2, 2, 2), -1))
    assert teacher.counts.tolist() == [0, 0]
    _, target, counted = teacher.choose(memory_of(torch.full((2, 2, 2), -1)), torch.zeros(2, 2, 2), 2)
    assert target.tolist() == [-1, -1]
    assert counted.tolist() == [False, False]


class LedMemory(NamedTuple):
    guidance: object


class LedState(NamedTuple):
    occupancy: torch.Tensor


class LedOutput(NamedTuple):
    cell: torch.Tensor
    shown: torch.Tensor


class Follower:
    """Shows where it is told to look, and takes that cell alone."""

    def __init__(self):
        self.batches = []

    def initial_state(self, memory, batch):
        return LedState(torch.zeros(batch, *memory.guidance.seed_probs.shape[1:]))

    def step(self, memory, state, cell):
        self.batches.append(len(cell))
        shown = torch.zeros_like(state.occupancy)
        shown.flatten(1)[torch.arange(len(cell)), cell] = 1
        return LedOutput(cell, shown), LedState(torch.maximum(state.occupancy, shown))


def led_through(labels, max_objects=16):
    follower = Follower()
    size = tuple(labels.shape[1:])
    led = lead(follower, LedMemory(memory_of(labels)), labels, torch.Generator().manual_seed(4), max_objects)
    assert led.steps[1].shape[2:] == size
    return follower, led


def test_a_led_sequence_has_a_step_an_object_and_one_more_and_leaves_images_out_that_are_through():
    follower, led = led_through(LABELS)
    assert follower.batches == [3, 2, 1, 1]  # with 3, 1 and 0 objects
    assert led.targets.shape == led.counted.shape == (3, 4)
    assert led.steps[1].shape == (3, 4, 2, 4)
    for image, count in enumerate((3, 1, 0)):
        targets = [one for one in led.targets[image].tolist() if one >= 0]
        assert len(targets) == len(set(targets)) <= count
        assert not led.counted[image, count + 1 :].any()
        for step in range(count + 1):
            place, target = int(led.steps[0][image, step]), int(led.targets[image, step])
            if target >= 0:
                assert LABELS[image].flatten()[place] == target + 1
    assert (led.steps[1][2, 1:] == 0).all()  # what is padded is empty


def test_a_led_sequence_of_many_objects_shows_some_and_the_others_are_taken_before():
    labels = torch.arange(1, 9).view(1, 2, 4)
    follower, led = led_through(labels, max_objects=3)
    assert len(follower.batches) == 4
    assert (led.targets >= 0).sum() <= 3
