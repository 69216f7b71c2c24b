"""R2-IOS (arXiv:1511.04517), Sec. 3.1 to 3.4 and eq. 1, each against numbers worked out here by hand or with plain loops."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import roi_align, roi_pool

from seriatim.core.batch import Batch, Prompts
from seriatim.losses.proposals import dominant_masks, find_objects
from seriatim.models import catalogue
from seriatim.models.interface import TrainingContext
from seriatim.models.r2ios import R2IOS, Candidates, R2IOSConfig, decode
from seriatim.models.r2ios_objective import Goals, R2IOSObjectiveConfig, Refinement, objective
from seriatim.nn.denoising_autoencoder import DenoisingAutoencoder
from seriatim.nn.roi import decode_offsets, encode_offsets

TINY = {"trunk": "pyramid", "encoder": "test_resnet", "encoder_depth": 4, "pyramid_channels": 8, "fc_channels": 16}
TINY |= {"mask_side": 6, "mask_channels": 8, "hidden": 12, "box_side": 3, "num_classes": 2, "mask_deviation": None}
SCALE = (0.1, 0.1, 0.2, 0.2)


def network_of(seed=5, **settings):
    """Double precision, and output layers that do something."""
    network = catalogue.build("r2ios", {**TINY, **settings}, seed=0).double().eval()
    assert isinstance(network, R2IOS)
    generator, head = torch.Generator().manual_seed(seed), network.refinement_head
    with torch.no_grad():
        for layer, size in ((head.class_head, 1.0), (head.box_head, 0.5)):
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * size)
        values = look_of(BOXES, network, network.encode(image_of()))[0]
        head.class_head.bias.copy_(-values.mean(dim=0))  # so that not all boxes are of one class
    return network


def image_of(height=48, width=64, seed=0):
    return torch.rand(1, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


BOXES = torch.tensor([[4.0, 6.0, 30.0, 40.0], [10.0, 34.0, 44.0, 60.0], [0.0, 0.0, 20.0, 20.0]], dtype=torch.float64)


def look_of(boxes, network, maps):
    """Confidences, offsets and mask of some boxes of one image."""
    images = torch.zeros(len(boxes), dtype=torch.long)
    mask_logits = network.mask_head(maps.masks, boxes, images)
    return *network.refinement_head(maps.boxes, boxes, images, mask_logits), mask_logits


# --- Sec. 3.1: the mask of the dominant object ----------------------------------------------------------------------------------


@torch.no_grad()
def test_section_3_1_the_autoencoder_is_two_fully_connected_layers_over_both_maps():
    autoencoder = DenoisingAutoencoder(1, 2).double()
    autoencoder.encoder.weight.copy_(torch.tensor([[1.0, -1.0], [2.0, 1.0]]))
    autoencoder.encoder.bias.copy_(torch.tensor([0.5, -1.0]))
    autoencoder.decoder.weight.copy_(torch.tensor([[3.0, 1.0], [-2.0, -1.0]]))
    autoencoder.decoder.bias.copy_(torch.tensor([0.25, 0.0]))
    maps = torch.tensor([[[[2.0]], [[1.0]]], [[[0.0]], [[3.0]]]], dtype=torch.float64)
    # h = relu(2 - 1 + 0.5, 4 + 1 - 1) = (1.5, 4), v = (4.5 + 4 + 0.25, -3 - 4); h = relu(-2.5, 2) = (0, 2), v = (2.25, -2)
    assert autoencoder(maps).flatten(1).tolist() == [[8.75, -7.0], [2.25, -2.0]]


def test_section_3_1_the_dominant_object_is_the_one_that_covers_most_of_the_box_and_the_others_are_background():
    labels = torch.tensor([[1, 1, 1, 2, 2, 2, 2, 0]])
    masks = dominant_masks(torch.tensor([[0.0, 0.0, 1.0, 8.0], [0.0, 0.0, 1.0, 4.0]]), labels, find_objects(labels), 4)
    # the first holds 3 and 4 pixels, the second 3 and 1; cells of two pixels begin at the pixel behind their centre, 1, 3, 5 and 7
    assert masks[:, 0].tolist() == [[0, 1, 1, 0], [1, 1, 1, 0]]


@torch.no_grad()
@pytest.mark.parametrize("pooling", ["align", "max"])
def test_section_3_1_confidence_maps_are_1_x_1_convolutions_of_the_pooled_features(pooling):
    """Where the first convolution is done before the pooling it is the same."""
    network = network_of(rebuilding="none", pooling=pooling, encoder="test_efficientnet")
    image, head = image_of(), network.mask_head
    head.first.bias.copy_(torch.linspace(-1, 1, 8))
    features = network.branches(image).masks
    corners = BOXES[:, [1, 0, 3, 2]]
    align = roi_align(features, [corners], 6, 1 / 8, aligned=True)
    pooled = align if pooling == "align" else roi_pool(features, [corners], 6, 1 / 8)
    hidden = torch.einsum("bcyx,dc->bdyx", pooled, head.first.weight[:, :, 0, 0]) + head.first.bias[:, None, None]
    maps = torch.einsum("bcyx,dc->bdyx", hidden.relu(), head.last.weight[:, :, 0, 0]) + head.last.bias[:, None, None]
    torch.testing.assert_close(head(network.encode(image).masks, BOXES, torch.zeros(3, dtype=torch.long)), maps)


# --- Sec. 3.2: segmentation-aware features ----------------------------------------------------------------------------------------


@torch.no_grad()
def test_section_3_2_the_probabilities_of_the_mask_join_the_features_of_the_last_layer():
    network = network_of()
    maps, head = network.encode(image_of()), network.refinement_head
    class_logits, offsets, mask_logits = look_of(BOXES, network, maps)
    fc7, images = [], torch.zeros(3, dtype=torch.long)
    hook = head.fc7.register_forward_hook(lambda _, __, output: fc7.append(output.numpy()))
    head(maps.boxes, BOXES, images, mask_logits)
    hook.remove()
    powers = np.exp(mask_logits.numpy())
    joined = np.concatenate(
        (np.maximum(fc7[0], 0), (powers / powers.sum(axis=1, keepdims=True)).reshape(3, -1)), axis=1
    )
    assert joined.shape == (3, 16 + 2 * 6 * 6)
    expected = joined @ head.class_head.weight.numpy().T + head.class_head.bias.numpy()
    np.testing.assert_allclose(class_logits.numpy(), expected)
    expected = joined @ head.box_head.weight.numpy().T + head.box_head.bias.numpy()
    np.testing.assert_allclose(offsets.numpy(), expected.reshape(3, 3, 4))


# --- Sec. 3.3: offsets and recursion ----------------------------------------------------------------------------------------------


def test_section_3_3_offsets_are_shifts_by_the_size_and_logarithms_of_the_growth():
    box, target = torch.tensor([[10.0, 20.0, 20.0, 40.0]]), torch.tensor([[12.0, 20.0, 32.0, 30.0]])
    # centres (15, 30) and (22, 25), sides (10, 20) and (20, 10)
    expected = [7 / 10 / 0.1, -5 / 20 / 0.1, math.log(2) / 0.2, -math.log(2) / 0.2]
    assert encode_offsets(box, target, SCALE)[0].tolist() == pytest.approx(expected)
    assert decode_offsets(box, torch.tensor([expected]), SCALE)[0].tolist() == pytest.approx(target[0].tolist())


def plainly_moved(box, offsets, size):
    """f^l^-1 of one box, cut to the image."""
    y0, x0, y1, x1 = box
    height, width = y1 - y0, x1 - x0
    centre = (y0 + height / 2 + 0.1 * offsets[0] * height, x0 + width / 2 + 0.1 * offsets[1] * width)
    sides = (height * math.exp(0.2 * offsets[2]), width * math.exp(0.2 * offsets[3]))
    ends = [one for sign in (-0.5, 0.5) for one in (centre[0] + sign * sides[0], centre[1] + sign * sides[1])]
    moved = [min(max(one, 0.0), limit) for one, limit in zip(ends, (*size, *size), strict=True)]
    return moved if moved[2] - moved[0] >= 1 and moved[3] - moved[1] >= 1 else list(box)


@torch.no_grad()
@pytest.mark.parametrize("moving", ["predicted", "target"])
def test_section_3_3_boxes_move_by_the_offsets_of_their_class_and_background_stays(moving):
    network = network_of()
    maps, images, targets = network.encode(image_of()), torch.zeros(3, dtype=torch.long), torch.tensor([2, 0, 1])

    def choose(boxes, logits):
        return targets if moving == "target" else logits.argmax(dim=1)

    looks = [*network.refine(maps, BOXES, images, (48, 64), 4, choose)]
    boxes, classes_seen = BOXES, set()
    for look in looks:
        torch.testing.assert_close(look.boxes, boxes)
        class_logits, offsets, mask_logits = look_of(boxes, network, maps)  # of all boxes, those that stayed too
        torch.testing.assert_close(look.class_logits, class_logits)
        torch.testing.assert_close(look.offsets, offsets)
        torch.testing.assert_close(look.mask_logits, mask_logits)
        classes = targets.tolist() if moving == "target" else class_logits.argmax(dim=1).tolist()
        classes_seen |= set(classes)
        boxes = torch.tensor(
            [
                plainly_moved(box, offset[of_class], (48, 64)) if of_class else box
                for box, offset, of_class in zip(boxes.tolist(), offsets.tolist(), classes, strict=True)
            ],
            dtype=torch.float64,
        )
        torch.testing.assert_close(look.moved, boxes)
    assert len(looks) == 4
    assert len(classes_seen) > 1, "all moved alike, so one rule was not tried"


# --- eq. 1 and the gate -----------------------------------------------------------------------------------------------------------


def look_with(confidences, offsets=(0.0,) * 4, mask_logits=(0.0, 0.0)):
    """A look at one proposal of three labels and a mask of one cell."""
    return Refinement(
        torch.tensor([[0.0, 0.0, 4.0, 4.0]]),
        torch.tensor([confidences]).log(),
        torch.tensor([[[7.0] * 4, list(offsets), [7.0] * 4]]),
        torch.tensor([mask_logits]).view(1, 2, 1, 1),
        torch.tensor([[0.0, 0.0, 4.0, 4.0]]),
    )


def goals_of(label):
    return Goals(torch.tensor([label]), torch.zeros(1, 4), torch.ones(1, 1, 1, dtype=torch.long))


def joined(*parts):
    """Several proposals as one."""
    return type(parts[0])(*(torch.cat(values) for values in zip(*parts, strict=True)))


def test_equation_1_of_foreground_and_background():
    foreground = look_with([0.2, 0.7, 0.1], offsets=(0.5, -2.0, 0.0, 0.0), mask_logits=(0.0, math.log(4.0)))
    background = look_with([0.6, 0.3, 0.1], offsets=(3.0, 3.0, 3.0, 3.0), mask_logits=(9.0, 0.0))
    terms = objective([joined(foreground, background)], [joined(goals_of(1), goals_of(0))], R2IOSObjectiveConfig())
    # means over two proposals; of background neither location nor mask counts
    assert float(terms["classification"]) == pytest.approx((-math.log(0.7) - math.log(0.6)) / 2)
    assert float(terms["location"]) == pytest.approx((0.5 * 0.5**2 + (2 - 0.5)) / 2)
    assert float(terms["segmentation"]) == pytest.approx(-math.log(4 / 5) / 2)


CONFIDENCES = [[0.5, 0.4, 0.1], [0.3, 0.6, 0.1], [0.45, 0.5, 0.05], [0.05, 0.55, 0.4]]
"""Of four looks: as object of class 1 the second is best, as background the first."""


@pytest.mark.parametrize(
    ("gate", "confidence", "label", "counted"),
    [
        (True, "own", 1, 2),
        (True, "own", 0, 1),
        (True, "own", 2, 4),
        (True, "foreground", 0, 2),  # 0.6 of class 1
        (True, "foreground", 2, 2),
        (False, "own", 1, 4),
    ],
)
def test_section_3_3_the_losses_up_to_the_best_look_are_summed(gate, confidence, label, counted):
    looks = [look_with(one) for one in CONFIDENCES]
    weights = R2IOSObjectiveConfig(gate=gate, gate_confidence=confidence)
    total = objective(looks, [goals_of(label)] * 4, weights)["classification"]
    assert total.item() == pytest.approx(sum(-math.log(one[label]) for one in CONFIDENCES[:counted]))


def square_batch():
    labels = torch.zeros(1, 48, 64, dtype=torch.long)
    labels[0, 6:28, 8:38] = 1
    labels[0, 12:42, 40:60] = 2
    prompts = Prompts(BOXES.float(), torch.ones(3), torch.zeros(3, dtype=torch.long), torch.zeros(0, 2))
    return Batch(image_of(), labels, torch.tensor([[1, 2]]), prompts=(prompts,))


def loss_of(network, batch, weights):
    terms = network.losses(batch, weights, TrainingContext(torch.Generator().manual_seed(0)))
    return torch.stack(list(terms.values())).sum()


@pytest.mark.parametrize("gate", [True, False])
def test_section_3_3_no_gradient_passes_through_boxes_or_the_choice_of_the_gate(gate):
    """The gradient is that of looks at boxes that are constants, with a choice that is a constant."""
    network, batch = network_of(), square_batch()
    weights = R2IOSObjectiveConfig(gate=gate, add_truth=False, foreground_fraction=1.0)
    network.zero_grad()
    total = loss_of(network, batch, weights)
    total.backward()
    ours = {name: parameter.grad.clone() for name, parameter in network.named_parameters()}

    objects = torch.tensor([[6.0, 8, 28, 38], [12.0, 40, 42, 60]], dtype=torch.float64)
    network.zero_grad()
    maps, expected = network.encode(batch.images), torch.zeros((), dtype=torch.float64)
    optimal_seen = set()
    for box, of_class, target in ((BOXES[:1], 1, objects[:1]), (BOXES[1:2], 2, objects[1:]), (BOXES[2:], 0, None)):
        costs, confidences = [], []
        for _ in range(4):
            class_logits, offsets, mask_logits = look_of(box.detach(), network, maps)
            log_probs = class_logits[0].log_softmax(dim=0)
            confidences.append(log_probs[of_class].item())
            cost = -log_probs[of_class]
            if of_class:
                wanted = encode_offsets(box, target, SCALE)[0]
                off = (offsets[0, of_class] - wanted).abs()
                cost = cost + torch.where(off < 1, off**2 / 2, off - 0.5).sum()
                mask = dominant_masks(box, batch.labels[0], find_objects(batch.labels[0]), 6)
                cost = cost + F.cross_entropy(mask_logits, mask)
                moved = plainly_moved(box[0].tolist(), offsets[0, of_class].tolist(), (48, 64))
                box = torch.tensor([moved], dtype=torch.float64)
            costs.append(cost)
        optimal = confidences.index(max(confidences)) if gate else 3
        optimal_seen.add(optimal)
        expected = expected + torch.stack(costs[: optimal + 1]).sum() / 3
    expected.backward()
    assert total.item() == pytest.approx(expected.item())
    assert not gate or len(optimal_seen) > 1, "the gate chose the same for all, so little was tried"
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(ours[name], parameter.grad, msg=lambda text, name=name: f"{name}: {text}")


def test_gradients_of_the_whole_network_equal_finite_differences():
    """Along one direction of the weights behind the boxes; those that move a box would change the loss through it, which is cut."""
    network, batch = network_of(num_refinements=1), square_batch()
    weights = R2IOSObjectiveConfig(add_truth=False, foreground_fraction=1.0)
    parameters = [one for name, one in network.named_parameters() if not name.startswith("branches.encoder")]
    generator = torch.Generator().manual_seed(3)
    directions = [torch.randn(one.shape, dtype=torch.float64, generator=generator) for one in parameters]
    gradients = torch.autograd.grad(loss_of(network, batch, weights), parameters)
    slope = sum((one * other).sum().item() for one, other in zip(gradients, directions, strict=True))
    values = []
    with torch.no_grad():
        for step in (1e-6, -2e-6):
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(step * direction)
            values.append(loss_of(network, batch, weights).item())
    assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-4)


def test_section_3_3_labels_stay_those_of_the_first_box_unless_they_are_asked_for_anew():
    network, batch = network_of(), square_batch()
    with torch.no_grad():
        network.refinement_head.box_head.bias[4:8] = torch.tensor(
            [20.0, 0.0, 0.0, 0.0]
        )  # class 1 runs out of its object
    kept, anew = (
        loss_of(network, batch, R2IOSObjectiveConfig(gate=False, add_truth=False, relabel=relabel))
        for relabel in (False, True)
    )
    assert kept.item() != pytest.approx(anew.item())


# --- Sec. 3.4: testing ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_section_3_4_class_box_and_mask_of_a_proposal_are_those_of_its_best_look():
    network = network_of(min_score=0.0, nms_iou=1.0, mask_threshold=0.5)
    prompts = Prompts(BOXES, torch.ones(3), torch.zeros(3, dtype=torch.long), torch.zeros(0, 2))
    trace = network.trace(image_of()[0], prompts)
    found = {round(one.instance.score, 9): one for one in network.detect(image_of(), [prompts])}
    assert len(set(trace.optimal.tolist())) > 1, "all take the same look, so little was tried"
    assert len(found) == 3
    for row in range(3):
        probs = np.array([look.class_logits[row].softmax(dim=0).tolist() for look in trace.refinements])[:, 1:]
        best = int(probs.max(axis=1).argmax())
        assert int(trace.optimal[row]) == best
        one = found[round(float(probs[best].max()), 9)]
        assert one.instance.class_id == int(probs[best].argmax()) + 1
        np.testing.assert_allclose(one.instance.class_probs, probs[best])
        y0, x0, y1, x1 = trace.refinements[best].boxes[row].tolist()
        mask_logits = trace.refinements[best].mask_logits[row].numpy()
        foreground = 1 / (1 + np.exp(mask_logits[0] - mask_logits[1]))
        for y, x in ((24, 30), (20, 12), (8, 9)):  # at centres of pixels
            inside = y0 <= y + 0.5 < y1 and x0 <= x + 0.5 < x1
            v, u = (y + 0.5 - y0) / (y1 - y0) * 6 - 0.5, (x + 0.5 - x0) / (x1 - x0) * 6 - 0.5
            v, u = min(max(v, 0), 5), min(max(u, 0), 5)
            top, left = min(int(v), 4), min(int(u), 4)
            rows = foreground[top] * (1 - (v - top)) + foreground[top + 1] * (v - top)
            value = rows[left] * (1 - (u - left)) + rows[left + 1] * (u - left)
            assert float(one.probs[y, x]) == pytest.approx(value if inside else 0.0, abs=1e-9)


def test_section_3_4_of_two_boxes_of_a_class_the_better_stays_and_another_class_is_another_object():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 9], [0.0, 0, 10, 10], [20.0, 20, 30, 30], [20.0, 20, 30, 30]])
    class_probs = torch.tensor([[0.6, 0.1], [0.7, 0.1], [0.1, 0.5], [0.04, 0.02], [0.2, 0.06]])
    candidates = Candidates(boxes, boxes, class_probs, torch.ones(5, 2, 2))
    found = [instance for instance, _ in decode(candidates, (40, 40), R2IOSConfig())]
    # 0 loses to 1 (IoU 0.9), 2 is of another class, 3 is below 0.05
    assert [(one.class_id, one.box, one.step) for one in found] == [
        (1, (0, 0, 10, 9), 0),
        (2, (0, 0, 10, 10), 1),
        (1, (20, 20, 30, 30), 2),
    ]
    assert [one.score for one in found] == pytest.approx([0.7, 0.5, 0.2])


# --- Sec. 4.1: first weights --------------------------------------------------------------------------------------------------------


def test_section_4_1_first_weights_are_of_the_deviations_named_there_and_biases_0():
    settings = {**TINY, "mask_side": 20, "hidden": 64, "mask_channels": 128, "pyramid_channels": 64, "num_classes": 20}
    network = catalogue.build("r2ios", {**settings, "mask_deviation": 0.001}, seed=0)
    masks, outputs = network.mask_head, network.refinement_head
    expected = {outputs.class_head: 0.01, outputs.box_head: 0.001, masks.first: 0.001, masks.last: 0.001}
    expected |= {masks.autoencoder.encoder: 0.001, masks.autoencoder.decoder: 0.001}
    for layer, deviation in expected.items():
        assert float(layer.weight.detach().std()) == pytest.approx(deviation, rel=0.15)
        assert not layer.bias.any()
