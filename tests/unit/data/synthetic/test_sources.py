"""The data kinds `scenes:` and `rosettes:`."""

import numpy as np
import pytest

from seriatim.core.errors import ConfigError
from seriatim.data.catalogue import open_source
from seriatim.data.synthetic.rosettes import make_rosette
from seriatim.data.synthetic.scene_classes import CLASS_NAMES
from seriatim.data.synthetic.scenes import make_scene
from seriatim.data.synthetic.sources import RosetteSource, ScenesSource


@pytest.mark.parametrize(
    ("spec", "count", "seed", "num_classes", "size"),
    [
        ("1", 1, 0, 5, (256, 256)),
        ("64@1000", 64, 1000, 5, (256, 256)),
        ("8@3,classes=8", 8, 3, 8, (256, 256)),
        ("8,size=96x128,classes=3", 8, 0, 3, (96, 128)),
    ],
)
def test_a_specification_gives_number_seed_classes_and_size(spec, count, seed, num_classes, size):
    source = open_source(f"scenes:{spec}")
    assert isinstance(source, ScenesSource)
    assert (len(source), source.seed, source.class_names, source.size) == (count, seed, CLASS_NAMES[:num_classes], size)
    assert source.name(0) == f"scene-{seed:06d}"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("0", "expected scenes:N or scenes:N@SEED"),
        ("5@", "expected scenes:N or scenes:N@SEED"),
        ("5,class=3", "unknown setting 'class'; did you mean 'classes'"),
        ("5,classes=", "expected classes=C or size=HxW"),
        ("5,size=64", "expected classes=C or size=HxW, such as size=192x256, got 'size=64'"),
        ("5,classes=2", "expected 3 to 8, got 2"),
        ("5,size=8x8", "at least 64 x 64, got 8 x 8"),
    ],
)
def test_a_specification_that_cannot_be_used_says_why(spec, message):
    with pytest.raises(ConfigError, match=message):
        open_source(f"scenes:{spec}")


def test_a_sample_is_the_scene_of_its_seed():
    sample = open_source("scenes:5@3").read(2)
    scene = make_scene(5)
    assert sample.name == "scene-000005"
    np.testing.assert_array_equal(sample.labels, scene.labels)
    np.testing.assert_array_equal(sample.classes, scene.objects.class_ids)
    np.testing.assert_array_equal(np.rint(sample.image * 255).astype(np.uint8).transpose(1, 2, 0), scene.image)


def test_a_rosette_of_a_source_is_that_of_its_seed():
    sample, plant = open_source("rosettes:3@7").read(2), make_rosette(9)
    assert sample.name == "rosette-000009"
    np.testing.assert_array_equal(sample.labels, plant.labels)
    assert sample.classes.tolist() == [1] * plant.labels.max()


@pytest.mark.parametrize("spec", ["0", "x", "5@", "5@x", "5,classes=3"])
def test_rosettes_that_cannot_be_read_say_what_was_expected(spec):
    with pytest.raises(ConfigError, match="expected rosettes:N or rosettes:N@SEED"):
        open_source(f"rosettes:{spec}")


@pytest.mark.parametrize(("spec", "count", "seed"), [("1", 1, 0), ("64", 64, 0), ("8@1000", 8, 1000), ("3@0", 3, 0)])
def test_a_number_of_rosettes_and_their_first_seed_are_read(spec, count, seed):
    source = RosetteSource.parse(spec)
    assert (len(source), source.seed) == (count, seed)
    assert source.name(0) == f"rosette-{seed:06d}"


@pytest.mark.parametrize("spec", ["", "0", "-1", "a", "5@", "5@a", "5@-1", "@5", "5@1@2", "1.5", "5 "])
def test_a_number_of_rosettes_that_cannot_be_used_is_refused(spec):
    with pytest.raises(ConfigError, match="expected rosettes:N or rosettes:N@SEED"):
        RosetteSource.parse(spec)


def test_rosettes_overlap_by_their_seeds():
    first, second = RosetteSource.parse("2@7"), RosetteSource.parse("1@8")
    assert first.name(1) == second.name(0)
    assert (first.read(1).labels == second.read(0).labels).all()
