"""Synthetic scenes: what they promise about bytes, sizes, occlusion and honesty."""

import hashlib

import numpy as np
import pytest
from scipy import ndimage

from seriatim.core.errors import ConfigError
from seriatim.data.synthetic.scenes import (
    MAX_OBJECTS,
    MIN_VISIBLE_PIXELS,
    MIN_VISIBLE_SHARE,
    Scene,
    _arrange,
    _draw_plan,
    make_scene,
)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [make_scene(seed) for seed in range(32)]


def test_a_scene_has_the_promised_types_and_default_size(scenes):
    scene = scenes[0]
    assert scene.image.shape == (256, 256, 3)
    assert scene.image.dtype == np.uint8
    assert scene.labels.dtype == np.int32
    assert scene.class_names == ("person", "car", "dog", "bird", "tree")


@pytest.mark.parametrize("size", [(64, 64), (64, 200), (150, 97)])
def test_the_asked_size_comes_out_and_always_holds_an_object(size):
    for seed in range(6):
        scene = make_scene(seed, num_classes=8, size=size)
        assert scene.image.shape == (*size, 3)
        assert scene.labels.shape == size
        assert len(scene.objects) >= 1


def test_the_same_seed_gives_the_same_bytes_whatever_the_global_generator_does(scenes):
    np.random.seed(1)
    again = make_scene(7)
    np.testing.assert_array_equal(again.image, scenes[7].image)
    np.testing.assert_array_equal(again.labels, scenes[7].labels)
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    make_scene(0, size=(64, 64))
    assert np.random.random() == expected


def test_the_bytes_are_those_of_every_other_machine(scenes):
    digest = hashlib.sha256()
    for scene in scenes[:4]:
        digest.update(scene.image.tobytes())
        digest.update(scene.labels.astype("<i4").tobytes())
        digest.update(scene.objects.class_ids.astype("<i8").tobytes())
    assert digest.hexdigest() == "47009a17746f415ab5a32a4d306e589f02e2df35cbef137665761b76f56a1fa1"


def test_different_seeds_give_different_scenes(scenes):
    assert len({scene.image.tobytes() for scene in scenes}) == len(scenes)


def test_every_object_shows_enough_pixels_and_belongs_to_a_class(scenes):
    for scene in scenes:
        assert scene.objects.areas.min() >= MIN_VISIBLE_PIXELS
        assert np.array_equal(np.bincount(scene.labels.ravel())[1:], scene.objects.areas)
        assert scene.objects.class_ids.min() >= 1
        assert scene.objects.class_ids.max() <= 5


def test_masks_are_visible_pixels_and_never_overlap(scenes):
    for scene in scenes:
        assert scene.objects.masks().sum(axis=0).max() == 1


def test_an_object_that_is_hidden_too_much_is_not_there():
    hidden = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        things, objects = _arrange(rng, _draw_plan(rng, 256, 256), 8)
        drawn = [thing.drawing for thing in things if thing.class_id]
        assert [thing.class_id for thing in things if thing.class_id] == objects.class_ids.tolist()
        for drawing, visible in zip(drawn, objects, strict=True):
            share = visible.area / drawing.mask.sum()
            assert share >= MIN_VISIBLE_SHARE
            hidden += share < 0.9
    assert hidden > 10


def test_a_nearer_thing_takes_its_pixels_from_a_farther_one():
    for seed in range(12):
        rng = np.random.default_rng(seed)
        things, objects = _arrange(rng, _draw_plan(rng, 256, 256), 5)
        expected = np.zeros((256, 256), dtype=np.int32)
        number = len(objects)
        for thing in reversed(things):
            inside, part = thing.drawing.window(256, 256)
            expected[inside][thing.drawing.mask[part]] = number if thing.class_id else 0
            number -= bool(thing.class_id)
        assert np.array_equal(objects.label_map(), expected)


def test_counts_and_sizes_are_varied(scenes):
    counts = [len(scene.objects) for scene in scenes]
    assert max(counts) <= MAX_OBJECTS
    assert min(counts) == 1
    assert len(set(counts)) >= 8
    sides = np.array([max(y1 - y0, x1 - x0) for scene in scenes for y0, x0, y1, x1 in (o.box for o in scene.objects)])
    assert np.mean(sides < 40) > 0.1
    assert np.mean(sides > 70) > 0.08
    assert 90 < sides.max() <= 134


def test_some_objects_are_cut_by_the_border_and_many_touch(scenes):
    cut = touching = 0
    for scene in scenes:
        labels = scene.labels
        cut += bool(labels[0].any() or labels[-1].any() or labels[:, 0].any() or labels[:, -1].any())
        left, right = labels[:, :-1], labels[:, 1:]
        touching += bool(((left != right) & (left > 0) & (right > 0)).any())
    assert cut > 0.2 * len(scenes)
    assert touching > 0.3 * len(scenes)


def test_classes_are_drawn_evenly(scenes):
    shares = np.bincount(np.concatenate([scene.objects.class_ids for scene in scenes]), minlength=6)[1:]
    assert shares.min() > 0.5 * shares.mean()


def test_colour_alone_does_not_tell_the_class(scenes):
    colours, classes = [], []
    for scene in scenes:
        labels = scene.labels
        numbers = range(1, len(scene.objects) + 1)
        colours.append(np.stack([ndimage.mean(scene.image[..., band], labels, numbers) for band in range(3)], axis=1))
        classes.append(scene.objects.class_ids)
    values, truth = np.concatenate(colours), np.concatenate(classes)
    groups = np.repeat(np.arange(len(scenes)), [len(one) for one in classes])
    distances = np.square(values[:, None] - values).sum(axis=2)
    distances[groups[:, None] == groups] = np.inf  # a scene's own light is no fair hint
    right = np.mean(truth[distances.argmin(axis=1)] == truth)
    assert right < 0.2 + 3 * np.sqrt(0.16 / len(truth))


def test_objects_can_be_seen(scenes):
    differences = []
    for scene in scenes[:12]:
        image = scene.image.astype(float)
        for number in range(1, len(scene.objects) + 1):
            mask = scene.labels == number
            around = ndimage.binary_dilation(mask, iterations=4) & ~ndimage.binary_dilation(mask, iterations=1)
            inside = image[mask]
            nearest = np.abs(inside[:, None] - image[around].mean(axis=0)).sum(axis=2)
            differences.append(np.mean(nearest > 40))
    assert np.mean(differences) > 0.6
    assert np.mean(np.array(differences) < 0.1) < 0.1


def test_images_are_neither_flat_nor_clipped(scenes):
    assert np.mean([scene.image.std() > 8 for scene in scenes]) == 1
    assert np.mean([np.mean(scene.image == 255) for scene in scenes]) < 0.05


def test_more_classes_show_all_of_themselves():
    met = {class_id for seed in range(40) for class_id in make_scene(seed, 8, (64, 64)).objects.class_ids.tolist()}
    assert len(met) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "scene seed: expected an integer from 0, got -1"),
        ({"num_classes": 2}, "scene classes: expected 3 to 8, got 2"),
        ({"num_classes": 9}, "scene classes: expected 3 to 8, got 9"),
        ({"size": (63, 256)}, "expected at least 64 x 64, got 63 x 256"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ConfigError, match=message):
        make_scene(**{"seed": 0, **arguments})
