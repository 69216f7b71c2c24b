"""RIS (arXiv:1511.08250), eq. 1 to 5, Sec. 3.2 and Algorithm 1, each against numbers worked out here with plain numpy loops or by hand."""

import itertools
import math

import numpy as np
import pytest
import torch

from seriatim.core.batch import Batch
from seriatim.models.interface import TrainingContext
from seriatim.models.ris import RIS, RISConfig, RISObjectiveConfig, RISOutput, StepOutput, objective
from seriatim.nn.spatial_inhibition import SpatialInhibition, log_softmax_over_pixels

# --- eq. 1: the stacked ConvLSTMs ---------------------------------------------------------------------------------------------


def convolve(planes, weight, bias):
    """Correlation with zeros around, by the definition."""
    _, height, width = planes.shape
    reach = weight.shape[-1] // 2
    padded = np.pad(planes, ((0, 0), (reach, reach), (reach, reach)))
    result = np.zeros((len(weight), height, width))
    for row in range(height):
        for column in range(width):
            window = padded[:, row : row + 2 * reach + 1, column : column + 2 * reach + 1]
            result[:, row, column] = np.tensordot(weight, window, axes=3) + bias
    return result


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def gates_of_equation_1(layer, width):
    """w_x, w_h and b of each gate by name, taken from the layer's one tensor, which holds them in the order i, f, o, g."""
    changing = layer.changing.weight.detach().numpy()
    if layer.constant is None:
        of_x, bias = changing[:, :width], layer.bias.detach().numpy().ravel()
    else:
        of_x, bias = layer.constant.weight.detach().numpy(), layer.constant.bias.detach().numpy()
    of_h = changing[:, -width:]
    parts = zip(*(np.split(one, 4) for one in (of_x, of_h, bias)), strict=True)
    return dict(zip("ifog", parts, strict=True))


def step_of_equation_1(gates, x, h, c):
    i, f, o, g = (convolve(x, gates[n][0], gates[n][2]) + convolve(h, gates[n][1], 0 * gates[n][2]) for n in "ifog")
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


@pytest.mark.parametrize(("kernel_size", "depth"), [(3, 2), (1, 2), (3, 1), (3, 3)])
@torch.no_grad()
def test_equation_1_every_layer_reads_the_one_below_and_the_first_reads_b_at_every_step(kernel_size, depth):
    torch.manual_seed(1)
    width = 5
    network = RIS(RISConfig(channels=width, stride=4, kernel_size=kernel_size, depth=depth)).double()
    images = torch.rand(1, 3, 20, 16, dtype=torch.float64)
    b = network.encoder(images)[0].numpy()
    gates = [gates_of_equation_1(layer, width) for layer in network.convlstms]
    h = [np.zeros_like(b) for _ in gates]
    c = [np.zeros_like(b) for _ in gates]
    memory = network.encode(images)
    state = network.initial_state(memory, 1)
    for _ in range(3):
        _, state = network.step(memory, state)
        x = b
        for layer, of_layer in enumerate(gates):
            h[layer], c[layer] = step_of_equation_1(of_layer, x, h[layer], c[layer])
            x = h[layer]
            np.testing.assert_allclose(state.cells[layer].hidden[0].numpy(), h[layer], rtol=0, atol=1e-12)
            np.testing.assert_allclose(state.cells[layer].cell[0].numpy(), c[layer], rtol=0, atol=1e-12)


def test_recurrent_weights_begin_uniformly_in_0_08_and_the_biases_of_the_forget_gates_at_1():
    network = RIS(RISConfig(channels=30))
    for layer in network.convlstms:
        gates = gates_of_equation_1(layer, 30)
        assert (gates["f"][2] == 1).all()
        for name, parts in gates.items():
            for part in parts if name != "f" else parts[:2]:
                assert np.abs(part).max() <= 0.08
                if part.size > 1000:  # uniform: mean 0, standard deviation 0.08 / sqrt 3
                    assert np.abs(part).max() > 0.0799
                    assert abs(part.mean()) < 0.003
                    assert part.std() == pytest.approx(0.08 / math.sqrt(3), rel=0.03)


# --- Sec. 3.2: spatial inhibition and confidence ------------------------------------------------------------------------------


