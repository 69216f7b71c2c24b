"""What every model of the catalogue must do, whatever its paper."""

import pytest
import torch

from seriatim.core.errors import ConfigError, ShapeError
from seriatim.models import catalogue, names

TINY = {"encoder": "test_resnet", "width": 8}

CASES = {
    "rsis": ("rsis", {**TINY, "num_classes": 3}),
    "rsis, sum": ("rsis", {**TINY, "skip_mode": "sum", "widths": "release", "skip_batch_norm": True}),
    "rsis, mult": ("rsis", {**TINY, "skip_mode": "mult", "levels": 3}),
    "rsis, none": ("rsis", {**TINY, "skip_mode": "none", "levels": 4, "input_channels": 4}),
    "rsis, one level": ("rsis", {**TINY, "levels": 1, "encoder_depth": 4, "input_channels": 1}),
    "rsis, another encoder": ("rsis", {**TINY, "encoder": "test_efficientnet", "levels": 2}),
    "rsis, coordinates": ("rsis", {**TINY, "extensions": {"coordinates": True, "pyramid_channels": 8}}),
    "rsis, gaze": (
        "rsis",
        {**TINY, "levels": 4, "encoder_depth": 4, "extensions": {"gaze": True, "pyramid_channels": 8}},
    ),
    "rsis, class from mask": (
        "rsis",
        {
            **TINY,
            "levels": 3,
            "encoder_depth": 3,
            "num_classes": 4,
            "extensions": {"gaze": True, "class_from_mask": True, "pyramid_channels": 8},
        },
    ),
    "ris": ("ris", {"channels": 8, "stride": 4}),
    "ris, released leaf network": (
        "ris",
        {"channels": 8, "subsampling": "bilinear", "input_channels": 1, "depth": 1, "kernel_size": 1},
    ),
    "ris, three layers": ("ris", {"channels": 8, "input_channels": 4, "depth": 3}),
    "ris, gaze": (
        "ris",
        {"fcn": "pyramid", "encoder": "test_resnet", "encoder_depth": 3, "channels": 8, "extensions": {"gaze": True}},
    ),
}

RSIS_PARTS = {"encoder", "projections", "convlstms", "mask_head", "class_head", "stop_head"}
PREFIXES = {
    "rsis": RSIS_PARTS,
    "rsis, gaze": {*RSIS_PARTS, "pathway", "dense_head"},
    "ris": {"encoder", "convlstms", "inhibition", "confidence"},
    "ris, gaze": {"encoder", "last", "convlstms", "inhibition", "confidence", "dense_head"},
}
"""Top-level names in the state dict, which stored weights rely on."""

RIS_NAMES = {
    *("convlstms.1.changing.weight", "convlstms.1.bias", "confidence.weight", "confidence.bias"),
    *("inhibition.threshold", "inhibition.convolution.weight", "inhibition.convolution.bias"),
}
NAMES = {
    "rsis": {
        *("convlstms.1.changing.weight", "convlstms.1.constant.weight", "convlstms.1.constant.bias"),
        *("stop_head.weight", "stop_head.bias", "projections.0.weight", "projections.0.bias"),
    },
    "ris": {*RIS_NAMES, "encoder.first.weight", "encoder.first.bias"},
    "ris, gaze": {
        *(name for name in RIS_NAMES if "convolution" not in name),
        *(f"inhibition.convolution.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")),
    },
}
NAMES["rsis, gaze"] = NAMES["rsis"]
"""Names in full, of a part of what `CHECKED` finds."""

CHECKED = ("convlstms.1.", "stop_head", "projections.0.", "confidence.", "inhibition.", "encoder.first.")

WEIGHTS = {
    "rsis": {"mask": 1.0, "classification": 0.1, "stop": 0.5, "maps": 1.0},
    "ris": {"mask": 1.0, "confidence": 1.0, "maps": 1.0},
}

ALWAYS = {"rsis": {"mask"}, "ris": {"mask", "confidence"}}
"""Terms of the loss that the papers' own weights ask for from the start."""


def test_every_model_of_the_catalogue_is_tried_here():
    assert {name for name, _ in CASES.values()} == set(catalogue.CATALOGUE) == set(names())


def test_an_unknown_model_is_refused_with_a_near_one():
    with pytest.raises(ConfigError, match="no model is called 'rsi'; did you mean"):
        catalogue.entry("rsi")


@pytest.fixture(params=CASES)
def model(request):
    name, config = CASES[request.param]
    return catalogue.entry(name), catalogue.build(name, config, seed=0)


@pytest.fixture
def name(model):
    return next(name for name, entry in catalogue.CATALOGUE.items() if entry is model[0])


def image_of(network, batch, size, seed=0):
    return torch.rand(batch, network.config.input_channels, *size, generator=torch.Generator().manual_seed(seed))


