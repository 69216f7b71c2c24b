"""Kind coco on 2,000 generated annotations, half of them hostile; `test_coco_header` has files broken by hand.

Every generated annotation knows whether it is good, what of it must be read, and whether it must be listed.
"""

import copy
import json
import random
import time

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from seriatim.core import rle
from seriatim.core.errors import DataError
from seriatim.data.readers.coco import CocoSource
from seriatim.data.readers.coco_annotations import plain_runs

HEIGHT, WIDTH = 30, 40
SIZE = (HEIGHT, WIDTH)
IMAGES = range(1, 11)
CATEGORIES = {3: "cat", 1: "dog", 90: "tree"}
NAN, INF = float("nan"), float("inf")


def header(images=IMAGES):
    return {
        "images": [
            {"id": number, "file_name": f"p{number}.png", "height": HEIGHT, "width": WIDTH} for number in images
        ],
        "annotations": [],
        "categories": [{"id": number, "name": name} for number, name in CATEGORIES.items()],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "images").mkdir()
    for number in IMAGES:
        Image.new("L", (WIDTH, HEIGHT), 90).save(folder / "images" / f"p{number}.png")
    return folder


# --- good annotations ------------------------------------------------------------------------------------------------------------


def box_mask(rng):
    y0, x0 = rng.randrange(HEIGHT - 3), rng.randrange(WIDTH - 3)
    return y0, x0, rng.randint(y0 + 2, HEIGHT), rng.randint(x0 + 2, WIDTH)


def compressed(mask):
    return rle.encode((0, 0, *SIZE), mask, SIZE)


def plain(mask):
    flat = np.r_[False, mask.ravel(order="F")]
    return {"size": list(SIZE), "counts": np.diff([0, *np.flatnonzero(np.diff(flat)).tolist(), mask.size]).tolist()}


def good(rng, number):
    """An annotation and the pixels that it covers."""
    y0, x0, y1, x1 = box_mask(rng)
    mask = np.zeros(SIZE, dtype=bool)
    mask[y0:y1, x0:x1] = True
    kind = rng.randrange(4)
    if kind == 0:
        corners = [x0, y0, x1, y0, x1, y1, x0, y1]
        segmentation = [[float(corner) if rng.random() < 0.5 else corner for corner in corners]]
    elif kind == 1:
        third = y0 + (y1 - y0) // 3
        segmentation = [[x0, y0, x1, y0, x1, third + 1, x0, third + 1], [x0, third, x1, third, x1, y1, x0, y1]]
    else:
        mask[y0:y1, x0:x1] &= np.random.default_rng(rng.randrange(10**6)).random((y1 - y0, x1 - x0)) < 0.8
        mask[y0, x0] = mask[y1 - 1, x1 - 1] = True
        segmentation = compressed(mask) if kind == 2 else plain(mask)
    annotation = {
        "id": number,
        "image_id": rng.choice(IMAGES),
        "category_id": rng.choice(list(CATEGORIES)),
        "segmentation": segmentation,
        "iscrowd": int(kind == 3 and rng.random() < 0.2),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int(mask.sum()),
    }
    for key, share in (("iscrowd", 0.3), ("bbox", 0.3), ("area", 0.3)):
        if rng.random() < share and not (key == "iscrowd" and annotation[key]):
            del annotation[key]
    return annotation, mask


# --- what is done to them --------------------------------------------------------------------------------------------------------


def replaced(key, *values):
    """Put one of the values under the key."""

    def spoil(rng, annotation):
        annotation[key] = copy.deepcopy(rng.choice(values))

    return spoil


def without(key):
    def spoil(rng, annotation):
        del annotation[key]

    return spoil


def polygon(*coordinates):
    return replaced("segmentation", *([[2, 2, 9, 2, *ending]] for ending in coordinates))


def spoil_code(rng, annotation):
    text = compressed(np.ones(SIZE, dtype=bool))["counts"]
    text = rng.choice(
        [text[:-1], text + "1", text[:-1] + "~", text + "X", "é", " ", "", text * 2, "o" * 50 + "0", "\ud800"]
    )
    annotation["segmentation"] = {"size": list(SIZE), "counts": text}


