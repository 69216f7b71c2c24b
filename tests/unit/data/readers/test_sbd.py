"""Kind sbd: alone and merged with VOC, on small folders of the true layouts."""

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from seriatim.core.errors import ConfigError, DataError
from seriatim.data import catalogue
from seriatim.data.readers.sbd import SbdSource
from seriatim.data.readers.voc import CLASS_NAMES
from seriatim.data.source import Source

OBJECTS = np.array([[0, 1, 1, 0], [3, 1, 1, 0], [3, 0, 2, 2]], dtype=np.uint8)
CATEGORIES = np.array([[15], [2], [7]], dtype=np.uint8)


def save_objects(path, objects=OBJECTS, categories=CATEGORIES):
    """`inst/NAME.mat` as SBD has it: segmentation, boundaries of every object, and categories."""
    boundaries = np.empty((len(categories), 1), dtype=object)
    for index in range(len(categories)):
        boundaries[index, 0] = np.zeros(np.shape(objects), dtype=bool)
    fields = {"Segmentation": objects, "Boundaries": boundaries, "Categories": categories}
    savemat(path, {"GTinst": fields}, do_compression=True)


def make_sbd(folder, train=("2008_000003", "2008_000007"), val=("2008_000009",)):
    """`dataset` of SBD's release, in small."""
    for part in ("img", "inst", "cls"):
        (folder / part).mkdir(parents=True)
    (folder / "train.txt").write_text("\n".join(train) + "\n")
    (folder / "val.txt").write_text("\n".join(val) + "\n")
    for name in (*train, *val):
        Image.fromarray(np.full((3, 4, 3), 50, dtype=np.uint8)).save(folder / "img" / f"{name}.jpg")
        save_objects(folder / "inst" / f"{name}.mat")
    return folder


def make_voc(folder, train=("2007_000032", "2008_000003"), val=("2007_000033", "2008_000009")):
    """`VOC2012`, in small: one object, an aeroplane, an image."""
    for part in ("JPEGImages", "SegmentationObject", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / part).mkdir(parents=True)
    for part, names in (("train", train), ("val", val)):
        (folder / "ImageSets" / "Segmentation" / f"{part}.txt").write_text("\n".join(names) + "\n")
        for name in names:
            Image.fromarray(np.full((3, 4, 3), 200, dtype=np.uint8)).save(folder / "JPEGImages" / f"{name}.jpg")
            for kind in ("SegmentationObject", "SegmentationClass"):
                Image.fromarray((OBJECTS == 1).astype(np.uint8)).save(folder / kind / f"{name}.png")
    return folder


@pytest.fixture
def sbd(tmp_path):
    return make_sbd(tmp_path / "benchmark_RELEASE" / "dataset")


@pytest.fixture
def voc(tmp_path):
    return make_voc(tmp_path / "VOCdevkit" / "VOC2012")


def names_of(source):
    return [source.name(index) for index in range(len(source))]


def test_objects_come_from_the_matlab_files_with_their_classes(sbd):
    source = SbdSource(sbd)
    assert isinstance(source, Source)
    assert names_of(source) == ["2008_000003", "2008_000007", "2008_000009"]
    sample = source.read(1)
    assert sample.name == "2008_000007"
    assert sample.image.shape == (3, 3, 4)
    assert sample.labels.tolist() == OBJECTS.tolist()
    assert sample.labels.dtype == np.int32
    assert [CLASS_NAMES[one - 1] for one in sample.classes] == ["person", "bicycle", "car"]
    assert sample.ignore is None
    assert source.problems == []


@pytest.mark.parametrize(
    ("part", "names"),
    [("train", ["2008_000003", "2008_000007"]), ("val", ["2008_000009"]), ("trainval", None)],
)
def test_a_part_by_its_own_lists_is_chosen_behind_an_at_sign(sbd, part, names):
    assert names_of(catalogue.open_source(f"sbd:{sbd}@{part}")) == (names or names_of(SbdSource(sbd)))
    with pytest.raises(ConfigError, match="there is no part 'test'; known: train, trainval, val"):
        catalogue.open_source(f"sbd:{sbd}@test")


def test_the_folder_may_be_the_one_that_holds_it(sbd):
    assert len(SbdSource(sbd.parent)) == len(SbdSource(sbd.parent.parent)) == 3


def test_merged_with_voc_its_train_images_have_vocs_annotations_and_its_val_images_are_out(sbd, voc):
    source = catalogue.open_source(f"sbd:{sbd}+{voc}")
    assert names_of(source) == ["2007_000032", "2008_000003", "2008_000007"]
    samples = [source.read(index) for index in range(3)]
    assert [sample.name for sample in samples] == names_of(source)
    for sample in samples[:2]:  # 2008_000003 is in both: VOC's image and VOC's annotation
        assert sample.classes.tolist() == [1]
        assert (sample.labels == (OBJECTS == 1)).all()
        assert sample.image.mean() > 0.7
    assert samples[2].classes.tolist() == [15, 2, 7]
    assert source.class_names == CLASS_NAMES


def test_an_image_of_vocs_lists_stays_out_even_where_vocs_files_are_missing(sbd, voc):
    for name in ("2008_000003", "2008_000009"):
        (voc / "JPEGImages" / f"{name}.jpg").unlink()
    source = SbdSource(sbd, voc=voc)
    assert names_of(source) == ["2007_000032", "2008_000007"]
    assert [problem.item for problem in source.problems] == ["2008_000003"]
    with pytest.raises(DataError, match="2008_000003"):
        catalogue.open_source(f"sbd:{sbd}+{voc}", strict=True)


