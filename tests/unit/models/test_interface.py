"""What every model of the catalogue must do, whatever its paper."""

import math

import pytest
import torch

from seriatim.core.batch import Batch, Prompts, select_images
from seriatim.core.errors import ConfigError, ShapeError
from seriatim.inference.model_folder import ModelDescription, read_model_folder, write_model_folder
from seriatim.models import catalogue, names, r2ios
from seriatim.models.detector import Detector
from seriatim.models.guidance import cells_at
from seriatim.models.interface import TrainingContext
from seriatim.models.sequential import SequentialModel
from seriatim.nn.detections import true_boxes

TINY = {"encoder": "test_resnet", "width": 8}

DIN = {"fcn": "pyramid", "encoder": "test_resnet", "encoder_depth": 3, "pyramid_channels": 8}
DIN |= {"templates_per_bin": 2, "training_iterations": 2, "iterations": 3}

DETECTOR = {"encoder": "test_resnet", "encoder_depth": 3, "channels": 32, "head_convolutions": 1, "finest_size": 16}

R2IOS = {"trunk": "pyramid", "encoder": "test_resnet", "encoder_depth": 4, "pyramid_channels": 8, "fc_channels": 16}
R2IOS |= {"mask_side": 10, "mask_channels": 8, "hidden": 16, "box_side": 3}

CASES = {
    "detector": ("detector", {**DETECTOR, "num_classes": 3}),
    "detector, one level": ("detector", {**DETECTOR, "encoder_depth": 2, "input_channels": 1}),
    "detector, Faster R-CNN": (
        "detector",
        {**DETECTOR, "kind": "faster_rcnn", "num_classes": 3, "representation": 8, "input_channels": 4},
    ),
    "din": ("din", {**DIN, "num_classes": 3}),
    "din, box term alone": (
        "din",
        {**DIN, "use_global": False, "use_shape": False, "detection_potential": False, "input_channels": 4},
    ),
    "din, no semantic CRF": ("din", {**DIN, "semantic_crf": None, "box_scores": "sigmoid", "input_channels": 1}),
    "din, recalibrated scores": ("din", {**DIN, "box_scores": "recalibrated", "template_side": 9}),
    "r2ios": ("r2ios", {**R2IOS, "num_classes": 3}),
    "r2ios, one look": (
        "r2ios",
        {**R2IOS, "num_refinements": 1, "rebuilding": "none", "segmentation_aware": False, "input_channels": 1},
    ),
    "r2ios, two trunks": (
        "r2ios",
        {**R2IOS, "shared_trunk": False, "rebuilding": "fully_connected", "gate": False, "input_channels": 4},
    ),
    "r2ios, recursive only in use": ("r2ios", {**R2IOS, "training_refinements": 1, "pooling": "max", "dropout": 0.1}),
    "rsis": ("rsis", {**TINY, "num_classes": 3}),
    "rsis, sum": ("rsis", {**TINY, "skip_mode": "sum", "widths": "release", "skip_batch_norm": True}),
    "rsis, mult": ("rsis", {**TINY, "skip_mode": "mult", "levels": 3}),
    "rsis, none": ("rsis", {**TINY, "skip_mode": "none", "levels": 4, "input_channels": 4}),
    "rsis, one level": ("rsis", {**TINY, "levels": 1, "encoder_depth": 4, "input_channels": 1}),
    "rsis, another encoder": ("rsis", {**TINY, "encoder": "test_efficientnet", "levels": 2}),
    "rsis, coordinates": ("rsis", {**TINY, "extensions": {"coordinates": True, "pyramid_channels": 8}}),
    "rsis, guided": (
        "rsis",
        {**TINY, "levels": 4, "encoder_depth": 4, "extensions": {"pyramid_channels": 8}, "guidance": {}},
    ),
    "rsis, class from mask": (
        "rsis",
        {
            **TINY,
            "levels": 3,
            "encoder_depth": 3,
            "num_classes": 4,
            "extensions": {"class_from_mask": True, "pyramid_channels": 8},
            "guidance": {},
        },
    ),
    "ris": ("ris", {"channels": 8, "stride": 4}),
    "ris, released leaf network": (
        "ris",
        {"channels": 8, "subsampling": "bilinear", "input_channels": 1, "depth": 1, "kernel_size": 1},
    ),
    "ris, three layers": ("ris", {"channels": 8, "input_channels": 4, "depth": 3}),
    "ris, masks fed back": ("ris", {"channels": 8, "stride": 4, "feed_back_masks": True}),
    "ris, guided": (
        "ris",
        {"fcn": "pyramid", "encoder": "test_resnet", "encoder_depth": 3, "channels": 8, "guidance": {}},
    ),
}

