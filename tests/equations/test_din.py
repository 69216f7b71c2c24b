"""DIN (arXiv:1704.02386), eq. 1 to 7 and the detection potential of Sec. 3.1, each against numbers worked out here by hand or with plain loops."""

import itertools
import math

import numpy as np
import pytest
import torch

from seriatim.core.batch import Batch, Prompts
from seriatim.models.din import DIN, DINConfig, DINOutput, decode, objective
from seriatim.models.din_training import DINObjectiveConfig
from seriatim.models.interface import TrainingContext
from seriatim.nn import DenseCRF, PermutohedralLattice
from seriatim.nn.crf.detection_potential import DetectionPotential
from seriatim.nn.detections import read_detections
from seriatim.nn.instance_terms import InstanceTerms, box_term
from seriatim.nn.shape_templates import NUM_BINS, ShapeTerm

TINY = {"fcn": "pyramid", "encoder": "test_resnet", "encoder_depth": 3, "pyramid_channels": 8, "num_classes": 2}


def random(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def prompts_of(boxes, class_ids, scores):
    return Prompts(
        torch.tensor(boxes, dtype=torch.float64).reshape(len(boxes), 4),
        torch.tensor(scores, dtype=torch.float64),
        torch.tensor(class_ids, dtype=torch.long),
        torch.zeros(0, 2),
    )


def detections_of(boxes, class_ids, scores, size, num_classes=2):
    return read_detections(prompts_of(boxes, class_ids, scores), size, num_classes, dtype=torch.float64)


# --- Sec. 3.1: the detection potential ------------------------------------------------------------------------------------------


@torch.no_grad()
def test_the_potential_recalibrates_scores_by_what_the_box_holds():
    detections = detections_of([(0, 0, 1, 2)], [1], [0.8], (1, 3))
    potential = DetectionPotential(3).double()
    potential.detection_weight.fill_(2.0)
    probs = torch.tensor([[[0.1, 0.2, 0.0]], [[0.9, 0.5, 1.0]], [[0.0, 0.3, 0.0]]], dtype=torch.float64)
    # p = 0.8, w^y s / n = 2 x 0.8 / 2 = 0.8; the box holds 0.9 + 0.5 of the class and 0.6 of others
    absent, present = 0.2 - 0.8 * 1.4, 0.8 - 0.8 * 0.6
    expected = math.exp(present) / (math.exp(present) + math.exp(absent))
    assert float(potential.detection_probs(probs, detections)) == pytest.approx(expected)


@torch.no_grad()
def test_the_potential_changes_the_logits_of_the_pixels_of_the_box():
    detections = detections_of([(0, 0, 1, 2)], [1], [0.8], (1, 3))
    potential = DetectionPotential(3).double()
    potential.pixel_weight.fill_(2.0)
    added = potential.pixel_logits(torch.tensor([0.75], dtype=torch.float64), detections)
    # w^x s Q(Y = 0) = 2 x 0.8 x 0.25 for the class, w^x s Q(Y = 1) = 2 x 0.8 x 0.75 for the others
    expected = np.array([[[-1.2, -1.2, 0.0]], [[-0.4, -0.4, 0.0]], [[-1.2, -1.2, 0.0]]])
    np.testing.assert_allclose(added.numpy(), expected)


# --- eq. 1: the random field ----------------------------------------------------------------------------------------------------


@torch.no_grad()
def test_equation_1_the_field_has_any_number_of_labels_with_the_same_weights():
    crf, image = DIN(DINConfig(**TINY)).double().instance_crf, random(3, 6, 7)
    assert sorted(parameter.numel() for parameter in crf.parameters()) == [1, 1]
    for labels in (1, 2, 5):
        unary = random(labels, 6, 7, seed=1)
        order = torch.randperm(labels, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(crf(unary[order], image), crf(unary, image)[order])


@torch.no_grad()
def test_equation_1_mean_field_iterations_are_those_of_full_matrices():
    """The appearance kernel as a matrix is read off the lattice; how near that is to the Gaussian is tested with the lattice."""
    unary, image = 2 * random(3, 5, 6, seed=1), 0.3 * random(3, 5, 6)
    places = np.array(list(itertools.product(range(5), range(6))), dtype=np.float64)
    looks = torch.from_numpy(np.concatenate((image.flatten(1).T.numpy() * 255 / 5, places[:, ::-1] / 49), axis=1))
    appearance = PermutohedralLattice(looks).filter(torch.eye(30, dtype=torch.float64)).numpy()
    smoothness = np.exp(-((places[:, None] - places[None]) ** 2).sum(axis=-1) / (2 * 3**2))
    smoothness /= smoothness.sum(axis=1, keepdims=True)
    scores = unary.flatten(1).T.numpy()
    logits = scores
    for _ in range(3):
        powers = np.exp(logits)
        others = 1 - powers / powers.sum(axis=1, keepdims=True)  # Potts: labels that differ
        logits = scores - 4 * appearance @ others - 3 * smoothness @ others
    ours = DIN(DINConfig(**TINY)).double().instance_crf(unary, image).softmax(dim=0).flatten(1).T.numpy()
    powers = np.exp(logits)
    np.testing.assert_allclose(ours, powers / powers.sum(axis=1, keepdims=True), rtol=1e-9)


# --- eq. 2 to 4: box and global terms -------------------------------------------------------------------------------------------


def test_equation_3_is_score_times_probability_inside_the_box_and_0_outside():
    detections = detections_of([(0, 1, 1, 3)], [1], [0.5], (2, 3))
    probs = torch.tensor([[0.2, 0.4, 0.6], [0.8, 1.0, 0.1]], dtype=torch.float64)
    term = box_term(probs, detections.scores[0], detections, 0)
    np.testing.assert_allclose(term.numpy(), [[0.0, 0.2, 0.3], [0.0, 0.0, 0.0]])


PROBS = torch.tensor([[[0.1, 0.3, 0.2]], [[0.6, 0.5, 0.2]], [[0.3, 0.2, 0.6]]], dtype=torch.float64)
"""Q of three pixels: background and two classes."""

PAIR = detections_of([(0, 0, 1, 2), (0, 1, 1, 3)], [1, 2], [0.9, 0.5], (1, 3))
"""Of class 1 on pixels 1 and 2, of class 2 on pixels 2 and 3."""


@torch.no_grad()
def test_equations_2_and_4_box_and_global_are_weighted_and_the_background_has_its_probability():
    terms = InstanceTerms(None).double()
    terms.box_weight.fill_(2.0)
    terms.global_weight.fill_(0.5)
    energy = -terms(PROBS, PAIR.scores, PAIR)
    first = [2 * 0.9 * 0.6 + 0.5 * 0.6, 2 * 0.9 * 0.5 + 0.5 * 0.5, 0.5 * 0.2]
    second = [0.5 * 0.3, 2 * 0.5 * 0.2 + 0.5 * 0.2, 2 * 0.5 * 0.6 + 0.5 * 0.6]
    background = [0.5 * 0.1, 0.5 * 0.3, 0.5 * 0.2]
    np.testing.assert_allclose(energy[:, 0].numpy(), -np.log([background, first, second]))


@torch.no_grad()
def test_equation_2_weights_start_at_1():
    assert [float(one) for one in InstanceTerms(ShapeTerm(1, 4)).parameters() if one.ndim == 0] == [1, 1, 1]


@torch.no_grad()
def test_section_4_3_with_the_box_term_alone_the_background_is_a_detection_of_the_whole_image():
    energy = -InstanceTerms(None, use_global=False).double()(PROBS, PAIR.scores, PAIR)
    np.testing.assert_allclose(energy[0, 0].numpy(), -np.log([0.1, 0.3, 0.2]))
    np.testing.assert_allclose(energy[1, 0, :2].numpy(), -np.log([0.9 * 0.6, 0.9 * 0.5]))
    assert float(energy[1, 0, 2]) > 40  # outside the box


# --- eq. 5 and 6: the shape term ------------------------------------------------------------------------------------------------


def shape_term(templates):
    term = ShapeTerm(len(templates), templates.shape[-1]).double()
    of_bins = torch.zeros(NUM_BINS, *templates.shape, dtype=torch.float64)
    of_bins[2] = templates
    term.set_templates(of_bins)
    return term


LEFT_AND_ALL = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[1.0, 1.0], [1.0, 1.0]]], dtype=torch.float64)


