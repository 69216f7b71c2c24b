from dataclasses import replace

import numpy as np
import pytest
import torch

from seriatim.core.boxes import Boxes
from seriatim.data.augment import AugmentationConfig, Crop
from seriatim.data.batches import Crops, batches, collate
from seriatim.data.preparation import PreparationConfig
from seriatim.data.samples import Sample
from seriatim.data.source import Source


class Squares(Source):
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


def crop_of(name, count):
    """A crop of 4 x 4 pixels that says it has `count` objects of class 2."""
    image, labels = np.full((1, 4, 4), count, dtype=np.float32), np.zeros((4, 4), dtype=np.int32)
    return Crop(name, image, labels, np.full(count, 2))


def same(first, second):
    return first.names == second.names and all(torch.equal(a, b) for a, b in zip(first[:3], second[:3], strict=True))


def test_a_crop_depends_on_seed_and_number_alone():
    one, other = crops_of(), crops_of()
    backwards = {number: other[number] for number in reversed(range(12))}
    for number in range(12):
        crop, other = one[number], backwards[number]
        assert crop.name == other.name
        assert all((a == b).all() for a, b in zip(crop[1:4], other[1:4], strict=True))
    assert any((one[number].image != crops_of(seed=4)[number].image).any() for number in range(12))


def test_every_image_is_drawn_once_an_epoch_in_another_order():
    crops = crops_of()
    orders = [[crops[epoch * 5 + position].name for position in range(5)] for epoch in range(6)]
    assert all(sorted(order) == [f"image{index}" for index in range(5)] for order in orders)
    assert len({tuple(order) for order in orders}) > 1


def test_the_same_image_is_cut_anew_in_every_epoch():
    crops = crops_of()
    cuts = [crop.image.tobytes() for crop in (crops[number] for number in range(30)) if crop.name == "image3"]
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
    batch = collate([crop_of("a", 1), crop_of("b", 3), crop_of("c", 0), crop_of("d", 3)])
    assert batch.names == ("b", "d", "a", "c")
    assert batch.classes.tolist() == [[2, 2, 2], [2, 2, 2], [2, 0, 0], [0, 0, 0]]
    assert batch.images[:, 0, 0, 0].tolist() == [3, 3, 1, 0]
    assert batch.labels.dtype == torch.int64


def test_a_batch_without_objects_has_no_classes():
    assert collate([crop_of("a", 0), crop_of("b", 0)]).classes.shape == (2, 0)


def test_boxes_of_crops_become_prompts_in_the_order_of_the_batch():
    edges = np.array([[0.0, 1.0, 2.0, 3.5]])
    boxed = crop_of("b", 3)._replace(boxes=Boxes(edges, np.array([0.25]), np.array([2])))
    batch = collate([crop_of("a", 1), boxed, crop_of("c", 0)._replace(boxes=Boxes.none())])
    assert batch.names == ("b", "a", "c")
    assert [prompts.boxes.tolist() for prompts in batch.prompts] == [edges.tolist(), [], []]
    assert [prompts.scores.tolist() for prompts in batch.prompts] == [[0.25], [], []]
    assert [prompts.class_ids.tolist() for prompts in batch.prompts] == [[2], [], []]
    assert all(prompts.points.shape == (0, 2) for prompts in batch.prompts)


def test_a_batch_without_boxes_has_no_prompts():
    assert collate([crop_of("a", 1)]).prompts is None
    assert next(batches(crops_of(), 2, 0, 1)).prompts is None


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")  # on a machine with a single processor
def test_boxes_come_out_of_workers():
    class Boxed(Squares):
        def read(self, index):
            boxes = Boxes(np.array([[0.0, 0.0, 40.0, 48.0]]), np.ones(1), np.ones(1, dtype=np.int64))
            return replace(super().read(index), boxes=boxes)

    batch = next(batches(crops_of(Boxed()), 2, 0, 1, num_workers=1))
    assert [prompts.class_ids.tolist() for prompts in batch.prompts] == [[1], [1]]


@pytest.mark.parametrize(("cache_bytes", "most", "least"), [(10**9, 5, 5), (1, 40, 30)])
def test_prepared_images_are_kept_as_far_as_memory_allows_and_change_nothing(cache_bytes, most, least):
    source = Squares()
    crops = Crops(source, PreparationConfig(channels=1), AugmentationConfig(crop_size=(24, 24)), 3, cache_bytes)
    kept = [crops[number].image for number in range(40)]
    assert least <= source.reads <= most
    fresh = crops_of()
    assert all((kept[number] == fresh[number].image).all() for number in range(40))
