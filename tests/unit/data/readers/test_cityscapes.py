"""Kind cityscapes: on a small folder of the true layout, up to the scores of its protocol."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import ConfigError, DataError
from seriatim.data import catalogue
from seriatim.data.readers.cityscapes import CLASS_NAMES, CityscapesSource
from seriatim.data.source import Source
from seriatim.metrics import Example, evaluate

IDS = np.full((6, 8), 7, dtype=np.uint16)  # road
IDS[0] = 23  # sky
IDS[1:3, 0:2] = 26_001  # a car
IDS[1:3, 2:4] = 24_000  # a person
IDS[1:3, 4:6] = 26_000  # another car
IDS[3, 0:3] = 26  # a group of cars
IDS[3, 6:] = 26  # and another
IDS[3, 3] = 24  # a group of persons
IDS[5] = 1  # ego vehicle
IDS[4, 0] = 29  # a group of caravans
IDS[4, 1] = 29_001  # a caravan
IDS[4, 2] = 3  # out of the region of interest
CAMERA = {"extrinsic": {"baseline": 0.25}, "intrinsic": {"fx": 2000.0}}


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def make_cityscapes(folder, distances=True):
    """`leftImg8bit` and `gtFine`, and on request `disparity` and `camera`, in small."""
    places = (("train", "aachen", 0), ("train", "bochum", 3), ("train", "aachen", 1), ("val", "lindau", 0))
    disparity = np.zeros((6, 8), dtype=np.uint16)
    disparity[1:3, 0:2] = [[257, 257], [0, 2561]]  # d: 1, 1, not measured, 10
    disparity[1:3, 4:6] = 1  # d: 0
    for part, city, number in places:
        name = f"{city}_{number:06d}_000019"
        save(folder / "leftImg8bit" / part / city / f"{name}_leftImg8bit.png", np.full((6, 8, 3), 60, dtype=np.uint8))
        save(folder / "gtFine" / part / city / f"{name}_gtFine_instanceIds.png", IDS)
        save(folder / "gtFine" / part / city / f"{name}_gtFine_labelIds.png", IDS.astype(np.uint8))
        if distances:
            save(folder / "disparity" / part / city / f"{name}_disparity.png", disparity)
            camera = folder / "camera" / part / city / f"{name}_camera.json"
            camera.parent.mkdir(parents=True, exist_ok=True)
            camera.write_text(json.dumps(CAMERA))
    return folder


@pytest.fixture
def streets(tmp_path):
    return make_cityscapes(tmp_path / "cityscapes")


def test_objects_groups_and_what_is_ignored_come_from_the_ids(streets):
    source = CityscapesSource(streets)
    assert isinstance(source, Source)
    sample = source.read(0)
    assert sample.name == "aachen_000000_000019"
    assert sample.image.shape == (3, 6, 8)
    expected = np.zeros((6, 8), dtype=int)
    expected[IDS == 24_000], expected[IDS == 26_000], expected[IDS == 26_001] = 1, 2, 3
    assert sample.labels.tolist() == expected.tolist()
    assert sample.labels.dtype == np.int32
    assert [CLASS_NAMES[one - 1] for one in sample.classes] == ["person", "car", "car"]
    assert sample.crowds is not None
    assert sample.crowds.class_ids.tolist() == [1, 3]
    assert (sample.crowds.masks() == np.stack([IDS == 24, IDS == 26])).all()
    assert (sample.ignore == np.isin(IDS, [1, 3, 24, 26, 29])).all()
    assert source.problems == []


def test_the_distance_of_an_object_is_the_median_over_its_measured_pixels(streets):
    sample = CityscapesSource(streets).read(0)
    assert sample.distances is not None
    assert sample.distance_confidences is not None
    # person: not measured; car 26000: at the horizon; car 26001: baseline * fx = 500, so 500, 500 and 50 m
    assert sample.distances.tolist() == [math.inf, math.inf, 500.0]
    assert sample.distance_confidences.tolist() == [0.0, 1.0, 0.75]


def test_the_protocol_takes_distances_and_their_confidences(tmp_path):
    ids = np.zeros((80, 100), dtype=np.uint16)
    ids[:40, :40], ids[:40, 50:] = 26_000, 26_001
    disparity = np.zeros((80, 100), dtype=np.uint16)
    disparity[:40, :40], disparity[:40, 50:] = 1 + 256 * 25, 1 + 256 * 6  # 20 m and 83.3 m
    name = "aachen_000000_000019"
    for part, end, pixels in (
        ("leftImg8bit", "leftImg8bit", np.zeros((80, 100, 3), dtype=np.uint8)),
        ("gtFine", "gtFine_instanceIds", ids),
        ("disparity", "disparity", disparity),
    ):
        save(tmp_path / part / "val" / "aachen" / f"{name}_{end}.png", pixels)
    (tmp_path / "camera" / "val" / "aachen").mkdir(parents=True)
    (tmp_path / "camera" / "val" / "aachen" / f"{name}_camera.json").write_text(json.dumps(CAMERA))
    sample = CityscapesSource(tmp_path, "val").read(0)
    example = Example.from_label_maps(
        sample.labels,
        (sample.labels == 1).astype(int),  # finds the near one alone
        pred_classes=[3],
        target_classes=sample.classes,
        void=sample.ignore,
        target_distances=sample.distances,
        target_distance_confidences=sample.distance_confidences,
    )
    scores = evaluate([example], "cityscapes")
    assert (scores["AP"], scores["AP100m"], scores["AP50m"]) == (0.5, 0.5, 1.0)


@pytest.mark.parametrize(
    ("part", "names"),
    [
        ("train", ["aachen_000000_000019", "aachen_000001_000019", "bochum_000003_000019"]),
        ("val", ["lindau_000000_000019"]),
        ("trainval", None),
    ],
)
def test_a_part_is_chosen_behind_an_at_sign(streets, part, names):
    whole = catalogue.open_source(f"cityscapes:{streets}")
    chosen = catalogue.open_source(f"cityscapes:{streets}@{part}")
    names = names or [whole.name(index) for index in range(4)]
    assert [chosen.name(index) for index in range(len(chosen))] == names
    with pytest.raises(ConfigError, match="there is no part 'test'; known: train, trainval, val"):
        catalogue.open_source(f"cityscapes:{streets}@test")


def test_without_disparity_no_image_has_distances(tmp_path):
    source = CityscapesSource(make_cityscapes(tmp_path, distances=False))
    assert source.read(0).distances is source.read(0).distance_confidences is None
    assert source.problems == []


@pytest.mark.parametrize(("part", "end"), [("disparity", "disparity.png"), ("camera", "camera.json")])
def test_an_image_without_its_distances_is_listed_where_others_have_them(streets, part, end):
    path = streets / part / "train" / "aachen" / f"aachen_000000_000019_{end}"
    path.unlink()
    source = CityscapesSource(streets)
    [problem] = source.problems
    assert str(problem) == f"{path}: no such file; the distances of its objects are unknown"
    sample = source.read(0)
    assert sample.distances is not None
    assert sample.distance_confidences is not None
    assert sample.distances.tolist() == [math.inf] * 3
    assert sample.distance_confidences.tolist() == [0.0] * 3
    assert source.read(1).distances is not None
    with pytest.raises(DataError, match=f"{end}: no such file"):
        catalogue.open_source(f"cityscapes:{streets}", strict=True)


@pytest.mark.parametrize("part", ["leftImg8bit", "gtFine"])
def test_folders_that_are_missing_are_named(streets, part):
    (streets / part / "val").rename(streets / "elsewhere")
    assert len(CityscapesSource(streets, "train")) == 3
    with pytest.raises(DataError, match=f"expected Cityscapes with .*; found no {part}/val"):
        CityscapesSource(streets)


def test_images_without_annotation_and_annotations_without_image_are_left_out_and_listed(streets):
    annotation = streets / "gtFine" / "train" / "aachen" / "aachen_000000_000019_gtFine_instanceIds.png"
    picture = streets / "leftImg8bit" / "train" / "bochum" / "bochum_000003_000019_leftImg8bit.png"
    annotation.unlink()
    picture.unlink()
    source = CityscapesSource(streets, "train")
    assert [source.name(index) for index in range(len(source))] == ["aachen_000001_000019"]
    assert [str(problem).rpartition("/")[2] for problem in source.problems] == [
        "aachen_000000_000019_leftImg8bit.png: has no annotation; left out",
        "bochum_000003_000019_gtFine_instanceIds.png: has no image; left out",
    ]
    with pytest.raises(DataError, match="has no annotation; left out"):
        CityscapesSource(streets, "train", strict=True)
    (streets / "leftImg8bit" / "train" / "aachen" / "aachen_000001_000019_leftImg8bit.png").unlink()
    with pytest.raises(DataError, match="holds no image CITY"):
        CityscapesSource(streets, "train")


def test_ids_of_no_class_are_background_and_listed_once(streets):
    path = streets / "gtFine" / "val" / "lindau" / "lindau_000000_000019_gtFine_instanceIds.png"
    ids = IDS.copy()
    ids[0, 0], ids[0, 1] = 400, 34_000
    save(path, ids)
    source = CityscapesSource(streets, "val")
    for _ in range(2):
        sample = source.read(0)
    assert len(sample.classes) == 3
    assert sample.ignore is not None
    assert not sample.ignore[0].any()
    assert [problem.item for problem in source.problems] == ["id 400", "id 34000"]
    with pytest.raises(DataError, match="id 400: is of no class of Cityscapes"):
        CityscapesSource(streets, "val", strict=True).read(0)


@pytest.mark.parametrize("part", ["leftImg8bit", "gtFine", "disparity"])
def test_a_damaged_file_is_named(streets, part):
    [path] = [one for one in (streets / part / "val" / "lindau").glob("*.png") if "labelIds" not in one.name]
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(DataError, match=f"{part}/val/lindau/{path.name}"):
        CityscapesSource(streets, "val").read(0)


@pytest.mark.parametrize("part", ["gtFine", "disparity"])
def test_sizes_that_differ_are_named(streets, part):
    for path in (streets / part / "val" / "lindau").glob("*.png"):
        save(path, np.zeros((8, 6), dtype=np.uint16))
    with pytest.raises(DataError, match=r"is 8 x 6 pixels, lindau_000000_000019_leftImg8bit\.png 6 x 8"):
        CityscapesSource(streets, "val").read(0)


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"extrinsic": {}}', '{"extrinsic": {"baseline": "a"}, "intrinsic": {"fx": 1}}', "[" * 10_000]
    + [json.dumps({"extrinsic": {"baseline": one}, "intrinsic": {"fx": 2.0}}) for one in (0, -1, math.inf, math.nan)],
)
def test_a_damaged_camera_is_named(streets, text):
    (streets / "camera" / "val" / "lindau" / "lindau_000000_000019_camera.json").write_text(text)
    with pytest.raises(DataError, match=r"camera\.json: expected JSON with extrinsic\.baseline"):
        CityscapesSource(streets, "val").read(0)
