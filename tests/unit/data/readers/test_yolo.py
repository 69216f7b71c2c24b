"""Kind yolo: outlines in text files, and the writer of such folders."""

import numpy as np
import pytest
import yaml
from PIL import Image

from seriatim.core.errors import DataError
from seriatim.core.instances import Instance, Instances
from seriatim.data.catalogue import open_source
from seriatim.data.readers.yolo import YoloSource, encode_yolo, write_yolo
from seriatim.data.samples import Sample

from ..memory_source import MemorySource

SQUARE = "0.2 0.2 0.6 0.2 0.6 0.6 0.2 0.6"


def save(path, size=(10, 20), value=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, dtype=np.uint8)).save(path)


def put(folder, name, text, part=""):
    save(folder / "images" / part / f"{name}.png")
    path = folder / "labels" / part / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def folder(tmp_path):
    put(tmp_path, "b", f"1 {SQUARE}\n\n0 0.7 0.7 0.9 0.7 0.9 0.9\n")
    put(tmp_path, "a", f"0 {SQUARE}\n")
    (tmp_path / "data.yaml").write_text("path: .\ntrain: images\nnames:\n  0: leaf\n  1: stem\n")
    return tmp_path


def test_outlines_are_read_in_the_order_of_images_and_lines(folder):
    source = YoloSource(folder)
    assert [source.name(index) for index in range(len(source))] == ["a", "b"]
    assert source.class_names == ("leaf", "stem")
    assert source.problems == []
    sample = source.read(1)
    assert sample.image.shape == (1, 10, 20)
    assert sample.classes.tolist() == [2, 1]
    rows, columns = np.nonzero(sample.labels == 1)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (2, 5, 4, 11)
    assert (sample.labels == 1).sum() == 4 * 8


def test_a_data_yaml_names_classes_and_parts(tmp_path):
    put(tmp_path, "a", f"0 {SQUARE}", "train")
    put(tmp_path, "a", f"1 {SQUARE}", "val")
    put(tmp_path, "c", f"1 {SQUARE}", "elsewhere")
    (tmp_path / "set.yaml").write_text("train: images/train\nval: [images/val]\nnames: [x, 'y: z']\nnc: 2\n")
    source = open_source(f"yolo:{tmp_path / 'set.yaml'}")
    assert [source.name(index) for index in range(len(source))] == ["train-a", "val-a"]
    assert source.class_names == ("x", "y: z")


def test_all_parts_below_images_or_one_of_them_are_read(tmp_path):
    put(tmp_path, "a", f"0 {SQUARE}", "train")
    put(tmp_path, "a", f"0 {SQUARE}", "val/deep")
    (tmp_path / "classes.txt").write_text("leaf\n")
    whole = YoloSource(tmp_path)
    assert [whole.name(index) for index in range(2)] == ["train-a", "val-deep-a"]
    one = YoloSource(tmp_path / "images" / "val")
    assert [one.name(index) for index in range(len(one))] == ["deep-a"]
    assert one.class_names == ("leaf",)
    assert len(one.read(0).classes) == 1


def test_parts_may_hold_images_and_labels_themselves(tmp_path):
    for part in ("train", "valid"):
        put(tmp_path / part, "a", f"2 {SQUARE}")
    source = YoloSource(tmp_path)
    assert [source.name(index) for index in range(2)] == ["train-a", "valid-a"]
    assert source.class_names == ("0", "1", "2")


