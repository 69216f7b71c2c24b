import pickle

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from seriatim.core.errors import CheckpointError, ConfigError
from seriatim.nn.encoders import Encoder, TopDownPathway


@pytest.mark.parametrize("name", ["resnet18", "test_efficientnet", "mobilenetv3_small_050"])
def test_the_levels_of_any_pyramid_come_deepest_first(name):
    torch.manual_seed(0)
    encoder = Encoder(name).eval()
    with torch.no_grad():
        levels = encoder(torch.rand(2, 3, 65, 79))
    assert [level.shape[1] for level in levels] == encoder.widths
    heights = [level.shape[2] for level in levels]
    assert len(levels) == 5
    assert heights == sorted(heights)
    assert heights[-1] in (32, 33)  # stride 2
    assert heights[0] in (2, 3)  # stride 32
    assert encoder.strides == [32, 16, 8, 4, 2]


def outputs_of_blocks(trunk, values):
    """The outputs of the five blocks of a VGG, computed layer by layer: a block ends where a pooling follows or the levels end."""
    outputs = []
    for layer in trunk.values():
        if isinstance(layer, torch.nn.MaxPool2d):
            outputs.append(values)
        values = layer(values.clone())
    return [*outputs, values]


def test_the_levels_of_a_vgg_are_the_outputs_of_its_five_blocks_before_their_poolings():
    torch.manual_seed(0)
    encoder = Encoder("vgg16").eval()
    image = torch.rand(1, 3, 49, 67)
    with torch.no_grad():
        levels = encoder(image)
        blocks = outputs_of_blocks(encoder.trunk, (image - encoder.mean) / encoder.std)
    assert encoder.widths == [level.shape[1] for level in levels] == [512, 512, 256, 128, 64]
    assert [tuple(level.shape[-2:]) for level in levels] == [(3, 4), (6, 8), (12, 16), (24, 33), (49, 67)]
    for level, block in zip(levels, blocks[::-1], strict=True):
        torch.testing.assert_close(level, block)


def test_every_level_of_a_vgg_depends_on_a_block_of_its_own_and_the_first_is_the_block_that_reads_the_image():
    torch.manual_seed(0)
    encoder = Encoder("vgg16").eval()
    convolutions = [name for name, layer in encoder.trunk.items() if isinstance(layer, torch.nn.Conv2d)]
    last_of_blocks = [convolutions[number] for number in (1, 3, 6, 9, 12)]
    image = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        before = encoder(image)[::-1]
        for block, name in enumerate(last_of_blocks):
            bias = encoder.trunk[name].bias
            bias += 1
            changed = [not torch.equal(*pair) for pair in zip(before, encoder(image)[::-1], strict=True)]
            bias -= 1
            assert changed == [level >= block for level in range(5)]


def test_the_released_levels_of_a_vgg_are_its_five_poolings():
    torch.manual_seed(0)
    encoder = Encoder("vgg16", vgg_levels="poolings").eval()
    assert encoder.strides == [32, 16, 8, 4, 2]
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        levels = encoder(image)
        blocks = outputs_of_blocks(encoder.trunk, (image - encoder.mean) / encoder.std)
    assert [tuple(level.shape[1:]) for level in levels] == [
        (512, 2, 2),
        (512, 4, 4),
        (256, 8, 8),
        (128, 16, 16),
        (64, 32, 32),
    ]
    for level, block in zip(levels, blocks[::-1], strict=True):
        torch.testing.assert_close(level, block.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(-2, -1)))


def test_poolings_are_asked_of_a_vgg_alone():
    with pytest.raises(ConfigError, match="vgg_levels: poolings are levels of a VGG, the encoder is resnet18"):
        Encoder("resnet18", vgg_levels="poolings")


@pytest.mark.parametrize("depth", [1, 3])
def test_a_lesser_depth_keeps_the_shallow_levels(depth):
    encoder = Encoder("test_resnet", depth=depth).eval()
    levels = encoder(torch.rand(1, 3, 64, 64))
    assert [level.shape[-1] for level in levels] == [64 // 2**level for level in range(depth, 0, -1)]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_1_3_and_4_channels_are_taken(channels):
    encoder = Encoder("test_resnet", input_channels=channels).eval()
    assert encoder.mean.shape == encoder.std.shape == (1, channels, 1, 1)
    assert encoder(torch.rand(1, channels, 32, 32))[0].shape[1] == encoder.widths[0]


def test_images_are_normalised_with_the_numbers_of_imagenet():
    encoder = Encoder("test_resnet").eval()
    image = torch.rand(1, 3, 32, 32)
    mean, std = (
        torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1),
        torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1),
    )
    for ours, plain in zip(encoder(image), encoder.trunk((image - mean) / std)[::-1], strict=True):
        assert torch.equal(ours, plain)


def test_an_unknown_name_is_refused_with_a_near_one():
    with pytest.raises(ConfigError, match="encoder: timm has no model 'resnet1001'; did you mean 'resnet101'"):
        Encoder("resnet1001")


def test_a_model_without_such_a_pyramid_is_a_matter_of_settings():
    with pytest.raises(ConfigError, match="encoder test_resnet: has no pyramid of 7 levels"):
        Encoder("test_resnet", depth=7)


# --- weights from files ----------------------------------------------------------------------------------------------------------


def trained(name="resnet18", seed=7, make=timm.create_model):
    torch.manual_seed(seed)
    return make(name) if make is timm.create_model else make()


def assert_carries(encoder, state):
    loaded = encoder.trunk.state_dict()
    for key in ("conv1.weight", "layer1.0.conv1.weight", "bn1.running_mean"):
        if loaded[key].shape == state[key].shape:
            assert torch.equal(loaded[key], state[key]), key


