"""The maps that masks and boxes are read from."""

import pytest
import torch
from torchvision.models.vgg import cfgs, make_layers

from seriatim.core.errors import CheckpointError, ConfigError
from seriatim.nn.two_branches import PyramidBranches, VGGBranches


def test_vgg_16_has_stride_8_and_4096_channels_for_masks_and_stride_16_and_512_for_boxes():
    with torch.device("meta"):
        branches = VGGBranches(3)
        maps = branches(torch.rand(1, 3, 512, 384))
    assert maps.masks.shape == (1, 4096, 64, 48)
    assert maps.boxes.shape == (1, 512, 32, 24)


def test_pyramids_have_the_strides_that_are_asked_for():
    branches = PyramidBranches("test_resnet", 3, 4, None, 8, (4, 16))
    maps = branches(torch.rand(2, 3, 64, 32))
    assert (maps.masks.shape, maps.boxes.shape) == ((2, 8, 16, 8), (2, 8, 4, 2))
    assert branches.size_multiple == 16


def test_a_stride_that_the_pyramid_does_not_have_is_refused():
    with pytest.raises(ConfigError, match=r"has strides \[2, 4, 8\], not 16"):
        PyramidBranches("test_resnet", 3, 3, None, 8)


@pytest.mark.parametrize("is_shared", [True, False])
def test_one_trunk_reads_for_both_branches_and_two_read_for_one_each(is_shared):
    branches = PyramidBranches("test_efficientnet", 3, 4, None, 8, shared=is_shared).eval()
    maps = branches(torch.rand(1, 3, 32, 32))
    maps.boxes.square().sum().backward()
    first = next(branches.encoder.parameters())
    assert (first.grad is not None) == is_shared
    if not is_shared:
        assert next(branches.box_encoder.parameters()).grad is not None


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    """A state dict with the names of torchvision's vgg16, whose fully connected layers have 3 channels."""
    torch.manual_seed(0)
    weights = {
        f"features.{name}": torch.rand_like(value) for name, value in make_layers(cfgs["D"]).state_dict().items()
    }
    for number, shape in ((0, (3, 512 * 49)), (3, (3, 3))):
        weights |= {f"classifier.{number}.weight": torch.rand(shape), f"classifier.{number}.bias": torch.rand(3)}
    path = tmp_path_factory.mktemp("weights") / "vgg16.pt"
    torch.save(weights, path)
    return weights, path


@pytest.mark.parametrize("is_shared", [True, False])
def test_both_branches_begin_with_the_weights_of_the_file(imagenet, is_shared):
    weights, path = imagenet
    branches = VGGBranches(3, str(path), 3, is_shared)
    assert torch.equal(branches.encoder[0].weight, weights["features.0.weight"])
    if branches.box_encoder is not None:
        assert torch.equal(branches.box_encoder[14].weight, weights["features.14.weight"])
    convolutions = [layer for layer in branches.masks if isinstance(layer, torch.nn.Conv2d)]
    expected = [weights[f"features.{number}.weight"] for number in (17, 19, 21, 24, 26, 28)]
    expected += [weights["classifier.0.weight"].view(3, 512, 7, 7), weights["classifier.3.weight"].view(3, 3, 1, 1)]
    assert all(torch.equal(layer.weight, value) for layer, value in zip(convolutions, expected, strict=True))
    of_boxes = [layer for layer in branches.boxes if isinstance(layer, torch.nn.Conv2d)]
    assert torch.equal(of_boxes[-1].weight, weights["features.28.weight"])
    assert len(of_boxes) == 6


def test_weights_of_another_width_are_refused(imagenet):
    with pytest.raises(CheckpointError, match="not the weights of torchvision's vgg16"):
        VGGBranches(3, str(imagenet[1]), 5)
