"""A tile with its boxes is what the network of the predictor would see."""

import numpy as np
import pytest

from seriatim.analysis.box_tiles import cut_tile
from seriatim.core.boxes import Boxes
from seriatim.core.errors import ConfigError

from .test_refinements import BOXES, image_of, make


def test_an_image_of_one_tile_has_all_its_boxes():
    cut = cut_tile(make(), image_of(), BOXES, None)
    assert (cut.box, cut.number, cut.num_tiles) == ((0, 0, 40, 60), 0, 1)
    assert cut.prompts.boxes.tolist() == BOXES.edges.tolist()


def test_boxes_of_a_later_tile_are_in_its_pixels():
    predictor = make(inference={"tile_size": 64, "overlap": 16})
    boxes = Boxes.of([(10.0, 100.0, 30.0, 118.0)])
    cut = cut_tile(predictor, image_of(40, 120), boxes, 1)
    assert cut.num_tiles > 1
    inside = cut.prompts.boxes.tolist()
    assert [edges[1] for edges in inside] == [100 - cut.box[1]] * len(inside)
    assert np.array_equal(cut.image, predictor.prepared(image_of(40, 120))[:, :, cut.box[1] : cut.box[3]])


def test_a_tile_that_there_is_not_is_refused():
    with pytest.raises(ConfigError):
        cut_tile(make(), image_of(), BOXES, 5)
