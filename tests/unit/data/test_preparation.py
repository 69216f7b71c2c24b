import numpy as np
import pytest

from seriatim.core.boxes import Boxes
from seriatim.core.errors import ConfigError
from seriatim.data.preparation import (
    PreparationConfig,
    is_bright_background,
    prepare,
    prepare_sample,
    prepared_size,
    rescale,
    to_channels,
)
from seriatim.data.samples import Sample


def grey(values):
    return np.asarray(values, dtype=np.float32)[None]


@pytest.fixture
def spots():
    """Bright spots on a dark ground that uses a tenth of the range."""
    values = np.full((40, 40), 0.02, dtype=np.float32)
    values[5:12, 5:12] = values[20:30, 22:30] = 0.1
    return grey(values)


@pytest.mark.parametrize("given", [1, 3, 4])
@pytest.mark.parametrize("wanted", [1, 3, 4])
def test_every_number_of_channels_becomes_the_one_wanted(given, wanted):
    image = np.random.default_rng(0).random((given, 5, 6), dtype=np.float32)
    assert to_channels(image, wanted).shape == (wanted, 5, 6)
    assert to_channels(image, wanted).dtype == np.float32


def test_grey_is_the_mean_of_the_colours():
    image = np.stack([np.full((2, 2), value, dtype=np.float32) for value in (0.1, 0.2, 0.6)])
    assert to_channels(image, 1).ravel().tolist() == pytest.approx([0.3] * 4)


def test_transparency_is_laid_on_white():
    image = np.zeros((4, 1, 2), dtype=np.float32)
    image[3, 0, 1] = 1.0
    assert to_channels(image, 3)[:, 0].tolist() == [[1.0, 0.0]] * 3


def test_four_channels_pass_untouched_where_the_network_takes_four():
    image = np.random.default_rng(0).random((4, 3, 3), dtype=np.float32)
    assert np.array_equal(to_channels(image, 4), image)


def test_without_settings_an_image_is_left_alone(spots):
    assert np.array_equal(prepare(spots, PreparationConfig(channels=1)), spots)


def test_stretching_uses_the_whole_range(spots):
    prepared = prepare(spots, PreparationConfig(channels=1, stretch=True))
    assert prepared.min() == 0.0
    assert prepared.max() == pytest.approx(1.0)
    assert np.array_equal(prepared > 0.5, spots > 0.05)


def test_stretching_undoes_exposure(spots):
    config = PreparationConfig(channels=1, stretch=True)
    assert np.allclose(prepare(spots, config), prepare(spots * 7 + 0.1, config), atol=1e-5)


def test_dark_objects_become_bright(spots):
    config = PreparationConfig(channels=1, stretch=True, bright_objects=True)
    assert np.allclose(prepare(1 - spots, config), prepare(spots, config), atol=1e-5)


def test_a_dark_background_is_left_and_a_bright_one_seen(spots):
    assert not is_bright_background(spots)
    assert is_bright_background(1 - spots)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("size", [(1, 1), (1, 50), (7, 7)])
def test_a_constant_image_stays_finite(value, size):
    config = PreparationConfig(channels=1, stretch=True, bright_objects=True)
    prepared = prepare(np.full((1, *size), value, dtype=np.float32), config)
    assert prepared.shape == (1, *size)
    assert np.isfinite(prepared).all()
    assert 0 <= prepared.min() <= prepared.max() <= 1


@pytest.mark.parametrize("size", [(10, 20), (40, 80), (21, 39), (1, 1)])
def test_rescaling_gives_the_size_and_keeps_the_brightness(size):
    rows, columns = np.mgrid[:20, :40]
    image = grey(0.5 + 0.4 * np.sin(rows / 6) * np.cos(columns / 8))
    scaled = rescale(image, size)
    assert scaled.shape == (1, *size)
    assert scaled.dtype == np.float32
    assert scaled.mean() == pytest.approx(image.mean(), abs=0.05)


def test_rescaling_keeps_positions():
    image = np.zeros((1, 40, 40), dtype=np.float32)
    image[0, 20:30, 4:14] = 1
    for factor in (0.5, 2):
        scaled = rescale(image, (round(40 * factor), round(40 * factor)))[0]
        rows, columns = np.indices(scaled.shape)
        centre = [float((axis + 0.5) @ scaled.ravel() / scaled.sum()) for axis in (rows.ravel(), columns.ravel())]
        assert centre == pytest.approx([25 * factor, 9 * factor], abs=0.1 * factor)


