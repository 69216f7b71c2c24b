import pytest
import torch

from seriatim.core.batch import Prompts
from seriatim.nn import DenseCRF
from seriatim.nn.crf.detection_potential import DetectionPotential
from seriatim.nn.crf.semantic_crf import SemanticCRF
from seriatim.nn.detections import read_detections

LABELS = 3


def random(*shape, seed=0, dtype=torch.float64):
    return torch.rand(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def make_crf(training_iterations=5, iterations=10, potential=True):
    dense = DenseCRF(10.0, 20.0, 2.0, 2.0, 1.0, compatibility="learned", num_labels=LABELS, label_weights=True)
    return SemanticCRF(dense, DetectionPotential(LABELS) if potential else None, training_iterations, iterations)


def detections_of(boxes, size, scores=None, class_ids=None, dtype=torch.float64):
    count = len(boxes)
    prompts = Prompts(
        torch.tensor(boxes, dtype=torch.float32).reshape(count, 4),
        torch.full((count,), 0.8) if scores is None else torch.tensor(scores),
        torch.ones(count, dtype=torch.long) if class_ids is None else torch.tensor(class_ids),
        torch.zeros(0, 2),
    )
    return read_detections(prompts, size, LABELS - 1, dtype=dtype)


@pytest.mark.parametrize("training", [True, False])
@torch.no_grad()
def test_without_detections_it_is_the_dense_crf_with_the_iterations_of_its_mode(training):
    crf = make_crf().train(training)
    image, unary = random(3, 9, 11, dtype=torch.float32), random(LABELS, 9, 11, seed=1, dtype=torch.float32)
    field = crf(unary, crf.dense.prepare(image), detections_of([], (9, 11), dtype=torch.float32))
    crf.dense.num_mean_field_iterations = 5 if training else 10
    torch.testing.assert_close(field.logits, crf.dense(unary, image))
    assert field.detection_probs.shape == (0,)
    other = make_crf(10, 5).train(training)
    differs = other(unary, other.dense.prepare(image), detections_of([], (9, 11), dtype=torch.float32)).logits
    assert (differs - field.logits).abs().max() > 1e-4


@torch.no_grad()
def test_pixels_and_detections_are_updated_in_parallel():
    crf = make_crf(training_iterations=2).double().train()
    size = (5, 6)
    image, unary = random(3, *size), 3 * random(LABELS, *size, seed=1)
    detections = detections_of([(0, 0, 3, 4), (1, 2, 5, 6)], size, [0.9, 0.6], [1, 2])
    field = crf(unary, crf.dense.prepare(image), detections)
    dense, potential = crf.dense, crf.potential
    dense.num_mean_field_iterations = 1
    held, probs = potential.initial_probs(detections), unary.softmax(dim=0)
    for _ in range(2):
        pairwise = dense.iterate(torch.zeros_like(unary), probs, dense.prepare(image))
        logits = unary + potential.pixel_logits(held, detections) + pairwise
        held, probs = potential.detection_probs(probs, detections), logits.softmax(dim=0)
    torch.testing.assert_close(field.logits, logits)
    torch.testing.assert_close(field.detection_probs, held)


@torch.no_grad()
def test_a_detection_helps_its_class_inside_its_box_alone():
    crf, size = make_crf().double().eval(), (12, 12)
    unary = torch.zeros(LABELS, *size, dtype=torch.float64)
    image = random(3, *size)
    kernels = crf.dense.prepare(image)
    crf.dense.bilateral_weight.zero_()
    crf.dense.spatial_weight.zero_()
    probs = crf(unary, kernels, detections_of([(2, 2, 8, 8)], size, [0.9], [2])).logits.softmax(dim=0)
    inside = torch.zeros(size, dtype=torch.bool)
    inside[2:8, 2:8] = True
    assert (probs[2][inside] > 0.38).all()
    torch.testing.assert_close(probs[:, ~inside], torch.full_like(probs[:, ~inside], 1 / 3))


@torch.no_grad()
def test_without_the_potential_detections_change_nothing_and_keep_their_scores():
    crf, size = make_crf(potential=False).double().eval(), (6, 6)
    unary, kernels = random(LABELS, *size), crf.dense.prepare(random(3, *size, seed=1))
    detections = detections_of([(0, 0, 4, 4)], size)
    field, without = crf(unary, kernels, detections), crf(unary, kernels, detections_of([], size))
    assert torch.equal(field.logits, without.logits)
    assert torch.equal(field.detection_probs, detections.scores)


@torch.no_grad()
def test_an_image_of_a_batch_takes_its_own_kernels():
    crf, size = make_crf().double().eval(), (6, 7)
    images, unary = random(2, 3, *size), random(LABELS, *size, seed=1)
    batch = crf.dense.prepare(images)
    for boxes in ([(0, 0, 4, 4)], []):
        detections = detections_of(boxes, size)
        alone = crf(unary, crf.dense.prepare(images[1]), detections)
        torch.testing.assert_close(crf(unary, batch, detections, image=1).logits, alone.logits)


def test_gradients_pass_through_all_iterations():
    crf, size = make_crf(training_iterations=3).double().train(), (3, 4)
    detections = detections_of([(0, 0, 2, 3), (1, 1, 3, 4)], size, [0.9, 0.5], [1, 2])
    kernels = crf.dense.prepare(random(3, *size))
    names, values = zip(*crf.named_parameters(), strict=True)

    def run(unary, *values):
        given = dict(zip(names, values, strict=True))
        return tuple(torch.func.functional_call(crf, given, (unary, kernels, detections)))

    inputs = (3 * random(LABELS, *size, seed=1), *(value.detach() for value in values))
    assert len(names) == 5
    assert torch.autograd.gradcheck(run, tuple(each.requires_grad_() for each in inputs))
