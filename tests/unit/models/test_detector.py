"""What is a detector's own; what every model must do is tested in `test_interface.py`."""

import numpy as np
import pytest
import torch

from seriatim.core.batch import Batch, Prompts
from seriatim.core.errors import ConfigError, ShapeError
from seriatim.models import catalogue
from seriatim.models.detector import DetectorObjectiveConfig
from seriatim.models.interface import TrainingContext

TINY = {"encoder": "test_resnet", "encoder_depth": 3, "channels": 32, "head_convolutions": 1, "finest_size": 16}
KINDS = ("fcos", "faster_rcnn")


def build(**settings):
    return catalogue.build("detector", {**TINY, "representation": 8, "input_channels": 1, **settings}, seed=0)


def squares(*boxes, size=(64, 64), classes=None):
    """An image with bright boxes, and the truth."""
    labels = torch.zeros(1, *size, dtype=torch.long)
    for number, (y0, x0, y1, x1) in enumerate(boxes, start=1):
        labels[0, y0:y1, x0:x1] = number
    class_ids = torch.ones(1, len(boxes), dtype=torch.long) if classes is None else torch.tensor([classes])
    return Batch((labels > 0).float()[:, None], labels, class_ids)


def context(seed=0):
    return TrainingContext(torch.Generator().manual_seed(seed))


def losses_of(network, batch, seed=0, **weights):
    return network.losses(batch, DetectorObjectiveConfig(**weights), context(seed))


def outputs(network, boxes, scores, labels, shape=(40, 50)):
    """What is found in an image if torchvision's network gives these boxes (x0, y0, x1, y1)."""
    given = {"boxes": torch.tensor(boxes), "scores": torch.tensor(scores), "labels": torch.tensor(labels)}
    network.detector.forward = lambda images: [given]
    return list(network.eval().detect(torch.zeros(1, 1, *shape)))


def test_boxes_become_rows_before_columns_with_score_and_class_best_first():
    found = outputs(build(num_classes=3), [[10.0, 2.0, 20.0, 5.0], [0.0, 30.0, 50.0, 40.0]], [0.3, 0.9], [2, 0])
    assert [one.instance.box for one in found] == [(30, 0, 40, 50), (2, 10, 5, 20)]
    assert [one.instance.class_id for one in found] == [1, 3]
    assert [one.instance.score for one in found] == pytest.approx([0.9, 0.3])
    assert [one.instance.step for one in found] == [0, 1]
    assert all(one.instance.mask.all() for one in found)


def test_faster_rcnn_counts_its_classes_from_the_background():
    found = outputs(build(kind="faster_rcnn", num_classes=3), [[10.0, 2.0, 20.0, 5.0]], [0.3], [3])
    assert found[0].instance.class_id == 3


def test_edges_within_a_pixel_go_to_the_nearer_side_and_show_in_the_probabilities():
    (found,) = outputs(build(), [[1.75, 2.25, 4.25, 5.75]], [0.5], [0], (8, 8))
    assert found.instance.box == (2, 2, 6, 4)
    assert found.probs[2:6, 1:5].tolist() == [
        [0.25, 0.75, 0.75, 0.25],
        *[[0.25, 1, 1, 0.25]] * 2,
        [0.25, 0.75, 0.75, 0.25],
    ]


def test_a_box_that_covers_no_pixel_by_half_is_left_out():
    assert outputs(build(), [[1.2, 2.0, 1.6, 9.0], [3.0, 3.0, 3.0, 3.0]], [0.5, 0.4], [0, 0]) == []


@pytest.mark.parametrize("kind", KINDS)
def test_torchvision_is_given_the_true_boxes_columns_before_rows(kind):
    network = build(kind=kind, num_classes=4)
    seen = []
    network.detector.forward = lambda images, targets: seen.append(targets) or {}
    losses_of(network, squares((3, 10, 9, 30), (20, 40, 41, 50), classes=[4, 1]))
    ((target,),) = seen
    assert target["boxes"].tolist() == [[10, 3, 30, 9], [40, 20, 50, 41]]
    assert target["labels"].tolist() == ([3, 0] if kind == "fcos" else [4, 1])


