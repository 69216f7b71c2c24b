import numpy as np

from seriatim.core.instances import Instances
from seriatim.results.overlay import draw_overlay, encode_overlay

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
