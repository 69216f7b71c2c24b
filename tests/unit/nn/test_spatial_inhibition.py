import math

import pytest
import torch

from seriatim.nn.spatial_inhibition import SpatialInhibition, log_softmax_over_pixels


def test_a_pixel_is_in_the_mask_where_its_share_exceeds_what_the_threshold_asks():
    torch.manual_seed(0)
    module = SpatialInhibition(1, initial_threshold=2.0)
    found = module(torch.randn(2, 1, 5, 6) * 3, (5, 6))
    shares = log_softmax_over_pixels(found.response).exp()
    assert ((found.mask_probs > 0.5) == (shares > math.exp(-2.0))).all()


def test_the_pixels_of_an_image_compete_and_those_of_two_images_do_not():
    response = torch.zeros(2, 3, 3)
    before = log_softmax_over_pixels(response)
    response[0, 1, 1] = 2.0
    after = log_softmax_over_pixels(response)
    others = torch.ones(3, 3, dtype=torch.bool)
    others[1, 1] = False
    assert after[0, 1, 1] > before[0, 1, 1]
    assert (after[0][others] < before[0][others]).all()
    assert torch.equal(after[1], before[1])


def test_shares_add_up_to_1_even_of_responses_that_no_exponential_holds():
    shares = log_softmax_over_pixels(torch.tensor([[[1e4, 1e4 - 1.0], [-1e4, 0.0]]])).exp()
    assert shares.sum().item() == pytest.approx(1.0)


def test_a_larger_threshold_lets_more_in():
    state = torch.randn(1, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    areas = []
    for threshold in (0.0, 2.0, 4.0, 8.0):
        torch.manual_seed(1)
        areas.append(int((SpatialInhibition(2, threshold)(state, (6, 6)).mask_probs > 0.5).sum()))
    assert areas == sorted(areas)
    assert areas[0] < areas[-1]


def test_the_mask_has_the_size_of_the_image_and_the_stages_that_of_the_map():
    found = SpatialInhibition(3)(torch.rand(2, 3, 4, 5), (9, 31))
    assert found.mask_probs.shape == (2, 9, 31)
    assert found.response.shape == found.inhibited_logits.shape == (2, 4, 5)


def test_under_half_precision_the_inhibition_is_computed_in_full():
    with torch.autocast("cpu", torch.bfloat16):
        found = SpatialInhibition(3)(torch.rand(1, 3, 4, 4), (8, 8))
    assert {part.dtype for part in found} == {torch.float32}


def test_every_parameter_learns_but_the_bias_that_the_softmax_takes_away():
    module = SpatialInhibition(2).double()
    module(torch.rand(1, 2, 4, 4).double(), (4, 4)).mask_probs[0, 1, 1].backward()
    assert module.convolution.weight.grad.abs().sum() > 1e-4
    assert abs(module.threshold.grad.item()) > 1e-4
    assert abs(module.convolution.bias.grad.item()) < 1e-12


def test_hidden_channels_put_a_convolution_before():
    module = SpatialInhibition(2, hidden_channels=4)
    assert [tuple(parameter.shape) for parameter in module.convolution.parameters()] == [
        (4, 2, 3, 3),
        (4,),
        (1, 4, 1, 1),
        (1,),
    ]
    assert module(torch.rand(1, 2, 4, 4), (4, 4)).mask_probs.shape == (1, 4, 4)
