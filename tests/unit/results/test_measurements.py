import csv

import numpy as np
import pytest

from seriatim.core.instances import Instance, Instances
from seriatim.results.folder import ResultFolder


def table(tmp_path, *images, class_names=("leaf", "stem")):
    results = ResultFolder(tmp_path, ("measurements",), class_names)
    for number, (file, pixels, instances) in enumerate(images):
        results.add(file, f"p{number}", pixels, instances, 1.0)
    results.finish()
    with open(tmp_path / "measurements.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_rectangle_has_the_numbers_worked_by_hand(tmp_path):
    pixels = np.zeros((20, 30, 3), dtype=np.uint16)
    pixels[5:9, 10:20] = (1000, 0, 7)
    pixels[5, 10] = (1040, 40, 7)
    found = Instances((20, 30), [Instance((5, 10, 9, 20), np.ones((4, 10), bool), 0.5, 2)])
    [row] = table(tmp_path, ("a.tif", pixels, found))
    assert list(row) == [
        "file", "object", "class", "score", "area", "perimeter", "centroid_y", "centroid_x", "major_axis", "minor_axis",
        "mean_1", "mean_2", "mean_3",
    ]  # fmt: skip
    assert (row["file"], row["object"], row["class"]) == ("a.tif", "1", "stem")
    values = {name: float(value) for name, value in row.items() if name not in ("file", "class")}
    assert (values["score"], values["area"], values["perimeter"]) == (0.5, 40, 24)
    assert (values["centroid_y"], values["centroid_x"]) == (6.5, 14.5)
    # axes of an ellipse with the second moments: 4 times the root of the variance, (n**2 - 1) / 12 for n pixels in a row
    assert values["major_axis"] == pytest.approx(4 * (99 / 12) ** 0.5, rel=1e-6)
    assert values["minor_axis"] == pytest.approx(4 * (15 / 12) ** 0.5, rel=1e-6)
    assert (values["mean_1"], values["mean_2"], values["mean_3"]) == (1001, 1, 7)


def test_every_object_has_a_row_in_the_order_found(hard, tmp_path):
    rows = table(tmp_path, ("a.png", np.full(hard.size, 3, dtype=np.uint8), hard))
    assert [row["object"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [int(row["area"]) for row in rows] == hard.areas.tolist()
    assert [row["class"] for row in rows] == ["leaf", "stem", "leaf", "stem", "stem"]
    assert {float(row["mean_1"]) for row in rows} == {3}
    assert float(rows[1]["major_axis"]) == float(rows[1]["perimeter"]) == 0  # a single pixel


def test_images_of_different_channels_share_a_table(found, tmp_path):
    grey, rgb = np.ones((80, 120), dtype=np.uint8), np.ones((80, 120, 3), dtype=np.float32)
    rows = table(tmp_path, ("grey\nwith, comma.png", grey, found), ("rgb.png", rgb, found))
    assert [row["file"] for row in rows] == ["grey\\x0awith, comma.png"] * 3 + ["rgb.png"] * 3
    assert (rows[0]["mean_1"], rows[0]["mean_2"], rows[0]["mean_3"]) == ("1", "", "")
    assert rows[3]["mean_3"] == "1"
    assert None not in rows[0]


def test_a_table_of_nothing_has_its_header(tmp_path):
    assert table(tmp_path) == []
    assert (tmp_path / "measurements.csv").read_text().startswith("file,object,class,score,area")


def test_bilevel_images_have_the_share_of_white(tmp_path):
    pixels = np.zeros((4, 4), dtype=bool)
    pixels[0] = True
    [row] = table(tmp_path, ("a.png", pixels, Instances((4, 4), [Instance((0, 0, 4, 4), np.ones((4, 4), bool))])))
    assert float(row["mean_1"]) == 0.25