def spoil_runs(rng, annotation):
    total = HEIGHT * WIDTH
    runs = rng.choice(
        [[total - 1], [0, total + 1], [], [5, -3, total - 2], [-1, total + 1], [10, 10], [2**63, total], [2**33, -(2**33), total],
         [5, 5.0, total - 10], [5, "5", total - 10], [True, total - 1], [[5], total - 5], None, 7, {"a": 1}]
    )  # fmt: skip
    annotation["segmentation"] = {"size": list(SIZE), "counts": runs}


def spoil_code_size(rng, annotation):
    size = rng.choice(
        [[WIDTH, HEIGHT], [HEIGHT], [HEIGHT, WIDTH, 1], None, "30x40", [str(HEIGHT), str(WIDTH)], [float(HEIGHT), WIDTH],
         [10**9, 10**9], [-HEIGHT, -WIDTH], [0, 0], [HEIGHT + 1, WIDTH], [10**400, 1], [[HEIGHT], [WIDTH]]]
    )  # fmt: skip
    annotation["segmentation"] = {"size": size, "counts": compressed(np.ones(SIZE, dtype=bool))["counts"]}


def spoil_empty(rng, annotation):
    nothing = np.zeros(SIZE, dtype=bool)
    annotation["segmentation"] = rng.choice([compressed(nothing), plain(nothing), [[3.1, 3.1, 3.2, 3.1, 3.2, 3.2]]])


def duplicate_id(rng, annotation):
    annotation["id"] = DUPLICATED


LEFT_OUT = {
    "image_id": replaced("image_id", 0, 99, -1, 10**30, "1", 1.0, None, True, [1], {"id": 1}, NAN),
    "category_id": replaced("category_id", 0, 2, -1, 10**30, "1", 1.0, None, True, [1], {"id": 1}, INF),
    "no image_id": without("image_id"),
    "no category_id": without("category_id"),
    "no segmentation": without("segmentation"),
    "segmentation": replaced("segmentation", None, 5, "rle", True, [], [[]], {}, [None], [5], ["2,2,9,2,9,9"], [{"x": 1}], [[[2, 2], [9, 2], [9, 9]]],
                             [2, 2, 9, 2, 9, 9], [[[[[[]]]]]], {"counts": "1"}, {"size": [HEIGHT, WIDTH]}),
    "odd polygon": polygon((9,), (9, 9, 9), (9, 9, 2, 9, 1)),
    "short polygon": replaced("segmentation", [[1, 1, 5, 5]], [[1, 1]], [[2, 2, 9, 2, 9, 9], [1, 1, 5, 5]]),
    "not finite": polygon((NAN, 9), (9, INF), (-INF, INF), (9, 1e400)),
    "huge": polygon((1e9, 9), (9, -1e30), (10**18, 9), (9, 10**400), (1e308, 1e308), (2**31, 9), (9, 5000)),
    "wrong types": polygon(("9", 9), (True, 9), (None, 9), ([9], 9), ({}, 9)),
    "no area": replaced("segmentation", [[4, 4, 4, 4, 4, 4]], [[1, 1, 5, 5, 9, 9]], [[1, 7, 5, 7, 9, 7]]),
    "outside": replaced("segmentation", [[50, 2, 60, 2, 60, 9]], [[-9, -9, -2, -9, -2, -2]], [[2, 35, 9, 35, 9, 40]]),
    "code": spoil_code,
    "runs": spoil_runs,
    "size of code": spoil_code_size,
    "empty": spoil_empty,
    "iscrowd": replaced("iscrowd", 2, -1, "1", 1.0, True, None, [1], NAN),
    "long outline": replaced("segmentation", [[0, 0, WIDTH, HEIGHT, 0, HEIGHT, WIDTH, 0] * 300]),
    "second of an id": duplicate_id,
}  # fmt: skip
"""What is wrong -> what makes a good annotation so; it must be listed and left out."""


