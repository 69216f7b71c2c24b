"""RSIS: settings and decoding; its equations are in `tests/equations`, its parity in `tests/parity`."""

import pytest
import torch

from seriatim.core.batch import Batch
from seriatim.core.errors import ConfigError
from seriatim.losses.matching import hungarian
from seriatim.losses.soft_iou import soft_iou_costs
from seriatim.models.interface import TrainingContext
from seriatim.models.rsis import RSIS, RSISConfig, RSISObjectiveConfig, RSISOutput, StepOutput, objective

from .played import played

PATHWAY = {"pyramid_channels": 8}


def output_of(stops, areas=None, seeds=None, classes=None):
    """One image of 10 x 10 pixels; step t shows its first areas[t] pixels."""
    steps = len(stops)
    masks = torch.full((1, steps, 100), -9.0)
    for step, area in enumerate(areas or [20] * steps):
        masks[0, step, :area] = 9
    return RSISOutput(
        masks.view(1, steps, 10, 10),
        torch.tensor([classes or [[0.0, 0.0]] * steps]),
        torch.logit(torch.tensor([stops])),
        torch.tensor([seeds or [1.0] * steps]),
    )


def steps_of(output, **settings):
    return [one.step for one in found_in(output, **settings)]


def found_in(output, **settings):
    config = RSISConfig.parse({"encoder": "test_resnet", "num_classes": 2, **settings})
    steps = zip(*(getattr(output, name).unbind(1) for name in StepOutput._fields), strict=True)
    return played(RSIS, config, [StepOutput(*step) for step in steps], (10, 10))


def test_the_sequence_ends_at_the_first_step_without_an_object():
    assert steps_of(output_of([0.9, 0.5, 0.49, 0.9])) == [0, 1]


def test_the_released_code_leaves_such_a_step_out_and_goes_on():
    assert steps_of(output_of([0.9, 0.2, 0.8, 0.1, 0.6]), stop_policy="skip") == [0, 2, 4]


def test_the_smallest_masks_are_kept_unless_a_least_area_is_asked_for_and_the_sequence_goes_on_after_them():
    output = output_of([0.9] * 4, areas=[0, 3, 2, 50])
    assert RSISConfig().min_area_fraction == 0
    assert steps_of(output) == [1, 2, 3]
    assert steps_of(output, min_area_fraction=0.03) == [1, 3]
    assert steps_of(output, min_area_fraction=0.031) == [3]


def test_with_guidance_the_sequence_ends_where_no_seed_is_left():
    assert steps_of(
        output_of([0.9] * 3, seeds=[0.9, 0.29, 0.9]), stop_policy="skip", guidance={}, extensions=PATHWAY
    ) == [0]


def test_the_mask_threshold_is_a_probability():
    output = output_of([0.9])
    output.mask_logits[0, 0, 0] = torch.logit(torch.tensor(0.3))
    for threshold, pixels in ((0.25, 10), (0.35, 0)):
        found = found_in(output, mask_threshold=threshold)
        assert found[0].area - 10 == pixels or found[0].area == pixels + 10


