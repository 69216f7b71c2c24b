import numpy as np

from seriatim.analysis.places import Place, find_place
from seriatim.core.instances import Instance


def test_a_place_is_the_centre_of_mass_in_the_image_and_the_area():
    mask = np.array([[1, 1, 1], [1, 0, 0]], dtype=bool)
    assert find_place(Instance((10, 20, 12, 23), mask)) == Place(10.25, 20.75, 4)


def test_an_object_without_a_pixel_has_no_place():
    assert find_place(Instance((0, 0, 1, 1), np.zeros((1, 1), dtype=bool))) is None
