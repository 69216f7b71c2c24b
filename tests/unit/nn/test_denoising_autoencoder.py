"""The autoencoder over both maps of a box."""

import pytest
import torch

from seriatim.nn.denoising_autoencoder import INITIAL_DEVIATION, DenoisingAutoencoder, initialise


def test_the_layers_have_the_sizes_of_the_paper():
    autoencoder = DenoisingAutoencoder(40, 512)
    assert autoencoder.encoder.weight.shape == (512, 3200)
    assert autoencoder.decoder.weight.shape == (3200, 512)
    assert autoencoder(torch.rand(2, 2, 40, 40)).shape == (2, 2, 40, 40)
    assert autoencoder(torch.rand(0, 2, 40, 40)).shape == (0, 2, 40, 40)


def test_every_cell_of_both_maps_depends_on_every_cell_of_both():
    autoencoder = DenoisingAutoencoder(3, 4, deviation=None).double()
    with torch.no_grad():
        autoencoder.encoder.bias.fill_(50)  # no unit is silent
    maps = torch.rand(1, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    for cell in range(18):
        (gradient,) = torch.autograd.grad(autoencoder(maps).flatten()[cell], maps)
        assert bool((gradient != 0).all())


def test_relu_follows_the_last_layer_only_where_it_is_asked_for():
    maps = torch.rand(4, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    plain, rectified = DenoisingAutoencoder(5, 6, deviation=None), DenoisingAutoencoder(5, 6, True, None)
    rectified.load_state_dict(plain.state_dict())
    assert plain(maps).min().item() < 0
    assert torch.equal(rectified(maps), plain(maps).relu())


def test_gradients_equal_finite_differences():
    autoencoder = DenoisingAutoencoder(3, 4, deviation=None).double()
    maps = torch.rand(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(autoencoder, (maps,))


@pytest.mark.parametrize("layer", [torch.nn.Linear(400, 300), torch.nn.Conv2d(300, 100, 1)])
def test_first_weights_have_the_deviation_and_biases_are_0(layer):
    initialise(layer, INITIAL_DEVIATION)
    assert float(layer.weight.detach().std()) == pytest.approx(0.001, rel=0.05)
    assert not layer.bias.any()
    initialise(layer, None)
    assert float(layer.weight.detach().std()) == pytest.approx((2 / layer.weight[0].numel()) ** 0.5, rel=0.05)
