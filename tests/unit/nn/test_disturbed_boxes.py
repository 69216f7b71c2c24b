import pytest
import torch

from seriatim.core.batch import Prompts
from seriatim.nn.disturbed_boxes import disturb_boxes


def truth(count=200, side=20.0):
    starts = 10 + 60 * torch.rand(count, 2, generator=torch.Generator().manual_seed(1))
    boxes = torch.cat((starts, starts + torch.tensor([side, 2 * side])), dim=1)
    return Prompts(boxes, torch.ones(count), torch.arange(count) % 3 + 1, torch.zeros(0, 2))


def disturbed(seed=0, count=200, jitter=0.0, false_boxes=0.0, copies=1):
    generator = torch.Generator().manual_seed(seed)
    return disturb_boxes(truth(count), (150, 150), 3, jitter, false_boxes, generator, copies)


def test_true_boxes_stay_as_they_are_unless_settings_ask_for_more():
    assert all(torch.equal(*pair) for pair in zip(disturbed(), truth(), strict=True))


def test_edges_move_by_a_share_of_their_box_and_the_score_is_the_overlap():
    moved, before = disturbed(jitter=0.1), truth()
    spread = (moved.boxes - before.boxes).std(dim=0) / torch.tensor([20, 40, 20, 40])
    assert spread.tolist() == pytest.approx([0.1] * 4, rel=0.2)
    assert moved.class_ids.tolist() == before.class_ids.tolist()
    y0, x0, y1, x1 = moved.boxes[0].tolist()
    a0, b0, a1, b1 = before.boxes[0].tolist()
    shared = (min(y1, a1) - max(y0, a0)) * (min(x1, b1) - max(x0, b0))
    union = (y1 - y0) * (x1 - x0) + (a1 - a0) * (b1 - b0) - shared
    assert float(moved.scores[0]) == pytest.approx(shared / union, rel=1e-4)


def test_moved_boxes_stay_boxes_inside_the_image():
    boxes = disturbed(jitter=0.5, count=2000).boxes
    assert (boxes[:, 2:] >= boxes[:, :2]).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 150


def test_false_boxes_come_after_the_true_ones_in_the_number_asked_for():
    found = disturbed(false_boxes=0.5)
    assert len(found.boxes) == 300
    assert torch.equal(found.boxes[:200], truth().boxes)
    extents = (found.boxes[200:, 2:] - found.boxes[200:, :2]).tolist()
    assert extents == [pytest.approx([20.0, 40.0], abs=1e-3)] * 100
    assert set(found.class_ids[200:].tolist()) == {1, 2, 3}
    assert 0.3 < float(found.scores[200:].mean()) < 0.7
    counts = [len(disturbed(seed, count=1, false_boxes=0.5).boxes) for seed in range(60)]
    assert 1.3 < sum(counts) / 60 < 1.7


def test_the_draws_depend_on_the_generator_alone():
    first, again, other = (disturbed(seed, jitter=0.1, false_boxes=0.5) for seed in (3, 3, 4))
    assert torch.equal(first.boxes, again.boxes)
    assert not torch.equal(first.boxes[:200], other.boxes[:200])


def test_an_image_without_objects_gets_no_false_box():
    none = disturb_boxes(Prompts.none(), (9, 9), 3, 0.1, 5.0, torch.Generator())
    assert len(none.boxes) == 0


def test_every_copy_of_a_true_box_is_moved_by_itself_and_false_boxes_are_counted_by_objects():
    found = disturbed(jitter=0.1, false_boxes=2.0, copies=3)
    assert len(found.boxes) == 3 * 200 + 2 * 200
    copies = found.boxes[:600].view(3, 200, 4)
    assert (copies[0] != copies[1]).any(dim=1).all()
    assert float((copies.mean(dim=0) - truth().boxes).abs().mean()) < 2.5
    assert found.class_ids[:600].tolist() == truth().class_ids.tolist() * 3
    assert float(found.scores[:600].min()) > 0.3
    assert all(torch.equal(*pair) for pair in zip(disturbed(copies=2).boxes.chunk(2), [truth().boxes] * 2, strict=True))
