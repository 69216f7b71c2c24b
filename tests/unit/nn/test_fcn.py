import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import cfgs, make_layers

from seriatim.core.errors import CheckpointError
from seriatim.nn.fcn import VGG16, FCN8sScores, FinestLevel, LeafNetwork, bilinear_weights

# --- the leaf network ---------------------------------------------------------------------------------------------------------


def test_the_leaf_network_makes_100_x_106_x_30_of_500_x_530():
    with torch.device("meta"):
        for subsampling in ("convolution", "bilinear"):
            assert LeafNetwork(subsampling=subsampling)(torch.rand(1, 3, 500, 530)).shape == (1, 30, 100, 106)


def test_the_leaf_network_has_one_9_x_9_and_four_3_x_3_of_30_filters():
    shapes = [tuple(one.shape) for name, one in LeafNetwork().named_parameters() if name.endswith("weight")]
    assert shapes == [(30, 3, 9, 9), *[(30, 30, 3, 3)] * 4]


@pytest.mark.parametrize(
    ("size", "stride", "expected"), [((1, 1), 5, (1, 1)), ((11, 10), 5, (3, 2)), ((7, 8), 1, (7, 8))]
)
def test_a_cell_begins_every_stride_pixels(size, stride, expected):
    assert LeafNetwork(1, 4, stride)(torch.rand(1, 1, *size)).shape == (1, 4, *expected)


def test_an_image_smaller_than_the_stride_has_a_cell_of_its_own_too_where_it_is_shrunk_before():
    assert LeafNetwork(1, 4, 5, "bilinear")(torch.rand(1, 1, 3, 12)).shape == (1, 4, 1, 2)


# --- FCN-8s -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "expected"), [((512, 512), (64, 64)), ((500, 375), (63, 47)), ((1, 1), (1, 1))])
def test_fcn_8s_has_a_cell_every_8_pixels(size, expected):
    with torch.device("meta"):
        trunk = VGG16()
        features = trunk(torch.rand(1, 3, *size))
        assert [one.shape[1] for one in features] == list(trunk.widths) == [4096, 512, 256]
        assert FCN8sScores(trunk.widths, 100)(features).shape == (1, 100, *expected)


def test_the_trunk_is_that_of_torchvision_layer_by_layer():
    with torch.device("meta"):
        ours, theirs = VGG16(fc_channels=4).features, make_layers(cfgs["D"])
    assert [str(layer).replace("ceil_mode=True", "ceil_mode=False") for layer in ours] == [str(one) for one in theirs]


def test_upsampling_begins_bilinear():
    weight = torch.empty(2, 2, 4, 4)
    bilinear_weights(weight)
    assert weight[0, 1].abs().sum() == weight[1, 0].abs().sum() == 0
    ramp = torch.arange(6.0).view(1, 1, 1, 6).expand(1, 2, 4, 6)
    finer = torch.nn.functional.conv_transpose2d(ramp, weight, stride=2, padding=1)
    torch.testing.assert_close(finer[0, 1, 3, 1:-1], torch.arange(0.25, 5.0, 0.5))


def test_scores_of_three_depths_are_added_at_the_finest():
    scores = FCN8sScores((3, 2, 1), 1)
    with torch.no_grad():
        for layer, value in zip(scores.scores, (100.0, 10.0, 1.0), strict=True):
            layer.weight.zero_()
            layer.bias.fill_(value)
    fused = scores([torch.rand(1, 3, 4, 4), torch.rand(1, 2, 8, 8), torch.rand(1, 1, 15, 16)])
    assert fused.shape == (1, 1, 15, 16)
    torch.testing.assert_close(fused[0, 0, 7, 8].item(), 111.0)


