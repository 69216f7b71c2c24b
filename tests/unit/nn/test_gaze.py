import math
from typing import NamedTuple

import pytest
import torch

from seriatim.core.dense_maps import OFFSET_UNIT, DenseMaps
from seriatim.nn.gaze import (
    NUM_GAZE_CHANNELS,
    DenseHead,
    cell_positions,
    choose_gaze,
    gaze_features,
    look,
    prepare_gaze,
    take,
)
from seriatim.nn.gaze_teacher import GazeTeacher, lead


def maps_of(batch=1, size=(4, 6), seeds=None, offsets=None, log2_diameter=0.0):
    zeros = torch.zeros(batch, *size)
    return DenseMaps(
        zeros,
        zeros if seeds is None else torch.logit(torch.as_tensor(seeds).float().expand(batch, *size), eps=1e-6),
        torch.zeros(batch, 2, *size) if offsets is None else offsets,
        zeros + log2_diameter,
    )


# --- where to look ---------------------------------------------------------------------------------------------------------------


def test_the_best_seed_that_is_left_is_looked_at():
    seeds = torch.tensor([[[0.9, 0.8], [0.1, 0.2]], [[0.1, 0.2], [0.3, 0.4]]])
    canvas = torch.tensor([[[0.5, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    cell, left = choose_gaze(seeds, canvas)
    assert cell.tolist() == [1, 3]  # 0.9 (1 - 0.5) is less than 0.8
    torch.testing.assert_close(left, torch.tensor([0.8, 0.4]))


def test_a_teachers_wish_beats_any_seed_and_a_image_without_one_is_free():
    seeds = torch.tensor([[[0.9, 0.0]], [[0.9, 0.0]]])
    allowed = torch.tensor([[[False, True]], [[False, False]]])
    assert choose_gaze(seeds, torch.zeros(2, 1, 2), allowed)[0].tolist() == [1, 0]


def test_positions_are_the_centres_of_the_cells_in_pixels():
    positions = cell_positions((2, 3), (8, 9), torch.zeros(1))
    assert positions[0].tolist() == [[2, 2, 2], [6, 6, 6]]
    assert positions[1].tolist() == [[1.5, 4.5, 7.5]] * 2


def test_features_are_positions_and_votes_in_diameters_from_where_the_network_looks():
    offsets = torch.zeros(1, 2, 4, 6)
    offsets[0, 1, 0, 0] = 16.0  # the cell in the corner votes for a place 16 pixels to its right
    memory = prepare_gaze(
        maps_of(offsets=offsets, log2_diameter=1.0), [(4, 6)], (8, 12)
    )  # cells of 2 pixels, diameter 32
    features = gaze_features(memory, 0, torch.tensor([7]), torch.full((1, 4, 6), 0.25))  # row 1, column 1: pixel (3, 3)
    assert features.shape == (1, NUM_GAZE_CHANNELS, 4, 6)
    assert features[0, :2, 1, 1].tolist() == [0, 0]
    torch.testing.assert_close(features[0, :2, 3, 5], torch.tensor([(7 - 3) / 32, (11 - 3) / 32]))
    torch.testing.assert_close(features[0, 2:4, 0, 0], torch.tensor([(1 - 3) / 32, (1 + 16 - 3) / 32]))
    near = math.exp(-8 * ((2 / 32) ** 2 + (14 / 32) ** 2))
    assert features[0, 4, 0, 0].item() == pytest.approx(near)
    assert features[0, 4, 1, 1].item() == 1
    assert (features[0, 5] == 0.25).all()


def test_features_of_a_coarser_level_have_its_size_and_the_mean_of_the_canvas():
    memory = prepare_gaze(maps_of(size=(4, 4)), [(2, 2), (4, 4)], (16, 16))
    canvas = torch.zeros(1, 4, 4)
    canvas[0, 0, 0] = 1
    features = gaze_features(memory, 0, torch.tensor([0]), canvas)
    assert features.shape == (1, NUM_GAZE_CHANNELS, 2, 2)
    assert features[0, 5].tolist() == [[0.25, 0], [0, 0]]


def test_images_of_a_batch_do_not_see_each_other():
    memory = prepare_gaze(maps_of(batch=2, offsets=torch.randn(2, 2, 4, 6)), [(4, 6)], (8, 12))
    both = gaze_features(memory, 0, torch.tensor([3, 9]), torch.rand(2, 4, 6).round())
    second = gaze_features(memory.select(torch.tensor([1])), 0, torch.tensor([9]), both[1:, 5])
    torch.testing.assert_close(both[1:], second)
    first = gaze_features(memory.first(1), 0, torch.tensor([3]), both[:1, 5])
    torch.testing.assert_close(both[:1], first)


def test_the_canvas_never_decreases_and_always_takes_the_place_looked_at():
    chance = torch.Generator().manual_seed(0)
    memory = prepare_gaze(maps_of(batch=3, log2_diameter=-1.0), [(4, 6)], (8, 12))
    canvas = torch.zeros(3, 4, 6)
    for _ in range(12):
        cell, _ = choose_gaze(memory.seed_probs, canvas)
        features = gaze_features(memory, 0, cell, canvas)
        masks = torch.randn(3, 4, 6, generator=chance) * 4
        stops = torch.tensor([-8.0, 0.0, 8.0])
        after = take(canvas, masks, stops, features)
        assert (after >= canvas).all()
        assert (after <= 1).all()
        assert after.flatten(1).gather(1, cell[:, None]).allclose(torch.ones(3, 1))  # so that no gaze repeats for ever
        canvas = after
    assert canvas[2].mean() > canvas[0].mean()  # a step without an object takes only where it looked


def test_no_gradient_passes_through_the_canvas():
    memory = prepare_gaze(maps_of(), [(4, 6)], (8, 12))
    features = gaze_features(memory, 0, torch.tensor([0]), torch.zeros(1, 4, 6))
    masks = torch.zeros(1, 4, 6, requires_grad=True)
    assert not take(torch.zeros(1, 4, 6), masks, torch.zeros(1, requires_grad=True), features).requires_grad


@torch.no_grad()
def test_the_dense_head_gives_offsets_in_pixels():
    torch.manual_seed(0)
    head = DenseHead(4).eval()
    torch.nn.init.zeros_(head.layers[3].weight)
    head.layers[3].bias.data = torch.tensor([1.0, 2.0, 0.5, -0.5, 3.0])
    maps = head(torch.rand(1, 4, 3, 3))
    values = [maps.foreground_logits, maps.seed_logits, maps.offsets[:, 0], maps.offsets[:, 1], maps.log2_diameters]
    assert [float(one.mean()) for one in values] == [1, 2, 0.5 * OFFSET_UNIT, -0.5 * OFFSET_UNIT, 3]
    seen = DenseHead.as_features(maps)
    torch.testing.assert_close(
        seen[0, :, 0, 0], torch.tensor([1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2)), 0.5, -0.5, 3.0])
    )


# --- the teacher -----------------------------------------------------------------------------------------------------------------

LABELS = torch.tensor([[[1, 1, 0, 2], [-1, 3, 3, 0]], [[0, 0, 0, 0], [0, 1, 1, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]])


def teacher_of(labels=LABELS, seed=0, most_objects=16, freedom=0.0, noise=0.0):
    return GazeTeacher(labels, torch.Generator().manual_seed(seed), most_objects, freedom, noise)


def memory_of(labels=LABELS, seeds=0.5):
    size = tuple(labels.shape[1:])
    return prepare_gaze(maps_of(len(labels), size, seeds), [size], size)


def test_the_teacher_shows_every_object_once_and_then_none():
    teacher, memory, canvas = teacher_of(), memory_of(), torch.zeros(3, 2, 4)
    assert teacher.counts.tolist() == [3, 1, 0]
    shown = []
    for _ in range(4):
        cell, target, counted = teacher.choose(memory, canvas, 3)
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
    teacher, memory = teacher_of(LABELS[:1], freedom=1.0), memory_of(LABELS[:1], seeds)
    cell, target, counted = teacher.choose(memory, torch.zeros(1, 2, 4), 1)
    assert (cell.item(), target.item(), counted.item()) == (4, -1, False)
    canvas = torch.zeros(1, 2, 4)
    canvas[0, 1, 0] = 1
    cell, target, counted = teacher.choose(memory, canvas, 1)
    assert (cell.item(), target.item(), counted.item()) == (2, -1, True)
    canvas[0, 0, 2] = 1
    assert teacher.choose(memory, canvas, 1)[1].item() == 2
    assert teacher.choose(memory, canvas, 1)[1].item() == -1  # had before: not an object any more
    assert teacher.counts.tolist() == [2]


def test_of_too_many_objects_the_others_are_on_the_canvas_from_the_start():
    labels = torch.arange(1, 9).view(1, 2, 4)
    seen = set()
    for seed in range(20):
        teacher = teacher_of(labels, seed, most_objects=3)
        assert teacher.counts.tolist() == [3]
        assert teacher.taken_before.sum() == 5
        left = {int(label) for label in labels[teacher.taken_before == 0]}
        assert {number for number in range(9) if teacher.remaining[0, number]} == left
        seen |= left
    assert seen == set(range(1, 9))  # drawn by chance, every one comes now and then


def test_the_same_source_of_chance_gives_the_same_sequence():
    def sequence(seed):
        teacher, memory = teacher_of(seed=seed, most_objects=2, freedom=0.3, noise=0.5), memory_of()
        return [teacher.choose(memory, torch.zeros(3, 2, 4), 3)[0].tolist() for _ in range(6)]

    assert sequence(1) == sequence(1)
    assert any(sequence(1) != sequence(seed) for seed in (2, 3))


def test_a_batch_in_which_everything_is_to_be_ignored_has_no_objects():
    teacher = teacher_of(torch.full((2, 2, 2), -1))
    assert teacher.counts.tolist() == [0, 0]
    _, target, counted = teacher.choose(memory_of(torch.full((2, 2, 2), -1)), torch.zeros(2, 2, 2), 2)
    assert target.tolist() == [-1, -1]
    assert counted.tolist() == [False, False]


def test_a_step_looks_where_it_is_wished_or_at_the_best_seed_and_says_what_is_left_there():
    memory = memory_of(LABELS[:2], torch.tensor([[0.1, 0.2, 0.9, 0.6], [0.95, 0.3, 0.7, 0.0]]))
    canvas = torch.zeros(2, 2, 4)
    canvas[0, 1, 0] = 0.5
    cell, left = look(memory, canvas)
    assert cell.tolist() == [2, 4]
    torch.testing.assert_close(left, torch.tensor([0.9, 0.95]))
    cell, left = look(memory, canvas, torch.tensor([4, 3]))
    assert cell.tolist() == [4, 3]
    torch.testing.assert_close(left, torch.tensor([0.475, 0.6]))


class LedMemory(NamedTuple):
    gaze: object

    def first(self, count):
        return LedMemory(self.gaze.first(count))


class LedState(NamedTuple):
    canvas: torch.Tensor

    def first(self, count):
        return LedState(self.canvas[:count])


class LedOutput(NamedTuple):
    cell: torch.Tensor
    shown: torch.Tensor


class Follower:
    """Shows where it is told to look, and takes that cell alone."""

    def __init__(self):
        self.batches = []

    def initial_state(self, memory, batch):
        return LedState(torch.zeros(batch, *memory.gaze.seed_probs.shape[1:]))

    def step(self, memory, state, cell):
        self.batches.append(len(cell))
        shown = torch.zeros_like(state.canvas)
        shown.flatten(1)[torch.arange(len(cell)), cell] = 1
        return LedOutput(cell, shown), LedState(torch.maximum(state.canvas, shown))


def led_through(labels, most_objects=16):
    follower = Follower()
    size = tuple(labels.shape[1:])
    led = lead(follower, LedMemory(memory_of(labels)), labels, torch.Generator().manual_seed(4), most_objects)
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
    follower, led = led_through(labels, most_objects=3)
    assert len(follower.batches) == 4
    assert (led.targets >= 0).sum() <= 3