def test_log_softmax_is_over_all_pixels_of_an_image_and_no_other():
    ln2 = math.log(2)
    response = torch.tensor([[[0.0, ln2], [0.0, 2 * ln2]], [[0.0, 0.0], [0.0, 100.0]]]).double()
    shares = log_softmax_over_pixels(response).exp()
    torch.testing.assert_close(shares[0], torch.tensor([[1 / 8, 2 / 8], [1 / 8, 4 / 8]]).double())
    assert shares[1, 1, 1].item() == pytest.approx(1.0)


@torch.no_grad()
def test_inhibition_is_convolution_log_softmax_threshold_sigmoid_upsampling():
    module = SpatialInhibition(2, initial_threshold=math.log(4)).double()
    module.convolution.weight[0, :, 0, 0] = torch.tensor([1.0, -2.0])
    module.convolution.bias[0] = 7.0  # the same everywhere, so the softmax takes it away
    ln2 = math.log(2)
    state = torch.tensor([[[[0.0, ln2], [ln2, 4 * ln2]], [[0.0, 0.0], [ln2 / 2, ln2]]]]).double()
    found = module(state, (2, 4))
    # r = (0, ln 2, 0, 2 ln 2) + 7: shares 1/8, 2/8, 1/8, 4/8; times exp(b) = 4: odds 1/2, 1, 1/2, 2
    torch.testing.assert_close(found.response[0] - 7, torch.tensor([[0.0, ln2], [0.0, 2 * ln2]]).double())
    torch.testing.assert_close(found.inhibited_logits[0].exp(), torch.tensor([[0.5, 1.0], [0.5, 2.0]]).double())
    # sigmoid of the logarithm of odds q is q / (1 + q); a row of two cells a, b becomes a, (3a + b) / 4, (a + 3b) / 4, b
    rows = [(1 / 3, 1 / 2), (1 / 3, 2 / 3)]
    wide = [[a, (3 * a + b) / 4, (a + 3 * b) / 4, b] for a, b in rows]
    torch.testing.assert_close(found.mask_probs[0], torch.tensor(wide).double())


@torch.no_grad()
def test_confidence_is_a_linear_layer_on_the_largest_value_of_every_channel_of_the_last_state():
    torch.manual_seed(0)
    network = RIS(RISConfig(channels=4, stride=4)).double()
    memory = network.encode(torch.rand(2, 3, 16, 20, dtype=torch.float64))
    state = network.initial_state(memory, 2)
    for _ in range(2):
        output, state = network.step(memory, state)
    for image in range(2):
        largest = state.cells[-1].hidden[image].numpy().max(axis=(1, 2))
        expected = network.confidence.weight[0].numpy() @ largest + network.confidence.bias.numpy()[0]
        assert output.confidence_logits[image].item() == pytest.approx(expected, abs=1e-12)


def test_the_threshold_is_learned_and_begins_at_1():
    network = RIS(RISConfig())
    assert network.inhibition.threshold.item() == 1.0
    assert isinstance(network.inhibition.threshold, torch.nn.Parameter)


# --- eq. 2 to 5: the loss -----------------------------------------------------------------------------------------------------


def output_of(probs, scores):
    """The output of one image of one row of pixels; probs (steps, pixels), scores (steps)."""
    probs, scores = (torch.tensor(np.asarray(part), dtype=torch.float64) for part in (probs, scores))
    steps = len(probs)
    nothing = torch.zeros(1, steps, 1, 1)
    masks = probs.view(1, steps, 1, -1).clone().requires_grad_()
    logits = torch.logit(scores).view(1, steps).clone().requires_grad_()
    return RISOutput(masks, logits, torch.ones(1, steps), nothing, nothing)


PROBS = [[0.1, 0.1, 0.2, 0.9], [0.8, 0.7, 0.1, 0.1], [1.0, 1.0, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5]]
SCORES = [0.9, 0.6, 0.3, 0.8]
LABELS = torch.tensor([[[1, 1, 0, 2]]])
# of step 0 with object 2 and of step 1 with object 1: <p, y> / (|p| + |y| - <p, y>)
IOUS = (0.9 / (1.3 + 1 - 0.9), 1.5 / (1.7 + 2 - 1.5))


def terms_of(output, labels=LABELS, count=2, **weights):
    return objective(output, labels, torch.tensor([count]), RISObjectiveConfig(**weights))


def test_equation_3_is_the_sum_of_the_ious_of_the_matched_pairs_with_a_minus_in_equation_5():
    terms = terms_of(output_of(PROBS, SCORES))
    assert set(terms) == {"mask", "confidence"}
    assert terms["mask"].item() == pytest.approx(-sum(IOUS), abs=1e-5)


