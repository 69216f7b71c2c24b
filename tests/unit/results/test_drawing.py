import numpy as np

from seriatim.core.instances import Instance
from seriatim.results.drawing import colour_of, draw_outlines, shown_pixels, to_rgb


def test_16_bits_are_stretched_to_be_seen():
    dim = np.linspace(1000, 3000, 10_000).reshape(100, 100).astype(np.uint16)
    shown = shown_pixels(dim)
    assert shown.shape == (100, 100, 3)
    assert shown.min() == 0
    assert shown.max() == 255


def test_8_bits_are_shown_as_they_are(pixels):
    assert np.array_equal(shown_pixels(pixels), pixels)
    assert np.array_equal(shown_pixels(pixels[:, :, 0])[:, :, 1], pixels[:, :, 0])


def test_a_bilevel_image_is_shown_black_and_white():
    assert np.unique(shown_pixels(np.array([[False, True]]))).tolist() == [0, 255]


def test_a_range_below_the_smallest_is_not_stretched_to_the_full_one():
    faint = np.linspace(0.4, 0.41, 10_000, dtype=np.float32).reshape(1, 100, 100)
    assert to_rgb(faint).min() > 100
    assert to_rgb(faint, 0.05).max() < 60
    assert to_rgb(faint, 1e-6).max() == 255


def test_outlines_lie_inside_the_objects_in_the_colours_given_or_in_those_of_their_numbers():
    mask = np.ones((6, 8), dtype=bool)
    objects = [Instance((1, 2, 7, 10), mask), Instance((8, 2, 14, 10), mask)]
    for colours in (None, [(1, 2, 3), (4, 5, 6)]):
        picture = np.zeros((16, 12, 3), dtype=np.uint8)
        draw_outlines(picture, objects, 2, colours)
        first, second = colours or (colour_of(1), colour_of(2))
        assert picture[2, 3].tolist() == list(first)
        assert picture[13, 9].tolist() == list(second)
        assert not picture[3:5, 4:8].any()
        assert (picture.any(axis=-1)).sum() == 2 * (48 - 2 * 4)
