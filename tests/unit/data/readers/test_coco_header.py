"""Kind coco on 60 files broken by hand: as a whole, which is one error, or in part, which is listed and the rest kept."""

import json
import resource
import time

import pytest
from PIL import Image

from seriatim.core.errors import DataError
from seriatim.data.readers.coco import CocoSource

HEIGHT, WIDTH = 30, 40
IMAGES = range(1, 11)
NAN = float("nan")


def header(images=IMAGES):
    return {
        "images": [
            {"id": number, "file_name": f"p{number}.png", "height": HEIGHT, "width": WIDTH} for number in images
        ],
        "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in ((3, "cat"), (1, "dog"), (90, "tree"))],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    (folder / "images").mkdir()
    for number in IMAGES:
        Image.new("L", (WIDTH, HEIGHT), 90).save(folder / "images" / f"p{number}.png")
    return folder


def changed(**more):
    return json.dumps({**header(), **more}).encode()


def dropped(key):
    data = header()
    del data[key]
    return json.dumps(data).encode()


def with_image(**more):
    """The second image changed."""
    data = header()
    data["images"][1].update(more)
    return json.dumps(data).encode()


def with_category(*categories):
    data = header()
    data["categories"] += categories
    return json.dumps(data).encode()


def nested(depth, key="segmentation"):
    text = json.dumps({**header(), "annotations": [{"id": 1, "image_id": 1, "category_id": 1, key: "HERE"}]})
    return text.replace('"HERE"', "[" * depth + "]" * depth).encode()


REFUSED = [
    ("nothing", b"", "is no JSON"),
    ("spaces", b"   \n", "is no JSON"),
    ("cut short", changed()[:-20], "is no JSON"),
    ("not text", bytes(range(256)) * 4, "is no JSON"),
    ("an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "is no JSON"),
    ("damaged UTF-8", b'{"images": "\xc3\x28"}', "is no JSON"),
    ("a trailing comma", b'{"images": [],}', "is no JSON"),
    ("a huge integer", b'{"images": [{"id": ' + b"1" * 100_000 + b"}]}", "is no JSON"),
    ("open brackets", b"[" * 1_000_000, "nested too deeply"),
    ("nested lists", b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
    ("nested objects", b'{"a":' * 100_000 + b"0" + b"}" * 100_000, "nested too deeply"),
    ("a nested segmentation", nested(100_000), "nested too deeply"),
    ("null", b"null", "got None"),
    ("a number", b"3", "got 3"),
    ("a text", b'"images"', "got 'images'"),
    ("a list, as results are", b"[]", "results without their images are for --predictions"),
    ("an empty object", b"{}", "holds no 'images'"),
    ("no images", dropped("images"), "holds no 'images'"),
    ("no annotations", dropped("annotations"), "holds no 'annotations'"),
    ("no categories", dropped("categories"), "holds no 'categories'"),
    ("images no list", changed(images={"1": "p1.png"}), "expected a list under 'images', got an object of 1"),
    ("annotations no list", changed(annotations="none"), "expected a list under 'annotations', got 'none'"),
    ("categories no list", changed(categories=None), "expected a list under 'categories', got None"),
    ("zero images", changed(images=[]), "holds no images"),
    ("zero categories", changed(categories=[]), "holds no categories"),
    ("categories all wrong", changed(categories=[1, None, {"name": "x"}]), "holds no categories"),
    ("images all wrong", changed(images=[1, None, {}]), "none of its 3 images can be used"),
    ("images all missing", changed(images=[{"id": 1, "file_name": "z.png", "height": 5, "width": 5}]), "'z.png' not found"),
    ("an image of 1e18 pixels", changed(images=[{"id": 1, "file_name": "p1.png", "height": 10**9, "width": 10**9}]),
     "1000000000 x 1000000000 pixels are more than the limit"),
    ("an image of 1e600 pixels", changed(images=[{"id": 1, "file_name": "p1.png", "height": 10**300, "width": 10**300}]),
     "pixels are more than the limit"),
]  # fmt: skip
"""Name, bytes of a file that is refused as a whole, and the reason."""

LISTED = [
    ("two of one id", with_image(id=1), "image 1", "a second one of this id ('p2.png'); left out", 9),
    ("an image without id", with_image(id=None), "images[1]", "integer id", 9),
    ("an image id of text", with_image(id="2"), "images[1]", "integer id", 9),
    ("an image id of a list", with_image(id=[2]), "images[1]", "integer id", 9),
    ("an image that is not there", with_image(file_name="z.png"), "image 2", "'z.png' not found", 9),
    ("a name that goes up", with_image(file_name="../images/p2.png"), "image 2", "leaves the folder", 9),
    ("a name that goes up later", with_image(file_name="a/../../p2.png"), "image 2", "leaves the folder", 9),
    ("an absolute name", with_image(file_name="/etc/passwd"), "image 2", "leaves the folder", 9),
    ("a Windows name", with_image(file_name="C:\\p2.png"), "image 2", "leaves the folder", 9),
    ("a Windows name that goes up", with_image(file_name="..\\p2.png"), "image 2", "leaves the folder", 9),
    ("a name of zeros", with_image(file_name="p2.png\0"), "image 2", "not found", 9),
    ("a name too long", with_image(file_name="p" * 100_000), "image 2", "not found", 9),
    ("a name that is no text", with_image(file_name="\ud800.png"), "image 2", "not found", 9),
    ("a folder", with_image(file_name="."), "image 2", "not found", 9),
    ("no name", with_image(file_name=None), "image 2", "is no name of a file", 9),
    ("an empty name", with_image(file_name=""), "image 2", "is no name of a file", 9),
    ("a name of numbers", with_image(file_name=[1, 2]), "image 2", "is no name of a file", 9),
    ("no height", with_image(height=None), "image 2", "that of the image taken", 10),
    ("a negative width", with_image(width=-40), "image 2", "that of the image taken", 10),
    ("a height of text", with_image(height="30"), "image 2", "that of the image taken", 10),
    ("a width of NaN", with_image(width=NAN), "image 2", "that of the image taken", 10),
    ("one huge image", with_image(height=10**9, width=10**9), "image 2", "more than the limit", 9),
    ("an image that is none", changed(images=[*header()["images"], "p1.png"]), "images[10]", "expected an object", 10),
    ("two of one category", with_category({"id": 3, "name": "cow"}), "category 3", "a second one of this id", 10),
    ("a category without id", with_category({"name": "cow"}), "categories[3]", "integer id", 10),
    ("a category without name", with_category({"id": 4}), "category 4", "called by its id", 10),
    ("a category of control characters", with_category({"id": 4, "name": "a\nb"}), "category 4", "called by its id", 10),
    ("a category that is none", with_category("cow"), "categories[3]", "expected an object", 10),
    ("nested under the limit", nested(900), "annotation 1", "polygon 0", 10),
    ("a nested bbox", nested(900, "bbox"), "annotation 1", "segmentation", 10),
]  # fmt: skip
"""Name, bytes, the item and the reason that are listed, and how many images are left."""


def check_time_and_memory(started, memory):
    assert time.process_time() - started < 10
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 1_000_000  # KiB


@pytest.mark.parametrize(("name", "data", "reason"), REFUSED, ids=[name for name, *_ in REFUSED])
def test_a_file_broken_as_a_whole_is_one_error_that_names_it(folder, name, data, reason):
    started, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = folder / "broken.json"
    path.write_bytes(data)
    for strict in (False, True):
        with pytest.raises(DataError) as raised:
            CocoSource(path, strict)
        assert str(raised.value).startswith(f"{path}: ")
        assert reason in str(raised.value) or strict
        assert len(str(raised.value)) < 600
    check_time_and_memory(started, memory)


@pytest.mark.parametrize(("name", "data", "item", "reason", "num_left"), LISTED, ids=[name for name, *_ in LISTED])
def test_a_file_broken_in_part_lists_the_part_and_keeps_the_rest(folder, name, data, item, reason, num_left):
    started, memory = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = folder / "broken.json"
    path.write_bytes(data)
    source = CocoSource(path)
    assert [problem.item for problem in source.problems] == [item]
    assert reason in source.problems[0].reason
    assert str(source.problems[0]).isprintable()
    assert len(source) == num_left
    for index in range(num_left):
        source.read(index)
    with pytest.raises(DataError, match=r"broken\.json: "):
        CocoSource(path, strict=True)
    check_time_and_memory(started, memory)


def test_annotations_of_an_image_that_is_left_out_are_checked_all_the_same(folder):
    data = header()
    data["images"][1]["file_name"] = "z.png"
    annotation = {"id": 1, "image_id": 2, "category_id": 1, "segmentation": [[1, 1, 5, 1, 5, 5]]}
    data["annotations"] = [annotation, {**annotation, "id": 2, "segmentation": []}]
    path = folder / "broken.json"
    path.write_text(json.dumps(data))
    assert [problem.item for problem in CocoSource(path).problems] == ["image 2", "annotation 2"]
