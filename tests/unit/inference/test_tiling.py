from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage

from seriatim.core.instances import Instance, Instances
from seriatim.inference.tiling import TileMerger, plan_tiles


def cut_to_tile(labels, box, jitter=None):
    """What an oracle says of one tile: every object's pixels inside it, in the order of the labels."""
    y0, x0, y1, x1 = box
    window = labels[y0:y1, x0:x1]
    found = []
    for number in np.unique(window[window > 0]):
        mask = window == number
        if jitter is not None:
            mask = jitter(mask)
        instance = Instance.from_mask(mask, offset=(y0, x0), score=0.9, class_id=1, step=len(found))
        if instance is not None:
            found.append(instance)
    return found


def join(labels, tile, overlap, jitter=None, **settings):
    rows = plan_tiles(labels.shape, tile, overlap)
    merger = TileMerger(rows, **settings)
    found = []
    for row in rows:
        found += merger.add_row([cut_to_tile(labels, box, jitter) for box in row])
    return Instances(labels.shape, found)


def same_objects(found, labels):
    """Whether each true object was found once, pixel for pixel, and nothing else."""
    truth = {(labels == number).tobytes() for number in np.unique(labels[labels > 0])}
    masks = [mask.tobytes() for mask in found.masks()]
    return len(masks) == len(truth) and set(masks) == truth


def discs(size, count, radii, seed):
    random = np.random.default_rng(seed)
    labels = np.zeros((size, size), dtype=np.int32)
    rows, columns = np.mgrid[:size, :size]
    for number in range(1, count + 1):
        radius = random.uniform(*radii)
        y, x = random.uniform(0, size, 2)
        disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        if not labels[disc].any():
            labels[disc] = number
    return labels


def iou_of_best(found, labels):
    """For each true object, the best intersection over union with a found one."""
    masks = found.masks()
    best = []
    for number in np.unique(labels[labels > 0]):
        truth = labels == number
        unions = (masks | truth).sum(axis=(1, 2))
        best.append(((masks & truth).sum(axis=(1, 2)) / unions).max(initial=0))
    return np.array(best)


