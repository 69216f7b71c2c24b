import numpy as np
from scipy import ndimage

from seriatim.core.instances import Instance, Instances
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


def disc(radius):
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return rows**2 + columns**2 <= radius**2


def test_a_number_is_written_only_where_it_leaves_its_object_to_be_seen():
    large, small = disc(30), disc(3)
    objects = [Instance((5, 5, 66, 66), large), Instance((80, 80, 87, 87), small)]
    found, pixels = Instances((100, 100), objects), np.full((100, 100, 3), 90, dtype=np.uint8)
    plain, numbered = (np.asarray(draw_overlay(pixels, found, style)) for style in ("plain", "outline"))
    changed = (plain != numbered).any(axis=-1)
    assert 0 < np.count_nonzero(changed[5:66, 5:66]) < 0.3 * large.sum()
    assert not changed[80:87, 80:87].any()
    assert not changed[found.label_map() == 0].any()


def test_filled_objects_show_the_image_beneath_and_the_background_is_as_it_was(found, pixels):
    filled = np.asarray(draw_overlay(pixels, found, "filled"))
    labels = found.label_map()
    assert np.array_equal(filled[labels == 0], pixels[labels == 0])
    inside = ndimage.binary_erosion(labels == 1, iterations=3)
    assert (filled[inside] != pixels[inside]).any()
    assert len(np.unique(filled[inside], axis=0)) > 10
