"""Kind labelme: JSON files with shapes, and the writer of such folders."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import DataError
from seriatim.data.catalogue import open_source
from seriatim.data.readers.labelme import LabelmeSource, write_labelme
from seriatim.data.samples import Sample

from ..memory_source import MemorySource

SQUARE = [[2, 3], [6, 3], [6, 8], [2, 8]]


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(file, format="PNG")
    return file.getvalue()


def shape(label="cell", points=SQUARE, kind="polygon", **others):
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}, **others}


def put(folder, name, *shapes, **others):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.png").write_bytes(png(np.full((20, 30), 100, dtype=np.uint8)))
    values = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": f"{name}.png", "imageData": None}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**values, "imageHeight": 20, "imageWidth": 30, **others}))
    return path


def test_shapes_are_objects_and_labels_classes_sorted_by_name(tmp_path):
    put(tmp_path, "b", shape("stem"), shape("leaf", [[10, 10], [14, 10], [14, 12], [10, 12]]))
    put(tmp_path, "a", shape("flower"))
    source = open_source(f"labelme:{tmp_path}")
    assert [source.name(index) for index in range(len(source))] == ["a", "b"]
    assert source.class_names == ("flower", "leaf", "stem")
    assert source.problems == []
    sample = source.read(1)
    assert sample.classes.tolist() == [3, 2]
    assert sample.labels[3:8, 2:6].tolist() == [[1] * 4] * 5
    assert [(sample.labels == number).sum() for number in (1, 2)] == [20, 8]
    assert sample.image.shape == (1, 20, 30)


def test_a_group_joins_the_parts_of_one_label(tmp_path):
    far, low = ([[x + dx, y + dy] for x, y in SQUARE] for dx, dy in ((20, 0), (0, 10)))
    put(tmp_path, "a", shape(group_id=1), shape("leaf", low, group_id=1), shape(points=far, group_id=1))
    sample = LabelmeSource(tmp_path).read(0)
    assert sample.classes.tolist() == [1, 2]
    assert [(sample.labels == number).sum() for number in (1, 2)] == [40, 20]
    assert (sample.labels[3:8, 22:26] == 1).all()


def test_rectangles_circles_and_masks_are_read(tmp_path):
    mask = png(np.array([[255, 0], [255, 255]], dtype=np.uint8))
    put(
        tmp_path,
        "a",
        shape("a", [[6, 8], [2, 3]], "rectangle"),
        shape("b", [[20, 10], [20, 15]], "circle"),
        shape("c", [[28, 18], [29, 19]], "mask", mask=base64.b64encode(mask).decode()),
        shape("d", [[-1, -1], [0, 0]], "mask", mask=base64.b64encode(mask).decode()),
    )
    source = LabelmeSource(tmp_path)
    sample = source.read(0)
    assert source.problems == []
    assert (sample.labels[3:8, 2:6] == 1).all()
    assert (sample.labels == 1).sum() == 20
    assert abs(int((sample.labels == 2).sum()) - np.pi * 25) < 4
    assert (sample.labels[5:15, 20] == 2).all()
    assert sample.labels[18:, 28:].tolist() == [[3, 0], [3, 3]]
    assert np.argwhere(sample.labels == 4).tolist() == [[0, 0]]


def test_what_is_labelled_ignore_is_ignored(tmp_path):
    put(tmp_path, "a", shape(), shape("__ignore__", [[0, 0], [10, 0], [10, 10], [0, 10]], "polygon"))
    source = LabelmeSource(tmp_path)
    sample = source.read(0)
    assert source.class_names == ("cell",)
    assert sample.classes.tolist() == [1]
    assert sample.ignore.sum() == 100 - 20


def test_the_image_may_lie_in_the_file(tmp_path):
    pixels = np.arange(600, dtype=np.uint8).reshape(20, 30)
    text = base64.b64encode(png(pixels)).decode()
    path = put(tmp_path, "a", shape(), imagePath="gone.png", imageData=text)
    (tmp_path / "a.png").unlink()
    sample = LabelmeSource(tmp_path).read(0)
    assert (np.rint(sample.image[0] * 255) == pixels).all()
    path.write_text(path.read_text().replace(text[:40], "A" * 40))
    with pytest.raises(DataError, match=r"a\.json: imageData: cannot be read as an image"):
        LabelmeSource(tmp_path).read(0)


def test_the_image_is_sought_from_the_file_and_by_paths_of_windows(tmp_path):
    put(tmp_path / "deep", "a", shape(), imagePath="..\\images\\a.png")
    (tmp_path / "images").mkdir()
    (tmp_path / "deep" / "a.png").rename(tmp_path / "images" / "a.png")
    source = LabelmeSource(tmp_path)
    assert source.name(0) == "deep-a"
    assert len(source.read(0).classes) == 1


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (shape(kind="linestrip"), "shape_type 'linestrip' has no area"),
        (shape(kind="point", points=[[1, 1]]), "shape_type 'point' has no area"),
        (shape(kind=["polygon"]), "shape_type a list of 1"),
        (shape(kind="circle"), "a circle has two points, got 4"),
        (shape(kind="rectangle", points=[[1, 1], [1, 5]]), "on one line"),
        (shape(kind="circle", points=[[1, 1], [1, 1]]), "on one line"),
        (shape(points=[[1, 1], [2, 2]]), "has 2 corners"),
        (shape(points=[[1, 1], [2, float("nan")], [1, 2]]), "two finite numbers"),
        (shape(points=[[1, 1], [2, 10**400], [1, 2]]), "two finite numbers"),
        (shape(points=[[1, 1], [2, True], [1, 2]]), "two finite numbers"),
        (shape(points=[[1, 1], [2, 1e12], [1, 2]]), "coordinates beyond"),
        (shape(points=[[1, 1, 1]] * 3), "two finite numbers"),
        (shape(points="1 1"), "expected points"),
        (shape(label=None), "expected a label, got None"),
        (shape(group_id="a"), "expected a number as group_id"),
        (shape(kind="mask", points=[[1, 1], [2, 2]]), "expected a mask as text"),
        (shape(kind="mask", points=[[1, 1], [2, 2]], mask="!"), "its mask cannot be read"),
        (
            shape(
                kind="mask",
                points=[[1, 1], [2, 2]],
                mask=base64.b64encode(png(np.zeros((2, 2), np.uint8))).decode(),
            ),
            "its mask is empty",
        ),
        ("shape", "expected an object with label"),
    ],
)
def test_a_shape_that_cannot_be_used_is_a_problem_with_file_and_number(tmp_path, wrong, reason):
    path = put(tmp_path, "a", shape(), wrong, shape("leaf", [[10, 10], [14, 10], [14, 12]]))
    source = LabelmeSource(tmp_path)
    [problem] = source.problems
    assert (problem.file, problem.item) == (str(path), "shape 2")
    assert reason in problem.reason
    assert len(source.read(0).classes) == 2
    with pytest.raises(DataError, match=r"a\.json: shape 2: "):
        LabelmeSource(tmp_path, strict=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is no JSON"),
        ("\xff", "is no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "is no file of Labelme"),
        ('{"shapes": 3}', "is no file of Labelme"),
        ('{"shapes": [], "imagePath": "gone.png"}', "its image 'gone.png' is not there, and imageData holds none"),
        ('{"shapes": [], "imagePath": "a\\u0000b"}', "is not there"),
        ('{"shapes": []}', "its image None is not there"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_problem_and_left_out(tmp_path, text, reason):
    put(tmp_path, "a", shape())
    (tmp_path / "b.json").write_text(text, encoding="latin-1")
    source = LabelmeSource(tmp_path)
    assert len(source) == 1
    [problem] = source.problems
    assert problem.file == str(tmp_path / "b.json")
    assert reason in problem.reason
    assert problem.reason.count("b.json") == 0
    (tmp_path / "a.json").unlink()
    with pytest.raises(DataError, match=r"expected files of Labelme, .*b\.json"):
        LabelmeSource(tmp_path)


def test_what_lies_outside_or_under_others_is_a_problem_when_it_is_read(tmp_path):
    put(tmp_path, "a", shape(), shape(), shape(points=[[50, 50], [60, 50], [60, 60]]))
    source = LabelmeSource(tmp_path)
    assert source.problems == []
    assert source.read(0).classes.tolist() == [1]
    assert [(one.item, one.reason) for one in source.problems] == [
        ("shape 3", "lies outside the image; left out"),
        ("shape 2", "is covered by other objects wholly; left out"),
    ]
    source.read(0)
    assert len(source.problems) == 2


def test_an_image_of_another_size_than_the_file_says_is_refused(tmp_path):
    put(tmp_path, "a", shape(), imageHeight=30, imageWidth=20)
    with pytest.raises(DataError, match=r"a\.json: says that its image has 30 x 20 pixels; it has 20 x 30"):
        LabelmeSource(tmp_path).read(0)


def test_a_folder_without_files_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        LabelmeSource(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"it holds no \*\.json"):
        LabelmeSource(tmp_path)


# --- writing ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def hard():
    labels = np.zeros((37, 53), dtype=np.int32)
    labels[2:12, 3:20] = 1
    labels[4:8, 6:10] = 0  # a hole
    labels[5, 7] = 2  # a pixel in it
    labels[20:25, 5:9] = labels[30:36, 40:53] = 3  # two parts, one at the edge
    labels[range(14, 19), range(30, 35)] = 4  # a diagonal
    ignore = np.zeros(labels.shape, dtype=bool)
    ignore[25:28, 30:40] = ignore[0, 0] = True
    image = np.random.default_rng(0).integers(0, 256, (3, 37, 53)).astype(np.float32) / 255
    return Sample("hard", image, labels, np.array([1, 2, 1, 2]), ignore)


def test_what_is_written_is_read_again(tmp_path, hard):
    seen = []
    write_labelme(
        MemorySource(hard, class_names=("Blüte", "leaf")),
        tmp_path / "out",
        lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 1)]
    source = LabelmeSource(tmp_path / "out", strict=True)
    assert source.class_names == ("Blüte", "leaf")
    back = source.read(0)
    assert (back.labels == hard.labels).all()
    assert back.classes.tolist() == hard.classes.tolist()
    assert (back.ignore == hard.ignore).all()
    np.testing.assert_allclose(back.image, hard.image, atol=1e-6)
    write_labelme(source, tmp_path / "again")
    for path in (tmp_path / "out").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_files_have_what_labelme_asks_for(tmp_path, hard):
    write_labelme(MemorySource(hard, class_names=("Blüte", "leaf")), tmp_path)
    values = json.loads((tmp_path / "hard.json").read_text())
    assert set(values) == {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth"}
    assert (values["imagePath"], values["imageData"]) == ("hard.png", None)
    assert (values["imageHeight"], values["imageWidth"], values["flags"]) == (37, 53, {})
    for one in values["shapes"]:
        assert set(one) == {"label", "points", "group_id", "description", "shape_type", "flags", "mask"}
        assert one["shape_type"] == "polygon"
        assert len(one["points"]) >= 4
        assert isinstance(one["label"], str)
    groups = [one["group_id"] for one in values["shapes"] if one["label"] != "__ignore__"]
    assert groups == [None, None, 3, 3, 4, 4, 4, 4, 4]


def test_an_image_without_objects_is_written_and_read(tmp_path):
    empty = Sample("e", np.zeros((1, 4, 5), np.float32), np.zeros((4, 5), np.int32), np.zeros(0, np.int64))
    write_labelme(MemorySource(empty), tmp_path)
    source = LabelmeSource(tmp_path)
    assert source.class_names == ("object",)
    assert source.read(0).labels.shape == (4, 5)
