"""Polygons: pixel for pixel those of pycocotools, and nothing reaches it that would end the process."""

import numpy as np
import pytest
from pycocotools import mask as mask_api

from seriatim.core.errors import DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.masks.polygons import check_polygons, rasterise_polygons

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools' decode

SIZE = (37, 52)


def plane(box, mask, size=SIZE):
    return Instances(size, [Instance(box, mask)]).masks()[0] if mask.size else np.zeros(size, dtype=bool)


def drawn_by_pycocotools(polygons, size=SIZE):
    return mask_api.decode(mask_api.merge(mask_api.frPyObjects(polygons, *size))).astype(bool)


def random_polygon(rng):
    """Of any shape, crossing itself, and partly outside."""
    corners = rng.uniform(-6, 58, (int(rng.integers(3, 12)), 2)) * rng.uniform(0.2, 1)
    return (np.round(corners, int(rng.integers(0, 3))) + 0.0).ravel().tolist()


def test_400_random_polygons_are_drawn_as_pycocotools_draws_them():
    rng = np.random.default_rng(5)
    num_drawn = 0
    for _ in range(400):
        polygons = [random_polygon(rng) for _ in range(int(rng.integers(1, 4)))]
        try:
            usable, extent, _ = check_polygons(polygons, SIZE)
        except DataError:
            continue  # wholly outside
        wanted = drawn_by_pycocotools(polygons)
        box, mask = rasterise_polygons(usable, SIZE)
        assert (plane(box, mask) == wanted).all(), polygons
        y0, x0, y1, x1 = extent
        assert not mask.size or (y0 - 1 < box[0] and x0 - 1 < box[1] and box[2] < y1 + 1 and box[3] < x1 + 1)
        num_drawn += bool(wanted.any())
    assert num_drawn > 300


def test_corners_far_outside_are_cut_as_pycocotools_cuts_them():
    polygons = [[-300.0, -200.0, 400.0, 10.0, 20.0, 500.0]]
    usable, extent, remarks = check_polygons(polygons, SIZE)
    assert remarks == ["polygon 0 leaves the image; cut at its edge"]
    assert extent == (0, 0, *SIZE)
    assert (plane(*rasterise_polygons(usable, SIZE)) == drawn_by_pycocotools(polygons)).all()


def test_a_polygon_between_pixel_centres_covers_none():
    usable, _, remarks = check_polygons([[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]], SIZE)
    assert remarks == []
    box, mask = rasterise_polygons(usable, SIZE)
    assert box == (0, 0, 0, 0)
    assert mask.size == 0


def test_parts_without_area_or_outside_are_named_and_the_others_drawn():
    square = [2, 2, 8, 2, 8, 8, 2, 8]
    usable, extent, remarks = check_polygons([[1, 1, 2, 2, 3, 3], square, [60, 2, 70, 2, 70, 9]], SIZE)
    assert remarks == ["polygon 0 has no area", "polygon 2 lies outside the image"]
    assert [corners.tolist() for corners in usable] == [square]
    assert extent == (2, 2, 8, 8)


@pytest.mark.parametrize(
    ("polygons", "reason"),
    [
        ([], "holds no polygon"),
        ([[]], "has 0 numbers"),
        ([[1, 1, 5, 5]], "has 4 numbers"),
        ([[1, 1, 5, 5, 3, 9, 4]], "has 7 numbers"),
        ([[1, 1, 5, 5, 3, float("nan")]], "no finite numbers"),
        ([[1, 1, 5, 5, 3, float("inf")]], "no finite numbers"),
        ([[1, 1, float("-inf"), 5, 3, float("inf")]], "no finite numbers"),
        ([[1, 1, 5, 5, 3, 10**400]], "no finite numbers"),
        ([[1, 1, 5, 5, 3, 1e9]], "coordinates from 1 to 1000000000.0 in an image of 37 x 52 pixels"),
        ([[1, 1, 5, 5, 3, -(10**18)]], "coordinates from -1000000000000000000 to 5"),
        ([[1, 1, 5, 5, 3, "9"]], "holds str where numbers belong"),
        ([[1, 1, 5, 5, 3, True]], "holds bool where numbers belong"),
        ([[1, 1, 5, 5, 3, None]], "holds NoneType where numbers belong"),
        ([[[1, 1], [5, 5], [3, 9]]], "holds list where numbers belong"),
        ([1, 1, 5, 5, 3, 9], "expected a list of x, y, x, y, ..., got 1"),
        ([{"x": 1}], "got an object of 1"),
        ([[4, 4, 4, 4, 4, 4]], "has no area"),
        ([[1, 1, 5, 5, 9, 9, 3, 3]], "has no area"),
        ([[-9, -9, -1, -9, -1, -1]], "lies outside the image"),
        ([[1, 1, 500, 5, 1, 9] * 20], "the outline is longer than 20 times that of the image"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_it_is(polygons, reason):
    with pytest.raises(DataError) as raised:
        check_polygons(polygons, SIZE)
    assert reason in str(raised.value)


def test_crossing_lines_of_no_net_area_are_drawn_all_the_same():
    bow_tie = [[2.0, 2.0, 20.0, 20.0, 20.0, 2.0, 2.0, 20.0]]
    usable, _, remarks = check_polygons(bow_tie, SIZE)
    assert remarks == []
    drawn = plane(*rasterise_polygons(usable, SIZE))
    assert drawn.sum() > 100
    assert (drawn == drawn_by_pycocotools(bow_tie)).all()
