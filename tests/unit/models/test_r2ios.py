"""R2-IOS beyond its equations: odd proposals and images, the variants of Table 2, memory, and a scene that is learned by heart."""

import pytest
import torch

from seriatim.core.batch import Batch, Prompts
from seriatim.core.errors import ConfigError
from seriatim.models import catalogue
from seriatim.models.interface import TrainingContext
from seriatim.models.r2ios import R2IOSConfig
from seriatim.models.r2ios_objective import R2IOSObjectiveConfig

TINY = {"trunk": "pyramid", "encoder": "test_resnet", "encoder_depth": 4, "pyramid_channels": 8, "fc_channels": 16}
TINY |= {"mask_side": 6, "mask_channels": 8, "hidden": 12, "box_side": 3, "num_classes": 2}

EVERYTHING = {"min_score": 0.0, "mask_threshold": 0.4, "nms_iou": 1.0}
"""Settings under which every proposal is an object."""


def network_of(**settings):
    return catalogue.build("r2ios", {**TINY, **settings}, seed=0).eval()


def prompts_of(*boxes, scores=None):
    count = len(boxes)
    scores = torch.ones(count) if scores is None else torch.tensor(scores)
    edges = torch.tensor(boxes, dtype=torch.float32).reshape(count, 4)
    return Prompts(edges, scores, torch.zeros(count, dtype=torch.long), torch.zeros(0, 2))


def image_of(height=40, width=48, seed=0):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def found_in(network, image, *boxes, **arguments):
    with torch.no_grad():
        return [one.instance for one in network.detect(image, [prompts_of(*boxes, **arguments)])]


BOX, OTHER = (4.0, 6.0, 30.0, 40.0), (10.0, 0.0, 40.0, 20.0)


# --- proposals ------------------------------------------------------------------------------------------------------------------


def test_without_proposals_there_are_no_objects():
    assert found_in(network_of(**EVERYTHING), image_of()) == []


def test_boxes_outside_the_image_or_without_area_are_no_proposals():
    network = network_of(**EVERYTHING)
    found = found_in(network, image_of(), (50.0, 0.0, 60.0, 9.0), (3.0, 3.0, 3.0, 9.0), (-9.0, -9.0, 0.0, 0.0), BOX)
    assert len(found) == 1


def test_a_box_that_reaches_beyond_the_image_is_cut_to_it():
    network = network_of(**EVERYTHING, gate=False)
    beyond = network.trace(image_of()[0], prompts_of((-20.0, 6.0, 30.0, 400.0)))
    assert beyond.refinements[0].boxes.tolist() == [[0.0, 6.0, 30.0, 48.0]]
    for look in beyond.refinements:
        assert bool((look.moved >= 0).all() & (look.moved <= torch.tensor([40.0, 48.0, 40.0, 48.0])).all())


def test_of_equal_proposals_one_object_is_left():
    settings = {**EVERYTHING, "nms_iou": 0.3}
    assert len(found_in(network_of(**settings), image_of(), BOX, BOX, BOX)) == 1


@pytest.mark.parametrize("box", [(9.0, 0.0, 3.0, 4.0), (0.0, 0.0, float("nan"), 4.0)])
def test_a_box_that_is_none_is_refused_with_its_number(box):
    with pytest.raises(ConfigError, match="boxes: box 1 "):
        found_in(network_of(), image_of(), BOX, box)


def test_a_model_without_proposals_or_with_points_is_refused():
    network = network_of()
    with pytest.raises(ConfigError, match="needs proposals"):
        list(network.detect(image_of()))
    with pytest.raises(ConfigError, match="points: this model has no guidance"):
        list(network.detect(image_of(), [Prompts.none()._replace(points=torch.zeros(1, 2))]))


def test_more_proposals_than_allowed_leaves_those_of_the_best_scores():
    network = network_of(max_proposals=1)
    trace = network.trace(image_of()[0], prompts_of(BOX, OTHER, scores=[0.2, 0.9]))
    assert trace.refinements[0].boxes.tolist() == [list(OTHER)]


