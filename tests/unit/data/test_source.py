"""The contract of a source, kept by every kind of data and by every wrapper around it."""

import json

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import DataError
from seriatim.data.box_origins import WithBoxes
from seriatim.data.catalogue import KINDS, open_source
from seriatim.data.convert import WRITERS, convert
from seriatim.data.readers.coco_boxes import BoxFile
from seriatim.data.samples import Sample
from seriatim.data.source import Source, Wrapper
from seriatim.data.subsets import OfClasses, Subset

from .readers.test_cityscapes import make_cityscapes
from .readers.test_dsb2018 import FIRST, SECOND, make_image
from .readers.test_sbd import make_sbd
from .readers.test_voc import make_voc

GENERATED = ("rosettes", "scenes")
"""Kinds of which no file can be wrong."""


def make_cvppp(folder):
    for plant in ("plant001", "plant002"):
        Image.fromarray(np.full((4, 5, 3), 80, dtype=np.uint8)).save(folder / f"{plant}_rgb.png")
        Image.fromarray(FIRST.astype(np.uint8)).save(folder / f"{plant}_label.png")
    Image.fromarray(FIRST.astype(np.uint8)).save(folder / "plant003_label.png")


def spoil_coco(folder):
    content = json.loads((folder / "instances.json").read_text())
    content["annotations"][0]["area"] = -3
    (folder / "instances.json").write_text(json.dumps(content))


SPOIL = {
    "cellpose": lambda folder: (folder / "stray_masks.png").write_bytes(b""),
    "coco": spoil_coco,
    "folder": lambda folder: (folder / "labels" / "stray.png").write_bytes(b""),
    "labelme": lambda folder: (folder / "stray.json").write_text("{}"),
    "yolo": lambda folder: (folder / "labels" / "stray.txt").write_text(""),
}
"""What puts something wrong into a data set of a kind that can be written."""


def make(kind, folder):
    """The specification of a small data set of a kind, with something wrong in it, but for what is generated."""
    folder.mkdir()
    match kind:
        case "rosettes":
            return "rosettes:2"
        case "scenes":
            return "scenes:2,size=64x64"
        case "cvppp":
            make_cvppp(folder)
        case "dsb2018":
            make_image(folder, "a", FIRST, SECOND)
            make_image(folder, "b", FIRST, FIRST, SECOND)
            (folder / "c").mkdir()
        case "voc":
            make_voc(folder)
            (folder / "JPEGImages" / "2007_000033.jpg").unlink()
        case "sbd":
            make_sbd(folder)
            (folder / "img" / "2008_000009.jpg").unlink()
        case "cityscapes":
            make_cityscapes(folder)
            next((folder / "gtFine" / "val").rglob("*instanceIds.png")).unlink()
        case _:
            target = f"coco:{folder}/set/instances.json" if kind == "coco" else f"{kind}:{folder}/set"
            convert(open_source("scenes:2,size=64x64"), target)
            SPOIL[kind](folder / "set")
            return target
    return f"{kind}:{folder}"


@pytest.fixture(params=sorted(KINDS))
def spec(request, tmp_path):
    return make(request.param, tmp_path / "data")


def members(source):
    """Everything of the contract that does not belong to one image."""
    return {
        "class_names": source.class_names,
        "category_ids": source.category_ids,
        "problems": source.problems,
        "generated": source.generated,
        "is_of_some_classes": source.is_of_some_classes,
        "coco": source.coco,
    }


def test_every_kind_keeps_the_contract(spec):
    kind = spec.partition(":")[0]
    source = open_source(spec)
    assert isinstance(source, Source)
    assert len(source) >= 2
    names = [source.name(index) for index in range(len(source))]
    assert len(set(names)) == len(names)
    for index, name in enumerate(names):
        sample = source.read(index)
        assert isinstance(sample, Sample)
        assert sample.name == name
        assert sample.labels.shape == sample.image.shape[1:]
        assert np.unique(sample.labels[sample.labels > 0]).tolist() == list(range(1, len(sample.classes) + 1))
        assert all(1 <= class_id <= len(source.class_names) for class_id in sample.classes)
        assert len(sample.instances()) == len(sample.classes)
        assert (source.whole_truth(index) is None) == (kind != "coco")
    assert len(source.category_ids) == len(source.class_names)
    assert len({source.image_id(index) for index in range(len(source))}) == len(source)
    assert (source.coco is None) == (kind != "coco")
    assert (source.generated, source.is_of_some_classes) == (kind in GENERATED, False)
    assert bool(source.problems) == (kind not in GENERATED)