WITHOUT_ID = {
    "no object": None,
    "no id": without("id"),
    "id": replaced("id", None, "7", 7.0, True, [7], NAN),
}
"""The same, and it is named by its place, since it has no id."""


def move_box(rng, annotation):
    annotation["bbox"] = rng.choice([[0, 0, WIDTH * 3, 1], [500, 500, 4, 4], [-60, 0, 1, 1]])


def crowd_of_polygons(rng, annotation):
    annotation["iscrowd"] = 1
    annotation["segmentation"] = [[0, 0, 10, 0, 10, 10, 0, 10]]
    annotation.pop("bbox", None)


def cut(rng, annotation):
    annotation["segmentation"] = rng.choice(
        [[[-20, -20, 10, -20, 10, 10, -20, 10]], [[0, 0, 10, 0, 10, 10, 0, 10], [50, 0, 60, 0, 60, 9]]]
    )
    annotation["iscrowd"] = 0
    annotation.pop("bbox", None)


KEPT = {
    "box elsewhere": move_box,
    "box": replaced("bbox", [1, 2, 3], "box", [1, 2, "3", 4], [NAN, 1, 1, 1], [1, 1, -5, 5], {}, [True, 1, 1, 1], [10**400, 1, 1, 1]),
    "area": replaced("area", "5", NAN, -5, [5], True, 10**400),
    "score": replaced("score", "0.5", NAN, -1, 7, [1], True),
    "crowd of polygons": crowd_of_polygons,
    "cut": cut,
}  # fmt: skip
"""What is wrong -> what makes a good annotation so; it must be listed, and its mask kept."""


def spoilt(rng, name, annotation):
    """The annotation with what is wrong, or what stands in its place."""
    if name == "no object":
        return rng.choice([None, 5, "annotation", [], [annotation], True, NAN])
    {**LEFT_OUT, **WITHOUT_ID, **KEPT}[name](rng, annotation)
    return annotation


DUPLICATED = 0
SQUARE = np.zeros(SIZE, dtype=bool)
SQUARE[:10, :10] = True


def hostile_file(seed, num_annotations):
    """A file; the places and ids to be listed; and (image, class, crowd, pixels) of what must be read, in order."""
    rng = random.Random(seed)
    data, bad, kept = header(), [], []
    data["annotations"].append(good(rng, DUPLICATED)[0])
    first, mask = data["annotations"][0], good(random.Random(seed), DUPLICATED)[1]
    kept.append((first, mask))
    classes = {category_id: number for number, category_id in enumerate(sorted(CATEGORIES), start=1)}
    for place in range(1, num_annotations):
        annotation, mask = good(rng, 1000 * seed + place)
        fate = rng.random()
        if fate < 0.5:
            kept.append((annotation, mask))
        elif fate < 0.8:
            spoilt(rng, rng.choice(list(LEFT_OUT)), annotation)
            bad.append(f"annotation {annotation['id']}")
        elif fate < 0.87:
            annotation = spoilt(rng, rng.choice(list(WITHOUT_ID)), annotation)
            bad.append(f"annotations[{place}]")
        else:
            name = rng.choice(list(KEPT))
            spoilt(rng, name, annotation)
            bad.append(f"annotation {annotation['id']}")
            kept.append((annotation, SQUARE if name in ("crowd of polygons", "cut") else mask))
        data["annotations"].append(annotation)
    wanted = {number: [[], []] for number in IMAGES}
    for annotation, mask in kept:
        wanted[annotation["image_id"]][annotation.get("iscrowd", 0)].append((classes[annotation["category_id"]], mask))
    return data, bad, wanted