@pytest.mark.parametrize("kind", KINDS)
def test_without_classes_every_object_is_of_the_one_class(kind):
    batch = squares((3, 10, 29, 30), (32, 40, 51, 60), classes=[4, 1])
    given, alike = (
        losses_of(build(kind=kind), one) for one in (batch, batch._replace(classes=torch.ones(1, 2, dtype=torch.long)))
    )
    assert given == alike


def test_a_class_that_the_model_does_not_have_is_refused():
    with pytest.raises(ConfigError, match=r"an object of class 5, the model has 4"):
        losses_of(build(num_classes=4), squares((3, 10, 29, 30), classes=[5]))


@pytest.mark.not_quick
@pytest.mark.parametrize("kind", KINDS)
def test_a_few_squares_are_learned(kind):
    network = build(kind=kind, min_score=0.3, representation=32, max_candidates=50)
    truth = [(6, 8, 26, 30), (34, 30, 52, 54)]
    batch = squares(*truth)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    network.eval()  # one image has too little for batch norm
    for iteration in range(60):
        total = torch.stack(list(losses_of(network, batch, iteration).values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    with torch.no_grad():
        found = np.array([one.instance.box for one in network.detect(batch.images)])
    errors = np.abs(found[:, None] - truth).max(axis=2)
    assert (errors.min(axis=0) <= 3).all(), found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(1, 1), (5, 70), (33, 47)])
def test_images_of_any_size_are_looked_at_and_boxes_end_at_their_edge(kind, size):
    network = build(kind=kind, min_score=0.0, max_overlap=1.0, max_detections=5).eval()
    with torch.no_grad():
        found = list(network.detect(torch.rand(2, 1, *size)))
    assert all(one.probs.shape == size for one in found)
    assert all(one.instance.box[2] <= size[0] and one.instance.box[3] <= size[1] for one in found)
    assert max(sum(one.image == image for one in found) for image in (0, 1)) <= 5


@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_the_same_in_both_modes_and_leaves_the_mode(kind):
    network, batch = build(kind=kind).eval(), squares((3, 10, 29, 30))
    first = losses_of(network, batch)
    assert not any(module.training for module in network.modules())
    for module in network.modules():
        module.training = not isinstance(module, torch.nn.BatchNorm2d)
    before = [module.training for module in network.modules()]
    assert losses_of(network, batch) == first
    with torch.no_grad():
        list(network.detect(batch.images))
    assert [module.training for module in network.modules()] == before


def test_the_proposals_that_are_trained_follow_from_the_generator_alone():
    network = build(kind="faster_rcnn").eval()
    batch = squares(*((y, x, y + 14, x + 12) for y in range(0, 60, 16) for x in range(0, 60, 16)))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = losses_of(network, batch, 5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert losses_of(network, batch, 5) == first
    assert losses_of(network, batch, 6) != first


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_keeps_places_in_single_precision(kind):
    network = build(kind=kind, min_score=0.0).eval()
    seen = []
    heads = (
        [network.detector.head]
        if kind == "fcos"
        else [network.detector.rpn.head, network.detector.roi_heads.box_predictor]
    )
    for head in heads:
        head.register_forward_hook(lambda module, given, output: seen.append(output))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        list(network.detect(torch.rand(1, 1, 64, 64)))
    flat = []
    for output in seen:
        for value in output.values() if isinstance(output, dict) else output:
            flat += value if isinstance(value, list) else [value]
    assert {value.dtype for value in flat} == {torch.float32}


def test_prompts_are_refused():
    with pytest.raises(ConfigError, match="boxes: a detector takes neither boxes nor points"):
        list(build().detect(torch.zeros(1, 1, 32, 32), [Prompts.none()]))


def test_images_with_other_channels_are_refused_in_training_too():
    batch = squares((3, 10, 29, 30))
    with pytest.raises(ShapeError, match="expected 1 channels, got 3"):
        losses_of(build(), batch._replace(images=batch.images.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"finest_level": 3}, r"finest_level: 3 needs an encoder_depth above 3, got 3"),
        ({"finest_level": 2}, r"finest_size: 16 leaves objects between the places of stride 8; take at least 32"),
        ({"channels": 40}, r"multiple of 32"),
        ({"finest_size": 24}, r"multiple of 16"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        build(**settings)
