"""Shapes for Labelme, read back by this package's reader."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seriatim.data.readers.labelme import LabelmeSource

from ..conftest import write_results

BLANK = np.zeros((37, 53), dtype=np.uint8)


@pytest.mark.parametrize("place", ["photo.png", "a b/photo.png", "out/labelme/photo.png"])
def test_the_reader_of_labelme_finds_the_image_where_it_lies(hard, tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(BLANK).save(tmp_path / place)
    write_results(tmp_path / "out", ("labelme",), tmp_path / place, BLANK, hard)
    source = LabelmeSource(tmp_path / "out" / "labelme", strict=True)
    assert source.class_names == ("leaf", "stem")
    sample = source.read(0)
    assert sample.classes.tolist() == hard.class_ids.tolist()
    assert (sample.objects.masks() == hard.masks()).all()
    values = json.loads((tmp_path / "out" / "labelme" / "photo.json").read_text())
    assert (tmp_path / "out" / "labelme" / values["imagePath"]).resolve() == (tmp_path / place).resolve()
    assert values["shapes"][0]["description"] == "score 0.9000"


def test_a_relative_image_is_found_as_well(hard, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(BLANK).save("photo.png")
    write_results(Path("out"), ("labelme",), Path("photo.png"), BLANK, hard)
    assert len(LabelmeSource(tmp_path / "out" / "labelme").read(0).classes) == 5
