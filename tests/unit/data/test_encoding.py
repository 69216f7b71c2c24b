import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from seriatim.core.errors import DataError
from seriatim.data.encoding import encode_image, encode_label_map, file_stems

from .memory_source import MemorySource


def test_stems_are_file_names_of_which_no_two_are_the_same():
    assert file_stems(MemorySource("a/b", "../c", "A-b", "a-B", "d\\e")) == ["a-b", "..-c", "A-b-2", "a-B-3", "d-e"]


@pytest.mark.parametrize("name", ["", "..", ".", " "])
def test_what_cannot_name_a_file_is_refused(name):
    with pytest.raises(DataError, match="image 0: its name"):
        file_stems(MemorySource(name))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_any_channels_come_back(channels):
    image = (np.arange(channels * 6).reshape(channels, 2, 3) * 10 / 255).astype(np.float32)
    pixels = np.asarray(Image.open(io.BytesIO(encode_image(image))))
    assert (np.atleast_3d(pixels) == np.arange(channels * 6).reshape(channels, 2, 3).transpose(1, 2, 0) * 10).all()


def test_label_maps_beyond_16_bits_are_tiffs():
    labels = np.array([[0, 65_535]], dtype=np.int32)
    assert encode_label_map(labels)[0] == ".png"
    ending, data = encode_label_map(labels + 1)
    assert ending == ".tif"
    assert tifffile.imread(io.BytesIO(data)).tolist() == [[1, 65_536]]