def test_an_image_without_a_text_file_has_no_objects(folder):
    save(folder / "images" / "empty.jpg")
    source = YoloSource(folder)
    assert source.name(2) == "empty"
    assert source.read(2).labels.max() == 0
    assert source.problems == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.2 0.2", "is a box"),
        (f"0 {SQUARE} 0.9", "has 10 numbers, expected a class and pairs"),
        ("0 0.1 0.1 0.2 0.2", "is a box"),
        ("0", "has 1 numbers"),
        ("0 0.1 0.1 nan 0.2 0.3 0.3", "not finite"),
        ("0 0.1 0.1 1e999 0.2 0.3 0.3", "not finite"),
        (f"leaf {SQUARE}", "no number"),
        (f"0.5 {SQUARE}", "no number of a class"),
        (f"-1 {SQUARE}", "no number of a class"),
        (f"nan {SQUARE}", "no number of a class"),
        (f"2 {SQUARE}", "class 2 has no name; there are 2"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", "on one line"),
        ("0 10 10 200 10 200 180", "coordinates from 10 to 200, expected 0..1"),
    ],
)
def test_a_line_that_cannot_be_used_is_a_problem_with_file_and_line(folder, line, reason):
    path = folder / "labels" / "a.txt"
    path.write_text(f"0 {SQUARE}\n{line}\n1 0.7 0.7 0.9 0.7 0.9 0.9\n")
    source = YoloSource(folder)
    [problem] = source.problems
    assert (problem.file, problem.item) == (str(path), "line 2")
    assert reason in problem.reason
    assert problem.reason.endswith("left out")
    assert source.read(0).classes.tolist() == [1, 2]
    with pytest.raises(DataError, match=r"a\.txt: line 2: "):
        YoloSource(folder, strict=True)


def test_an_outline_that_leaves_the_image_is_cut_and_named(folder):
    (folder / "labels" / "a.txt").write_text("0 -0.5 0 0.5 0 0.5 1 -0.5 1\n")
    source = YoloSource(folder)
    assert "line 1: leaves the image; cut at its edge" in str(source.problems[0])
    assert source.read(0).labels.sum() == 10 * 10


def test_rounding_at_the_edge_is_no_problem(folder):
    (folder / "labels" / "a.txt").write_text("0 -0.0001 0 1.0001 0 1 1 0 1\n")
    assert YoloSource(folder).problems == []


def test_objects_covered_wholly_or_outside_are_problems_when_they_are_read(folder):
    (folder / "labels" / "a.txt").write_text(f"0 {SQUARE}\n0 {SQUARE}\n0 -0.9 -0.9 -0.5 -0.9 -0.5 -0.5\n")
    source = YoloSource(folder)
    assert len(source.read(0).classes) == 1
    said = [str(problem) for problem in source.problems]
    assert any("line 2: is covered by other objects wholly" in one for one in said)
    assert any("line 3: lies outside the image" in one for one in said)


def test_an_object_smaller_than_a_pixel_keeps_one(folder):
    (folder / "labels" / "a.txt").write_text("0 0.51 0.51 0.515 0.51 0.515 0.515\n")
    assert YoloSource(folder).read(0).labels.sum() == 1


def test_text_that_is_none_leaves_its_image_out(folder):
    (folder / "labels" / "a.txt").write_bytes(b"\xff\xfe\x00")
    source = YoloSource(folder)
    assert [source.name(index) for index in range(len(source))] == ["b"]
    assert "a.txt: cannot be read" in str(source.problems[0])


def test_labels_without_an_image_and_images_of_one_stem_are_problems(folder):
    (folder / "labels" / "gone.txt").write_text("")
    (folder / "labels" / "classes.txt").write_text("leaf\nstem\n")
    save(folder / "images" / "a.bmp")
    said = sorted(str(problem) for problem in YoloSource(folder).problems)
    assert len(said) == 2
    assert "a.png: has the same labels as a.bmp" in said[0]
    assert "gone.txt: has no image" in said[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [", "cannot be read as YAML"),
        ("- 1", "expected keys"),
        ("names: 3", "names: expected the names"),
        ("names: {a: b}", "names: expected numbers"),
        ("names: {1000000000: b}", "names: expected numbers"),
        ("!!python/object/apply:os.system ['true']", "cannot be read as YAML"),
        ("[" * 1_000, "cannot be read as YAML"),
        ("#" * 70_000, "no description"),
    ],
)
def test_a_damaged_data_yaml_is_refused_and_runs_nothing(folder, text, message):
    (folder / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=rf"data\.yaml: .*{message}"):
        YoloSource(folder)


def test_a_part_that_is_not_there_is_named(folder):
    (folder / "data.yaml").write_text("train: images/nowhere\nnames: [a]\n")
    with pytest.raises(DataError, match=r"train: .*nowhere: no such folder"):
        YoloSource(folder / "data.yaml")