def test_merging_needs_vocs_val_list(sbd, voc):
    (voc / "ImageSets" / "Segmentation" / "val.txt").unlink()
    with pytest.raises(DataError, match=r"val\.txt: no such file"):
        SbdSource(sbd, voc=voc)


def test_a_part_of_the_merged_sets_is_refused_with_the_name_of_vocs_own(sbd, voc):
    with pytest.raises(ConfigError, match=rf"VOC's own validation images are voc:{voc}@val"):
        catalogue.open_source(f"sbd:{sbd}+{voc}@val")


def test_a_plus_that_belongs_to_a_folder_is_no_separator(tmp_path):
    sbd, voc = make_sbd(tmp_path / "a+b"), make_voc(tmp_path / "c+d")
    assert len(catalogue.open_source(f"sbd:{sbd}")) == 3
    assert len(catalogue.open_source(f"sbd:{sbd}+{voc}")) == 3
    with pytest.raises(DataError, match="nowhere: no such folder"):
        catalogue.open_source(f"sbd:{tmp_path / 'nowhere'}+{voc}")
    with pytest.raises(DataError, match="nowhere: no such folder"):
        catalogue.open_source(f"sbd:{sbd}+{tmp_path / 'nowhere'}")


@pytest.mark.parametrize(("part", "ending"), [("img", "jpg"), ("inst", "mat")])
def test_an_image_without_a_file_is_left_out_and_listed(sbd, part, ending):
    (sbd / part / f"2008_000007.{ending}").unlink()
    source = SbdSource(sbd)
    assert names_of(source) == ["2008_000003", "2008_000009"]
    [problem] = source.problems
    assert str(problem) == f"{sbd / 'train.txt'}: 2008_000007: there is no {part}/2008_000007.{ending}; left out"
    with pytest.raises(DataError, match=f"there is no {part}/2008_000007"):
        SbdSource(sbd, strict=True)
    (sbd / "inst").rename(sbd / "elsewhere")
    with pytest.raises(DataError, match="found no inst"):
        SbdSource(sbd)


def test_lists_without_any_image_are_refused(sbd):
    for path in (sbd / "img").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"none of the images listed is there with its annotation; .*2008_000003"):
        SbdSource(sbd)


@pytest.mark.parametrize(
    ("categories", "got"),
    [([[15], [2], [21]], "class 21"), ([[15], [2], [0]], "class 0"), ([[15], [2]], "no entry in Categories")],
)
def test_an_object_without_a_class_is_ignored_and_listed(sbd, categories, got):
    save_objects(sbd / "inst" / "2008_000003.mat", categories=np.array(categories, dtype=np.uint8))
    source = SbdSource(sbd)
    for _ in range(2):
        sample = source.read(0)
    assert sample.classes.tolist() == [15, 2]
    assert (sample.ignore == (OBJECTS == 3)).all()
    assert [str(problem) for problem in source.problems] == [
        f"{sbd / 'inst' / '2008_000003.mat'}: object 3: has {got}; ignored"
    ]
    with pytest.raises(DataError, match=f"object 3: has {got}"):
        SbdSource(sbd, strict=True).read(0)


def test_categories_of_objects_without_pixels_leave_no_gap(sbd):
    save_objects(sbd / "inst" / "2008_000003.mat", objects=np.where(OBJECTS == 2, 0, OBJECTS).astype(np.float64))
    sample = SbdSource(sbd).read(0)
    assert sample.classes.tolist() == [15, 7]
    assert sample.labels.max() == 2


def test_a_damaged_image_and_a_damaged_annotation_are_named(sbd):
    source = SbdSource(sbd)
    (sbd / "img" / "2008_000003.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(DataError, match=r"img/2008_000003\.jpg"):
        source.read(0)
    path = sbd / "inst" / "2008_000007.mat"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=r"inst/2008_000007\.mat: expected a Matlab file"):
        source.read(1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"GTcls": {"Segmentation": OBJECTS}}, "holds no variable GTinst"),
        ({"GTinst": {"Segmentation": OBJECTS}}, "GTinst has no field Categories"),
        ({"GTinst": {"Segmentation": "text", "Categories": CATEGORIES}}, r"GTinst\.Segmentation holds no numbers"),
        (
            {"GTinst": {"Segmentation": np.zeros((3, 4, 2)), "Categories": CATEGORIES}},
            r"Segmentation: expected whole numbers height x width from 0, got float64 \(3, 4, 2\)",
        ),
        ({"GTinst": {"Segmentation": OBJECTS - 1.5, "Categories": CATEGORIES}}, "Segmentation: expected whole numbers"),
        ({"GTinst": {"Segmentation": OBJECTS, "Categories": [-1.0, np.nan]}}, "Categories: expected whole numbers"),
        ({"GTinst": {"Segmentation": OBJECTS.T, "Categories": CATEGORIES}}, r"is 4 x 3 pixels, 2008_000003\.jpg 3 x 4"),
    ],
)
def test_an_annotation_with_other_content_is_named(sbd, content, message):
    savemat(sbd / "inst" / "2008_000003.mat", content)
    with pytest.raises(DataError, match=rf"inst/2008_000003\.mat: .*{message}"):
        SbdSource(sbd).read(0)
