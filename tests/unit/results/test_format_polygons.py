"""Formats of outlines, each read back by the library of its own world: roifile, shapely, our readers of YOLO and Labelme."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import roifile
import shapely
from PIL import Image

from seriatim.core.instances import Instance, Instances
from seriatim.data.masks.outlines import fill_rings
from seriatim.data.readers.labelme import LabelmeSource
from seriatim.data.readers.yolo import YoloSource
from seriatim.results.format_polygons import encode_geojson, encode_rois
from seriatim.results.formats import ResultFolder

from ..conftest import segmented

BLANK = np.zeros((37, 53), dtype=np.uint8)


def full(instances):
    return Instances(instances.size, instances.instances).masks()


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
    for region, instance, mask in zip(regions, hard, full(hard), strict=True):
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


def test_shapely_reads_every_detection_as_a_valid_geometry_of_the_right_pixels(hard):
    [(name, data)] = encode_geojson(segmented(BLANK, hard))
    assert name == "photo.geojson"
    collection = json.loads(data)
    assert collection["type"] == "FeatureCollection"
    geometries = shapely.from_geojson(data.decode()).geoms
    y, x = np.mgrid[:37, :53] + 0.5
    for geometry, instance, mask in zip(geometries, hard, full(hard), strict=True):
        assert geometry.is_valid
        assert geometry.area == instance.area
        assert (shapely.contains_xy(geometry, x, y) == mask).all()
    assert [geometry.geom_type for geometry in geometries] == [
        "Polygon",
        "Polygon",
        "MultiPolygon",
        "MultiPolygon",
        "Polygon",
    ]
    assert len(geometries[0].interiors) == 1


def test_qupath_finds_type_class_and_measurements(hard):
    [(_, data)] = encode_geojson(segmented(BLANK, hard))
    features = json.loads(data)["features"]
    assert [one["properties"]["objectType"] for one in features] == ["detection"] * 5
    assert [one["properties"]["classification"]["name"] for one in features] == ["leaf", "stem", "leaf", "stem", "stem"]
    assert [one["properties"]["name"] for one in features] == ["1", "2", "3", "4", "5"]
    assert features[1]["properties"]["measurements"] == {"Score": 0.25, "Area px^2": 1}
    colours = [tuple(one["properties"]["classification"]["color"]) for one in features]
    assert colours[0] == colours[2] != colours[1] == colours[3]
    assert all(0 <= value <= 255 for colour in colours for value in colour)
    for one in features:
        rings = one["geometry"]["coordinates"]
        for ring in rings if one["geometry"]["type"] == "Polygon" else [ring for part in rings for ring in part]:
            assert ring[0] == ring[-1]


def write(tmp_path, name, hard, image):
    Image.fromarray(BLANK).save(image)
    results = ResultFolder(tmp_path / "out", (name,), ("leaf", "stem"))
    results.add(str(image), "photo", BLANK, hard, 1.0)
    results.finish()


def check_same(sample, hard):
    assert sample.classes.tolist() == hard.class_ids.tolist()
    assert (sample.objects.masks() == full(hard)).all()


def test_the_reader_of_yolo_reads_what_is_written_once_the_images_are_laid_beside_it(hard, tmp_path):
    write(tmp_path, "yolo", hard, tmp_path / "photo.png")
    (tmp_path / "out" / "yolo" / "images").mkdir()
    (tmp_path / "photo.png").rename(tmp_path / "out" / "yolo" / "images" / "photo.png")
    source = YoloSource(tmp_path / "out" / "yolo", strict=True)
    assert source.class_names == ("leaf", "stem")
    check_same(source.read(0), hard)


def test_every_line_of_yolo_is_a_class_and_pairs_within_the_image(hard, tmp_path):
    write(tmp_path, "yolo", hard, tmp_path / "photo.png")
    lines = (tmp_path / "out" / "yolo" / "labels" / "photo.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1", "0", "1", "1"]
    for line in lines:
        values = np.array(line.split()[1:], dtype=np.float64)
        assert len(values) % 2 == 0
        assert len(values) > 6
        assert 0 <= values.min() <= values.max() <= 1


@pytest.mark.parametrize("place", ["photo.png", "a b/photo.png", "out/labelme/photo.png"])
def test_the_reader_of_labelme_finds_the_image_where_it_lies(hard, tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    write(tmp_path, "labelme", hard, tmp_path / place)
    source = LabelmeSource(tmp_path / "out" / "labelme", strict=True)
    assert source.class_names == ("leaf", "stem")
    check_same(source.read(0), hard)
    values = json.loads((tmp_path / "out" / "labelme" / "photo.json").read_text())
    assert (tmp_path / "out" / "labelme" / values["imagePath"]).resolve() == (tmp_path / place).resolve()
    assert values["shapes"][0]["description"] == "score 0.9000"


def test_a_relative_image_is_found_as_well(hard, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path(), "labelme", hard, Path("photo.png"))
    assert len(LabelmeSource(tmp_path / "out" / "labelme").read(0).classes) == 5