def test_proposals_of_one_image_do_not_see_each_other_however_many_are_looked_at_together():
    boxes = [BOX, OTHER, (0.0, 0.0, 20.0, 20.0), (20.0, 20.0, 40.0, 48.0), (2.0, 2.0, 12.0, 45.0)]
    together = found_in(network_of(**EVERYTHING), image_of(), *boxes)
    apart = found_in(network_of(**EVERYTHING, proposals_at_once=2), image_of(), *boxes)
    assert len(together) == 5
    assert [(one.box, one.class_id, one.step) for one in together] == [
        (one.box, one.class_id, one.step) for one in apart
    ]
    assert [one.score for one in together] == pytest.approx([one.score for one in apart], abs=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 200)])
def test_an_image_smaller_than_a_cell_has_objects_in_it(size):
    found = found_in(network_of(**EVERYTHING), image_of(*size), (0.0, 0.0, float(size[0]), float(size[1])))
    assert [one.box for one in found] == [(0, 0, *size)]


def test_objects_come_with_falling_scores_and_at_most_as_many_as_allowed():
    boxes = [(float(y), float(x), y + 12.0, x + 12.0) for y in (0, 14, 28) for x in (0, 16, 32)]
    found = found_in(network_of(**EVERYTHING, max_objects=4), image_of(), *boxes)
    assert len(found) == 4
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert [one.step for one in found] == [0, 1, 2, 3]


# --- training -------------------------------------------------------------------------------------------------------------------


def batch_of(labels, classes, *boxes, given=True):
    labels = torch.tensor(labels)[None].repeat_interleave(8, 1).repeat_interleave(8, 2)
    prompts = (prompts_of(*boxes),) if given else None
    return Batch(image_of(*labels.shape[1:]), labels, torch.tensor([classes], dtype=torch.long), prompts=prompts)


EMPTY = [[0] * 6] * 5
PAIR = [[0, 1, 1, 0, 0, 0], [0, 1, 1, 0, 2, 0], [0, 0, 0, 0, 2, 0], [0, 0, 0, 0, 2, 0], [0, 0, 0, 0, 0, -1]]


def losses_of(network, batch, seed=0, **weights):
    context = TrainingContext(torch.Generator().manual_seed(seed))
    return network.losses(batch, R2IOSObjectiveConfig(**weights), context)


def test_a_data_set_without_proposals_is_refused():
    with pytest.raises(ConfigError, match=r"data\.boxes"):
        losses_of(network_of(), batch_of(PAIR, [1, 2], given=False))


def test_proposals_of_the_truth_need_none_in_the_data_and_are_drawn_by_the_generator_alone():
    batch = batch_of(PAIR, [1, 2], given=False)
    first, again, other = (losses_of(network_of(), batch, seed, boxes="truth") for seed in (0, 0, 1))
    assert first["location"].item() > 0
    assert first == again
    assert first["location"].item() != other["location"].item()
    given = batch_of(PAIR, [1, 2], (0.0, 0.0, 40.0, 48.0))
    assert losses_of(network_of(), given, boxes="truth") == first


def test_a_step_notes_the_histogram_of_the_gate_and_the_network_says_when_it_has_collapsed():
    network, context = network_of(), TrainingContext(torch.Generator())
    network.losses(batch_of(PAIR, [1, 2], BOX, OTHER), R2IOSObjectiveConfig(), context)
    assert list(context.notes) == ["optimal_1", "optimal_2", "optimal_3", "optimal_4"]
    assert sum(context.notes.values()) == pytest.approx(1)
    assert network.remark(dict.fromkeys(context.notes, 0.25)) is None
    assert "collapsed" in (network.remark({**dict.fromkeys(context.notes, 0.0), "optimal_3": 1.0}) or "")


def test_a_class_that_the_model_does_not_know_is_refused():
    with pytest.raises(ConfigError, match=r"is of class 3, the model knows 1\.\.2"):
        losses_of(network_of(), batch_of(PAIR, [1, 3], BOX))


