"""Where boxes come from: the grid covers the image with no more boxes than allowed, and a text names one origin."""

import json

import numpy as np
import pytest

from seriatim.core.errors import DataError
from seriatim.data.box_origins import GridBoxes, WithBoxes, grid_boxes, open_boxes
from seriatim.data.catalogue import open_source
from seriatim.data.readers.coco_boxes import BoxFile
from seriatim.data.readers.npz_boxes import NpzBoxes


@pytest.mark.parametrize("size", [(256, 256), (40, 300), (8, 8), (1, 1)])
@pytest.mark.parametrize("count", [1, 50, 2000])
def test_a_grid_has_at_most_so_many_boxes_all_inside_the_image(size, count):
    edges = grid_boxes(size, count).edges
    assert 0 < len(edges) <= max(count, 1)
    assert (edges >= -1e-9).all()
    assert (edges <= np.tile(size, 2) + 1e-9).all()
    assert (edges[:, 2:] > edges[:, :2]).all()


def test_a_grid_has_boxes_of_all_sizes_and_shapes_and_uses_the_number_that_it_is_given():
    boxes = grid_boxes((256, 256), 2000)
    assert len(boxes) > 1500
    heights, widths = (boxes.edges[:, 2:] - boxes.edges[:, :2]).T
    assert heights.min() < 12
    assert heights.max() > 200
    assert {round(float(ratio), 2) for ratio in heights / widths} >= {0.5, 1.0, 2.0}
    first = boxes.edges[:100]
    assert first[:, 0].min() < 30
    assert first[:, 2].max() > 226


def test_a_grid_is_the_same_at_every_call():
    assert np.array_equal(grid_boxes((64, 80), 300).edges, grid_boxes((64, 80), 300).edges)


def test_a_text_names_the_origin(tmp_path):
    (tmp_path / "boxes.json").write_text(json.dumps([{"image_id": "a.png", "bbox": [1, 2, 3, 4]}]))
    np.savez(tmp_path / "boxes.npz", **{"a.png": np.array([[2.0, 1, 6, 4]])})
    for name, kind in (("boxes.json", BoxFile), ("boxes.npz", NpzBoxes)):
        origin = open_boxes(str(tmp_path / name))
        assert isinstance(origin, kind)
        assert origin.for_image("a.png", (9, 9)).edges.tolist() == [[2, 1, 6, 4]]
    grid = open_boxes("grid:30")
    assert isinstance(grid, GridBoxes)
    assert len(grid.for_image("a.png", (64, 64))) <= 30
    assert len(open_boxes("grid").for_image("a.png", (256, 256))) > 1500


@pytest.mark.parametrize("text", ["grid:0", "grid:", "grid:many", "grid:-4"])
def test_a_grid_without_a_number_is_refused(text):
    with pytest.raises(DataError, match=r"expected grid or grid:N"):
        open_boxes(text)


def test_every_sample_of_a_source_has_the_boxes_of_its_origin():
    source = WithBoxes(open_source("scenes:2"), open_boxes("grid:100"))
    boxes = source.read(1).boxes
    assert boxes is not None
    assert 50 < len(boxes) <= 100