def test_strict_reaches_every_kind_that_has_files(spec):
    if spec.partition(":")[0] in GENERATED:
        assert open_source(spec, strict=True).problems == []
    else:
        with pytest.raises(DataError, match="problems are not allowed here"):
            open_source(spec, strict=True)


def with_boxes(source, folder):
    (folder / "boxes.json").write_text("[]")
    return WithBoxes(source, BoxFile(folder / "boxes.json", source))


WRAPPERS = {
    "plain": lambda source, folder: Wrapper(source),
    "subset": lambda source, folder: Subset(source, range(len(source))),
    "boxes": with_boxes,
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapper_keeps_the_whole_contract(spec, wrapper, tmp_path):
    source = open_source(spec)
    wrap = WRAPPERS[wrapper]
    wrapped = wrap(wrap(source, tmp_path), tmp_path)
    assert members(wrapped) == members(source)
    assert wrapped.problems is source.problems  # so that what is found when samples are read is there too
    assert len(wrapped) == len(source)
    for index in range(len(source)):
        assert (wrapped.name(index), wrapped.image_id(index)) == (source.name(index), source.image_id(index))
        assert (wrapped.read(index).labels == source.read(index).labels).all()
        assert (wrapped.whole_truth(index) is None) == (source.whole_truth(index) is None)


def test_a_choice_of_classes_changes_only_what_hangs_on_classes(spec):
    source = open_source(spec)
    chosen = OfClasses(source, source.class_names[:1])
    assert members(chosen) == members(source) | {
        "class_names": source.class_names[:1],
        "category_ids": source.category_ids[:1],
        "is_of_some_classes": True,
        "coco": chosen.coco,
    }
    assert chosen.problems is source.problems
    assert [chosen.image_id(index) for index in range(len(source))] == [
        source.image_id(index) for index in range(len(source))
    ]
    assert Subset(chosen, [0]).is_of_some_classes


def test_no_member_of_the_contract_is_missing_from_these_tests():
    public = {name for name in (*vars(Source), *Source.__annotations__) if not name.startswith("_")}
    assert public == {*members(open_source("rosettes:1")), "name", "read", "image_id", "whole_truth"}


def test_a_part_has_the_ids_and_the_truth_of_its_images(tmp_path):
    source = open_source(make("coco", tmp_path / "data"))
    part = Subset(Subset(source, [1, 0]), [0])
    assert (part.name(0), part.image_id(0)) == (source.name(1), source.image_id(1))
    found, expected = part.whole_truth(0), source.whole_truth(1)
    assert found is not None
    assert expected is not None
    assert (found.objects.masks() == expected.objects.masks()).all()


def test_a_choice_of_classes_keeps_stated_areas_hidden_objects_and_the_ids_of_the_file(tmp_path):
    Image.new("L", (8, 6)).save(tmp_path / "a.png")
    square = [[0, 0, 4, 0, 4, 4, 0, 4]]
    annotations = [
        {"id": k, "image_id": 3, "category_id": category, "segmentation": square, "area": area}
        for k, (category, area) in enumerate(((70, 5.5), (20, 7.25), (70, 9.0)), start=1)
    ]
    categories = [{"id": 20, "name": "cat"}, {"id": 70, "name": "dog"}]
    image = {"id": 3, "file_name": "a.png", "height": 6, "width": 8}
    (tmp_path / "truth.json").write_text(
        json.dumps({"images": [image], "annotations": annotations, "categories": categories})
    )
    dogs = OfClasses(open_source(f"coco:{tmp_path / 'truth.json'}"), ["dog"])
    whole = dogs.whole_truth(0)
    assert whole is not None
    assert (whole.areas.tolist(), whole.objects.class_ids.tolist()) == ([5.5, 9.0], [1, 1])
    assert dogs.category_ids == (70,)
    assert dogs.coco is not None
    assert dogs.coco.class_ids == {20: 0, 70: 1}
    assert dogs.image_id(0) == 3


def test_every_kind_that_can_be_written_is_spoilt_here():
    assert SPOIL.keys() == WRITERS.keys()
