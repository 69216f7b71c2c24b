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
}

PREFIXES = {
    "rsis": {"encoder", "projections", "convlstms", "mask_head", "class_head", "stop_head"},
    "rsis, gaze": {
        "encoder",
        "projections",
        "convlstms",
        "mask_head",
        "class_head",
        "stop_head",
        "pathway",
        "dense_head",
    },
}
"""Top-level names in the state dict, which stored weights rely on."""

WEIGHTS = {"mask": 1.0, "classification": 0.1, "stop": 0.5, "maps": 1.0}


def test_every_model_of_the_catalogue_is_tried_here():
    assert {name for name, _ in CASES.values()} == set(catalogue.CATALOGUE) == set(names())


def test_an_unknown_model_is_refused_with_a_near_one():
    with pytest.raises(ConfigError, match="no model is called 'rsi'; did you mean"):
        catalogue.entry("rsi")


@pytest.fixture(params=CASES)
def model(request):
    name, config = CASES[request.param]
    return catalogue.entry(name), catalogue.build(name, config, seed=0)


def picture_of(network, batch, size, seed=0):
    return torch.rand(batch, network.config.input_channels, *size, generator=torch.Generator().manual_seed(seed))


def labels_of(counts, size):
    """Pictures with that many objects: squares on a grid."""
    labels = torch.zeros(len(counts), *size, dtype=torch.long)
    for picture, count in enumerate(counts):
        for number in range(count):
            row, column = divmod(number, size[1] // 8)
            labels[picture, 8 * row : 8 * row + 6, 8 * column : 8 * column + 6] = number + 1
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
        ([2, 0], (48, 48)),  # one picture with, one without
        ([24, 1], (48, 48)),  # more objects than steps
    ],
)
def test_any_picture_trains_one_step_with_a_finite_loss_and_a_gradient_everywhere(model, counts, size):
    entry, network = model
    network.train()
    labels, classes = labels_of(counts, size)
    labels[:, -2:] = -1
    weights = entry.objective_config.parse(WEIGHTS)
    images = picture_of(network, max(len(counts), 2), size)[: len(counts)]
    if len(counts) == 1:  # batch norm of a single value has no variance
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    terms = entry.training_terms(network, images, labels, classes, weights, None, torch.Generator().manual_seed(0))
    assert all(term.ndim == 0 and bool(term.isfinite()) for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    missing = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert missing == []
    assert all(bool(parameter.grad.isfinite().all()) for parameter in network.parameters())
    if counts[0] > 1:
        still = [
            name
            for name, parameter in network.named_parameters()
            if not parameter.grad.any() and name.endswith("weight")
        ]
        certain = {"class_head.weight"} if network.config.num_classes == 1 else set()  # of one class, the softmax is 1
        assert {name for name in still if not name.startswith("encoder")} == certain
    optimizer.step()
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


def test_a_term_of_weight_zero_is_not_computed(model):
    entry, network = model
    network.train()
    labels, classes = labels_of([2, 1], (48, 48))
    terms = entry.training_terms(
        network, picture_of(network, 2, (48, 48)), labels, classes, entry.objective_config(), None, torch.Generator()
    )
    assert set(terms) == {"mask"}


@torch.no_grad()
@pytest.mark.parametrize(("batch", "size"), [(1, (33, 47)), (2, (64, 48))])
def test_encode_and_steps_equal_the_whole_sequence(model, batch, size):
    _, network = model
    network.eval()
    images = picture_of(network, batch, size)
    whole = network(images, 3)
    assert whole.mask_logits.shape == (batch, 3, *size)
    memory = network.encode(images)
    state = network.initial_state(memory, batch)
    for step in range(3):
        output, state = network.step(memory, state)
        assert torch.equal(output.mask_logits, whole.mask_logits[:, step])
        assert torch.equal(output.stop_logits, whole.stop_logits[:, step])
        assert torch.equal(output.class_logits, whole.class_logits[:, step])


@torch.no_grad()
def test_a_step_gives_the_same_answer_when_it_is_asked_again(model):
    _, network = model
    network.eval()
    memory = network.encode(picture_of(network, 1, (48, 48)))
    state = network.initial_state(memory, 1)
    first, _ = network.step(memory, state)
    again, _ = network.step(memory, state)
    assert torch.equal(first.mask_logits, again.mask_logits)


@torch.no_grad()
def test_pictures_of_a_batch_do_not_see_each_other(model):
    _, network = model
    network.double().eval()
    images = picture_of(network, 3, (48, 33)).double()
    memory = network.encode(images)
    state = network.initial_state(memory, 3)
    _, state = network.step(memory, state)
    together, _ = network.step(memory, state)
    chosen = torch.tensor([2, 0])
    apart, _ = network.step(memory.select(chosen), state.select(chosen))
    torch.testing.assert_close(apart.mask_logits, together.mask_logits[chosen], rtol=0, atol=1e-5)
    alone = network(images[1:2], 2)
    torch.testing.assert_close(alone.mask_logits[0, 1], together.mask_logits[1], rtol=0, atol=1e-5)


@torch.no_grad()
def test_decoding_a_sequence_equals_decoding_its_steps(model):
    entry, network = model
    network.eval()
    settings = network.config.model_copy(update={"stop_threshold": 0.45, "mask_threshold": 0.5, "seed_threshold": 0.0})
    output = network(picture_of(network, 2, (48, 48)), 3)
    decoded = entry.decode(output, settings)
    assert [one.size for one in decoded] == [(48, 48)] * 2
    memory = network.encode(picture_of(network, 2, (48, 48)))
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
    parts = {name for name in network.state_dict() if name.startswith(("convlstms.1.", "stop_head", "projections.0."))}
    layer = {"convlstms.1.changing.weight", "convlstms.1.constant.weight", "convlstms.1.constant.bias"}
    assert parts == {*layer, "stop_head.weight", "stop_head.bias", "projections.0.weight", "projections.0.bias"}


def test_pictures_with_other_channels_are_refused(model):
    _, network = model
    with pytest.raises(ShapeError, match=r"expected . channels, came 2"):
        network.encode(torch.rand(1, 2, 32, 32))