@pytest.mark.parametrize("kind", ["pt", "safetensors", "under state_dict", "of several processes"])
def test_weights_come_from_a_state_dict_of_timm(tmp_path, kind):
    state = trained().state_dict()
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pt")
    match kind:
        case "safetensors":
            save_file(state, path)
        case "under state_dict":
            torch.save({"epoch": 3, "state_dict": state}, path)
        case "of several processes":
            torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
        case _:
            torch.save(state, path)
    torch.manual_seed(0)
    assert_carries(Encoder("resnet18", weights=str(path)), state)


def test_weights_come_from_a_state_dict_of_torchvision(tmp_path):
    state = trained(make=torchvision.models.resnet18).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    assert_carries(Encoder("resnet18", weights=str(tmp_path / "weights.pth")), state)


def test_the_weights_of_a_vgg_come_from_a_state_dict_of_torchvision(tmp_path):
    state = trained("vgg11").state_dict()
    state = {name: tensor for name, tensor in state.items() if name.startswith("features.")}
    torch.save(state, tmp_path / "weights.pth")
    encoder = Encoder("vgg11", weights=str(tmp_path / "weights.pth"))
    assert torch.equal(encoder.trunk.state_dict()["features_0.weight"], state["features.0.weight"])


@pytest.mark.parametrize("channels", [1, 4])
def test_the_filters_of_the_colours_are_summed_or_repeated_for_other_channels(tmp_path, channels):
    state = trained().state_dict()
    torch.save(state, tmp_path / "weights.pt")
    filters = Encoder("resnet18", input_channels=channels, weights=str(tmp_path / "weights.pt")).trunk.state_dict()[
        "conv1.weight"
    ]
    if channels == 1:
        torch.testing.assert_close(filters, state["conv1.weight"].sum(dim=1, keepdim=True))
    else:
        torch.testing.assert_close(filters[:, :1] / filters[:, 3:], torch.ones_like(filters[:, :1]))


def assert_refused(path, message):
    with pytest.raises(CheckpointError, match=message) as error:
        Encoder("resnet18", weights=str(path))
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    assert_refused(tmp_path / "nothing.pt", "no such file")


def test_weights_of_another_network_are_refused_and_not_passed_over(tmp_path):
    state = trained().state_dict()
    torch.save({f"backbone.{name}": tensor for name, tensor in state.items()}, tmp_path / "prefixed.pt")
    assert_refused(tmp_path / "prefixed.pt", "lacks 100 of the encoder's tensors")
    del state["layer4.1.conv2.weight"]
    torch.save(state, tmp_path / "incomplete.pt")
    assert_refused(tmp_path / "incomplete.pt", r"lacks 1 of the encoder's tensors, layer4\.1\.conv2\.weight")
    torch.save(trained("resnet34").state_dict() | {"layer1.0.conv1.weight": torch.zeros(3)}, tmp_path / "other.pt")
    assert_refused(tmp_path / "other.pt", "no usable weights")


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_damaged_file_and_a_pickle_with_code_are_refused_and_nothing_is_executed(tmp_path):
    (tmp_path / "garbage.pt").write_bytes(b"garbage")
    assert_refused(tmp_path / "garbage.pt", "no state dict")
    (tmp_path / "trap.pt").write_bytes(pickle.dumps({"conv1.weight": Trap(tmp_path / "sprung")}))
    assert_refused(tmp_path / "trap.pt", "no state dict")
    torch.save({"conv1.weight": Trap(tmp_path / "sprung")}, tmp_path / "trap.pt")
    assert_refused(tmp_path / "trap.pt", "no state dict")
    torch.save([1, 2], tmp_path / "list.pt")
    assert_refused(tmp_path / "list.pt", "no state dict")
    torch.save({"conv1.weight": 3}, tmp_path / "number.pt")
    assert_refused(tmp_path / "number.pt", "no state dict")
    assert not (tmp_path / "sprung").exists()


# --- the top-down pathway --------------------------------------------------------------------------------------------------------


def test_the_pathway_gives_every_level_one_width_and_its_own_size():
    torch.manual_seed(0)
    pathway = TopDownPathway([8, 6, 4], 5)
    sizes = [(3, 4), (5, 7), (10, 13)]
    outputs = pathway([torch.rand(2, width, *size) for width, size in zip([8, 6, 4], sizes, strict=True)])
    assert [tuple(one.shape) for one in outputs] == [(2, 5, *size) for size in sizes]


def test_the_pathway_is_lateral_plus_upsampled_then_smoothed():
    torch.manual_seed(0)
    pathway = TopDownPathway([3, 2], 4).double().eval()
    deep, shallow = torch.rand(1, 3, 2, 2).double(), torch.rand(1, 2, 4, 4).double()
    first = pathway.smoothers[0](pathway.laterals[0](deep))
    grown = torch.nn.functional.interpolate(first, size=(4, 4), mode="bilinear", align_corners=False)
    second = pathway.smoothers[1](pathway.laterals[1](shallow) + grown)
    outputs = pathway([deep, shallow])
    torch.testing.assert_close(outputs[0], first)
    torch.testing.assert_close(outputs[1], second)


def test_a_change_in_the_deepest_level_reaches_all_and_one_in_the_shallowest_only_itself():
    torch.manual_seed(0)
    pathway = TopDownPathway([3, 3, 3], 4).eval()
    levels = [torch.rand(1, 3, size, size) for size in (2, 4, 8)]
    before = pathway(levels)
    for changed, expected in ((0, [True, True, True]), (2, [False, False, True])):
        others = [level + 1 if number == changed else level for number, level in enumerate(levels)]
        assert [not torch.equal(a, b) for a, b in zip(before, pathway(others), strict=True)] == expected