class Jitter:
    """Edges moved in or out by a pixel, each tile in its own way, as two looks of a network differ."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def __call__(self, mask):
        noise = ndimage.gaussian_filter(self.random.normal(size=mask.shape), 2)
        inside = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
        outside = ndimage.distance_transform_edt(~np.pad(mask, 1, mode="edge"))[1:-1, 1:-1]
        return inside - outside + 8 * noise > 0


@pytest.mark.parametrize("extent", [1, 31, 64, 65, 100, 127, 128, 129, 200, 500, 1000, 4000])
@pytest.mark.parametrize(("tile", "overlap"), [(64, 0), (64, 32), (128, 32), (256, 64)])
def test_tiles_cover_the_image_and_share_the_overlap(extent, tile, overlap):
    rows = plan_tiles((extent, 1), tile, overlap)
    boxes = [row[0] for row in rows]
    assert boxes[0][0] == 0
    assert boxes[-1][2] == extent
    lengths = {box[2] - box[0] for box in boxes}
    assert len(lengths) == 1
    assert max(lengths) <= tile
    assert all(first[2] - second[0] >= overlap for first, second in pairwise(boxes))
    assert extent <= tile or lengths.pop() % 32 == 0


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("tile", "overlap", "radii"), [(128, 48, (2, 20)), (128, 32, (3, 40)), (96, 32, (1, 60)), (64, 32, (5, 80))]
)
def test_discs_cut_by_tiles_come_out_whole_and_once(seed, tile, overlap, radii):
    labels = discs(400, 120, radii, seed)
    assert same_objects(join(labels, tile, overlap), labels)


def test_objects_far_larger_than_a_tile_come_out_whole():
    labels = np.zeros((700, 700), dtype=np.int32)
    rows, columns = np.mgrid[:700, :700]
    labels[(rows - 350) ** 2 + (columns - 350) ** 2 <= 150**2] = 1
    ring = (rows - 350) ** 2 + (columns - 350) ** 2
    labels[(ring <= 330**2) & (ring >= 300**2)] = 2
    assert same_objects(join(labels, 128, 64), labels)


def test_long_worms_are_not_cut():
    labels = np.zeros((500, 900), dtype=np.int32)
    columns = np.arange(900)
    for number in range(6):
        centre = 40 + 75 * number + 25 * np.sin(columns / 40 + number)
        for offset in range(-4, 5):
            labels[(centre + offset).astype(int), columns] = number + 1
    diagonal = np.arange(60, 480)
    labels[-60:] = 0
    labels[diagonal, diagonal + 5] = 0
    assert same_objects(join(labels, 128, 32), labels)


def test_a_thin_diagonal_through_the_corners_of_tiles_is_one_object():
    labels = np.zeros((600, 600), dtype=np.int32)
    for step in range(600):
        labels[step, max(step - 2, 0) : step + 3] = 1
    assert same_objects(join(labels, 128, 32), labels)


def test_objects_that_touch_each_other_across_a_seam_stay_apart():
    labels = np.kron(np.arange(1, 401).reshape(20, 20), np.ones((25, 25), dtype=np.int32)).astype(np.int32)
    assert same_objects(join(labels, 128, 48), labels)


def test_large_objects_that_touch_each_other_stay_apart():
    labels = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((300, 300), dtype=np.int32)).astype(np.int32)
    assert same_objects(join(labels, 128, 32), labels)


@pytest.mark.parametrize("seed", range(4))
def test_edges_that_differ_between_tiles_neither_double_nor_cut_objects(seed):
    labels = discs(400, 100, (5, 18), seed)
    found = join(labels, 128, 48, Jitter(seed))
    small = [number for number in np.unique(labels[labels > 0]) if (labels == number).sum() < 12]
    assert abs(len(found) - len(np.unique(labels[labels > 0]))) <= len(small)
    assert np.quantile(iou_of_best(found, labels), 0.05) > 0.6


@pytest.mark.parametrize("seed", range(4))
def test_large_objects_with_edges_that_differ_are_joined(seed):
    labels = discs(600, 12, (60, 120), seed)
    found = join(labels, 128, 48, Jitter(seed))
    assert len(found) == len(np.unique(labels[labels > 0]))
    assert iou_of_best(found, labels).min() > 0.9


def test_a_sliver_that_its_own_tile_alone_saw_at_its_border_is_dropped():
    rows = plan_tiles((64, 190), 128, 64)
    (_, _, _, end), (_, begin, _, _) = rows[0]
    sliver = Instance((10, end - 6, 20, end), np.ones((10, 6), dtype=bool))
    assert begin < end - 6
    assert TileMerger(rows).add_row([[sliver], []]) == []


def test_a_cut_object_that_no_neighbour_saw_stays_where_its_own_tile_sees_best():
    rows = plan_tiles((64, 190), 128, 64)
    large = Instance((10, 5, 20, rows[0][0][3]), np.ones((10, rows[0][0][3] - 5), dtype=bool))
    assert TileMerger(rows).add_row([[large], []]) == [large]


def test_of_two_whole_views_the_one_with_more_room_stands_and_keeps_the_better_score():
    rows = plan_tiles((64, 190), 128, 64)
    (_, _, _, end), (_, begin, _, _) = rows[0]
    near_the_end = (10, end - 20, 20, end - 10)
    first = Instance(near_the_end, np.ones((10, 10), dtype=bool), score=0.9)
    second = Instance(near_the_end, np.ones((10, 10), dtype=bool), score=0.4, step=7)
    (found,) = TileMerger(rows).add_row([[first], [second]])
    assert found.step == 7
    assert found.score == 0.9
    assert near_the_end[1] - begin > end - near_the_end[3]


def test_objects_come_as_soon_as_no_later_row_can_change_them():
    labels = np.zeros((400, 100), dtype=np.int32)
    labels[5:15, 10:20] = 1
    labels[385:395, 10:20] = 2
    rows = plan_tiles(labels.shape, 128, 32)
    merger = TileMerger(rows)
    counts = [len(merger.add_row([cut_to_tile(labels, box) for box in row])) for row in rows]
    assert counts[0] == 1
    assert counts[-1] == 1
    assert sum(counts) == 2


def test_joining_does_not_depend_on_chance():
    labels = discs(300, 60, (4, 40), 3)
    first, second = (join(labels, 96, 32, Jitter(5)) for _ in range(2))
    assert [instance.box for instance in first] == [instance.box for instance in second]
    assert np.array_equal(first.label_map(), second.label_map())


def test_only_objects_near_the_next_row_are_kept():
    labels = discs(1024, 400, (4, 12), 0)
    rows = plan_tiles(labels.shape, 128, 32)
    merger = TileMerger(rows)
    most = 0
    for row in rows:
        merger.add_row([cut_to_tile(labels, box) for box in row])
        most = max(most, len(merger._live))
    assert most < 120
