import numpy as np
from PIL import Image

from seriatim.data.rosettes import make_rosette


def test_rosettes_are_written_as_pictures_and_label_maps(run, tmp_path):
    code, out, _ = run("data", "make", "rosettes", "--count", "2", "--seed", "5", "--out", tmp_path / "plants")
    assert code == 0
    assert out.strip() == str(tmp_path / "plants")
    for seed in (5, 6):
        plant = make_rosette(seed)
        name = f"rosette-{seed:06d}.png"
        assert np.array_equal(np.asarray(Image.open(tmp_path / "plants" / "images" / name)), plant.image)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "plants" / "labels" / name)), plant.labels)


def test_an_unknown_kind_and_a_count_of_none_are_wrong_usage(run, tmp_path):
    assert run("data", "make", "roses", "--count", "2", "--out", tmp_path)[0] == 2
    assert run("data", "make", "rosettes", "--count", "0", "--out", tmp_path)[0] == 2