def test_equation_3_counts_the_first_n_steps_alone_however_well_a_later_one_fits():
    output = output_of(PROBS, SCORES)  # step 2 is object 1 to the pixel, and beyond the two objects
    terms_of(output)["mask"].backward()
    gradient = output.mask_probs.grad[0].flatten(1).abs().sum(dim=1)
    assert (gradient[:2] > 0).all()
    assert gradient[2:].tolist() == [0.0, 0.0]


def test_equation_4_gives_an_object_to_one_step_and_a_step_one_object():
    # both steps lie on object 1; one of them must take object 2, of which it has nothing
    output = output_of([[0.9, 0.9, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0] * 4, [0.0] * 4], SCORES)
    assert terms_of(output)["mask"].item() == pytest.approx(-1.0, abs=1e-5)


def test_equation_4_leaves_objects_without_a_step_where_there_are_fewer_steps():
    output = output_of(PROBS[:1], SCORES[:1])
    assert terms_of(output)["mask"].item() == pytest.approx(-IOUS[0], abs=1e-5)


def test_equation_2_is_the_best_of_all_assignments():
    chance = np.random.default_rng(0)
    for _ in range(20):
        count, steps = int(chance.integers(1, 5)), int(chance.integers(1, 7))
        labels = chance.integers(0, count + 1, size=24)
        labels[:count] = np.arange(1, count + 1)
        probs = chance.random((steps, 24))
        table = np.array([[iou(labels == one, p) for one in range(1, count + 1)] for p in probs[: min(count, steps)]])
        best = max(
            sum(table[step, one] for step, one in enumerate(order))
            for order in itertools.permutations(range(count), len(table))
        )
        output = output_of(probs, [0.5] * steps)
        terms = terms_of(output, torch.from_numpy(labels).view(1, 1, -1), count)
        assert terms["mask"].item() == pytest.approx(-best, abs=1e-5)


def test_equation_5_adds_lambda_times_the_cross_entropy_of_n_plus_2_steps():
    output = output_of(PROBS, SCORES)
    terms = terms_of(output, confidence=0.5)
    expected = -(math.log(0.9) + math.log(0.6) + math.log(1 - 0.3) + math.log(1 - 0.8))
    assert terms["confidence"].item() == pytest.approx(0.5 * expected, rel=1e-9)
    longer = output_of([*PROBS, [0.1] * 4], [*SCORES, 0.99])  # a fifth step belongs to another image of the batch
    assert terms_of(longer)["confidence"].item() == pytest.approx(expected, rel=1e-9)


def test_lambda_is_1_and_sums_are_taken_unless_told():
    weights = RISObjectiveConfig()
    assert (weights.mask, weights.confidence, weights.maps, weights.reduction) == (1, 1, 0, "sum")
    output = output_of(PROBS, SCORES)
    means, sums = terms_of(output, reduction="mean"), terms_of(output)
    assert means["mask"].item() == pytest.approx(sums["mask"].item() / 2)
    assert means["confidence"].item() == pytest.approx(sums["confidence"].item() / 4)


def test_of_an_image_without_objects_both_steps_are_asked_to_stop():
    terms = terms_of(output_of(PROBS[:2], SCORES[:2]), torch.zeros(1, 1, 4, dtype=torch.long), 0)
    assert terms["mask"].item() == 0
    assert terms["confidence"].item() == pytest.approx(-(math.log(0.1) + math.log(0.4)), rel=1e-9)


def test_pixels_to_ignore_count_neither_in_prediction_nor_in_truth():
    labels = LABELS.clone()
    labels[0, 0, 2] = -1
    expected = 0.9 / (1.1 + 1 - 0.9) + 1.5 / (1.6 + 2 - 1.5)
    assert terms_of(output_of(PROBS, SCORES), labels)["mask"].item() == pytest.approx(-expected, abs=1e-5)


def test_the_terms_are_means_over_the_images_of_a_batch():
    one, other = output_of(PROBS, SCORES), output_of(PROBS, SCORES)
    both = RISOutput(*(torch.cat((getattr(one, n), getattr(other, n))) for n in StepOutput._fields))
    labels = torch.cat((LABELS, torch.zeros_like(LABELS)))
    terms = objective(both, labels, torch.tensor([2, 0]), RISObjectiveConfig())
    assert terms["mask"].item() == pytest.approx(-sum(IOUS) / 2, abs=1e-5)
    first = -(math.log(0.9) + math.log(0.6) + math.log(0.7) + math.log(0.2))
    assert terms["confidence"].item() == pytest.approx((first - math.log(0.1) - math.log(0.4)) / 2, rel=1e-9)