def labels_of(counts, size):
    """Images with that many objects: squares on a grid."""
    labels = torch.zeros(len(counts), *size, dtype=torch.long)
    for image, count in enumerate(counts):
        for number in range(count):
            row, column = divmod(number, size[1] // 8)
            labels[image, 8 * row : 8 * row + 6, 8 * column : 8 * column + 6] = number + 1
    classes = torch.zeros(len(counts), max(counts), dtype=torch.long)
    for row, count in zip(classes, counts, strict=True):
        row[:count] = 1
    return labels, classes


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        ([3, 1], (49, 63)),
        ([2], (48, 48)),  # a batch of one
        ([0], (33, 48)),  # no object
        ([2, 0], (48, 48)),  # one image with, one without
        ([24, 1], (48, 48)),  # more objects than steps
    ],
)
def test_any_image_trains_one_step_with_a_finite_loss_and_a_gradient_everywhere(model, name, counts, size):
    entry, network = model
    network.train()
    labels, classes = labels_of(counts, size)
    labels[:, -2:] = -1
    weights = entry.objective_config.parse(WEIGHTS[name])
    images = image_of(network, max(len(counts), 2), size)[: len(counts)]
    if len(counts) == 1:  # batch norm of a single value has no variance
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    terms = entry.training_terms(network, images, labels, classes, weights, None, torch.Generator().manual_seed(0))
    assert all(term.ndim == 0 and bool(term.isfinite()) for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    missing = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    assert missing == []
    assert all(bool(parameter.grad.isfinite().all()) for parameter in network.parameters())
    if counts[0] > 1:
        still = [
            key for key, parameter in network.named_parameters() if not parameter.grad.any() and key.endswith("weight")
        ]
        one_class = getattr(network.config, "num_classes", None) == 1  # of one class, the softmax is 1
        assert {key for key in still if not key.startswith("encoder")} == (
            {"class_head.weight"} if one_class else set()
        )
    optimizer.step()
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


def test_a_term_of_weight_zero_is_not_computed(model, name):
    entry, network = model
    network.train()
    labels, classes = labels_of([2, 1], (48, 48))
    terms = entry.training_terms(
        network, image_of(network, 2, (48, 48)), labels, classes, entry.objective_config(), None, torch.Generator()
    )
    assert set(terms) == ALWAYS[name]


@torch.no_grad()
@pytest.mark.parametrize(("batch", "size"), [(1, (33, 47)), (2, (64, 48))])
def test_encode_and_steps_equal_the_whole_sequence(model, batch, size):
    _, network = model
    network.eval()
    images = image_of(network, batch, size)
    whole = network(images, 3)
    memory = network.encode(images)
    state = network.initial_state(memory, batch)
    for step in range(3):
        output, state = network.step(memory, state)
        assert output.mask_probs.shape == (batch, *size)
        for field, value in output._asdict().items():
            assert torch.equal(value, getattr(whole, field)[:, step]), field


@torch.no_grad()
def test_a_step_gives_the_same_answer_when_it_is_asked_again(model):
    _, network = model
    network.eval()
    memory = network.encode(image_of(network, 1, (48, 48)))
    state = network.initial_state(memory, 1)
    first, _ = network.step(memory, state)
    again, _ = network.step(memory, state)
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))


@torch.no_grad()
def test_images_of_a_batch_do_not_see_each_other(model):
    _, network = model
    network.double().eval()
    images = image_of(network, 3, (48, 33)).double()
    memory = network.encode(images)
    state = network.initial_state(memory, 3)
    _, state = network.step(memory, state)
    together, _ = network.step(memory, state)
    chosen = torch.tensor([2, 0])
    apart, _ = network.step(memory.select(chosen), state.select(chosen))
    alone = network(images[1:2], 2)
    for field, value in together._asdict().items():
        torch.testing.assert_close(getattr(apart, field), value[chosen], rtol=0, atol=1e-5)
        torch.testing.assert_close(getattr(alone, field)[0, 1], value[1], rtol=0, atol=1e-5)


@torch.no_grad()
def test_decoding_a_sequence_equals_decoding_its_steps(model):
    entry, network = model
    network.eval()
    settings = network.config.model_copy(update={"stop_threshold": 0.45, "mask_threshold": 0.5, "seed_threshold": 0.0})
    output = network(image_of(network, 2, (48, 48)), 3)
    decoded = entry.decode(output, settings)
    assert [one.size for one in decoded] == [(48, 48)] * 2
    memory = network.encode(image_of(network, 2, (48, 48)))
    state, found, open_ = network.initial_state(memory, 2), [[], []], [True, True]
    for number in range(3):
        step, state = network.step(memory, state)
        for index in range(2):
            if open_[index]:
                instance, ended = entry.decode_step(step, index, number, settings)
                open_[index] = not ended
                found[index] += [] if instance is None else [instance]
    for ours, theirs in zip(decoded, found, strict=True):
        assert [one.box for one in ours] == [one.box for one in theirs]
        assert [one.step for one in ours] == [one.step for one in theirs]


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_chance_alone(model, request):
    name, config = CASES[request.node.callspec.params["model"]]
    torch.manual_seed(3)
    before = torch.get_rng_state()
    again = catalogue.build(name, config, seed=0).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    weights = model[1].state_dict()
    assert all(torch.equal(weights[key], again[key]) for key in weights)


@pytest.mark.parametrize("case", PREFIXES)
def test_the_names_of_stored_weights_stay_as_they_are(case):
    network = catalogue.build(*CASES[case], seed=0)
    assert {name.split(".")[0] for name in network.state_dict()} == PREFIXES[case]
    assert {name for name in network.state_dict() if name.startswith(CHECKED)} == NAMES[case]


def test_images_with_other_channels_are_refused(model):
    _, network = model
    with pytest.raises(ShapeError, match=r"expected . channels, got 2"):
        network.encode(torch.rand(1, 2, 32, 32))
