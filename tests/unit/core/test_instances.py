import subprocess
import sys

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from seriatim.core import rle
from seriatim.core.errors import DataError, ShapeError
from seriatim.core.instances import Instance, Instances


def at(y0, x0, mask, **fields):
    mask = np.asarray(mask, dtype=bool)
    return Instance((y0, x0, y0 + mask.shape[0], x0 + mask.shape[1]), mask, **fields)


def block(y0, x0, height, width, **fields):
    return at(y0, x0, np.ones((height, width)), **fields)


@pytest.fixture
def three():
    return Instances(
        (6, 8),
        [
            block(0, 0, 3, 3, score=0.9, step=0),
            block(1, 1, 3, 4, score=0.5, step=2),
            block(5, 7, 1, 1, score=0.1, step=3),
        ],
    )


# --- what an Instances is --------------------------------------------------------------------------------------------------------


def test_where_masks_overlap_the_earlier_one_wins(three):
    assert three.label_map().tolist() == [
        [1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 2, 2, 0, 0, 0],
        [1, 1, 1, 2, 2, 0, 0, 0],
        [0, 2, 2, 2, 2, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 3],
    ]
    assert three.label_map().dtype == np.int32


def test_full_planes_keep_the_overlap(three):
    planes = three.masks()
    assert planes.shape == (3, 6, 8)
    assert planes.sum(axis=(1, 2)).tolist() == [9, 12, 1] == three.areas.tolist()


def test_without_overlaps_leaves_each_pixel_to_the_earliest_and_drops_what_is_hidden():
    found = Instances((4, 4), [block(0, 0, 2, 2), block(1, 1, 2, 2, score=0.25), block(0, 0, 1, 1)])
    parted = found.without_overlaps()
    assert len(parted) == 2
    assert parted[1].box == (1, 1, 3, 3)
    assert parted[1].mask.tolist() == [[False, True], [True, True]]
    assert parted[1].score == 0.25
    assert (parted.label_map() == found.label_map()).all()


def test_a_box_outside_the_image_is_refused():
    with pytest.raises(ShapeError, match=r"instance 1: box .* leaves the image of 4 x 4"):
        Instances((4, 4), [block(0, 0, 1, 1), block(3, 3, 2, 1)])
    with pytest.raises(ShapeError, match="leaves the image"):
        Instances((4, 4), [at(-1, 0, np.ones((2, 2)))])


def test_a_mask_that_does_not_fill_its_box_is_refused():
    with pytest.raises(ShapeError, match="does not fill its box"):
        Instances((4, 4), [Instance((0, 0, 2, 2), np.ones((2, 3), dtype=bool))])


def test_from_mask_cuts_to_the_smallest_box_and_moves_it():
    plane = np.zeros((5, 6), dtype=bool)
    plane[1, 4] = plane[3, 2] = True
    found = Instance.from_mask(plane, offset=(10, 20), step=3)
    assert found.box == (11, 22, 14, 25)
    assert found.area == 2
    assert found.step == 3
    plane[:] = True
    assert found.area == 2, "the mask must be a copy"
    assert Instance.from_mask(np.zeros((2, 2), dtype=bool)) is None


# --- indexing --------------------------------------------------------------------------------------------------------------------


def test_a_number_gives_one_instance(three):
    assert three[1].step == 2
    assert three[-1].step == 3
    assert three[np.int64(2)].step == 3
    with pytest.raises(IndexError):
        three[3]


@pytest.mark.parametrize(
    ("index", "steps"),
    [
        (slice(1, None), [2, 3]),
        (slice(None, None, -1), [3, 2, 0]),
        ([True, False, True], [0, 3]),
        (np.array([False, False, False]), []),
        ([2, 0], [3, 0]),
        (np.array([1, 1]), [2, 2]),
        (np.array([-1], dtype=np.int8), [3]),
        ([], []),
    ],
)
def test_a_slice_bools_or_numbers_give_several(three, index, steps):
    chosen = three[index]
    assert [one.step for one in chosen] == steps
    assert chosen.size == three.size


@pytest.mark.parametrize(
    "index", [[True, False], np.ones((3, 1), dtype=bool), np.array([0.5, 1.0]), np.array([[0], [1]])]
)
def test_an_index_that_is_none_of_these_is_refused(three, index):
    with pytest.raises(ShapeError):
        three[index]


# --- label maps ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64, np.uint32])
def test_from_a_label_map_gaps_are_closed_and_the_order_kept(dtype):
    labels = np.array([[0, 9, 9], [4, 0, 200], [4, 4, 200]], dtype=dtype)
    found = Instances.from_label_map(labels)
    assert found.label_map().tolist() == [[0, 2, 2], [1, 0, 3], [1, 1, 3]]
    assert [one.box for one in found] == [(1, 0, 3, 2), (0, 1, 1, 3), (1, 2, 3, 3)]
    assert [one.step for one in found] == [0, 1, 2]


