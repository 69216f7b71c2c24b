"""RIS: settings, decoding and guidance; its equations are in `tests/equations`, its parity in `tests/parity`."""

import numpy as np
import pytest
import torch

from seriatim.core.batch import OUTSIDE, Batch, select_images
from seriatim.core.errors import ConfigError, ShapeError
from seriatim.inference.model_folder import ModelDescription
from seriatim.inference.predictor import Predictor
from seriatim.models import catalogue
from seriatim.models.guidance_training import lead
from seriatim.models.interface import TrainingContext
from seriatim.models.ris import RIS, RISConfig, RISObjectiveConfig, RISOutput, StepOutput

from .played import played, player

TINY = {"channels": 6, "stride": 4}
GUIDED = {
    **TINY,
    "fcn": "pyramid",
    "encoder": "test_resnet",
    "encoder_depth": 3,
    "guidance": {"teacher_objects": 3},
}


def output_of(scores, areas=None, seeds=None):
    """One image of 10 x 10 pixels; step t shows its first areas[t] pixels."""
    steps = len(scores)
    masks = torch.full((1, steps, 100), 0.01)
    for step, area in enumerate(areas or [20] * steps):
        masks[0, step, :area] = 0.99
    nothing = torch.zeros(1, steps, 1, 1)
    logits = torch.logit(torch.tensor([scores]))
    return RISOutput(masks.view(1, steps, 10, 10), logits, torch.tensor([seeds or [1.0] * steps]), nothing, nothing)


def steps_of(output, **settings):
    return [one.step for one in found_in(output, **settings)]


def found_in(output, **settings):
    steps = zip(*(getattr(output, name).unbind(1) for name in StepOutput._fields), strict=True)
    return played(RIS, RISConfig.parse(settings), [StepOutput(*step) for step in steps], (10, 10))


def test_the_sequence_ends_at_the_first_step_that_is_not_confident():
    assert steps_of(output_of([0.9, 0.5, 0.49, 0.9])) == [0, 1]


def test_asked_to_skip_such_a_step_is_left_out_and_the_sequence_goes_on():
    assert steps_of(output_of([0.9, 0.2, 0.8, 0.1, 0.6]), stop_policy="skip") == [0, 2, 4]


def test_a_step_that_shows_no_pixel_is_no_object_and_the_sequence_goes_on():
    assert steps_of(output_of([0.9] * 3, areas=[5, 0, 7])) == [0, 2]


def test_with_guidance_the_sequence_ends_where_no_seed_is_left():
    assert steps_of(output_of([0.9] * 3, seeds=[0.9, 0.29, 0.9]), stop_policy="skip", guidance={}) == [0]


def test_a_pixel_belongs_to_the_object_from_one_half_on():
    output = output_of([0.9])
    output.mask_probs[0, 0].view(-1)[:3] = torch.tensor([0.5, 0.49, 0.51])
    found = found_in(output)[0]
    assert found.area == 19
    assert not found.mask[0, 1]
    assert found_in(output, mask_threshold=0.4)[0].area == 20


def test_the_score_is_the_confidence_and_there_is_one_class():
    found = found_in(output_of([0.8]))[0]
    assert found.score == pytest.approx(0.8)
    assert found.class_id == 1