@pytest.mark.parametrize("boxes", [[], [BOX, OTHER]])
def test_an_image_without_objects_trains_on_background_alone(boxes):
    network = network_of()
    terms = losses_of(network, batch_of(EMPTY, [], *boxes))
    torch.stack(list(terms.values())).sum().backward()
    assert (terms["classification"].item() > 0) == bool(boxes)
    assert terms["location"].item() == terms["segmentation"].item() == 0
    assert all(bool(one.grad.isfinite().all()) for one in network.parameters() if one.grad is not None)


def test_without_the_true_boxes_an_image_without_good_proposals_is_background():
    batch = batch_of(PAIR, [1, 2], (0.0, 0.0, 8.0, 8.0))
    assert losses_of(network_of(), batch)["segmentation"].item() > 0
    assert losses_of(network_of(), batch, add_truth=False)["segmentation"].item() == 0


def test_the_context_alone_draws_proposals_and_what_dropout_leaves_out():
    boxes = [(float(y), float(x), y + 9.0, x + 14.0) for y in range(0, 30, 3) for x in range(0, 32, 4)]
    for settings, weights in (({}, {"proposals": 8}), ({"dropout": 0.5}, {"proposals": 500})):
        network = network_of(**settings).train()
        batch, totals = batch_of(PAIR, [1, 2], *boxes), []
        for seed in (0, 0, 1):
            torch.manual_seed(len(totals))
            totals.append(losses_of(network, batch, seed, **weights)["classification"].item())
        assert totals[0] == totals[1] != totals[2]


def test_dropout_leaves_nothing_out_in_use():
    network, batch = network_of(dropout=0.5), batch_of(PAIR, [1, 2], BOX)
    first, other = (losses_of(network, batch, seed)["classification"].item() for seed in (0, 1))
    assert first == pytest.approx(other)  # summed in another order


# --- the variants of Table 2 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_recursions_are_as_many_as_asked_for_in_use_and_training(count):
    network = network_of(num_refinements=count)
    assert len(network.trace(image_of()[0], prompts_of(BOX)).refinements) == count
    batch = batch_of(EMPTY, [], BOX)  # background, which every look sees alike
    once = losses_of(network, batch, gate=True)["classification"].item()
    assert losses_of(network, batch, gate=False)["classification"].item() == pytest.approx(count * once)


def test_recursive_only_in_use_trains_one_look():
    network, once = network_of(training_refinements=1), network_of(num_refinements=1)
    batch = batch_of(PAIR, [1, 2], BOX)
    assert len(network.trace(image_of()[0], prompts_of(BOX)).refinements) == 4
    assert losses_of(network, batch, gate=False) == losses_of(once, batch, gate=False)


def test_without_the_gate_the_last_look_is_taken():
    trace = network_of(gate=False).trace(image_of()[0], prompts_of(BOX, OTHER))
    assert trace.optimal.tolist() == [3, 3]


def test_the_variants_have_the_layers_that_their_names_say():
    def layers(**settings):
        return dict(network_of(**settings).named_parameters())

    full = layers()
    assert full["mask_head.autoencoder.encoder.weight"].shape == (12, 2 * 6 * 6)
    assert layers(rebuilding="fully_connected")["mask_head.autoencoder.encoder.weight"].shape == (72, 72)
    assert not any("autoencoder" in name for name in layers(rebuilding="none"))
    assert full["refinement_head.class_head.weight"].shape == (3, 16 + 72)
    assert full["refinement_head.box_head.weight"].shape == (12, 16 + 72)
    assert layers(segmentation_aware=False)["refinement_head.class_head.weight"].shape == (3, 16)
    assert not any("box_encoder" in name for name in full)
    assert any("box_encoder" in name for name in layers(shared_trunk=False))


def test_without_segmentation_aware_features_the_mask_has_no_part_in_the_class():
    network = network_of(segmentation_aware=False)
    losses_of(network, batch_of(PAIR, [1, 2], BOX))["classification"].backward()
    assert all(one.grad is None for one in network.mask_head.parameters())


