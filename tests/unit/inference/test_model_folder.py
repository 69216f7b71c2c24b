import json
import os
import pickle
import time

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import seriatim
from seriatim.core.errors import CheckpointError, ConfigError
from seriatim.core.tensor_files import load_tensors, save_tensors
from seriatim.inference import zoo
from seriatim.inference.model_folder import (
    ModelDescription,
    change_settings,
    read_description,
    read_model_folder,
    write_model_folder,
)

from ..conftest import describe


@pytest.fixture
def folder(tmp_path, tiny_network, tiny_description):
    write_model_folder(tmp_path / "model", tiny_network, tiny_description)
    return tmp_path / "model"


def test_a_model_comes_back_bit_for_bit(folder, tiny_network, tiny_description):
    network, description = read_model_folder(folder)
    assert description == tiny_description
    for name, value in tiny_network.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)


def test_a_folder_holds_weights_config_and_card(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["card.md", "config.json", "model.safetensors"]
    values = json.loads((folder / "config.json").read_text())
    assert list(values) == ["format", "model", "preparation", "inference", "class_names"]


def test_half_weights_are_stored_in_16_bits_and_used_in_32(tmp_path, tiny_network, tiny_description):
    write_model_folder(tmp_path, tiny_network, tiny_description, half=True)
    stored, _ = load_tensors(tmp_path / "model.safetensors")
    assert stored["encoder.trunk.conv1.weight"].dtype == torch.float16
    assert stored["encoder.trunk.bn1.running_var"].dtype == torch.float32
    network, _ = read_model_folder(tmp_path)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    image = np.random.default_rng(0).integers(0, 255, (50, 50), dtype=np.uint8)
    assert len(seriatim.load(tmp_path, device="cpu").predict(image))


def test_weights_that_are_not_numbers_are_not_written(tmp_path, tiny_config, tiny_description):
    from seriatim.models import catalogue

    network = catalogue.build("rsis", tiny_config, seed=0)
    with torch.no_grad():
        network.encoder.trunk.conv1.weight[:] = torch.nan
    with pytest.raises(CheckpointError, match=r"conv1\.weight"):
        write_model_folder(tmp_path, network, tiny_description)
    assert not any(tmp_path.iterdir())


def test_a_card_that_is_there_is_kept_and_a_new_one_replaces_it(folder, tiny_network, tiny_description):
    (folder / "card.md").write_text("# mine")
    write_model_folder(folder, tiny_network, tiny_description)
    assert (folder / "card.md").read_text() == "# mine"
    write_model_folder(folder, tiny_network, tiny_description, card="# new")
    assert (folder / "card.md").read_text() == "# new"


def test_a_run_folder_stands_for_the_model_inside_it(folder):
    predictor = seriatim.load(folder.parent, device="cpu")
    assert predictor.class_names == ("object",)


def test_a_run_without_a_model_yet_says_so(tmp_path):
    (tmp_path / "config.toml").write_text("seed = 0")
    with pytest.raises(CheckpointError, match="a run without a model yet"):
        seriatim.load(tmp_path)


def test_an_empty_folder_is_no_model(tmp_path):
    with pytest.raises(CheckpointError, match=r"expected config\.json"):
        seriatim.load(tmp_path)


def test_a_mistyped_name_is_answered_with_the_nearest(tmp_path, monkeypatch, folder):
    monkeypatch.setattr(zoo, "ZOO", tmp_path)
    folder.rename(tmp_path / "nuclei")
    assert zoo.zoo_names() == ("nuclei",)
    assert zoo.find_model_folder("nuclei") == tmp_path / "nuclei"
    with pytest.raises(ConfigError, match="did you mean 'nuclei'"):
        zoo.find_model_folder("nucleii")


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_in_the_weights_is_noticed(folder, seed):
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    random = np.random.default_rng(seed)
    place = int(random.integers(len(data)) if seed % 2 else random.integers(3000))
    data[place] ^= 1 << int(random.integers(8))
    path.write_bytes(data)
    started = time.perf_counter()
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        seriatim.load(folder)
    assert time.perf_counter() - started < 2


def test_none_of_200_flipped_bits_of_the_config_is_accepted(folder):
    path = folder / "config.json"
    whole = path.read_bytes()
    for seed in range(200):
        random = np.random.default_rng(seed)
        data = bytearray(whole)
        data[random.integers(len(data))] ^= 1 << int(random.integers(8))
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=r"config\.json"):
            read_description(folder)
    path.write_bytes(whole.replace(b"\n", b"\r\n"))
    read_description(folder)


def test_weights_of_an_older_version_without_a_digest_of_the_config_are_read(folder):
    tensors, metadata = load_tensors(folder / "model.safetensors")
    save_tensors(folder / "model.safetensors", tensors, {"format": metadata["format"]})
    read_model_folder(folder)


def test_nothing_but_regular_files_of_a_fitting_size_are_read(folder):
    weights, config = folder / "model.safetensors", folder / "config.json"
    data = weights.read_bytes()
    with open(weights, "r+b") as file:
        file.truncate(5_000_000_000)  # sparse
    with pytest.raises(CheckpointError, match="the header tells of"):
        read_model_folder(folder)
    header = json.dumps({"a": {"dtype": "U8", "shape": [5_000_000_000], "data_offsets": [0, 5_000_000_000]}}).encode()
    with open(weights, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 5_000_000_000)
    with pytest.raises(CheckpointError, match="holds 5000000000 bytes of weights; expected at most"):
        read_model_folder(folder)
    weights.write_bytes(data)
    config.unlink()
    os.mkfifo(config)
    with pytest.raises(CheckpointError, match="is no regular file"):
        read_description(folder)


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_noticed(folder, share):
    for name in ("model.safetensors", "config.json"):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(CheckpointError, match=name):
            seriatim.load(folder)
        (folder / name).write_bytes(whole)


