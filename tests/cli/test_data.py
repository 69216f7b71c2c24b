import json

import numpy as np
from PIL import Image

from seriatim.data.catalogue import open_source
from seriatim.data.synthetic.rosettes import make_rosette
from seriatim.data.synthetic.scene_classes import CLASS_NAMES
from seriatim.data.synthetic.scenes import make_scene


def test_rosettes_are_written_as_images_and_label_maps(run, tmp_path):
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


def test_scenes_are_written_as_images_label_maps_and_a_coco_file_that_agree(run, tmp_path):
    settings = ("--count", "3", "--seed", "7", "--classes", "8", "--size", "96,128")
    code, out, _ = run("data", "make", "scenes", *settings, "--out", tmp_path / "a")
    assert code == 0
    assert out.strip() == str(tmp_path / "a")
    content = json.loads((tmp_path / "a" / "instances.json").read_text())
    assert [category["name"] for category in content["categories"]] == list(CLASS_NAMES[:8])
    for index, sample in enumerate(map(open_source(f"coco:{tmp_path / 'a' / 'instances.json'}").read, range(3))):
        scene = make_scene(7 + index, 8, (96, 128))
        name = f"scene-{7 + index:06d}.png"
        assert np.array_equal(np.asarray(Image.open(tmp_path / "a" / "images" / name)), scene.image)
        assert np.array_equal(np.asarray(Image.open(tmp_path / "a" / "labels" / name)), scene.labels)
        assert np.array_equal(sample.labels, scene.labels)
        assert np.array_equal(sample.classes, scene.objects.class_ids)


def test_the_same_seed_writes_the_same_files(run, tmp_path):
    for folder in ("a", "b"):
        assert run("data", "make", "scenes", "--count", "2", "--size", "64,64", "--out", tmp_path / folder)[0] == 0
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 5
    for path in files:
        assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()


def test_settings_of_scenes_that_cannot_be_used_are_wrong_usage(run, tmp_path):
    for settings in (("--classes", "2"), ("--classes", "9"), ("--size", "64"), ("--size", "64x64"), ("--size", "8,8")):
        assert run("data", "make", "scenes", "--count", "1", *settings, "--out", tmp_path)[0] == 2
    assert run("data", "make", "rosettes", "--count", "1", "--classes", "5", "--out", tmp_path)[0] == 2