@pytest.mark.parametrize(
    ("curriculum", "counts", "expected"),
    [(None, [3], 5), (None, [0], 2), (None, [1, 3], 5), (2, [3], 2), (3, [3], 3), (9, [3], 5), (2, [0], 2)],
)
def test_training_runs_n_plus_2_steps_and_under_the_curriculum_as_many_as_it_asks_for(
    monkeypatch, curriculum, counts, expected
):
    network = RIS(RISConfig(channels=4, stride=4, max_steps=1))  # which bounds the steps at test time alone
    lengths, unroll = [], RIS.unroll
    monkeypatch.setattr(RIS, "unroll", lambda *given: lengths.append(given[-1]) or unroll(*given))
    labels = torch.zeros(len(counts), 8, 8, dtype=torch.long)
    classes = torch.zeros(len(counts), max(counts), dtype=torch.long)
    for image, count in enumerate(counts):
        for number in range(count):
            labels[image, 2 * number] = number + 1
            classes[image, number] = 1
    images = torch.rand(len(counts), 3, 8, 8)
    context = TrainingContext(torch.Generator(), curriculum)
    network.losses(Batch(images, labels, classes), RISObjectiveConfig(), context)
    assert lengths == [expected]


def test_under_the_curriculum_the_best_of_the_objects_are_taken_and_every_step_is_one():
    terms = terms_of(output_of(PROBS[:2], SCORES[:2]), torch.tensor([[[1, 2, 3, 4]]]), 4)
    # step 0 with object 4: 0.9 / (1.3 + 1 - 0.9); step 1 with object 1: 0.8 / (1.7 + 1 - 0.8); objects 2 and 3 have no step
    assert terms["mask"].item() == pytest.approx(-(0.9 / 1.4 + 0.8 / 1.9), abs=1e-5)
    assert terms["confidence"].item() == pytest.approx(-(math.log(0.9) + math.log(0.6)), rel=1e-9)


# --- Sec. 5: what was tried ---------------------------------------------------------------------------------------------------


def test_section_5_log_likelihood_in_place_of_the_iou_is_matched_and_summed_like_it():
    def likelihood(probs, mask):
        return sum(math.log(p if g else 1 - p) for p, g in zip(probs, mask, strict=True)) / len(mask)

    truths = [(LABELS.flatten() == number).tolist() for number in (1, 2)]
    orders = itertools.permutations(range(2))
    best = max(sum(likelihood(PROBS[step], truths[one]) for step, one in enumerate(order)) for order in orders)
    terms = terms_of(output_of(PROBS, SCORES), similarity="log_likelihood")
    assert terms["mask"].item() == pytest.approx(-best, abs=1e-9)
    assert terms["confidence"].item() == terms_of(output_of(PROBS, SCORES))["confidence"].item()