R2IOS_PARTS = {"branches", "mask_head", "refinement_head"}
RSIS_PARTS = {"encoder", "projections", "convlstms", "mask_head", "class_head", "stop_head"}
PREFIXES = {
    "detector": {"detector"},
    "din": {"encoder", "head", "semantic_crf", "terms", "instance_crf"},
    "r2ios": R2IOS_PARTS,
    "rsis": RSIS_PARTS,
    "rsis, guided": {*RSIS_PARTS, "pathway", "dense_head"},
    "ris": {"encoder", "convlstms", "inhibition", "confidence"},
    "ris, guided": {"encoder", "last", "convlstms", "inhibition", "confidence", "dense_head"},
}
"""Top-level names in the state dict, which stored weights rely on."""

RIS_NAMES = {
    *("convlstms.1.changing.weight", "convlstms.1.bias", "confidence.weight", "confidence.bias"),
    *("inhibition.threshold", "inhibition.convolution.weight", "inhibition.convolution.bias"),
}
NAMES = {
    "detector": {
        *(f"detector.head.classification_head.cls_logits.{part}" for part in ("weight", "bias")),
        *(
            f"detector.head.regression_head.{layer}.{part}"
            for layer in ("bbox_reg", "bbox_ctrness")
            for part in ("weight", "bias")
        ),
    },
    "din": {
        *(f"semantic_crf.dense.{part}" for part in ("bilateral_weight", "spatial_weight", "compatibility")),
        *(f"semantic_crf.potential.{part}" for part in ("pixel_weight", "detection_weight")),
        *("terms.box_weight", "terms.global_weight", "terms.shape_weight", "terms.shape.templates"),
        *("instance_crf.bilateral_weight", "instance_crf.spatial_weight"),
    },
    "r2ios": {
        *(f"mask_head.{part}" for part in ("first.weight", "first.bias", "last.weight", "last.bias")),
        *(f"mask_head.autoencoder.{layer}.{part}" for layer in ("encoder", "decoder") for part in ("weight", "bias")),
        *(
            f"refinement_head.{layer}.{part}"
            for layer in ("fc6", "fc7", "class_head", "box_head")
            for part in ("weight", "bias")
        ),
    },
    "rsis": {
        *("convlstms.1.changing.weight", "convlstms.1.constant.weight", "convlstms.1.constant.bias"),
        *("stop_head.weight", "stop_head.bias", "projections.0.weight", "projections.0.bias"),
        *("mask_head.weight", "mask_head.bias"),
    },
    "ris": {*RIS_NAMES, "encoder.first.weight", "encoder.first.bias"},
    "ris, guided": {
        *(name for name in RIS_NAMES if "convolution" not in name),
        *(f"inhibition.convolution.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")),
    },
}
NAMES["rsis, guided"] = {
    *(name for name in NAMES["rsis"] if not name.startswith("mask_head.")),
    *(f"mask_head.{layer}.{part}" for layer in (0, 2) for part in ("weight", "bias")),
}
"""Names in full, of a part of what `CHECKED` finds."""

CHECKED = (
    *("convlstms.1.", "stop_head", "projections.0.", "confidence.", "inhibition.", "encoder.first."),
    *("semantic_crf.", "terms.", "instance_crf."),
    *("detector.head.classification_head.cls_logits", "detector.head.regression_head.bbox_"),
    *("mask_head.", "refinement_head."),
)