@torch.no_grad()
def test_equation_5_takes_the_template_of_the_largest_normalised_correlation():
    term = shape_term(LEFT_AND_ALL)
    same = 2 * [torch.eye(2, dtype=torch.float64)]
    half = torch.tensor([[0.8, 0.2], [0.8, 0.2]], dtype=torch.float64)
    # with the left half: 1.6 / (sqrt(1.36) sqrt 2); with the whole: 2 / (sqrt(1.36) 2)
    match = term.match(half, *same)
    assert match.number == 2 * 2
    assert match.score == pytest.approx(1.6 / math.sqrt(2 * 1.36))
    even = torch.tensor([[0.8, 0.6], [0.8, 0.6]], dtype=torch.float64)
    match = term.match(even, *same)
    assert match.number == 2 * 2 + 1
    assert match.score == pytest.approx(2.8 / (2 * math.sqrt(2)))


@torch.no_grad()
def test_equation_6_is_the_product_of_segmentation_and_warped_template_in_the_box():
    probs = torch.zeros(4, 5, dtype=torch.float64)
    probs[:, 1:3], probs[:, 3:] = 0.8, 0.1
    term = shape_term(LEFT_AND_ALL)(probs, detections_of([(1, 1, 3, 5)], [1], [1.0], (4, 5)), 0)
    line = [0.8 * 1.0, 0.8 * 0.75, 0.1 * 0.25, 0.0]  # the left half, stretched to four columns
    np.testing.assert_allclose(term.numpy(), [[0] * 5, [0, *line], [0, *line], [0] * 5])