def test_score_is_stop_times_class_and_classes_count_from_1():
    output = output_of([0.8], classes=[[0.0, torch.tensor(3.0).log().item()]])
    found = found_in(output)[0]
    assert found.class_id == 2
    assert found.score == pytest.approx(0.8 * 0.75)
    assert found.class_probs.tolist() == pytest.approx([0.25, 0.75])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"levels": 4, "encoder_depth": 3}, "levels: 4 ConvLSTMs need as many encoder levels"),
        ({"guidance": {}}, "guidance: needs extensions.pyramid_channels"),
        ({"extensions": {"class_from_mask": True}}, "extensions.class_from_mask: needs extensions.pyramid_channels"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        RSIS(RSISConfig.parse({"encoder": "test_resnet", **config}))


def test_the_poolings_of_a_vgg_as_levels_are_an_option():
    config = {"encoder": "vgg11", "width": 16}
    image = torch.zeros(1, 3, 64, 96)
    sizes = [
        RSIS(RSISConfig.parse({**config, **levels})).encode(image).level_sizes
        for levels in ({}, {"vgg_levels": "poolings"})
    ]
    assert sizes == [
        [(4, 6), (8, 12), (16, 24), (32, 48), (64, 96)],
        [(2, 3), (4, 6), (8, 12), (16, 24), (32, 48)],
    ]


def test_class_from_mask_reads_the_features_averaged_over_the_mask():
    extensions = {"class_from_mask": True, "pyramid_channels": 8}
    config = {"encoder": "test_resnet", "encoder_depth": 1, "levels": 1, "width": 8, "num_classes": 2}
    network = RSIS(RSISConfig.parse({**config, "extensions": extensions})).eval()
    torch.nn.init.zeros_(network.class_head.weight)
    torch.nn.init.zeros_(network.class_head.bias)
    hidden = network.class_head.in_features - 8
    with torch.no_grad():
        network.class_head.weight[1, hidden] = 1.0  # of class 2: the mean of the first channel
        memory = network.encode(torch.rand(1, 3, 32, 32))
        output, state = network.step(memory, network.initial_state(memory, 1))
        mask = network.mask_head(state.cells[-1].hidden)[0, 0].sigmoid()
    features = memory.features[0][0, 0]
    assert output.class_logits[0, 0].item() == 0
    assert output.class_logits[0, 1].item() == pytest.approx(float((features * mask).sum() / mask.sum()), rel=1e-4)


def test_the_default_is_the_paper():
    config = RSISConfig()
    assert (config.encoder, config.width, config.widths, config.levels) == ("resnet101", 128, "paper", 5)
    assert (config.skip_mode, config.skip_batch_norm, config.stop_policy) == ("concat", False, "first")
    assert config.guidance is None
    assert not any(config.extensions.model_dump().values())
    weights = RSISObjectiveConfig()
    assert (weights.mask, weights.classification, weights.stop, weights.reduction) == (1, 0, 0, "sum")


@pytest.mark.parametrize(
    ("num_objects", "stop", "expected"), [(None, 0.0, 3), (None, 0.5, 4), (2, 0.0, 2), (2, 0.5, 3), (9, 0.5, 4)]
)
def test_a_training_sequence_has_a_step_an_object_and_one_to_stop(monkeypatch, num_objects, stop, expected):
    network = RSIS(RSISConfig(encoder="test_resnet", encoder_depth=1, levels=1, width=8))
    lengths, forward = [], RSIS.forward
    monkeypatch.setattr(
        RSIS, "forward", lambda self, images, steps: lengths.append(steps) or forward(self, images, steps)
    )
    labels = torch.arange(4).repeat_interleave(64).view(1, 16, 16)
    weights = RSISObjectiveConfig(stop=stop)
    batch = Batch(torch.rand(1, 3, 16, 16), labels, torch.tensor([[1, 1, 1]]))
    network.losses(batch, weights, TrainingContext(torch.Generator(), num_objects))
    assert lengths == [expected]


def test_under_the_curriculum_the_step_behind_the_last_object_is_matched_to_nothing():
    labels = torch.tensor([[[1, 2], [3, 0]], [[1, 0], [0, 0]]])
    probs = torch.zeros(2, 3, 2, 2)
    probs[0, 2, 0, 0] = probs[0, 0, 1, 0] = probs[0, 1, 0, 1] = (
        1  # three objects, of which two steps are asked; the third step hits too
    )
    probs[1, 0, 0, 0] = 1
    output = RSISOutput(
        mask_logits=torch.logit(probs, eps=1e-6),
        class_logits=torch.zeros(2, 3, 1),
        stop_logits=torch.tensor([[9.0, 9.0, -9.0], [9.0, -9.0, 9.0]]),
        seed_left=torch.ones(2, 3),
    )
    classes = torch.tensor([[1, 1, 1], [1, 0, 0]])
    terms = objective(output, labels, classes, RSISObjectiveConfig(stop=1.0), max_matched=2)
    assert terms["mask"].item() == pytest.approx(0, abs=1e-3)
    # the third step of the first image denies an object that is there; that of the second image does not count
    assert terms["stop"].item() == pytest.approx(9 / 2, abs=1e-2)
    targets = hungarian(soft_iou_costs(probs.flatten(2), probs.flatten(2)), torch.tensor([3, 1]), max_matched=2)
    assert (targets[:, 2] == -1).all()


def test_the_curriculum_reaches_the_objective(monkeypatch):
    network = RSIS(RSISConfig(encoder="test_resnet", encoder_depth=1, levels=1, width=8))
    labels = torch.arange(4).repeat_interleave(64).view(1, 16, 16)
    batch = Batch(torch.rand(1, 3, 16, 16), labels, torch.tensor([[1, 1, 1]]))
    weights = RSISObjectiveConfig(stop=0.5)
    terms = network.losses(batch, weights, TrainingContext(torch.Generator(), num_objects=2))
    output = network(batch.images, 3)
    assert terms["mask"] == objective(output, labels, batch.classes, weights, max_matched=2)["mask"]
    assert terms["mask"] != objective(output, labels, batch.classes, weights)["mask"]


def test_the_most_steps_bound_a_training_sequence():
    network = RSIS(RSISConfig(encoder="test_resnet", encoder_depth=1, levels=1, width=8, max_steps=2))
    labels = torch.arange(4).repeat_interleave(64).view(1, 16, 16)
    batch = Batch(torch.rand(1, 3, 16, 16), labels, torch.tensor([[1, 1, 1]]))
    assert network.losses(batch, RSISObjectiveConfig(), TrainingContext(torch.Generator()))["mask"].isfinite()
