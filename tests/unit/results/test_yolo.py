"""Outlines for YOLO, read back by this package's reader."""

import numpy as np
from PIL import Image

from seriatim.data.readers.yolo import YoloSource

from ..conftest import write_results

BLANK = np.zeros((37, 53), dtype=np.uint8)


def test_the_reader_of_yolo_reads_what_is_written_with_the_images_beside_it(hard, tmp_path):
    Image.fromarray(BLANK).save(tmp_path / "photo.png")
    write_results(tmp_path / "out", ("yolo",), tmp_path / "photo.png", BLANK, hard)
    (tmp_path / "out" / "yolo" / "images").mkdir()
    (tmp_path / "photo.png").rename(tmp_path / "out" / "yolo" / "images" / "photo.png")
    source = YoloSource(tmp_path / "out" / "yolo", strict=True)
    assert source.class_names == ("leaf", "stem")
    sample = source.read(0)
    assert sample.classes.tolist() == hard.class_ids.tolist()
    assert (sample.objects.masks() == hard.masks()).all()


def test_every_line_of_yolo_is_a_class_and_pairs_within_the_image(hard, tmp_path):
    Image.fromarray(BLANK).save(tmp_path / "photo.png")
    write_results(tmp_path / "out", ("yolo",), tmp_path / "photo.png", BLANK, hard)
    lines = (tmp_path / "out" / "yolo" / "labels" / "photo.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "0", "1", "1"]
    for line in lines:
        values = np.array(line.split()[1:], dtype=np.float64)
        assert len(values) % 2 == 0
        assert len(values) > 6
        assert 0 <= values.min() <= values.max() <= 1
