"""Kind coco: what a right file gives; `test_coco_header` and `test_coco_annotations` have the wrong ones."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from seriatim.core import rle
from seriatim.core.errors import DataError
from seriatim.core.instances import Instance
from seriatim.data.catalogue import open_source
from seriatim.data.readers.coco import CocoSource
from seriatim.data.readers.coco_header import image_size
from seriatim.data.source import Source

REAL = Path(__file__).parents[5] / "shared" / "data" / "coco-subset"

HEIGHT, WIDTH = 6, 8


def code(y0, x0, y1, x1, size=(HEIGHT, WIDTH)):
    return rle.encode((y0, x0, y1, x1), np.ones((y1 - y0, x1 - x0), dtype=bool), size)


def annotation(number, segmentation, image_id=3, category_id=7, **more):
    return {"id": number, "image_id": image_id, "category_id": category_id, "segmentation": segmentation, **more}


def content(annotations, images=(3,)):
    return {
        "images": [
            {"id": image_id, "file_name": f"p{image_id}.png", "height": HEIGHT, "width": WIDTH} for image_id in images
        ],
        "annotations": annotations,
        "categories": [{"id": 90, "name": "dog"}, {"id": 7, "name": "cat"}],
    }


def save(folder, data, pictures="images"):
    for image in data["images"]:
        path = folder / pictures / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((HEIGHT, WIDTH, 3), 51, dtype=np.uint8)).save(path)
    path = folder / "instances.json"
    path.write_text(json.dumps(data))
    return path


def opened(folder, annotations, images=(3,), **more):
    return CocoSource(save(folder, content(annotations, images)), **more)


# --- what a right file gives -----------------------------------------------------------------------------------------------------


def test_objects_come_in_the_order_of_the_file_with_classes_in_the_order_of_category_ids(tmp_path):
    source = opened(
        tmp_path,
        [annotation(1, code(0, 0, 2, 2), category_id=90), annotation(2, code(4, 4, 6, 8))],
    )
    assert isinstance(source, Source)
    assert source.class_names == ("cat", "dog")
    assert source.category_ids == (7, 90)
    assert len(source) == 1
    sample = source.read(0)
    assert sample.name == "p3" == source.name(0)
    assert sample.image.shape == (3, HEIGHT, WIDTH)
    assert sample.image[0, 0, 0] == np.float32(0.2)
    assert sample.classes.tolist() == [2, 1]
    wanted = np.zeros((HEIGHT, WIDTH), dtype=np.int32)
    wanted[:2, :2], wanted[4:, 4:] = 1, 2
    assert (sample.labels == wanted).all()
    assert sample.labels.dtype == np.int32
    assert sample.objects is None
    assert sample.ignore is None
    assert sample.crowds is None
    assert source.problems == []


@pytest.mark.parametrize(
    "segmentation",
    [
        code(1, 2, 5, 6),
        {"size": [HEIGHT, WIDTH], "counts": [13, 4, 2, 4, 2, 4, 2, 4, 13]},
        [[2, 1, 6, 1, 6, 5, 2, 5]],
        [[2.0, 1, 6, 1, 6, 3, 2.0, 3], [2, 2, 6, 2, 6, 5, 2, 5]],
    ],
    ids=["compressed", "plain", "polygon", "two polygons"],
)
def test_every_kind_of_segmentation_gives_the_same_pixels(tmp_path, segmentation):
    source = opened(tmp_path, [annotation(1, segmentation, bbox=[2, 1, 4, 4], area=16, iscrowd=0, score=0.5)])
    labels = source.read(0).labels
    assert (labels[1:5, 2:6] == 1).all()
    assert labels.sum() == 16
    assert source.problems == []


def test_of_a_contested_pixel_the_smaller_object_has_the_label_and_objects_are_whole(tmp_path):
    small, large = code(2, 2, 4, 4), code(0, 0, 5, 5)
    for order in ((small, large), (large, small)):
        source = opened(tmp_path, [annotation(number, one) for number, one in enumerate(order, start=1)])
        sample = source.read(0)
        number_of_small = order.index(small) + 1
        assert (sample.labels[2:4, 2:4] == number_of_small).all()
        assert np.count_nonzero(sample.labels == 3 - number_of_small) == 21
        assert sample.objects.areas.tolist() == [4 if one is small else 25 for one in order]
        assert [instance.step for instance in sample.objects] == [0, 1]
        assert sample.objects.class_ids.tolist() == sample.classes.tolist()


def test_of_equal_objects_the_earlier_lies_in_front(tmp_path):
    labels = opened(tmp_path, [annotation(1, code(0, 0, 2, 4)), annotation(2, code(0, 2, 2, 6))]).read(0).labels
    assert labels[0].tolist() == [1, 1, 1, 1, 2, 2, 0, 0]


def test_an_object_without_a_label_is_left_out_of_everything_but_the_whole_truth(tmp_path):
    source = opened(
        tmp_path,
        [
            annotation(1, code(0, 0, 2, 2), category_id=90),
            annotation(2, code(0, 0, 2, 2)),
            annotation(3, code(3, 3, 5, 5), category_id=90),
        ],
    )
    assert source.problems == []
    sample = source.read(0)
    assert sample.classes.tolist() == [2, 2]
    assert sorted(np.unique(sample.labels).tolist()) == [0, 1, 2]
    assert sample.objects is None  # of those that are left none overlaps another
    assert [(problem.item, problem.reason) for problem in source.problems] == [
        ("annotation 2", "keeps no pixel, since smaller objects cover it wholly; left out")
    ]
    source.read(0)
    assert len(source.problems) == 1
    assert source.whole_truth(0).objects.class_ids.tolist() == [2, 1, 2]


def test_crowds_are_ignored_where_no_object_is_labelled(tmp_path):
    source = opened(
        tmp_path,
        [
            annotation(1, {"size": [HEIGHT, WIDTH], "counts": [0, 24, 24]}, category_id=90, iscrowd=1),
            annotation(2, code(0, 2, 2, 6)),
        ],
    )
    sample = source.read(0)
    assert sample.classes.tolist() == [1]
    assert sample.crowds.areas.tolist() == [24]
    assert sample.crowds.class_ids.tolist() == [2]
    wanted = np.zeros((HEIGHT, WIDTH), dtype=bool)
    wanted[:, :4] = True
    wanted[:2, 2:4] = False
    assert (sample.ignore == wanted).all()
    assert sample.objects is None
    truth = source.whole_truth(0)
    assert (len(truth.objects), len(truth.crowds)) == (1, 1)


def test_areas_are_as_the_file_states_them_or_else_pixels(tmp_path):
    source = opened(
        tmp_path,
        [
            annotation(1, code(0, 0, 2, 2), area=3.5, iscrowd=1),
            annotation(2, code(0, 2, 2, 6), area=9),
            annotation(3, code(3, 0, 5, 3)),
            annotation(4, code(3, 4, 4, 6), area=-1),
        ],
    )
    assert source.whole_truth(0).areas.tolist() == [9, 6, 2, 3.5]  # the crowd last


def test_images_without_annotations_have_no_objects(tmp_path):
    source = opened(tmp_path, [annotation(1, code(0, 0, 1, 1), image_id=3)], images=(5, 3))
    sample = source.read(0)
    assert sample.name == "p5"
    assert sample.labels.max() == 0
    assert sample.classes.shape == (0,)
    assert len(source.read(1).classes) == 1


def test_the_catalogue_opens_it_leniently_and_strictly(tmp_path):
    path = save(tmp_path, content([annotation(1, code(0, 0, 1, 1), image_id=99)]))
    source = open_source(f"coco:{path}")
    assert isinstance(source, CocoSource)
    assert [str(problem) for problem in source.problems] == [
        f"{path}: annotation 1: image_id 99 is of no image in the file; left out"
    ]
    with pytest.raises(DataError, match=r"instances\.json: annotation 1: image_id 99 is of no image"):
        open_source(f"coco:{path}", strict=True)


# --- images --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["images", ".", "images/train", "train"])
def test_images_lie_in_images_or_beside_the_file(tmp_path, place):
    data = content([])
    data["images"][0]["file_name"] = "train/p3.png"
    path = save(tmp_path, data, pictures="made")
    (tmp_path / place).mkdir(parents=True, exist_ok=True)
    shutil.move(tmp_path / "made" / "train" / "p3.png", tmp_path / place / "p3.png")
    assert CocoSource(path).images[0].path == tmp_path / place / "p3.png"


def test_coco_s_own_folders_are_found(tmp_path):
    save(tmp_path, content([]), pictures="val2017")
    (tmp_path / "annotations").mkdir()
    path = shutil.move(tmp_path / "instances.json", tmp_path / "annotations" / "instances_val2017.json")
    assert CocoSource(Path(path)).images[0].path == tmp_path / "val2017" / "p3.png"


def test_names_that_several_images_share_are_told_apart(tmp_path):
    data = content([], images=(1, 2, 3))
    for image, name in zip(data["images"], ("a/x.png", "b/x.png", "y.png"), strict=True):
        image["file_name"] = name
    source = CocoSource(save(tmp_path, data))
    assert [source.name(index) for index in range(3)] == ["x-1", "x-2", "y"]
    assert [str(image.path.parent.name) for image in source.images] == ["a", "b", "images"]


def test_a_shared_name_is_never_taken_from_the_wrong_folder(tmp_path):
    data = content([], images=(1, 2, 3))
    for image, name in zip(data["images"], ("a/x.png", "b/x.png", "x.png"), strict=True):
        image["file_name"] = name
    path = save(tmp_path, data)
    (tmp_path / "images" / "b" / "x.png").unlink()
    source = CocoSource(path)
    assert [image.id for image in source.images] == [1, 3]
    assert source.problems[0].item == "image 2"


def test_an_image_of_another_size_is_an_error_when_it_is_read(tmp_path):
    source = opened(tmp_path, [])
    Image.new("L", (HEIGHT, WIDTH)).save(tmp_path / "images" / "p3.png")
    for read in (source.read, source.whole_truth):
        with pytest.raises(DataError, match=r"p3\.png: is 8 x 6 pixels, .*instances\.json says 6 x 8, perhaps since"):
            read(0)


def test_a_damaged_image_is_an_error_when_it_is_read(tmp_path):
    source = opened(tmp_path, [])
    (tmp_path / "images" / "p3.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    for read in (source.read, source.whole_truth):
        with pytest.raises(DataError, match=r"p3\.png"):
            read(0)


def test_a_size_that_the_file_does_not_state_is_taken_from_the_image(tmp_path):
    data = content([annotation(1, code(0, 0, 2, 2)), annotation(2, code(0, 0, 2, 2, size=(8, 6)))])
    del data["images"][0]["height"]
    source = CocoSource(save(tmp_path, data))
    assert [problem.item for problem in source.problems] == ["image 3", "annotation 2"]
    assert "that of the image taken" in source.problems[0].reason
    assert len(source.read(0).classes) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "tif"])
def test_the_size_of_an_image_is_that_of_its_pixels_as_displayed(tmp_path, orientation, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{ending}"
    Image.new("RGB", (8, 6)).save(path, exif=exif)
    assert image_size(path) == ((8, 6) if orientation >= 5 else (6, 8))


# --- limits ----------------------------------------------------------------------------------------------------------------------


def test_masks_that_would_fill_the_memory_are_left_out_and_listed(tmp_path, monkeypatch):
    monkeypatch.setattr("seriatim.data.readers.coco_annotations.MAX_DRAWN_PIXELS", 100)
    source = opened(tmp_path, [annotation(number, code(0, 0, HEIGHT, WIDTH)) for number in (1, 2)])
    assert len(source.read(0).classes) == 1
    assert [problem.item for problem in source.problems] == ["annotation 2"]
    assert "fill more than 100 pixels" in source.problems[0].reason


def test_an_instance_holds_no_full_plane(tmp_path):
    instance = opened(tmp_path, [annotation(1, code(1, 1, 2, 3))]).whole_truth(0).objects[0]
    assert isinstance(instance, Instance)
    assert instance.box == (1, 1, 2, 3)


# --- the real file ---------------------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_all_areas_of_real_photographs_are_those_of_pycocotools(capsys):
    if not REAL.is_dir():
        pytest.skip(f"the COCO images are not at {REAL}")
    source = CocoSource(REAL / "instances.json", strict=True)
    theirs = COCO(os.fspath(REAL / "instances.json"))
    capsys.readouterr()
    assert len(source) == len(theirs.imgs) == 40
    num_objects = 0
    for index, image in enumerate(source.images):
        objects, crowds, stated = source.whole_truth(index)
        for ours, is_crowd in ((objects, 0), (crowds, 1)):
            annotations = [one for one in theirs.imgToAnns[image.id] if one["iscrowd"] == is_crowd]
            masks = [theirs.annToMask(one) for one in annotations]
            assert ours.areas.tolist() == [int(mask.sum()) for mask in masks]
            part = stated[: len(objects)] if is_crowd == 0 else stated[len(objects) :]
            assert part.tolist() == [one["area"] for one in annotations]
            assert [source.category_ids[class_id - 1] for class_id in ours.class_ids] == [
                one["category_id"] for one in annotations
            ]
            num_objects += len(ours)
        if index < 5:
            sample = source.read(index)
            assert sample.labels.max() == len(sample.classes) == len(objects)
    assert num_objects == 281
    assert source.problems == []
