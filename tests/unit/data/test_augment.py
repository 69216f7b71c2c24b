import hashlib
from dataclasses import replace

import numpy as np
import pytest

from seriatim.core.batch import OUTSIDE
from seriatim.core.boxes import Boxes
from seriatim.data.augment import AugmentationConfig, augment, median_diameter
from seriatim.data.samples import Sample

SILENT = {"brightness": 0.0, "contrast": 0.0, "gamma": 0.0, "colour": 0.0, "noise": 0.0, "blur": 0.0}


def config(**values):
    return AugmentationConfig.parse({**SILENT, "crop_size": [40, 56], "min_area": 1, **values})


def scattered(size=(90, 120), count=25, seed=0, ignore=None):
    """Discs whose brightness is their number; background 0. So the image tells what the labels must be."""
    random = np.random.default_rng(seed)
    labels = np.zeros(size, dtype=np.int32)
    rows, columns = np.indices(size)
    number = 0
    for _ in range(count):
        row, column, radius = random.integers(0, size[0]), random.integers(0, size[1]), random.integers(5, 11)
        inside = ((rows - row) ** 2 + (columns - column) ** 2 <= radius**2) & (labels == 0)
        if inside.sum() > 60:
            number += 1
            labels[inside] = number
    image = (labels[None] / number).astype(np.float32)
    return Sample("discs", image, labels, np.arange(1, number + 1), ignore)


def crop(sample, seed=0, **values):
    return augment(sample, config(**values), np.random.default_rng(seed))


@pytest.mark.parametrize(
    "values",
    [
        {"scale": (1.0, 1.0), "rotation": 0.0, "flips": False},
        {"scale": (1.0, 1.0), "rotation": 0.0, "flips": True},
        {"scale": (1.0, 1.0), "rotation": 180.0, "flips": True},
        {"scale": (1.6, 2.5), "rotation": 180.0},
        {"scale": (0.7, 0.9), "rotation": 45.0},
        {"fit": True, "scale": (0.8, 1.2), "rotation": 180.0},
        {"diameter": 24.0, "native_share": 0.5, "focus": 1.0},
    ],
)
def test_labels_stay_on_their_pixels_under_rotation_scale_and_flips(values):
    sample = scattered()
    compared, agreed = 0, dict.fromkeys([(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)], 0)
    for seed in range(12):
        _, image, labels, classes, _ = crop(sample, seed, **values)
        assert image.shape == (1, 40, 56)
        assert labels.shape == (40, 56)
        number = np.rint(image[0] * len(sample.classes)).astype(int)
        inside = labels >= 0
        compared += inside.sum()
        true = np.concatenate(([0], classes))[np.maximum(labels, 0)]  # classes here are the objects' old numbers
        for shift in agreed:
            agreed[shift] += (np.roll(true, shift, axis=(0, 1)) == number)[inside].sum()
    assert compared > 10_000
    assert agreed[0, 0] / compared > 0.8  # edges are mixtures
    assert max(agreed, key=agreed.get) == (0, 0)  # half a pixel off would show here


def test_without_rotation_scale_and_flips_a_crop_is_a_piece_of_the_image_to_the_pixel():
    sample = scattered()
    values = {"scale": (1.0, 1.0), "rotation": 0.0, "flips": False, "crop_size": [90, 120]}
    _, image, labels, classes, _ = crop(sample, **values)
    np.testing.assert_allclose(image, sample.image, atol=1e-4)
    assert (labels == sample.labels).all()
    assert classes.tolist() == sample.classes.tolist()


def test_each_kind_of_flip_occurs():
    sample = scattered()
    values = {"scale": (1.0, 1.0), "rotation": 0.0, "flips": True, "crop_size": [90, 120]}
    turned = (sample.image, sample.image[:, ::-1], sample.image[:, :, ::-1], sample.image[:, ::-1, ::-1])
    kinds = dict(zip("abcd", turned, strict=True))
    seen = set()
    for seed in range(24):
        image = crop(sample, seed, **values).image
        seen |= {name for name, array in kinds.items() if np.allclose(image, array, atol=1e-4)}
    assert seen == set("abcd")