def test_the_longest_side_shrinks_but_never_enlarges():
    config = PreparationConfig(longest_side=100)
    assert prepared_size((200, 50), config) == (100, 25)
    assert prepared_size((80, 50), config) == (80, 50)
    assert prepared_size((4000, 1), config) == (100, 1)
    assert prepared_size((4000, 1), PreparationConfig()) == (4000, 1)


def test_an_image_is_squeezed_or_stretched_to_a_size():
    config = PreparationConfig(channels=1, size=(32, 48))
    assert prepared_size((200, 50), config) == prepared_size((16, 16), config) == (32, 48)
    labels = np.zeros((64, 48), dtype=np.int32)
    labels[32:] = 1
    sample = Sample("one", labels[None].astype(np.float32), labels, np.ones(1, dtype=np.int64))
    prepared = prepare_sample(sample, config)
    assert prepared.image.shape == (1, 32, 48)
    assert np.array_equal(prepared.labels, np.repeat([[0], [1]], 16, axis=0).repeat(48, axis=1))
    assert np.array_equal(prepared.image[0] > 0.5, prepared.labels == 1)


def test_two_rules_for_the_size_are_refused():
    with pytest.raises(ConfigError, match="size and longest_side"):
        PreparationConfig.parse({"size": [32, 32], "longest_side": 64})


def test_a_sample_is_shrunk_with_its_labels():
    labels = np.zeros((60, 80), dtype=np.int32)
    labels[10:30, 20:50] = 1
    sample = Sample(
        "one",
        np.random.default_rng(0).random((1, 60, 80), dtype=np.float32),
        labels,
        np.ones(1, dtype=np.int64),
        labels == 1,
    )
    prepared = prepare_sample(sample, PreparationConfig(channels=3, longest_side=40))
    assert prepared.image.shape == (3, 30, 40)
    assert np.array_equal(prepared.labels, labels[1::2, 1::2])
    assert prepared.ignore is not None
    assert np.array_equal(prepared.ignore, prepared.labels == 1)


def test_a_setting_out_of_range_is_named():
    with pytest.raises(ConfigError, match="diameter"):
        PreparationConfig.parse({"diameter": 1})
    with pytest.raises(ConfigError, match="did you mean 'stretch'"):
        PreparationConfig.parse({"strech": True})


def test_brown_stain_is_taken_out_and_other_images_are_left_alone():
    settings = PreparationConfig(channels=1, unmix_brown=True)
    blue, brown = np.array([0.45, 0.45, 0.75], dtype=np.float32), np.array([0.55, 0.35, 0.2], dtype=np.float32)
    stained = np.broadcast_to(brown[:, None, None], (3, 40, 40)).copy()
    stained[:, 10:20, 10:20] = blue[:, None, None]
    plain = prepare(stained, PreparationConfig(channels=1))
    unmixed = prepare(stained, settings)
    assert plain[0, 15, 15] > plain[0, 30, 30]
    assert unmixed[0, 15, 15] > unmixed[0, 30, 30] + 0.5
    purple = np.broadcast_to(np.array([0.5, 0.3, 0.6], dtype=np.float32)[:, None, None], (3, 8, 8)).copy()
    assert np.array_equal(prepare(purple, settings), prepare(purple, PreparationConfig(channels=1)))
    assert np.array_equal(prepare(plain, settings), plain)


def test_boxes_shrink_with_their_image():
    boxes = Boxes(np.array([[10.0, 20.0, 30.0, 60.0]]), np.array([0.5]), np.array([3]))
    sample = Sample(
        "one", np.zeros((1, 40, 80), np.float32), np.zeros((40, 80), np.int32), np.zeros(0, np.int64), boxes=boxes
    )
    shrunk = prepare_sample(sample, PreparationConfig(channels=1, longest_side=40)).boxes
    assert shrunk.edges.tolist() == [[5.0, 10.0, 15.0, 30.0]]
    assert (shrunk.scores.tolist(), shrunk.class_ids.tolist()) == ([0.5], [3])
    assert prepare_sample(sample, PreparationConfig(channels=1)).boxes is boxes