@pytest.mark.parametrize("background", [0, 5])
def test_from_a_label_map_with_very_large_labels(background):
    labels = np.array([[background, 2**40], [2**31 + 5, 2**40]])
    expected = [[0, 2], [1, 2]] if background == 0 else [[1, 3], [2, 3]]
    assert Instances.from_label_map(labels).label_map().tolist() == expected


def test_from_a_label_map_of_bools_and_of_nothing():
    assert Instances.from_label_map(np.array([[False, True]])).label_map().tolist() == [[0, 1]]
    assert len(Instances.from_label_map(np.zeros((3, 4), dtype=np.uint8))) == 0
    assert Instances.from_label_map(np.zeros((0, 4), dtype=np.uint8)).label_map().shape == (0, 4)


def test_a_label_map_comes_back_from_its_instances():
    labels = np.random.default_rng(0).integers(0, 6, size=(23, 31))
    assert (Instances.from_label_map(labels).label_map() == labels).all()


@pytest.mark.parametrize("labels", [np.zeros((2, 2, 2), dtype=int), np.zeros((2, 2)), np.array([[-1, 0]])])
def test_what_is_no_label_map_is_refused(labels):
    with pytest.raises(ShapeError):
        Instances.from_label_map(labels)


# --- COCO ------------------------------------------------------------------------------------------------------------------------


def odd_masks():
    full, empty, last, bridge, columns = (np.zeros((7, 5), dtype=bool) for _ in range(5))
    full[:] = True
    last[-1, -1] = True
    bridge[-1, 1] = bridge[0, 2] = (
        True  # ends at the bottom, goes on at the top of the next column: one run in COCO's order
    )
    columns[:, 2:4] = True
    one = np.ones((1, 1), dtype=bool)
    line = np.zeros((1, 9), dtype=bool)
    line[0, ::2] = True
    yield from (full, empty, last, bridge, columns, one, line, line.T.copy())
    first = np.zeros((300, 200), dtype=bool)
    first[0, 0] = True
    yield first
    yield ~first
    chance = np.random.default_rng(1)
    for _ in range(60):
        shape = chance.integers(1, 40, size=2)
        yield chance.random(shape) < chance.choice([0.02, 0.2, 0.5, 0.9, 0.99])


def test_codes_equal_those_of_pycocotools():
    for mask in odd_masks():
        found = Instance.from_mask(mask)
        box, inside = (found.box, found.mask) if found else ((0, 0, 0, 0), np.zeros((0, 0), dtype=bool))
        theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert rle.encode(box, inside, mask.shape) == {"size": theirs["size"], "counts": theirs["counts"].decode()}


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_codes_of_pycocotools_are_read_and_ours_by_pycocotools():
    for mask in odd_masks():
        theirs = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        for counts in (theirs["counts"], theirs["counts"].decode()):
            box, inside = rle.decode({"size": theirs["size"], "counts": counts})
            plane = np.zeros(mask.shape, dtype=bool)
            plane[box[0] : box[2], box[1] : box[3]] = inside
            assert (plane == mask).all()
            if mask.any():
                assert inside.any(axis=0)[[0, -1]].all()
                assert inside.any(axis=1)[[0, -1]].all()
        assert (coco_mask.decode(rle.encode(box, inside, mask.shape)).astype(bool) == mask).all()


def test_plain_counts_are_read():
    box, mask = rle.decode({"size": [3, 2], "counts": [1, 2, 0, 1, 2]})  # 011 | 100, with a run of length 0
    assert box == (0, 0, 3, 2)
    assert mask.tolist() == [[False, True], [True, False], [True, False]]


def test_annotations_hold_what_coco_wants(three):
    annotations = three.to_coco(image_id=7, first_annotation_id=4)
    assert [one["id"] for one in annotations] == [4, 5, 6]
    assert annotations[1]["bbox"] == [1, 1, 4, 3]
    assert annotations[1]["area"] == 12
    assert coco_mask.toBbox(annotations[1]["segmentation"]).tolist() == [1, 1, 4, 3]
    assert annotations[1]["category_id"] == 1
    assert annotations[1]["score"] == 0.5


def test_instances_come_back_from_coco(three):
    back = Instances.from_coco(three.to_coco(), three.size)
    assert (back.masks() == three.masks()).all()
    assert [one.box for one in back] == [one.box for one in three]
    assert back.scores.tolist() == three.scores.tolist()


HUGE = {"size": [10**9, 10**9], "counts": [0, 10**18]}