WEIGHTS = {
    "detector": {},
    "din": {"instance": 1.0, "semantic": 1.0, "iou": 0.1, "unmatched": "background"},
    "r2ios": {},
    "rsis": {"mask": 1.0, "classification": 0.1, "stop": 0.5, "maps": 1.0},
    "ris": {"mask": 1.0, "confidence": 1.0, "maps": 1.0},
}

ALWAYS = {
    "detector": {"classification", "box"},
    "din": {"instance"},
    "r2ios": {"classification", "location", "segmentation"},
    "rsis": {"mask"},
    "ris": {"mask", "confidence"},
}
"""Terms of the loss that the papers' own weights ask for from the start."""


def test_every_model_of_the_catalogue_is_tried_here():
    assert {name for name, _ in CASES.values()} == set(catalogue.CATALOGUE)
    assert set(catalogue.CATALOGUE) == {*names(), "detector"}


def test_an_unknown_model_is_refused_with_a_near_one():
    with pytest.raises(ConfigError, match="no model is called 'rsi'; did you mean"):
        catalogue.entry("rsi")


@pytest.fixture(params=CASES)
def model(request):
    name, config = CASES[request.param]
    return catalogue.entry(name), catalogue.build(name, config, seed=0)


@pytest.fixture(params=[case for case, (name, _) in CASES.items() if name in ("ris", "rsis")])
def sequential(request):
    """Only the networks that emit an object a step."""
    name, config = CASES[request.param]
    network = catalogue.build(name, config, seed=0)
    assert isinstance(network, SequentialModel)
    return catalogue.entry(name), network


@pytest.fixture
def name(model):
    return next(name for name, entry in catalogue.CATALOGUE.items() if entry is model[0])


def batch_of(network, counts, size, seed=0):
    """Images of noise with squares, and the truth about them."""
    labels, classes = labels_of(counts, size)
    images = 0.5 * image_of(network, len(counts), size, seed) + 0.5 * (labels > 0)[:, None]
    return Batch(images, labels, classes, prompts=prompts_of(network, labels, classes))


def prompts_of(network, labels, classes):
    """The boxes of the objects, for a model that takes boxes."""
    if not network.takes_boxes:
        return None
    return tuple(true_boxes(*pair) for pair in zip(labels, classes, strict=True))


def prompts_for(network, images):
    """Boxes for images without a truth."""
    labels, classes = labels_of([2] * len(images), images.shape[-2:])
    return prompts_of(network, labels.repeat_interleave(2, 1)[:, : images.shape[-2]], classes)


def context(num_objects=None):
    return TrainingContext(torch.Generator().manual_seed(0), num_objects)


@torch.no_grad()
def everything_found(network):
    """The network with settings under which even untrained weights find something: most pixels of the first step, say."""
    network.eval()
    if isinstance(network, r2ios.R2IOS):
        network.config = network.config.model_copy(update={"mask_threshold": 0.4, "min_score": 0.0})
        return network
    if isinstance(network, Detector):  # even random weights find boxes, but with nearly equal scores
        for key, parameter in network.named_parameters():
            if key.endswith(("cls_score.weight", "cls_logits.weight")):
                parameter *= 50
        return network
    if not isinstance(network, SequentialModel):
        network.head[-1].bias[0] -= 5  # of the background
        return network
    memory = network.encode(image_of(network, 1, (40, 56)))
    first, _ = network.step(memory, network.initial_state(memory, 1))
    changes = {"stop_threshold": 0.0, "min_area_fraction": 0.0, "max_steps": 3}
    changes["mask_threshold"] = float(first.mask_probs.quantile(0.25))
    if network.config.guidance is not None:
        changes["guidance"] = network.config.guidance.model_copy(update={"seed_threshold": 0.0})
    network.config = network.config.model_copy(update=changes)
    return network


def is_of_trunk(key):
    """Whether a weight is of an encoder, some of whose layers begin with 0."""
    parts = key.split(".")
    return parts[0] == "encoder" or "trunk" in parts


