"""VOC's palette images, read by Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import FormatLimitError
from seriatim.core.instances import Instance, Instances
from seriatim.results.voc import encode_voc, encode_voc_border

from ..conftest import segmented

BLANK = np.zeros((37, 53), dtype=np.uint8)


def opened(files):
    return {name: Image.open(io.BytesIO(data)) for name, data in files}


def test_palette_images_hold_objects_and_classes(hard):
    images = opened(encode_voc(segmented(BLANK, hard)))
    assert list(images) == ["voc/SegmentationObject/photo.png", "voc/SegmentationClass/photo.png"]
    objects, classes = images.values()
    assert objects.mode == classes.mode == "P"
    labels = hard.label_map()
    assert (np.asarray(objects) == labels).all()
    assert (np.asarray(classes) == np.concatenate(([0], hard.class_ids))[labels]).all()


def test_the_palette_is_that_of_voc(hard):
    objects = next(iter(opened(encode_voc(segmented(BLANK, hard))).values()))
    palette = np.array(objects.getpalette()).reshape(-1, 3)
    # aeroplane, bicycle, bird, boat, bottle, ..., tv/monitor, and void, from the development kit
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 5: (128, 0, 128)}
    known |= {8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {index: tuple(palette[index]) for index in known} == known
    assert len(np.unique(palette, axis=0)) == 256


def test_the_border_is_void_round_every_object_and_between_them():
    labels = np.zeros((20, 30), dtype=np.int32)
    labels[5:15, 5:15], labels[5:15, 15:25] = 1, 2
    objects, classes = (
        np.asarray(image)
        for image in opened(encode_voc_border(segmented(labels, Instances.from_label_map(labels)))).values()
    )
    assert objects[10].tolist() == [0] * 3 + [255] * 4 + [1] * 6 + [255] * 4 + [2] * 6 + [255] * 4 + [0] * 3
    assert ((objects == labels) | (objects == 255)).all()
    assert ((objects == 255) == (classes == 255)).all()


@pytest.mark.parametrize("encode", [encode_voc, encode_voc_border])
def test_254_objects_fit_and_255_are_refused(encode):
    many = Instances(
        (16, 16), [Instance((y, x, y + 1, x + 1), np.ones((1, 1), bool)) for y in range(16) for x in range(16)]
    )
    assert len(list(encode(segmented(np.zeros((16, 16)), many[:254])))) == 2
    with pytest.raises(FormatLimitError, match="255 objects are more than the 254"):
        list(encode(segmented(np.zeros((16, 16)), many[:255])))
    one = Instances((16, 16), [Instance((0, 0, 1, 1), np.ones((1, 1), bool), class_id=255)])
    with pytest.raises(FormatLimitError, match="255 classes are more"):
        list(encode(segmented(np.zeros((16, 16)), one)))