@pytest.mark.parametrize(
    "code",
    [
        {},
        {"size": [4, 4]},
        {"size": None, "counts": "0"},
        {"size": [4], "counts": "0"},
        {"size": ["a", 4], "counts": "0"},
        {"size": [4, float("inf")], "counts": "0"},
        {"size": [4, 4], "counts": None},
        {"size": [4, 4], "counts": {"a": 1}},
        {"size": [4, 4], "counts": [1, [2]]},
        {"size": [4, 4], "counts": [[16]]},
        {"size": [4, 4], "counts": [float("nan")]},
        {"size": [4, 4], "counts": [17]},
        {"size": [4, 4], "counts": [20, -4]},
        {"size": [4, 4], "counts": []},
        {"size": [4, 4], "counts": [10**30]},
        {"size": [0, 4], "counts": [0]},
        {"size": [-4, -4], "counts": [16]},
        {"size": [4, 4], "counts": ""},
        {"size": [4, 4], "counts": "P"},
        {"size": [4, 4], "counts": "o" * 40},
        {"size": [4, 4], "counts": "@é"},
        {"size": [3, 5], "counts": "é"},
        {"size": [4, 4], "counts": "\x00"},
        {"size": [4, 4], "counts": b"\xff\xff"},
        {"size": [4, 4], "counts": [2**62, 2**62, 2**62, 2**62, 16]},
        HUGE,
    ],
)
def test_a_hostile_code_is_a_data_error_and_nothing_worse(code):
    with pytest.raises(DataError, match="annotation 5"):
        rle.decode(code, "annotation 5")


def test_random_text_is_decoded_or_refused():
    chance = np.random.default_rng(2)
    accepted = 0
    for _ in range(3000):
        text = bytes(chance.integers(40, 120, size=chance.integers(0, 12))).decode()
        try:
            box, mask = rle.decode({"size": [6, 7], "counts": text})
        except DataError:
            continue
        accepted += 1
        Instances((6, 7), [Instance(box, mask)])
    assert accepted < 3000


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"id": 3, "segmentation": [[0, 0, 1, 1, 2, 2]]}, "annotation 3: expected a run-length code, got list"),
        ({"segmentation": None}, "annotation 0: expected a run-length code"),
        (
            {"id": 8, "segmentation": {"size": [5, 4], "counts": [20]}},
            r"annotation 8: is of an image of \[5, 4\] pixels",
        ),
        ({"id": 8, "segmentation": HUGE}, "annotation 8: is of an image"),
        ({"id": 8, "segmentation": {"size": 4, "counts": [20]}}, "annotation 8: is of an image"),
        (
            {"id": 8, "segmentation": {"size": [4, 4], "counts": [16]}, "score": None},
            "annotation 8: score or category_id is not a number",
        ),
        (
            {"id": 8, "segmentation": {"size": [4, 4], "counts": [16]}, "category_id": "cat"},
            "annotation 8: score or category_id is not a number",
        ),
    ],
)
def test_an_annotation_that_cannot_be_used_is_named(annotation, reason):
    with pytest.raises(DataError, match=reason):
        Instances.from_coco([annotation], (4, 4))


# --- size ------------------------------------------------------------------------------------------------------------------------


BUILD = """
import pathlib
import numpy as np
from seriatim.core.instances import Instance, Instances
mask = np.random.default_rng(3).random((10, 10)) < 0.7
mask[0] = mask[:, 0] = mask[-1] = mask[:, -1] = True
corners = [(31 * row, 31 * column) for row in range(320) for column in range(320)][:100_000]
found = Instances((10_000, 10_000), [Instance((y, x, y + 10, x + 10), mask.copy()) for y, x in corners])
labels = found.label_map()
assert labels.max() == labels[corners[-1]] == 100_000
assert len(found[found.areas > 0]) == 100_000
status = pathlib.Path("/proc/self/status").read_text()  # ru_maxrss would begin with that of the parent
print(int(status.split("VmHWM:")[1].split()[0]))
"""

READ = """
import pathlib
import numpy as np
from seriatim.core.instances import Instances
numbers = np.arange(1, 100_001).reshape(250, 400)
labels = np.zeros((10_000, 10_000), dtype=np.int32)
for row in range(250):
    for offset in range(10):
        labels[39 * row : 39 * row + 10, offset::25] = numbers[row]
found = Instances.from_label_map(labels)
assert len(found) == 100_000 and found[99_999].box == (9711, 9975, 9721, 9985) and found[99_999].area == 100
status = pathlib.Path("/proc/self/status").read_text()  # ru_maxrss would begin with that of the parent
print(int(status.split("VmHWM:")[1].split()[0]))
"""


@pytest.mark.not_quick
@pytest.mark.parametrize("program", [BUILD, READ], ids=["built", "read from a label map"])
def test_100000_objects_of_a_10000_by_10000_image_stay_under_a_gigabyte(program):
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1_000_000  # kilobytes of the whole process