@pytest.fixture(scope="module")
def imagenet():
    """A state dict of torchvision's vgg16, but with 4 channels in the fully connected layers."""
    torch.manual_seed(0)
    weights = {
        f"features.{name}": torch.rand(value.shape)
        for name, value in VGG16(fc_channels=4).features.state_dict().items()
    }
    for name, shape in (("0", (4, 512 * 49)), ("3", (4, 4)), ("6", (1000, 4))):
        weights[f"classifier.{name}.weight"], weights[f"classifier.{name}.bias"] = (
            torch.rand(shape),
            torch.rand(shape[:1]),
        )
    return weights


@pytest.fixture(scope="module")
def weights_file(imagenet, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "vgg16.safetensors"
    save_file(imagenet, path)
    return path


@torch.no_grad()
def test_the_weights_of_a_file_are_taken_and_fc6_and_fc7_compute_what_the_classifier_did(imagenet, weights_file):
    trunk = VGG16(3, str(weights_file), fc_channels=4)
    for name, value in trunk.features.state_dict().items():
        assert torch.equal(value, imagenet[f"features.{name}"])
    pool5 = torch.rand(1, 512, 7, 7)
    deep = trunk.fc7(trunk.fc6(pool5).relu()).relu()[0, :, 3, 3]  # in the middle, the 7 x 7 kernel covers the map
    hidden = (imagenet["classifier.0.weight"] @ pool5.flatten() + imagenet["classifier.0.bias"]).relu()
    expected = (imagenet["classifier.3.weight"] @ hidden + imagenet["classifier.3.bias"]).relu()
    torch.testing.assert_close(deep, expected)


def test_the_filters_of_a_fourth_channel_begin_as_the_mean_of_the_others(imagenet, weights_file):
    filters = VGG16(4, str(weights_file), fc_channels=4).features[0].weight
    assert torch.equal(filters[:, :3], imagenet["features.0.weight"])
    torch.testing.assert_close(filters[:, 3], imagenet["features.0.weight"].mean(dim=1))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda given: given.pop("classifier.0.weight"), "not the weights of torchvision's vgg16.*classifier.0.weight"),
        (lambda given: given.pop("features.28.bias"), "not the weights of torchvision's vgg16.*features.28.bias"),
        (lambda given: given.update({"features.0.weight": torch.rand(64, 3, 5, 5)}), "not the weights of torchvision"),
        (lambda given: given.update({"classifier.0.weight": torch.rand(4, 25)}), "not the weights of torchvision"),
        (
            lambda given: given.update({"features.1.weight": torch.rand(64)}),
            "not the weights of torchvision's vgg16.*features.1.weight",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(imagenet, monkeypatch, spoil, message):
    given = dict(imagenet)
    spoil(given)
    monkeypatch.setattr("seriatim.nn.fcn.read_weights", lambda path: given)
    with pytest.raises(CheckpointError, match=rf"(?s)encoder vgg16: mine\.pth: {message}"):
        VGG16(3, "mine.pth", fc_channels=4)


def test_files_that_hold_no_weights_are_refused(tmp_path):
    (tmp_path / "noise.pth").write_bytes(b"no weights")
    for name, message in (("noise.pth", "no state dict"), ("missing.pth", "no such file")):
        with pytest.raises(CheckpointError, match=message):
            VGG16(3, str(tmp_path / name), fc_channels=4)


def test_a_hub_that_cannot_be_reached_is_one_clear_error(monkeypatch):
    def unreachable(self, **_):
        raise OSError("no route to host")

    monkeypatch.setattr(VGG16_Weights, "get_state_dict", unreachable)
    with pytest.raises(CheckpointError, match="encoder vgg16: no weights from the hub: no route to host"):
        VGG16(3, "hub", fc_channels=4)


# --- the finest level of a pyramid --------------------------------------------------------------------------------------------


def test_the_finest_level_leaves_out_what_is_finer_than_the_map():
    levels = [torch.rand(2, 8, 2, 3), torch.rand(2, 4, 4, 6), torch.rand(2, 2, 8, 12)]
    assert FinestLevel([8, 4], 5)(levels).shape == (2, 5, 4, 6)
    assert FinestLevel([8, 4, 2], 5)(levels).shape == (2, 5, 8, 12)