# --- 2,000 generated annotations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(1, 5))
def test_of_500_annotations_exactly_the_bad_ones_are_listed_and_the_good_ones_read_right(folder, seed):
    data, bad, wanted = hostile_file(seed, 500)
    path = folder / f"instances{seed}.json"
    path.write_text(json.dumps(data))
    source = CocoSource(path)
    assert len(source) == len(IMAGES)
    for index, image in enumerate(source.images):
        for found, right in zip(source.whole_truth(index)[:2], wanted[image.id], strict=True):
            assert found.class_ids.tolist() == [class_id for class_id, _ in right]
            assert (found.masks() == np.array([mask for _, mask in right]).reshape(-1, *SIZE)).all()
    listed = {problem.item for problem in source.problems}
    assert listed == set(bad)
    assert all(problem.file == str(path) and problem.reason for problem in source.problems)
    assert len(bad) > 200
    for index in range(3):
        sample = source.read(index)
        assert len(sample.classes) == sample.labels.max() == len(np.unique(sample.labels)) - 1
    hidden = {problem.reason for problem in source.problems if problem.item not in listed}
    assert hidden <= {"keeps no pixel, since smaller objects cover it wholly; left out"}


def test_strictly_the_first_bad_annotation_is_raised_by_its_id(folder):
    data, bad, _ = hostile_file(1, 500)
    path = folder / "strict.json"
    path.write_text(json.dumps(data))
    lenient = CocoSource(path)
    with pytest.raises(DataError) as raised:
        CocoSource(path, strict=True)
    assert str(raised.value).startswith(f"{path}: {lenient.problems[0].item}: {lenient.problems[0].reason}")
    assert lenient.problems[0].item == bad[0]


def read_strictly(path):
    source = CocoSource(path, strict=True)
    for index in range(len(source)):  # polygons between pixel centres show only when they are drawn
        source.read(index)


@pytest.mark.parametrize("name", [*LEFT_OUT, *WITHOUT_ID, *KEPT])
def test_every_way_to_spoil_an_annotation_stops_a_strict_source(folder, name):
    rng = random.Random(name)
    data = header()
    first, _ = good(rng, DUPLICATED)
    annotation, _ = good(rng, 1)
    while "bbox" not in annotation:
        annotation, _ = good(rng, 1)
    data["annotations"] = [first, spoilt(rng, name, annotation)]
    path = folder / "one.json"
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"one\.json: annotation"):
        read_strictly(path)


def test_pycocotools_draws_what_we_do_on_the_good_half(folder):
    """So that the generator's own masks are not wrong in the same way."""
    rng = random.Random(9)
    for number in range(100):
        annotation, mask = good(rng, number)
        segmentation = annotation["segmentation"]
        codes = mask_api.frPyObjects(segmentation, *SIZE) if isinstance(segmentation, list) else None
        if codes is None:
            counts = segmentation["counts"]
            codes = [segmentation] if isinstance(counts, str) else [mask_api.frPyObjects(segmentation, *SIZE)]
        assert int(mask_api.area(mask_api.merge(codes))) == int(mask.sum())


def test_drawing_500_of_the_longest_outlines_takes_a_second(folder):
    """What is worst and still allowed."""
    zigzag = [corner for _ in range(34) for corner in (0, 0, WIDTH, HEIGHT - 1)]
    data = header()
    data["annotations"] = [
        {"id": number, "image_id": 1, "category_id": 1, "segmentation": [[*zigzag, WIDTH, 0]]} for number in range(500)
    ]
    path = folder / "long.json"
    path.write_text(json.dumps(data))
    started = time.process_time()
    source = CocoSource(path)
    assert source.problems == []
    source.whole_truth(0)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (None, "got None"),
        (7, "got 7"),
        ([1, "7"], "holds str"),
        ([1, 7.0], "holds float"),
        ([True, 7], "holds bool"),
        ([1, [7]], "holds list"),
        ([2**70, 8 - 2**70], "beyond 33 bits"),
        ([9, -1], "negative run"),
        ([3, 4], "add up to 7"),
        ([8], "covers no pixel"),
        ([8, 0], "covers no pixel"),
        ([], "holds no runs"),
    ],
)
def test_every_fault_of_plain_counts_is_named(counts, reason):
    with pytest.raises(DataError, match=reason):
        rle.measure_runs(plain_runs(counts), (4, 2))


def test_runs_of_no_pixels_between_others_do_no_harm():
    assert rle.measure_runs(plain_runs([0, 0, 1, 2, 0, 0, 5]), (4, 2)) == (1, 0, 3, 1)