@torch.no_grad()
def test_equation_2_adds_the_shape_term_with_its_weight():
    with_shape, without = InstanceTerms(shape_term(LEFT_AND_ALL)).double(), InstanceTerms(None).double()
    with_shape.shape_weight.fill_(3.0)
    shapes = [with_shape.shape(PROBS[class_id], PAIR, number) for number, class_id in enumerate((1, 2))]
    difference = with_shape(PROBS, PAIR.scores, PAIR).exp() - without(PROBS, PAIR.scores, PAIR).exp()
    torch.testing.assert_close(difference[1:], 3 * torch.stack(shapes))
    assert not difference[0].any()


# --- eq. 7 and the loss ---------------------------------------------------------------------------------------------------------


def output_of(logits, detections, semantic=None):
    semantic = torch.zeros(3, *logits.shape[1:], dtype=torch.float64) if semantic is None else semantic
    return DINOutput(detections, detections.scores, semantic, logits, logits)


def costs_of(probs, labels, classes, **weights):
    """Terms of the loss for given probabilities of the labels at the pixels of one row."""
    logits = torch.tensor(probs, dtype=torch.float64)[:, None].log()
    terms = objective(
        output_of(logits, PAIR), torch.tensor([labels]), torch.tensor(classes), DINObjectiveConfig(**weights)
    )
    return {name: float(term) for name, term in terms.items()}


THREE = [[0.1, 0.2, 0.2], [0.8, 0.5, 0.1], [0.1, 0.3, 0.7]]
"""Probabilities of the background and of the two detections; the map is 1, 1, 2."""


def test_equation_7_the_cross_entropy_is_that_of_the_matched_truth():
    mean = -(math.log(0.8) + math.log(0.5) + math.log(0.7)) / 3
    assert costs_of(THREE, [2, 2, 1], [2, 1])["instance"] == pytest.approx(mean)
    assert costs_of(THREE, [1, 1, 2], [1, 2])["instance"] == pytest.approx(mean)


def test_equation_7_segments_of_other_classes_are_not_matched():
    """Object 1 has the place of detection 1 and the class of the other: its pixels are left out, or count as background."""
    given = (THREE, [1, 1, 2], [2, 2])
    assert costs_of(*given)["instance"] == pytest.approx(-math.log(0.7))
    as_background = -(math.log(0.1) + math.log(0.2) + math.log(0.7)) / 3
    assert costs_of(*given, unmatched="background")["instance"] == pytest.approx(as_background)


def test_section_3_4_void_pixels_do_not_count_and_the_paper_sums_over_pixels():
    assert costs_of(THREE, [1, -1, -2], [1])["instance"] == pytest.approx(-math.log(0.8))
    total = costs_of(THREE, [0, 1, 2], [1, 2], reduction="sum")["instance"]
    assert total == pytest.approx(-math.log(0.1) - math.log(0.5) - math.log(0.7))


def test_section_3_4_the_approximate_iou_loss_is_over_the_matched_objects():
    costs = costs_of(THREE, [1, 1, 2], [1, 2], iou=1.0)
    ious = [1.3 / (1.4 + 2 - 1.3), 0.7 / (1.1 + 1 - 0.7)]
    assert costs["iou"] == pytest.approx(1 - sum(ious) / 2, abs=1e-5)


def test_section_3_5_the_semantic_loss_is_the_cross_entropy_of_the_classes():
    semantic = PROBS.log()
    terms = objective(
        output_of(torch.zeros(3, 1, 3, dtype=torch.float64), PAIR, semantic),
        torch.tensor([[0, 2, -1]]),
        torch.tensor([1, 2]),
        DINObjectiveConfig(instance=0.0, semantic=1.0),
    )
    assert set(terms) == {"semantic"}
    assert float(terms["semantic"]) == pytest.approx(-(math.log(0.1) + math.log(0.2)) / 2)


# --- the labels as objects ------------------------------------------------------------------------------------------------------


