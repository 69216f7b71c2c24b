import numpy as np
import tifffile
from PIL import Image

from seriatim.core.instances import Instance, Instances
from seriatim.data import encoding
from seriatim.data.images import read_label_map
from seriatim.results.labels import encode_labels

from ..conftest import segmented


def test_labels_are_a_png_of_16_bits(found, pixels, tmp_path):
    [(name, data)] = encode_labels(segmented(pixels, found))
    assert name == "photo.labels.png"
    (tmp_path / "a.png").write_bytes(data)
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode.startswith("I;16")
    assert np.array_equal(read_label_map(tmp_path / "a.png"), found.label_map())


def test_more_than_65535_objects_keep_their_ids_in_a_tiff(pixels, tmp_path):
    side = 260
    boxes = [(y, x, y + 1, x + 1) for y in range(side) for x in range(side)]
    many = Instances((side, side), [Instance(box, np.ones((1, 1), dtype=bool)) for box in boxes])
    [(name, data)] = encode_labels(segmented(pixels, many))
    assert name == "photo.labels.tif"
    (tmp_path / "a.tif").write_bytes(data)
    labels = tifffile.imread(tmp_path / "a.tif")
    assert labels.dtype == np.uint32
    assert np.array_equal(labels.ravel(), np.arange(1, side * side + 1))
    assert np.array_equal(read_label_map(tmp_path / "a.tif"), labels)


def test_as_many_objects_as_16_bits_can_number_stay_a_png(pixels, found, monkeypatch):
    monkeypatch.setattr(encoding, "MAX_16_BIT", len(found))
    assert next(encode_labels(segmented(pixels, found)))[0] == "photo.labels.png"
    monkeypatch.setattr(encoding, "MAX_16_BIT", len(found) - 1)
    assert next(encode_labels(segmented(pixels, found)))[0] == "photo.labels.tif"