def test_folders_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        YoloSource(tmp_path / "nothing")
    with pytest.raises(DataError, match="expected images/ and labels/"):
        YoloSource(tmp_path)
    save(tmp_path / "images" / "a.png")
    with pytest.raises(DataError, match=r"labels/a\.txt: no such file, and no other"):
        YoloSource(tmp_path)


def test_a_damaged_image_is_named_when_it_is_read(folder):
    (folder / "images" / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(DataError, match=r"images/a\.png"):
        YoloSource(folder).read(0)


# --- writing ---------------------------------------------------------------------------------------------------------------------


CLASS_NAMES = ("leaf", "a 'stem': no")


def hard_sample(name="hard", size=(37, 53)):
    labels = np.zeros(size, dtype=np.int32)
    labels[2:12, 3:20] = 1
    labels[4:8, 6:10] = 0  # a hole
    labels[5, 7] = 2  # a pixel in it
    labels[20:25, 5:9] = labels[30:36, 40:53] = 3  # two parts, one at the edge
    labels[range(14, 19), range(30, 35)] = 4  # a diagonal
    image = np.random.default_rng(0).integers(0, 256, (3, *size)).astype(np.float32) / 255
    return Sample(name, image, labels, np.array([1, 2, 1, 2]))


def test_what_is_written_is_read_again(tmp_path):
    seen = []
    made = MemorySource(hard_sample(), hard_sample("x/y"), class_names=CLASS_NAMES)
    write_yolo(made, tmp_path / "out", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]
    source = YoloSource(tmp_path / "out", strict=True)
    assert source.class_names == made.class_names
    assert [source.name(index) for index in range(2)] == ["hard", "x-y"]
    back = source.read(0)
    assert (back.labels == made.samples[0].labels).all()
    assert back.classes.tolist() == [1, 2, 1, 2]
    np.testing.assert_allclose(back.image, made.samples[0].image, atol=1e-6)
    again = tmp_path / "again"
    write_yolo(source, again)
    for path in (tmp_path / "out").rglob("*.*"):
        assert path.read_bytes() == (again / path.relative_to(tmp_path / "out")).read_bytes()
    values = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text())
    assert values["names"] == dict(enumerate(made.class_names))
    assert (tmp_path / "out" / values["train"]).is_dir()
    assert len(YoloSource(tmp_path / "out" / "data.yaml")) == 2


def test_overlapping_objects_are_written_whole(tmp_path):
    labels = np.ones((6, 6), dtype=np.int32)
    labels[1:3, 1:3] = 2
    whole = [Instance((0, 0, 6, 6), np.ones((6, 6), dtype=bool)), Instance((1, 1, 3, 3), np.ones((2, 2), dtype=bool))]
    sample = Sample("a", np.zeros((1, 6, 6), np.float32), labels, np.array([1, 2]), objects=Instances((6, 6), whole))
    write_yolo(MemorySource(sample, class_names=CLASS_NAMES), tmp_path)
    back = YoloSource(tmp_path).read(0)
    assert (back.labels == labels).all()
    assert back.objects.areas.tolist() == [36, 4]


def test_pixels_to_ignore_are_lost_with_a_warning(tmp_path, caplog):
    sample = hard_sample()
    ignored = Sample(sample.name, sample.image, sample.labels, sample.classes, sample.labels == 0)
    write_yolo(MemorySource(ignored, class_names=CLASS_NAMES), tmp_path)
    assert "hard: has pixels to ignore; they become background" in caplog.text


def test_coordinates_of_an_image_of_any_size_are_exact_enough():
    box = (7, 99_990, 9, 99_993)
    text = encode_yolo(Instances((20, 100_000), [Instance(box, np.ones((2, 3), dtype=bool), class_id=3)])).decode()
    numbers = [float(word) for word in text.split()[1:]]
    assert text.split()[0] == "2"
    assert np.abs(np.array(numbers[0::2]) * 100_000 - [99_990, 99_993, 99_993, 99_990]).max() < 0.01