def test_the_score_of_an_object_is_the_mean_probability_of_its_class_over_its_pixels():
    logits = torch.tensor(THREE, dtype=torch.float64)[:, None].log()
    found = [instance for instance, _ in decode(output_of(logits, PAIR, PROBS.log()))]
    assert [(one.box, one.class_id) for one in found] == [((0, 0, 1, 2), 1), ((0, 2, 1, 3), 2)]
    assert [one.score for one in found] == pytest.approx([(0.6 + 0.5) / 2, 0.6])


# --- the whole network ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"box_scores": "recalibrated", "training_iterations": 3}, {"use_global": False, "use_shape": False}],
)
def test_gradients_of_the_whole_network_equal_finite_differences(settings):
    """12 x 12 pixels, three detections, float64, along random directions in each group of parameters."""
    torch.manual_seed(0)
    config = DINConfig(**TINY, **settings, templates_per_bin=2, template_side=5)
    network = DIN(config).double().eval()
    labels = torch.zeros(1, 12, 12, dtype=torch.long)
    labels[0, 1:6, 1:6], labels[0, 4:11, 6:11], labels[0, 8:12, 0:5] = 1, 2, 3
    images = 0.4 * (labels > 0)[:, None] + 0.6 * random(1, 3, 12, 12)
    boxes = prompts_of([(0, 1, 7, 7), (3, 5, 12, 12), (7, -1, 12, 5)], [1, 1, 2], [0.9, 0.7, 0.6])
    with torch.no_grad():
        for parameter in network.encoder.parameters():  # some start at 0, where a ReLU has no derivative
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        network.head[-1].bias.copy_(torch.tensor([-1.0, 0.5, 0.4]))
    batch = Batch(images, labels, torch.tensor([[1, 1, 2]]), prompts=(boxes,))
    weights = DINObjectiveConfig(semantic=0.5, iou=0.5, unmatched="background")

    def cost():
        terms = network.losses(batch, weights, TrainingContext(torch.Generator()))
        return torch.stack(list(terms.values())).sum()

    cost().backward()
    generator, step, checked = torch.Generator().manual_seed(1), 1e-6, []
    for name, parameters in network.parameter_groups().items():
        parameters = [each for each in parameters if each.grad is not None]
        ways = [torch.randn(each.shape, dtype=torch.float64, generator=generator) for each in parameters]
        expected = sum(float((each.grad * way).sum()) for each, way in zip(parameters, ways, strict=True))
        ends = []
        for sign in (1, -2):
            with torch.no_grad():
                for each, way in zip(parameters, ways, strict=True):
                    each.add_(way, alpha=sign * step)
                ends.append(float(cost()))
        with torch.no_grad():
            for each, way in zip(parameters, ways, strict=True):
                each.add_(way, alpha=step)
        assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(expected, rel=1e-6, abs=1e-8), name
        checked.append((name, expected))
    is_alone = not config.use_global
    assert {name for name, slope in checked if slope} == (
        {"encoder", "head", "semantic_crf", "instance_crf"} | (set() if is_alone else {"terms", "templates"})
    ) or is_alone


def test_piecewise_training_leaves_the_semantic_network_alone():
    """Sec. 4.3: its groups are frozen by a recipe; what is left still has a gradient."""
    network = DIN(DINConfig(**TINY, templates_per_bin=2, template_side=5))
    groups = network.parameter_groups()
    frozen = [each for name in ("encoder", "head", "semantic_crf") for each in groups[name]]
    for each in frozen:
        each.requires_grad_(False)
    labels = torch.zeros(1, 16, 16, dtype=torch.long)
    labels[0, 2:9, 2:9] = 1
    batch = Batch(torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)), labels, torch.tensor([[1]]))
    weights = DINObjectiveConfig(detections="truth", unmatched="background")
    torch.stack(list(network.losses(batch, weights, TrainingContext(torch.Generator())).values())).sum().backward()
    for name in ("terms", "instance_crf", "templates"):
        assert all(each.grad is not None for each in groups[name]), name


def test_iterations_and_kernels_are_the_papers():
    network = DIN(DINConfig(fc_channels=4)).requires_grad_(False)
    semantic, instance = network.semantic_crf.dense, network.instance_crf
    assert (semantic.theta_alpha, semantic.theta_beta, semantic.theta_gamma) == (160, 3, 3)
    assert (network.semantic_crf.training_iterations, network.semantic_crf.iterations) == (5, 10)
    assert (instance.theta_alpha, instance.theta_beta, instance.theta_gamma) == (49, 5, 3)
    assert (float(instance.bilateral_weight), float(instance.spatial_weight)) == (4, 3)
    assert instance.num_mean_field_iterations == 3
    assert instance.compatibility is None
    assert isinstance(semantic, DenseCRF)
    torch.testing.assert_close(semantic.compatibility, 1 - torch.eye(2))