def test_flips_may_be_horizontal_alone():
    sample = scattered()
    values = {"scale": (1.0, 1.0), "rotation": 0.0, "flips": "horizontal", "crop_size": [90, 120]}
    images = [crop(sample, seed, **values).image for seed in range(24)]
    mirrored = [np.allclose(image, sample.image[:, :, ::-1], atol=1e-4) for image in images]
    as_it_is = [np.allclose(image, sample.image, atol=1e-4) for image in images]
    assert all(one != other for one, other in zip(mirrored, as_it_is, strict=True))
    assert 4 < sum(mirrored) < 20


def test_what_lies_outside_the_image_is_to_be_ignored():
    sample = scattered(size=(20, 30))
    values = {"scale": (1.0, 1.0), "rotation": 0.0, "flips": False, "crop_size": [40, 50]}
    _, image, labels, _, _ = crop(sample, **values)
    inside = np.zeros((40, 50), dtype=bool)
    inside[10:30, 10:40] = True
    assert (labels[~inside] == OUTSIDE).all()
    assert (labels[inside] >= 0).all()
    np.testing.assert_allclose(image[0, 10:30, 10:40], sample.image[0], atol=1e-4)


def test_what_the_sample_ignores_stays_ignored():
    ignore = np.zeros((90, 120), dtype=bool)
    ignore[:, 60:] = True
    _, image, labels, _, _ = crop(
        scattered(ignore=ignore), scale=(1.0, 1.0), rotation=0.0, flips=False, crop_size=[90, 120]
    )
    assert (labels[:, 60:] == -1).all()
    assert (labels[:, :60] >= 0).all()
    assert image[0, :, 60:].any()


@pytest.mark.parametrize("min_area", [1, 40, 150])
def test_objects_of_which_too_little_is_left_are_ignored_and_the_others_numbered_anew(min_area):
    sample = scattered()
    ignored = 0
    for seed in range(10):
        _, _, labels, classes, _ = crop(sample, seed, min_area=min_area)
        areas = np.bincount(np.maximum(labels, 0).ravel(), minlength=len(classes) + 1)[1:]
        assert len(areas) == len(classes)
        assert (areas >= min_area).all()
        assert (np.diff(classes) > 0).all()  # in the order of the image
        ignored += (labels == -1).sum()
    assert (ignored > 0) == (min_area > 1) or min_area == 1


def test_the_largest_objects_are_kept_and_the_others_become_background():
    sample = scattered()
    values = {"scale": (1.0, 1.0), "rotation": 0.0, "flips": False, "crop_size": [90, 120]}
    areas = np.bincount(sample.labels.ravel())[1:]
    largest = np.sort(np.argsort(-areas, kind="stable")[:4]) + 1
    _, _, labels, classes, _ = crop(sample, max_objects=4, **values)
    assert classes.tolist() == largest.tolist()
    assert sorted(set(labels.ravel())) == [0, 1, 2, 3, 4]
    for number, old in enumerate(largest, start=1):
        assert (labels == number).tolist() == (sample.labels == old).tolist()


def test_objects_are_brought_to_the_diameter_asked_for():
    sample = scattered()
    for diameter in (9.0, 30.0):
        found = []
        for seed in range(8):
            labels = crop(sample, seed, diameter=diameter, scale=(1.0, 1.0), crop_size=[200, 200], fit=False).labels
            found.append(median_diameter(np.maximum(labels, 0)))
        assert np.median(found) == pytest.approx(diameter, rel=0.12)


def test_crops_with_focus_always_show_an_object():
    labels = np.zeros((200, 200), dtype=np.int32)
    labels[150:160, 30:40] = 1
    sample = Sample("one", (labels[None] > 0).astype(np.float32), labels, np.ones(1, dtype=np.int64))
    with_focus = [len(crop(sample, seed, focus=1.0, scale=(1.0, 1.0), rotation=0.0).classes) for seed in range(30)]
    without = [len(crop(sample, seed, focus=0.0, scale=(1.0, 1.0), rotation=0.0).classes) for seed in range(30)]
    assert sum(with_focus) >= 28
    assert sum(without) < 20


def test_the_same_generator_gives_the_same_crop_and_values_stay_in_0_to_1():
    noisy = AugmentationConfig(crop_size=(32, 32), colour=0.3, noise=0.3, brightness=0.5)
    sample = scattered()
    first, again, other = (augment(sample, noisy, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first[1:4], again[1:4], strict=True))
    assert not (first.image == other.image).all()
    assert first.image.dtype == np.float32
    assert 0 <= first.image.min() <= first.image.max() <= 1