@torch.no_grad()
def test_section_5_the_sum_of_the_masks_so_far_is_a_further_input_of_the_first_layer():
    torch.manual_seed(2)
    width = 4
    network = RIS(RISConfig(channels=width, stride=4, depth=1, feed_back_masks=True)).double()
    images = torch.rand(1, 3, 12, 16, dtype=torch.float64)
    b = network.encoder(images)[0].numpy()
    layer = network.convlstms[0]
    of_b, bias = layer.constant.weight.numpy(), layer.constant.bias.numpy()
    of_masks, of_h = layer.changing.weight[:, :1].numpy(), layer.changing.weight[:, 1:].numpy()
    h = c = np.zeros_like(b)
    mask_sum = np.zeros((1, *b.shape[1:]))
    memory = network.encode(images)
    state = network.initial_state(memory, 1)
    for _ in range(3):
        output, state = network.step(memory, state)
        gates = convolve(b, of_b, bias) + convolve(mask_sum, of_masks, 0 * bias) + convolve(h, of_h, 0 * bias)
        i, f, o, g = np.split(gates, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(state.cells[0].hidden[0].numpy(), h, rtol=0, atol=1e-6)
        mask_sum = mask_sum + sigmoid(output.inhibited_logits.numpy())


# --- Algorithm 1: the gradient ------------------------------------------------------------------------------------------------


def iou(truth, prediction):
    shared = (truth * prediction).sum()
    return shared / (truth.sum() + prediction.sum() - shared)


def iou_derivative(truth, prediction):
    """Of <p, y> / u with u = |p| + |y| - <p, y>, after p: (y u - <p, y> (1 - y)) / u^2."""
    shared = (truth * prediction).sum()
    union = truth.sum() + prediction.sum() - shared
    return (truth * union - shared * (1 - truth)) / union**2


def algorithm_1(truths, masks, scores, weight):
    """Cost and gradients as printed, but for the sign of the masks' gradient, which is that of the cost it belongs to."""
    count, steps = len(truths), len(masks)
    cost, of_masks, of_scores = 0.0, np.zeros_like(masks), np.zeros(steps)
    orders = itertools.permutations(range(count), min(count, steps))
    matching = max(orders, key=lambda order: sum(iou(truths[one], masks[t]) for t, one in enumerate(order)))
    for t in range(steps):
        if t < count:
            cost -= iou(truths[matching[t]], masks[t]) + weight * math.log(scores[t])
            of_masks[t] = -iou_derivative(truths[matching[t]], masks[t])
            of_scores[t] = -weight / scores[t]
        else:
            cost -= weight * math.log(1 - scores[t])
            of_scores[t] = weight / (1 - scores[t])
    return cost, of_masks, of_scores


@pytest.fixture(params=[(3, 5), (1, 3), (4, 2), (2, 4)], ids=lambda case: f"{case[0]} objects, {case[1]} steps")
def problem(request):
    count, steps = request.param
    chance = np.random.default_rng(count)
    labels = chance.integers(0, count + 1, size=30)
    labels[:count] = np.arange(1, count + 1)
    return labels, count, chance.uniform(0.05, 0.95, (steps, 30)), chance.uniform(0.05, 0.95, steps)


def cost_and_output(problem, masks=None, scores=None, weight=0.7):
    labels, count, first_masks, first_scores = problem
    output = output_of(first_masks if masks is None else masks, first_scores if scores is None else scores)
    terms = terms_of(output, torch.from_numpy(labels).view(1, 1, -1), count, confidence=weight)
    return sum(terms.values()), output


def test_algorithm_1_cost_and_gradients_are_those_of_the_objective(problem):
    labels, count, masks, scores = problem
    truths = np.stack([(labels == number).astype(float) for number in range(1, count + 1)])
    cost, of_masks, of_scores = algorithm_1(truths, masks, scores, 0.7)
    ours, output = cost_and_output(problem)
    assert ours.item() == pytest.approx(cost, abs=1e-5)
    ours.backward()
    np.testing.assert_allclose(output.mask_probs.grad[0, :, 0].numpy(), of_masks, rtol=0, atol=1e-6)
    # ours is after the logit z of s, ds / dz = s (1 - s)
    np.testing.assert_allclose(
        output.confidence_logits.grad[0].numpy(), of_scores * scores * (1 - scores), rtol=0, atol=1e-9
    )


def test_algorithm_1_gradients_equal_finite_differences(problem):
    _, _, masks, scores = problem
    cost, output = cost_and_output(problem)
    cost.backward()
    by_masks, by_logits = output.mask_probs.grad[0, :, 0].numpy(), output.confidence_logits.grad[0].numpy()
    tiny = 1e-6
    for step in range(len(masks)):
        for pixel in range(0, 30, 3):
            moved = [masks.copy(), masks.copy()]
            moved[0][step, pixel] -= tiny
            moved[1][step, pixel] += tiny
            low, high = (cost_and_output(problem, masks=one)[0].item() for one in moved)
            assert by_masks[step, pixel] == pytest.approx((high - low) / (2 * tiny), abs=1e-7)
        logits = np.log(scores / (1 - scores))
        shifts = [logits - tiny * (np.arange(len(scores)) == step), logits + tiny * (np.arange(len(scores)) == step)]
        low, high = (cost_and_output(problem, scores=1 / (1 + np.exp(-one)))[0].item() for one in shifts)
        assert by_logits[step] == pytest.approx((high - low) / (2 * tiny), abs=1e-7)


def test_algorithm_1_steps_beyond_the_objects_get_no_gradient_for_their_masks(problem):
    _, count, masks, _ = problem
    cost, output = cost_and_output(problem)
    cost.backward()
    still = [step for step in range(len(masks)) if not output.mask_probs.grad[0, step].any()]
    assert still == list(range(count, len(masks)))
    assert (output.confidence_logits.grad != 0).all()