def found_by(network, images):
    """Of every image the objects found, in their order, as values that can be compared."""
    found = [[] for _ in images]
    for one in network.detect(images, prompts_for(network, images)):
        found[one.image].append(one.instance)
    return found


def same(first, second):
    return [(one.box, one.class_id, one.step, one.mask.tobytes()) for one in first] == [
        (one.box, one.class_id, one.step, one.mask.tobytes()) for one in second
    ] and [one.score for one in first] == pytest.approx([one.score for one in second], abs=1e-5)


def test_the_loss_of_two_images_is_finite_and_falls(model, name):
    entry, network = model
    weights = entry.objective_config.parse(WEIGHTS[name])
    batch = batch_of(network, [2, 1], (48, 48))
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    totals = []
    for _ in range(12):
        terms = network.losses(batch, weights, context())
        total = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(float(total.detach()))
    assert all(math.isfinite(total) for total in totals)
    assert totals[-1] < totals[0]


def test_every_parameter_is_in_one_group(model):
    groups = model[1].parameter_groups()
    listed = [id(parameter) for group in groups.values() for parameter in group]
    assert sorted(listed) == sorted(id(parameter) for parameter in model[1].parameters())
    assert all(groups.values())


@torch.no_grad()
def test_masks_lie_in_the_image_and_scores_in_0_to_1(model):
    network = everything_found(model[1])
    images = image_of(network, 2, (40, 56))
    everything = list(network.detect(images, prompts_for(network, images)))
    assert {one.image for one in everything} <= {0, 1}
    assert everything, "nothing was found, so nothing was tested"
    for one in everything:
        assert one.probs.shape == (40, 56)
        y0, x0, y1, x1 = one.instance.box
        assert 0 <= y0 < y1 <= 40
        assert 0 <= x0 < x1 <= 56
        assert one.instance.mask.shape == (y1 - y0, x1 - x0)
        assert one.instance.mask.any()
        assert 0 <= one.instance.score <= 1
        assert 1 <= one.instance.class_id <= max(network.config.num_classes, 1)
        inside = one.probs[y0:y1, x0:x1].numpy()
        assert (inside[one.instance.mask] >= network.config.mask_threshold - 1e-6).all()


@torch.no_grad()
def test_the_same_image_gives_the_same_twice_and_alone_as_in_a_batch(model):
    network = everything_found(model[1])
    images = image_of(network, 3, (40, 56))
    first = found_by(network, images)
    assert all(same(*pair) for pair in zip(first, found_by(network, images), strict=True))
    for index in range(3):
        assert same(first[index], found_by(network, images[index : index + 1])[0])


@torch.no_grad()
def test_a_model_that_is_saved_and_loaded_finds_the_same(model, name, tmp_path):
    network = everything_found(model[1])
    settings = network.config.model_dump(mode="json", exclude_defaults=True)
    channels = {"channels": network.config.input_channels}
    description = ModelDescription.parse({"model": {"name": name, "config": settings}, "preparation": channels})
    write_model_folder(tmp_path / "model", network, description)
    loaded, _ = read_model_folder(tmp_path / "model")
    images = image_of(network, 1, (40, 56))
    assert same(found_by(network, images)[0], found_by(loaded.eval(), images)[0])


def test_prompts_that_a_model_does_not_take_are_refused(sequential):
    network = sequential[1].eval()
    images, none = image_of(network, 1, (48, 48)), Prompts.none()
    boxes = none._replace(boxes=torch.zeros(1, 4), scores=torch.ones(1), class_ids=torch.ones(1, dtype=torch.long))
    with pytest.raises(ConfigError, match="boxes: this model takes none"):
        list(network.detect(images, [boxes]))
    if network.config.guidance is None:
        with pytest.raises(ConfigError, match="points: this model has no guidance"):
            list(network.detect(images, [none._replace(points=torch.zeros(1, 2))]))