def test_an_image_without_objects_gives_crops_without_objects():
    sample = Sample(
        "empty", np.ones((3, 50, 60), dtype=np.float32), np.zeros((50, 60), dtype=np.int32), np.zeros(0, dtype=np.int64)
    )
    _, image, labels, classes, _ = crop(sample, focus=1.0, diameter=20.0)
    assert image.shape == (3, 40, 56)
    assert len(classes) == 0
    assert set(np.unique(labels)) <= {OUTSIDE, 0}


def test_an_image_of_one_pixel_gives_a_crop():
    sample = Sample(
        "dot", np.ones((1, 1, 1), dtype=np.float32), np.ones((1, 1), dtype=np.int32), np.ones(1, dtype=np.int64)
    )
    _, _, labels, classes, _ = crop(sample, scale=(8.0, 8.0), rotation=0.0)
    assert len(classes) == 1
    assert (labels == 1).sum() == 64


GEOMETRIES = [
    {"scale": (1.0, 1.0), "rotation": 0.0, "flips": False},
    {"scale": (1.0, 2.0), "rotation": 0.0, "flips": True},
    {"scale": (0.8, 1.5), "rotation": 180.0, "flips": "horizontal"},
    {"fit": True, "scale": (0.8, 1.2), "rotation": 40.0},
]


def with_boxes_of_objects(sample):
    """The sample with the exact box of every object, whose class is the object's number."""
    edges = []
    for number in range(1, len(sample.classes) + 1):
        rows, columns = np.nonzero(sample.labels == number)
        edges.append((rows.min(), columns.min(), rows.max() + 1, columns.max() + 1))
    numbers = np.arange(1, len(edges) + 1)
    return replace(sample, boxes=Boxes(np.array(edges, dtype=np.float64), numbers / 100, numbers))


@pytest.mark.parametrize("values", GEOMETRIES)
def test_boxes_go_with_their_objects(values):
    sample = with_boxes_of_objects(scattered())
    compared = 0
    for seed in range(12):
        cut = crop(sample, seed, **values)
        edges = dict(zip(cut.boxes.class_ids.tolist(), cut.boxes.edges, strict=True))
        assert cut.boxes.scores.tolist() == pytest.approx([number / 100 for number in edges])
        for label, number in enumerate(cut.classes.tolist(), start=1):  # classes here are the objects' old numbers
            rows, columns = np.nonzero(cut.labels == label)
            y0, x0, y1, x1 = edges[number]
            assert y0 - 1 <= rows.min() <= rows.max() + 1 <= y1 + 1
            assert x0 - 1 <= columns.min() <= columns.max() + 1 <= x1 + 1
            if values["rotation"] == 0 and y0 > 0 and y1 < 40 and x0 > 0 and x1 < 56:
                seen = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
                assert np.abs(np.subtract(seen, (y0, x0, y1, x1))).max() <= 1
            compared += 1
    assert compared > 30


def test_boxes_are_clipped_to_the_crop_and_dropped_outside_it():
    sample = with_boxes_of_objects(scattered())
    cut = crop(sample, 3, scale=(2.0, 2.0), rotation=30.0)
    assert 0 < len(cut.boxes) < len(sample.boxes)
    assert cut.boxes.edges.min() >= 0
    assert (cut.boxes.edges.max(axis=0) <= (40, 56, 40, 56)).all()


def test_boxes_draw_no_random_number():
    noisy = AugmentationConfig(crop_size=(32, 32), focus=0.5)
    sample = scattered()
    plain, boxed = (augment(one, noisy, np.random.default_rng(7)) for one in (sample, with_boxes_of_objects(sample)))
    assert plain.boxes is None
    assert all((a == b).all() for a, b in zip(plain[1:4], boxed[1:4], strict=True))


def test_what_is_drawn_stays_the_same_from_version_to_version():
    labels = crop(scattered(), 5, scale=(0.8, 1.5), rotation=180.0, focus=0.5).labels
    labels = np.maximum(labels, -1)  # `OUTSIDE` had been -1
    assert hashlib.sha256(labels.astype("<i4").tobytes()).hexdigest()[:16] == "f2ddd33836e7307d"
