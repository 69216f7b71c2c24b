"""Detections for QuPath, read back by shapely."""

import json

import numpy as np
import shapely

from seriatim.results.geojson import encode_geojson

from ..conftest import segmented

BLANK = np.zeros((37, 53), dtype=np.uint8)


def test_shapely_reads_every_detection_as_a_valid_geometry_of_the_right_pixels(hard):
    [(name, data)] = encode_geojson(segmented(BLANK, hard))
    assert name == "photo.geojson"
    collection = json.loads(data)
    assert collection["type"] == "FeatureCollection"
    geometries = shapely.from_geojson(data.decode()).geoms
    y, x = np.mgrid[:37, :53] + 0.5
    for geometry, instance, mask in zip(geometries, hard, hard.masks(), strict=True):
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
