import numpy as np
import pytest
import torch

from seriatim.data.augment import AugmentationConfig
from seriatim.data.batches import Crops, batches, collate
from seriatim.data.preparation import PreparationConfig
from seriatim.data.samples import Sample


class Squares:
    """Image i holds i objects of 6 x 6 pixels."""

    class_names = ("object",)

    def __init__(self, count=5):
        self.count = count
        self.reads = 0

    def __len__(self):
        return self.count

    def name(self, index):
        return f"image{index}"

    def read(self, index):
        self.reads += 1
        labels = np.zeros((40, 48), dtype=np.int32)
        for number in range(index):
            labels[8 : 8 + 6, 8 * number : 8 * number + 6] = number + 1
        return Sample(self.name(index), (labels[None] > 0).astype(np.float32), labels, np.ones(index, dtype=np.int64))


def crops_of(source=None, seed=3, **values):
    augmentation = AugmentationConfig(crop_size=(24, 24), **values)
    return Crops(source or Squares(), PreparationConfig(channels=1), augmentation, seed)


def same(first, second):
    return first.names == second.names and all(torch.equal(a, b) for a, b in zip(first[:3], second[:3], strict=True))


def test_a_crop_depends_on_seed_and_number_alone():
    one, other = crops_of(), crops_of()
    backwards = {number: other[number] for number in reversed(range(12))}
    for number in range(12):
        name, *arrays = one[number]
        assert name == backwards[number][0]
        assert all((a == b).all() for a, b in zip(arrays, backwards[number][1:], strict=True))
    assert any((one[number][1] != crops_of(seed=4)[number][1]).any() for number in range(12))


def test_every_image_comes_once_an_epoch_in_another_order():
    crops = crops_of()
    orders = [[crops[epoch * 5 + position][0] for position in range(5)] for epoch in range(6)]
    assert all(sorted(order) == [f"image{index}" for index in range(5)] for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_the_same_image_is_cut_anew_in_every_epoch():
    crops = crops_of()
    cuts = [image.tobytes() for name, image, *_ in (crops[number] for number in range(30)) if name == "image3"]
    assert len(cuts) == len(set(cuts)) == 6


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on a machine with a single processor
@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_do_not_change_what_is_drawn(num_workers):
    alone = list(batches(crops_of(), 3, 7, 4))
    shared = list(batches(crops_of(), 3, 7, 4, num_workers=num_workers))
    assert len(alone) == len(shared) == 4
    assert all(same(a, b) for a, b in zip(alone, shared, strict=True))


def test_a_stream_goes_on_where_it_was_left():
    whole = list(batches(crops_of(), 3, 0, 5))
    rest = list(batches(crops_of(), 3, 6, 3))
    assert all(same(a, b) for a, b in zip(whole[2:], rest, strict=True))


def test_processes_share_a_batch_without_overlap():
    whole = next(batches(crops_of(), 4, 0, 1))
    parts = [next(batches(crops_of(), 4, 0, 1, share=range(rank, 4, 2))) for rank in range(2)]
    assert sorted(whole.names) == sorted(parts[0].names + parts[1].names)


def test_crops_with_most_objects_come_first_and_classes_are_padded():
    def crop(name, count):
        return name, np.full((1, 4, 4), count, dtype=np.float32), np.zeros((4, 4), dtype=np.int32), np.full(count, 2)

    batch = collate([crop("a", 1), crop("b", 3), crop("c", 0), crop("d", 3)])
    assert batch.names == ("b", "d", "a", "c")
    assert batch.classes.tolist() == [[2, 2, 2], [2, 2, 2], [2, 0, 0], [0, 0, 0]]
    assert batch.images[:, 0, 0, 0].tolist() == [3, 3, 1, 0]
    assert batch.labels.dtype == torch.int64


def test_a_batch_without_objects_has_no_classes():
    empty = ("a", np.zeros((1, 4, 4), dtype=np.float32), np.zeros((4, 4), dtype=np.int32), np.zeros(0, dtype=np.int64))
    assert collate([empty, empty]).classes.shape == (2, 0)


@pytest.mark.parametrize(("cache_bytes", "most", "least"), [(10**9, 5, 5), (1, 40, 30)])
def test_prepared_images_are_kept_as_far_as_memory_allows_and_change_nothing(cache_bytes, most, least):
    source = Squares()
    crops = Crops(source, PreparationConfig(channels=1), AugmentationConfig(crop_size=(24, 24)), 3, cache_bytes)
    kept = [crops[number][1] for number in range(40)]
    assert least <= source.reads <= most
    fresh = crops_of()
    assert all((kept[number] == fresh[number][1]).all() for number in range(40))