def test_a_pixel_that_two_steps_claim_belongs_to_the_earlier():
    """Columns 4..23 first and 20..39 then, so that four columns are claimed twice; the third step is not confident."""
    steps = []
    for (first, last), logit in (((4, 24), 3.0), ((20, 40), 1.0), ((0, 9), -1.0)):
        probs = torch.zeros(1, 32, 64)
        probs[0, 3:30, first:last] = 0.9
        steps.append(
            StepOutput(probs, torch.tensor([logit]), torch.ones(1), torch.zeros(1, 1, 1), torch.zeros(1, 1, 1))
        )
    description = ModelDescription.parse({"model": {"name": "ris", "config": {}}})
    network = player(RIS, RISConfig(), steps, (32, 64))
    found = Predictor(network, description).predict(np.zeros((32, 48, 3), dtype=np.uint8))
    assert [one.step for one in found] == [0, 1]
    labels = found.label_map()
    assert (labels[3:30, 4:24] == 1).all()
    assert (labels[3:30, 24:40] == 2).all()
    assert found[1].area == 27 * 16
    assert (labels == 0).sum() == labels.size - 27 * 36


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"encoder_weights": "hub"}, "encoder_weights: the leaf network is learned from scratch"),
        ({"fcn": "fcn8s", "input_channels": 1}, "input_channels: FCN-8s takes 3 or 4 channels"),
        ({"fcn": "pyramid", "encoder_depth": 2, "finest_level": 2}, "finest_level: 2 needs an encoder_depth above 2"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        RIS(RISConfig.parse(config))


@pytest.mark.parametrize("depth", [0, 4])
def test_one_to_three_layers_can_be_stacked(depth):
    with pytest.raises(ConfigError, match="depth"):
        RISConfig.parse({"depth": depth})


def test_the_default_is_the_paper_on_leaves():
    config = RISConfig()
    assert (config.fcn, config.channels, config.stride, config.subsampling) == ("leaf", 30, 5, "convolution")
    assert (config.depth, config.kernel_size, config.initial_threshold, config.stop_policy) == (2, 3, 1.0, "first")
    assert (config.stop_threshold, config.mask_threshold) == (0.5, 0.5)
    assert config.guidance is None


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_1_3_and_4_channels_are_taken_and_others_refused(channels):
    network = RIS(RISConfig(input_channels=channels, **TINY))
    assert network(torch.rand(2, channels, 13, 22), 3).mask_probs.shape == (2, 3, 13, 22)
    with pytest.raises(ShapeError, match=f"expected {channels} channels, got 2"):
        network(torch.rand(1, 2, 13, 22), 1)


@pytest.mark.parametrize(
    "settings",
    [TINY, {**TINY, "depth": 1}, {**TINY, "feed_back_masks": True}, GUIDED],
    ids=["two layers", "one layer", "masks fed back", "guided"],
)
@torch.no_grad()
def test_some_images_of_a_batch_go_on_as_they_would_have(settings):
    torch.manual_seed(0)
    network = RIS(RISConfig.parse(settings)).double().eval()
    memory = network.encode(torch.rand(3, 3, 32, 40, dtype=torch.float64))
    _, state = network.step(memory, network.initial_state(memory, 3))
    together, _ = network.step(memory, state)
    chosen = torch.tensor([2, 0])
    for some, images in ((chosen, chosen), (slice(2), torch.arange(2))):
        apart, _ = network.step(select_images(memory, some), select_images(state, some))
        for name in ("mask_probs", "confidence_logits", "seed_left"):
            torch.testing.assert_close(getattr(apart, name), getattr(together, name)[images], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "settings", [TINY, {**GUIDED, "guidance": None, "finest_level": 1}, {"fcn": "fcn8s", "fc_channels": 8}]
)
def test_padding_does_not_compete_with_the_pixels_of_the_image(settings):
    network = RIS(RISConfig(**{"channels": 6, **settings})).eval()
    image = np.random.default_rng(0).random((3, 37, 50), dtype=np.float32)
    description = ModelDescription.parse(
        {"model": {"name": "ris", "config": {}}, "class_names": ["leaf"], "preparation": {"channels": 3}}
    )
    seen = []
    network.encode, encode = lambda images: seen.append(encode(images)) or seen[-1], network.encode
    Predictor(network, description).predict_values(image)
    memory = seen[0]
    cells = (-(-37 // network.cell_size), -(-50 // network.cell_size))
    output, _ = network.step(memory, network.initial_state(memory, 1))
    shares = (output.inhibited_logits - network.inhibition.threshold).exp()
    assert tuple(shares.shape) == (1, *cells)
    assert shares.sum().item() == pytest.approx(1, rel=1e-5)
    assert tuple(output.mask_probs.shape) == (1, 37, 50)


def test_what_lies_outside_the_image_of_a_crop_does_not_compete_in_training(monkeypatch):
    network = RIS(RISConfig(**TINY))
    shares, step = [], RIS.step

    def watched(self, memory, state, cell=None):
        output, state = step(self, memory, state, cell)
        shares.append((output.inhibited_logits - self.inhibition.threshold).exp())
        return output, state

    monkeypatch.setattr(RIS, "step", watched)
    labels = torch.ones(1, 16, 16, dtype=torch.long)
    labels[:, :, 6:] = OUTSIDE
    batch = Batch(torch.rand(1, 3, 16, 16), labels, torch.ones(1, 1, dtype=torch.long))
    network.losses(batch, RISObjectiveConfig(), TrainingContext(torch.Generator()))["mask"].backward()
    assert shares[0][:, :, :2].sum().item() == pytest.approx(
        1, rel=1e-5
    )  # cells of 4 pixels: the second holds pixels of the image
    assert (shares[0][:, :, 2:] == 0).all()
    assert all(one.grad is None or one.grad.isfinite().all() for one in network.parameters())


def test_cells_keep_their_width_where_the_image_ends_within_one():
    network = RIS(RISConfig(**TINY)).eval()
    image = torch.rand(1, 3, 30, 30)
    continued = torch.nn.functional.pad(image, (0, 2, 0, 2), mode="reflect")
    with torch.no_grad():
        assert torch.equal(network.encode(image).features, network.encode(continued).features)


def labels_of(counts, size=(32, 40)):
    labels = torch.zeros(len(counts), *size, dtype=torch.long)
    for image, count in enumerate(counts):
        for number in range(count):
            row, column = divmod(number, 4)
            labels[image, 10 * row : 10 * row + 8, 10 * column : 10 * column + 8] = number + 1
    classes = torch.zeros(len(counts), max(counts), dtype=torch.long)
    for row, count in zip(classes, counts, strict=True):
        row[:count] = 1
    return labels, classes


def test_a_teacher_leads_through_each_object_once():
    torch.manual_seed(0)
    network = RIS(RISConfig.parse(GUIDED))
    labels, _ = labels_of([2, 1, 0])
    output = lead(network, network.encode(torch.rand(3, 3, 32, 40)), labels, torch.Generator().manual_seed(0), 3)
    assert output.steps[0].shape == (3, 3, 32, 40)  # as many objects as the richest image has, and one step to stop
    for image, count in enumerate([2, 1, 0]):
        shown = [one for one in output.targets[image].tolist() if one >= 0]
        assert len(shown) == len(set(shown)) <= count
        assert not output.counted[image, count + 1 :].any()


def test_of_many_objects_the_teacher_shows_as_many_as_the_settings_say():
    network = RIS(RISConfig.parse(GUIDED))
    labels, _ = labels_of([9])
    images = torch.rand(1, 3, 32, 40)
    output = lead(
        network,
        network.encode(images),
        labels,
        torch.Generator().manual_seed(0),
        network.config.guidance.teacher_objects,
    )
    assert output.steps[0].shape[1] == 4


def test_with_guidance_the_dense_maps_are_trained_too_and_the_targets_are_the_teachers():
    torch.manual_seed(0)
    network = RIS(RISConfig.parse(GUIDED))
    labels, classes = labels_of([2, 1])
    images, weights = torch.rand(2, 3, 32, 40), RISObjectiveConfig(maps=0.5)
    context = TrainingContext(torch.Generator().manual_seed(0))
    terms = network.losses(Batch(images, labels, classes), weights, context)
    assert set(terms) == {"mask", "confidence", "foreground", "seed", "offset", "diameter"}
    torch.stack(list(terms.values())).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.dense_head.layers[3].weight.grad.abs().sum() > 0


def test_a_guided_model_refuses_the_log_likelihood_since_its_teacher_matches():
    network = RIS(RISConfig.parse(GUIDED))
    labels, classes = labels_of([1])
    batch = Batch(torch.rand(1, 3, 32, 40), labels, classes)
    weights = RISObjectiveConfig(similarity="log_likelihood")
    with pytest.raises(ConfigError, match="similarity: with guidance expected iou"):
        network.losses(batch, weights, TrainingContext(torch.Generator().manual_seed(0)))


def test_what_the_paper_tried_in_section_5_is_off():
    assert not RISConfig().feed_back_masks
    assert RISObjectiveConfig().similarity == "iou"


def test_the_catalogue_holds_it():
    assert catalogue.entry("ris").network is RIS
