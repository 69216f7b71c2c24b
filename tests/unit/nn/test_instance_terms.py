import math

import pytest
import torch

from seriatim.core.batch import Prompts
from seriatim.nn import instance_terms
from seriatim.nn.detections import read_detections
from seriatim.nn.instance_terms import FLOOR, InstanceTerms, box_term
from seriatim.nn.shape_templates import ShapeTerm

SIZE = (6, 7)


def detections_of(boxes, class_ids, scores):
    prompts = Prompts(
        torch.tensor(boxes, dtype=torch.float64).reshape(len(boxes), 4),
        torch.tensor(scores, dtype=torch.float64),
        torch.tensor(class_ids, dtype=torch.long),
        torch.zeros(0, 2),
    )
    return read_detections(prompts, SIZE, 2, dtype=torch.float64)


TWO = detections_of([(1, 1, 4, 5), (0, 3, 6, 7)], [1, 2], [0.9, 0.5])


def random_probs(seed=0):
    logits = torch.randn(3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return logits.softmax(dim=0)


def make_terms(use_global=True, use_shape=True, weights=(1.0, 1.0, 1.0)):
    terms = InstanceTerms(ShapeTerm(2, 4) if use_shape else None, use_global).double()
    with torch.no_grad():
        for name, value in zip(("box", "global", "shape"), weights, strict=True):
            parameter = getattr(terms, f"{name}_weight")
            if parameter is not None:
                parameter.fill_(value)
    return terms


@torch.no_grad()
def test_logits_are_the_logarithm_of_the_weighted_sum_of_the_terms():
    probs, terms = random_probs(), make_terms(weights=(0.5, 2.0, 3.0))
    logits = terms(probs, TWO.scores, TWO)
    for number, class_id in enumerate(TWO.class_ids.tolist()):
        box = box_term(probs[class_id], TWO.scores[number], TWO, number)
        shape = terms.shape(probs[class_id], TWO, number)
        assert shape.any()
        torch.testing.assert_close(logits[number + 1].exp(), 0.5 * box + 2.0 * probs[class_id] + 3.0 * shape)
    torch.testing.assert_close(logits[0].exp(), 2.0 * probs[0])


@torch.no_grad()
def test_without_the_global_term_the_background_is_a_detection_of_the_whole_image():
    probs = random_probs()
    for use_shape in (False, True):
        logits = make_terms(use_global=False, use_shape=use_shape, weights=(0.7, 1.0, 1.0))(probs, TWO.scores, TWO)
        torch.testing.assert_close(logits[0].exp(), 0.7 * probs[0])
        outside = torch.ones(SIZE, dtype=torch.bool)
        outside[1:4, 1:5] = False
        assert (logits[1][outside] == math.log(FLOOR)).all()
        assert (logits[1][~outside] > -30).all()


@torch.no_grad()
def test_without_detections_there_is_the_background_alone():
    none = detections_of([], [], [])
    assert make_terms()(random_probs(), none.scores, none).shape == (1, *SIZE)


@pytest.mark.parametrize("weights", [(-3.0, 1.0, 0.1), (0.0, 0.0, 0.0), (-1.0, -1.0, -1.0)])
def test_sums_that_are_not_positive_give_finite_logits_and_gradients(weights):
    logits = random_probs().log().requires_grad_()
    terms = make_terms(weights=weights)
    out = terms(logits.softmax(dim=0), TWO.scores, TWO)
    assert (out == math.log(FLOOR)).any()
    out.softmax(dim=0)[1].sum().backward()
    assert logits.grad.isfinite().all()
    assert all(each.grad is None or each.grad.isfinite().all() for each in terms.parameters())


@torch.no_grad()
def test_both_ways_of_collecting_the_labels_give_the_same():
    probs, terms = random_probs(), make_terms()
    without = terms(probs, TWO.scores, TWO)
    with torch.enable_grad():
        recorded = terms(probs, TWO.scores, TWO)
    assert recorded.requires_grad
    assert torch.equal(without, recorded)


@pytest.mark.parametrize("use_global", [True, False])
def test_gradients_are_right(use_global):
    terms = make_terms(use_global=use_global, weights=(0.8, 1.2, 0.6))
    names, values = zip(*terms.named_parameters(), strict=True)

    def run(logits, scores, *values):
        given = dict(zip(names, values, strict=True))
        out = torch.func.functional_call(terms, given, (logits.softmax(dim=0), scores, TWO))
        return out.softmax(dim=0)

    inputs = (random_probs().log(), TWO.scores.clone(), *(value.detach().clone() for value in values))
    assert torch.autograd.gradcheck(run, tuple(each.requires_grad_() for each in inputs))


def test_terms_that_are_computed_again_on_the_way_back_have_the_same_gradients(monkeypatch):
    gradients = []
    for limit in (2**27, 0):
        monkeypatch.setattr(instance_terms, "MAX_FIELD_BYTES", limit)
        terms = instance_terms.InstanceTerms(ShapeTerm(1, 5)).double()
        probs = torch.rand(3, 8, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        boxes = torch.tensor([[1.0, 1, 6, 7], [0, 2, 8, 9]])
        prompts = Prompts(boxes, torch.tensor([0.9, 0.5]), torch.tensor([1, 2]), torch.zeros(0, 2))
        detections = read_detections(prompts, (8, 9), 2, dtype=torch.float64)
        kept = {}

        def keep(one, kept=kept):
            kept[one.untyped_storage().data_ptr()] = one.numel()
            return one

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda one: one):
            out = terms(probs, detections.scores, detections)
        out.square().sum().backward()
        parts = [probs.grad, *(each.grad for each in terms.parameters())]
        gradients.append(([one.clone() for one in parts], sum(kept.values())))
    (plain, plain_kept), (again, again_kept) = gradients
    for first, second in zip(plain, again, strict=True):
        torch.testing.assert_close(first, second)
    assert again_kept < plain_kept / 3