def test_the_mask_can_be_laid_into_the_refined_box():
    settings = {**EVERYTHING, "num_refinements": 1}
    boxes = {}
    for place in ("seen", "refined"):
        network = network_of(**settings, paste_into=place)
        with torch.no_grad():
            network.refinement_head.class_head.bias[1] = 9.0
            network.refinement_head.box_head.bias[4:8] = torch.tensor([2.0, 0.0, 0.0, 0.0])
        boxes[place] = found_in(network, image_of(), (4.0, 6.0, 24.0, 40.0))[0].box
    assert boxes["seen"] == (4, 6, 24, 40)
    assert abs(boxes["refined"][0] - 8) <= 1  # by 2 x 0.1 of 20 pixels


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trunk": "vgg16", "input_channels": 1}, "input_channels: VGG-16 takes 3 or 4"),
        ({"trunk": "vgg16", "strides": (4, 8)}, "strides: VGG-16 has strides 8 and 16"),
        ({"strides": (8, 64)}, r"strides: .*not 64"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        network_of(**settings)


def test_the_defaults_are_those_of_the_paper():
    config, weights = R2IOSConfig(), R2IOSObjectiveConfig()
    assert (config.trunk, config.strides, config.mask_side, config.box_side) == ("vgg16", (8, 16), 40, 7)
    assert (config.hidden, config.num_refinements, config.fc_channels) == (512, 4, 4096)
    assert (weights.proposals, weights.foreground_fraction, weights.foreground_iou) == (64, 0.25, 0.5)


@torch.no_grad()
def test_half_precision_gives_finite_results():
    network = network_of(**EVERYTHING)
    with torch.autocast("cpu", torch.bfloat16):
        found = found_in(network, image_of(), BOX, OTHER)
    assert len(found) == 2


# --- a scene learned by heart -----------------------------------------------------------------------------------------------------


@pytest.mark.not_quick
def test_a_scene_that_is_trained_on_is_found_again():
    labels = torch.zeros(1, 64, 64, dtype=torch.long)
    labels[0, 8:30, 6:28], labels[0, 24:56, 34:58] = 1, 2
    images = 0.2 + 0.05 * torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    images[0, 0] += 0.7 * (labels[0] == 1)
    images[0, 1] += 0.6 * (labels[0] == 2)
    truth, generator = torch.tensor([[8.0, 6, 30, 28], [24, 34, 56, 58]]), torch.Generator().manual_seed(1)
    near = [truth + 6 * torch.randn(2, 4, generator=generator).clamp(-1, 1) for _ in range(8)]
    far = torch.tensor([[0.0, 0, 20, 20], [40, 0, 64, 30], [0, 30, 20, 64], [0, 0, 64, 64]])
    prompts = prompts_of(*torch.cat([*near, far]).tolist())
    batch = Batch(images, labels, torch.tensor([[1, 2]]), prompts=(prompts,))
    larger = {
        "pyramid_channels": 16,
        "fc_channels": 32,
        "mask_side": 14,
        "mask_channels": 16,
        "hidden": 32,
        "box_side": 5,
    }
    network = network_of(**larger, mask_deviation=None).train()
    optimizer, context = torch.optim.Adam(network.parameters(), lr=2e-3), TrainingContext(generator)
    totals = []
    for number in range(150):
        terms = network.losses(batch, R2IOSObjectiveConfig(gate=number >= 80), context)  # the two stages
        total = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.1 * totals[0]
    with torch.no_grad():
        found = [one.instance for one in network.eval().detect(images, [prompts])]
    for class_id in (1, 2):
        overlaps = []
        for one in (one for one in found if one.class_id == class_id):
            mask = torch.zeros(64, 64, dtype=torch.bool)
            mask[one.box[0] : one.box[2], one.box[1] : one.box[3]] = torch.from_numpy(one.mask)
            target = labels[0] == class_id
            overlaps.append(((mask & target).sum() / (mask | target).sum()).item())
        assert max(overlaps, default=0.0) > 0.5
