import numpy as np

from seriatim.core.instances import Instances
from seriatim.results.overlay import as_shown, draw_overlay, encode_overlay

from ..conftest import segmented


def test_an_overlay_has_the_size_of_the_image_and_draws_on_objects_only(found, pixels):
    overlay = np.asarray(draw_overlay(pixels, found))
    assert overlay.shape == pixels.shape
    changed = (overlay != pixels).any(axis=-1)
    assert not changed[found.label_map() == 0].any()
    for number in (1, 2, 3):
        assert changed[found.label_map() == number].any()


def test_neighbouring_numbers_have_different_colours(found, pixels):
    overlay = np.asarray(draw_overlay(np.zeros_like(pixels), found))
    edges = [tuple(overlay[instance.box[0], (instance.box[1] + instance.box[3]) // 2]) for instance in found]
    assert len(set(edges)) == 3
    assert all(max(edge) == 255 for edge in edges)


def test_an_overlay_of_nothing_is_the_image(pixels):
    [(name, data)] = encode_overlay(segmented(pixels, Instances((80, 120))))
    assert name == "photo.overlay.png"
    assert data.startswith(b"\x89PNG")
    assert np.array_equal(np.asarray(draw_overlay(pixels, Instances((80, 120)))), pixels)


def test_16_bits_are_stretched_to_be_seen():
    dim = np.linspace(1000, 3000, 10_000).reshape(100, 100).astype(np.uint16)
    shown = as_shown(dim)
    assert shown.shape == (100, 100, 3)
    assert shown.min() == 0
    assert shown.max() == 255


def test_8_bits_are_shown_as_they_are(pixels):
    assert np.array_equal(as_shown(pixels), pixels)
    assert np.array_equal(as_shown(pixels[:, :, 0])[:, :, 1], pixels[:, :, 0])


def test_a_bilevel_image_is_shown_black_and_white():
    assert np.unique(as_shown(np.array([[False, True]]))).tolist() == [0, 255]
