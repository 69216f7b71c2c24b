"""Regions for ImageJ, read back by roifile."""

import io
import zipfile

import numpy as np
import roifile

from seriatim.core.instances import Instance, Instances
from seriatim.data.masks.outlines import fill_rings
from seriatim.results.imagej import encode_rois

from ..conftest import segmented

BLANK = np.zeros((37, 53), dtype=np.uint8)


def read_rois(data, tmp_path):
    (tmp_path / "a.zip").write_bytes(data)
    return roifile.ImagejRoi.fromfile(tmp_path / "a.zip")


def test_roifile_reads_every_region_with_name_class_and_score(hard, tmp_path):
    [(name, data)] = encode_rois(segmented(BLANK, hard))
    assert name == "photo.rois.zip"
    regions = read_rois(data, tmp_path)
    assert [region.name for region in regions] == ["0001", "0002", "0003", "0004", "0005"]
    assert [region.group for region in regions] == [1, 2, 1, 2, 2]
    assert regions[1].props == "class: stem\nscore: 0.250000\n"
    for region, instance, mask in zip(regions, hard, hard.masks(), strict=True):
        assert (region.top, region.left, region.bottom, region.right) == instance.box
        rings = [np.asarray(ring, dtype=np.float64)[:] for ring in region.coordinates(multi=True)]
        drawn = Instances(hard.size, [fill_rings(rings, hard.size)]).masks()[0]
        assert (drawn == mask).all()


def test_simple_regions_are_traced_and_others_composite(hard, tmp_path):
    regions = read_rois(next(encode_rois(segmented(BLANK, hard)))[1], tmp_path)
    assert [region.composite for region in regions] == [True, False, True, True, False]
    assert [region.roitype.name for region in regions] == ["RECT", "TRACED", "RECT", "RECT", "TRACED"]


def test_regions_beyond_16_bits_keep_their_place(tmp_path):
    boxes = [(40_000, 5, 40_003, 9), (3, 70_000, 5, 70_002)]
    far = Instances(
        (41_000, 71_000), [Instance(box, np.ones((box[2] - box[0], box[3] - box[1]), bool)) for box in boxes]
    )
    regions = read_rois(next(encode_rois(segmented(BLANK, far)))[1], tmp_path)
    for region, (y0, x0, y1, x1) in zip(regions, boxes, strict=True):
        [ring] = region.coordinates(multi=True)
        assert (ring.min(axis=0).tolist(), ring.max(axis=0).tolist()) == ([x0, y0], [x1, y1])


def test_the_archive_holds_no_date(hard):
    [(_, data)] = encode_rois(segmented(BLANK, hard))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.testzip() is None
