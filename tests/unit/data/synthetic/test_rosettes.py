import numpy as np
import pytest
from scipy import ndimage

from seriatim.core.errors import ConfigError
from seriatim.data.synthetic.rosettes import MIN_VISIBLE_PIXELS, Rosette, make_rosette


@pytest.fixture(scope="module")
def rosettes() -> list[Rosette]:
    return [make_rosette(seed, height=200, width=212) for seed in range(40)]


def _largest_part_shares(labels: np.ndarray) -> list[float]:
    shares = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        parts, _ = ndimage.label(labels[box] == number, structure=np.ones((3, 3)))
        sizes = np.bincount(parts.ravel())[1:]
        shares.append(sizes.max() / sizes.sum())
    return shares


def test_the_default_image_has_the_size_and_types_of_cvppp_a1():
    rosette = make_rosette(0)
    assert rosette.image.shape == (500, 530, 3)
    assert rosette.image.dtype == np.uint8
    assert rosette.labels.shape == (500, 530)
    assert rosette.labels.dtype == np.int32


@pytest.mark.parametrize(("height", "width"), [(64, 64), (97, 181), (240, 128)])
def test_the_asked_size_comes_out(height, width):
    rosette = make_rosette(1, height=height, width=width)
    assert rosette.image.shape == (height, width, 3)
    assert rosette.labels.shape == (height, width)


def test_the_same_seed_gives_the_same_arrays_whatever_the_global_generator_does():
    np.random.seed(1)
    first = make_rosette(11, height=160, width=150)
    np.random.seed(2)
    second = make_rosette(11, height=160, width=150)
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.labels, second.labels)


def test_the_global_generator_is_left_alone():
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    make_rosette(0, height=64, width=64)
    assert np.random.random() == expected


def test_different_seeds_give_different_plants(rosettes):
    assert len({rosette.image.tobytes() for rosette in rosettes}) == len(rosettes)
    assert len({rosette.labels.tobytes() for rosette in rosettes}) == len(rosettes)


def test_counts_lie_between_5_and_20_with_a_mean_like_cvppp_a1(rosettes):
    counts = [int(rosette.labels.max()) for rosette in rosettes]
    assert min(counts) >= 5
    assert max(counts) <= 20
    assert 12 <= np.mean(counts) <= 16
    assert len(set(counts)) >= 8


@pytest.mark.parametrize("num_leaves", [1, 2, 5, 9, 14, 20, 40])
def test_the_asked_count_comes_out(num_leaves):
    for seed in range(3):
        labels = make_rosette(seed, height=200, width=200, num_leaves=num_leaves).labels
        np.testing.assert_array_equal(np.unique(labels), np.arange(num_leaves + 1))


def test_twenty_leaves_fit_even_into_the_smallest_image():
    for seed in range(4):
        labels = make_rosette(seed, height=64, width=64, num_leaves=20).labels
        assert np.bincount(labels.ravel(), minlength=21).min() >= MIN_VISIBLE_PIXELS


def test_labels_have_no_gaps_and_every_leaf_shows_enough_pixels(rosettes):
    for rosette in rosettes:
        areas = np.bincount(rosette.labels.ravel())
        assert rosette.labels.min() == 0
        assert areas[1:].min() >= MIN_VISIBLE_PIXELS


def test_leaves_are_mostly_in_one_piece(rosettes):
    shares = np.concatenate([_largest_part_shares(rosette.labels) for rosette in rosettes])
    assert shares.mean() > 0.97
    assert np.mean(shares < 0.7) < 0.01


def test_few_plants_are_cut_off_at_the_border(rosettes):
    cut = 0
    for rosette in rosettes:
        labels = rosette.labels
        cut += bool(labels[0].any() or labels[-1].any() or labels[:, 0].any() or labels[:, -1].any())
    assert cut <= 0.1 * len(rosettes)


def test_leaves_overlap_in_many_plants(rosettes):
    touching = 0
    for rosette in rosettes:
        labels = rosette.labels
        left, right = labels[:, :-1], labels[:, 1:]
        touching += np.count_nonzero((left != right) & (left > 0) & (right > 0)) > 30
    assert touching >= 0.8 * len(rosettes)


def test_the_youngest_leaf_is_small_and_near_the_centre_and_lies_on_top():
    for seed in range(5):
        labels = make_rosette(seed, height=200, width=200, num_leaves=12).labels
        areas = np.bincount(labels.ravel())[1:]
        assert areas[-1] < 0.5 * np.median(areas)
        ys, xs = np.nonzero(labels == 12)
        plant_ys, plant_xs = np.nonzero(labels)
        reach = np.hypot(plant_ys - 100, plant_xs - 100).max()
        assert np.hypot(ys.mean() - 100, xs.mean() - 100) < 0.5 * reach
        assert _largest_part_shares(labels)[-1] == 1.0


def test_leaves_are_greener_than_the_ground_on_average(rosettes):
    for rosette in rosettes:
        image = rosette.image.astype(float)
        excess_green = 2 * image[..., 1] - image[..., 0] - image[..., 2]
        assert excess_green[rosette.labels > 0].mean() > excess_green[rosette.labels == 0].mean() + 15


def test_each_leaf_is_green(rosettes):
    green = []
    for rosette in rosettes:
        for number in range(1, int(rosette.labels.max()) + 1):
            red_mean, green_mean, blue_mean = rosette.image[rosette.labels == number].mean(axis=0)
            green.append(green_mean > red_mean and green_mean > blue_mean)
    assert np.mean(green) > 0.98


def test_images_are_neither_flat_nor_clipped(rosettes):
    for rosette in rosettes:
        assert rosette.image[rosette.labels > 0].std() > 8
        assert np.mean(rosette.image == 255) < 0.01
        assert 20 < rosette.image.mean() < 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"height": 63}, "at least 64 x 64, got 63 x 530"),
        ({"width": 10}, "at least 64 x 64, got 500 x 10"),
        ({"num_leaves": 0}, "expected 1 to 40, got 0"),
        ({"num_leaves": 41}, "expected 1 to 40, got 41"),
        ({"seed": -1}, "integer from 0, got -1"),
    ],
)
def test_bad_arguments_are_named(arguments, words):
    with pytest.raises(ConfigError, match=words):
        make_rosette(**{"seed": 0, **arguments})


def test_more_leaves_than_a_small_image_can_show_is_an_error():
    with pytest.raises(ConfigError, match="did not fit into 64 x 64"):
        make_rosette(0, height=64, width=64, num_leaves=40)