@torch.no_grad()
def test_a_guided_model_looks_at_the_points_it_is_given(sequential):
    network = everything_found(sequential[1])
    if network.config.guidance is None:
        assert network.diameter_estimator is None
        return
    images = image_of(network, 2, (48, 48))
    points = [torch.tensor([[3.0, 4.0], [40.0, 41.0]]), torch.zeros(0, 2)]
    looked, step = [], network.step
    network.step = lambda memory, state, cell=None: looked.append(cell) or step(memory, state, cell)
    found = list(network.detect(images, [Prompts.none()._replace(points=one) for one in points]))
    expected = [cells_at(network.encode(images[:1]).guidance, point[None]) for point in points[0]]
    assert [one.tolist() for one in looked] == [one.tolist() for one in expected]
    assert {one.image for one in found} <= {0}
    assert network.diameter_estimator(images).ndim == 1


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
    batch = Batch(images, labels, classes, prompts=prompts_of(network, labels, classes))
    terms = network.losses(batch, weights, context())
    assert all(term.ndim == 0 and bool(term.isfinite()) for term in terms.values())
    torch.stack(list(terms.values())).sum().backward()
    missing = [key for key, parameter in network.named_parameters() if parameter.grad is None]
    if max(counts) or not network.takes_boxes:  # without a box, what reads boxes takes no part
        assert missing == []
    given = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert all(bool(gradient.isfinite().all()) for gradient in given)
    if counts[0] > 1:
        still = [
            key for key, parameter in network.named_parameters() if not parameter.grad.any() and key.endswith("weight")
        ]
        one_class = network.config.num_classes == 1  # of one class, the softmax is 1
        if (
            getattr(network.config, "use_global", True) is False
        ):  # what all labels are multiplied with is without effect
            still = [key for key in still if key != "terms.box_weight"]
        assert {key for key in still if not is_of_trunk(key)} == ({"class_head.weight"} if one_class else set())
    optimizer.step()
    assert all(bool(parameter.isfinite().all()) for parameter in network.parameters())


def test_a_term_of_weight_zero_is_not_computed(model, name):
    entry, network = model
    network.train()
    labels, classes = labels_of([2, 1], (48, 48))
    images, prompts = image_of(network, 2, (48, 48)), prompts_of(network, labels, classes)
    batch = Batch(images, labels, classes, prompts=prompts)
    terms = network.losses(batch, entry.objective_config(), context())
    more = ()
    if name == "detector":  # of either kind
        more = ("centreness",) if network.config.kind == "fcos" else ("objectness", "proposal_box")
    assert set(terms) == {*ALWAYS[name], *more}


@torch.no_grad()
@pytest.mark.parametrize(("batch", "size"), [(1, (33, 47)), (2, (64, 48))])
def test_encode_and_steps_equal_the_whole_sequence(sequential, batch, size):
    _, network = sequential
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
def test_a_step_gives_the_same_answer_when_it_is_asked_again(sequential):
    _, network = sequential
    network.eval()
    memory = network.encode(image_of(network, 1, (48, 48)))
    state = network.initial_state(memory, 1)
    first, _ = network.step(memory, state)
    again, _ = network.step(memory, state)
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))


@torch.no_grad()
def test_images_of_a_batch_do_not_see_each_other(sequential):
    _, network = sequential
    network.double().eval()
    images = image_of(network, 3, (48, 33)).double()
    memory = network.encode(images)
    state = network.initial_state(memory, 3)
    _, state = network.step(memory, state)
    together, _ = network.step(memory, state)
    chosen = torch.tensor([2, 0])
    apart, _ = network.step(select_images(memory, chosen), select_images(state, chosen))
    alone = network(images[1:2], 2)
    for field, value in together._asdict().items():
        torch.testing.assert_close(getattr(apart, field), value[chosen], rtol=0, atol=1e-5)
        torch.testing.assert_close(getattr(alone, field)[0, 1], value[1], rtol=0, atol=1e-5)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone(model, request):
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
    images = torch.rand(1, 2, 32, 32)
    with pytest.raises(ShapeError, match=r"expected . channels, got 2"):
        list(network.detect(images, prompts_for(network, images)))
