"""The updates of the detection potential against every labelling of a few pixels."""

import itertools
import math

import numpy as np
import pytest
import torch

from seriatim.core.batch import Prompts
from seriatim.nn.crf.detection_potential import DetectionPotential
from seriatim.nn.detections import read_detections

SIZE, LABELS = (2, 4), 3
PIXELS = SIZE[0] * SIZE[1]
BOXES = [(0, 0, 2, 2), (0, 1, 2, 4), (1, 0, 2, 4)]


def make_detections(boxes=BOXES, class_ids=(1, 2, 1), scores=(0.9, 0.7, 0.4)):
    prompts = Prompts(
        torch.tensor(boxes, dtype=torch.float64),
        torch.tensor(scores, dtype=torch.float64),
        torch.tensor(class_ids),
        torch.zeros(0, 2),
    )
    return read_detections(prompts, SIZE, LABELS - 1, dtype=torch.float64)


def make_potential(pixel_weight=(0.0, 0.8, 1.7), detection_weight=(0.0, 2.5, 0.6)):
    potential = DetectionPotential(LABELS).double()
    with torch.no_grad():
        potential.pixel_weight.copy_(torch.tensor(pixel_weight))
        potential.detection_weight.copy_(torch.tensor(detection_weight))
    return potential


def random_logits(seed=0):
    return 2 * torch.randn(LABELS, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def pixels_of(detections, number):
    plane = torch.outer(detections.rows[number], detections.columns[number])
    return plane.flatten().nonzero().flatten().tolist()


STATES = np.array(list(itertools.product(range(LABELS), repeat=PIXELS)))


def energies(logits, detections, coefficients):
    """Of every labelling of the pixels (rows) and of the detections (columns), term by term of the definition."""
    flat, count = logits.reshape(LABELS, -1).numpy(), len(detections)
    of_pixels = -sum(flat[STATES[:, pixel], pixel] for pixel in range(PIXELS))
    held = np.array(list(itertools.product((0, 1), repeat=count)))
    table = of_pixels[:, None] + np.zeros(len(held))
    for number in range(count):
        prior = min(float(detections.scores[number]), 1 - 1e-6)
        of_class = STATES[:, pixels_of(detections, number)] == int(detections.class_ids[number])
        inside, outside = of_class.sum(axis=1), (~of_class).sum(axis=1)
        is_held = held[:, number]
        table += np.where(is_held, -prior, -(1 - prior))
        table += coefficients[number] * np.where(is_held, outside[:, None], inside[:, None])
    return table, held


def factors(probs, held_probs, held):
    """Of every state, the probability that the mean field gives each pixel (states x pixels) and each detection."""
    flat = probs.reshape(LABELS, -1).numpy()
    of_pixels = np.stack([flat[STATES[:, pixel], pixel] for pixel in range(PIXELS)], axis=1)
    chances = held_probs.numpy()
    return of_pixels, np.where(held == 1, chances, 1 - chances)


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def coefficients_of(weights, detections, per_pixel):
    return [
        float(weights[class_id] * score / (area if per_pixel else 1))
        for class_id, score, area in zip(
            detections.class_ids.tolist(), detections.scores.tolist(), detections.areas.tolist(), strict=True
        )
    ]


@torch.no_grad()
def test_the_update_of_every_pixel_is_the_expectation_over_all_labellings_of_the_rest():
    detections, potential = make_detections(), make_potential()
    logits, probs = random_logits(), random_logits(1).softmax(dim=0)
    held_probs = torch.tensor([0.3, 0.9, 0.6], dtype=torch.float64)
    ours = (logits + potential.pixel_logits(held_probs, detections)).softmax(dim=0).flatten(1)
    table, held = energies(logits, detections, coefficients_of(potential.pixel_weight, detections, per_pixel=False))
    of_pixels, of_detections = factors(probs, held_probs, held)
    for pixel in range(PIXELS):
        rest = np.delete(of_pixels, pixel, axis=1).prod(axis=1)[:, None] * of_detections.prod(axis=1)
        means = [-(table * rest)[STATES[:, pixel] == label].sum() for label in range(LABELS)]
        np.testing.assert_allclose(ours[:, pixel].numpy(), softmax(np.array(means)), rtol=1e-9)


@torch.no_grad()
def test_the_update_of_every_detection_is_the_expectation_over_all_labellings_of_the_rest():
    detections, potential = make_detections(), make_potential()
    logits, probs = random_logits(), random_logits(1).softmax(dim=0)
    ours = potential.detection_probs(probs, detections)
    table, held = energies(logits, detections, coefficients_of(potential.detection_weight, detections, per_pixel=True))
    of_pixels, of_detections = factors(probs, torch.tensor([0.3, 0.9, 0.6], dtype=torch.float64), held)
    for number in range(len(detections)):
        others = np.delete(of_detections, number, axis=1).prod(axis=1)
        rest = of_pixels.prod(axis=1)[:, None] * others
        means = [-(table * rest)[:, held[:, number] == state].sum() for state in (0, 1)]
        assert float(ours[number]) == pytest.approx(softmax(np.array(means))[1], rel=1e-9)


@torch.no_grad()
def test_updates_in_turn_lower_the_free_energy_towards_the_exact_one():
    detections = make_detections(boxes=[(0, 0, 2, 2), (0, 2, 2, 4)], class_ids=(1, 2), scores=(0.9, 0.6))
    potential = make_potential((0.0, 0.5, 0.25), (0.0, 2.0, 1.0))  # w^x = w^y / 4: one energy
    logits = random_logits()
    table, held = energies(logits, detections, coefficients_of(potential.pixel_weight, detections, per_pixel=False))
    exact = -np.logaddexp.reduce(-table.ravel())

    def free_energy(probs, held_probs):
        of_pixels, of_detections = factors(probs, held_probs, held)
        chance = of_pixels.prod(axis=1)[:, None] * of_detections.prod(axis=1)
        return float((chance * (table + np.log(chance))).sum())

    held_probs = potential.initial_probs(detections)
    bounds = []
    for _ in range(6):
        probs = (logits + potential.pixel_logits(held_probs, detections)).softmax(dim=0)
        bounds.append(free_energy(probs, held_probs))
        held_probs = potential.detection_probs(probs, detections)
        bounds.append(free_energy(probs, held_probs))
    assert all(after <= before + 1e-10 for before, after in itertools.pairwise(bounds))
    assert bounds[0] - bounds[-1] > 1e-3
    assert exact <= bounds[-1] < exact + 0.2


@torch.no_grad()
def test_a_detection_that_the_segmentation_contradicts_loses_score_and_one_that_it_confirms_gains():
    detections = make_detections(boxes=[(0, 0, 2, 2), (0, 2, 2, 4)], class_ids=(1, 1), scores=(0.8, 0.8))
    probs = torch.zeros(LABELS, *SIZE, dtype=torch.float64)
    probs[1, :, :2] = probs[2, :, 2:] = 1.0
    potential = make_potential((0, 1, 1), (0, 2, 2))
    confirmed, contradicted = potential.detection_probs(probs, detections).tolist()
    # the difference of the exponents is 2 p - 1 = 0.6, and w^y s = 1.6 more or less
    assert confirmed == pytest.approx(1 / (1 + math.exp(-2.2)))
    assert contradicted == pytest.approx(1 / (1 + math.exp(1.0)))
    assert potential.initial_probs(detections).tolist() == pytest.approx([1 / (1 + math.exp(-0.6))] * 2)


@torch.no_grad()
def test_scores_are_measured_by_the_largest_of_the_detector_and_stay_below_certainty():
    detections = make_detections(scores=(1.0, 0.5, 0.25))
    of_half = DetectionPotential(LABELS, max_score=0.5).double().initial_probs(detections)
    top = 1 / (1 + math.exp(-(1 - 2e-6)))
    assert of_half.tolist() == pytest.approx([top, top, 0.5], rel=1e-12)


class Updates(torch.nn.Module):
    """Both updates, one after the other."""

    def __init__(self, potential, detections):
        super().__init__()
        self.potential, self.detections = potential, detections

    def forward(self, logits):
        held = self.potential.detection_probs(logits.softmax(dim=0), self.detections)
        return self.potential.pixel_logits(held, self.detections), held


def test_gradients_are_right():
    updates = Updates(make_potential(), make_detections())
    names, values = zip(*updates.named_parameters(), strict=True)

    def run(logits, *values):
        return torch.func.functional_call(updates, dict(zip(names, values, strict=True)), (logits,))

    inputs = (random_logits(), *(value.detach() for value in values))
    assert torch.autograd.gradcheck(run, tuple(each.requires_grad_() for each in inputs))