class Explosive:
    def __reduce__(self):
        return (open, ("exploded", "w"))


def test_a_pickle_is_refused_and_not_executed(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for data in (pickle.dumps(Explosive()), b"PK\x03\x04" + pickle.dumps(Explosive())):
        (folder / "model.safetensors").write_bytes(data)
        with pytest.raises(CheckpointError):
            seriatim.load(folder)
    assert not (tmp_path / "exploded").exists()


def test_safetensors_without_a_digest_are_refused(folder):
    tensors, _ = load_tensors(folder / "model.safetensors")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="sha256"):
        seriatim.load(folder)


@pytest.mark.parametrize("fault", ["missing", "extra", "shape", "kind", "nan"])
def test_weights_of_another_network_are_refused_by_name(folder, fault):
    tensors, _ = load_tensors(folder / "model.safetensors")
    name = "encoder.trunk.conv1.weight"
    match fault:
        case "missing":
            del tensors[name]
        case "extra":
            tensors["stranger"] = torch.zeros(1)
            name = "stranger"
        case "shape":
            tensors[name] = torch.zeros(2, 2)
        case "kind":
            tensors[name] = torch.zeros_like(tensors[name], dtype=torch.int64)
        case "nan":
            tensors[name][0] = torch.nan
    save_tensors(folder / "model.safetensors", tensors, {})
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        seriatim.load(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        "null",
        "{",
        "[" * 100_000,
        '{"format": 2}',
        '{"model": {"name": "rsis"}, "secret": 1}',
        '{"model": {"name": "rsiss"}}',
        "\x00",
        '{"model": {"name": "rsis", "config": {"width": "wide"}}}',
    ],
    ids=range(11),
)
def test_a_config_that_does_not_fit_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        seriatim.load(folder)


def test_loading_does_not_touch_the_source_of_chance(folder):
    torch.manual_seed(0)
    first = torch.rand(1)
    torch.manual_seed(0)
    seriatim.load(folder, device="cpu")
    assert torch.equal(torch.rand(1), first)


def test_an_encoder_named_by_a_file_is_not_needed_for_use(tmp_path, tiny_network, tiny_config):
    write_model_folder(tmp_path, tiny_network, describe({**tiny_config, "encoder_weights": "/nowhere/resnet.pth"}))
    assert len(seriatim.load(tmp_path, device="cpu").class_names) == 1


def test_a_description_names_what_is_wrong():
    with pytest.raises(ConfigError, match=r"inference\.tile_sise: unknown key; did you mean 'tile_size'"):
        ModelDescription.parse({"model": {"name": "rsis"}, "inference": {"tile_sise": 3}})
    with pytest.raises(ConfigError, match="at most half"):
        ModelDescription.parse({"model": {"name": "rsis"}, "inference": {"tile_size": 128, "overlap": 100}})


# --- settings laid over those of the folder ---------------------------------------------------------------------------------------


def test_settings_of_the_model_and_of_its_use_are_laid_over_those_of_the_folder(folder, tiny_network):
    settings = ["model.config.max_steps=2", "inference.overlaps=keep", "preparation.longest_side=32"]
    network, description = read_model_folder(folder, settings)
    assert network.config.max_steps == description.model.config["max_steps"] == 2
    assert (description.inference.overlaps, description.preparation.longest_side) == ("keep", 32)
    for name, value in tiny_network.state_dict().items():
        assert torch.equal(network.state_dict()[name], value)
    image = np.random.default_rng(0).integers(0, 255, (50, 50), dtype=np.uint8)
    predictors = [
        seriatim.load(folder, "cpu", settings=[f"model.config.max_steps={steps}", "inference.overlaps=keep"])
        for steps in (1, 9)
    ]
    assert [len(predictor.predict(image)) for predictor in predictors] == [1, 9]


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        (
            "model.name=ris",
            "--set model.name=ris: expected a setting of the model, model.config.KEY, preparation.KEY, inference.KEY",
        ),
        ("class_names=[]", "expected a setting of the model"),
        ("optimizer.learning_rate=1", "data, training and the name of the network are fixed"),
        ("inference.overlap_rule=keep", "inference.overlap_rule: unknown key; did you mean 'overlap"),
        (
            "model.config.max_step=2",
            "--set model.config.max_step=2: model.config: max_step: unknown key; did you mean 'max_steps'",
        ),
        ("model.config.stop_threshold=2", "stop_threshold"),
    ],
)
def test_a_setting_that_cannot_be_changed_is_refused_in_words(folder, setting, told):
    with pytest.raises(ConfigError) as error:
        read_model_folder(folder, [setting])
    assert told in str(error.value)


@pytest.mark.parametrize("setting", ["model.config.width=16", "model.config.levels=2", "model.config.encoder=resnet34"])
def test_a_setting_that_the_weights_do_not_fit_is_refused_as_such(folder, setting):
    with pytest.raises(ConfigError, match=rf"--set {setting}: the weights of .*model do not fit: .*must be trained"):
        read_model_folder(folder, [setting])


def test_an_empty_value_takes_a_setting_out(tiny_description):
    changed = change_settings(tiny_description, ["model.config.max_steps=", "inference.solid=true", "inference.solid="])
    assert "max_steps" not in changed.model.config
    assert not changed.inference.solid
