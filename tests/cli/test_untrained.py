import pytest
import torch

from seriatim.cli.untrained import untrained_network
from seriatim.core.config import to_toml
from seriatim.inference.model_folder import read_description, read_model_folder, write_model_folder
from seriatim.models import catalogue
from seriatim.training.recipe import Recipe


@pytest.fixture
def run_folder(model, tmp_path):
    """A run folder with a recipe of seed 4 and the model of the other tests."""
    network, description = read_model_folder(model)
    write_model_folder(tmp_path / "run" / "model", network, description)
    recipe = {
        "seed": 4,
        "data": {"source": "rosettes:4"},
        "model": description.model.model_dump(),
        "stages": [{"name": "all", "iterations": 1}],
    }

    def make(**changes):
        recipe["model"] |= changes
        resolved = Recipe.parse(recipe, "recipe").model_dump(mode="json")
        (tmp_path / "run" / "config.toml").write_text(to_toml(resolved))
        return str(tmp_path / "run"), description

    return make


def weights_of(network):
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def built(description, seed):
    return weights_of(catalogue.build(description.model.name, description.model.config, seed=seed))


def test_a_run_folder_tells_the_seed_of_its_weights(run_folder):
    folder, description = run_folder()
    network, words = untrained_network(folder, description, None)
    assert words == "random weights of the recipe's seed, 4"
    assert torch.equal(weights_of(network), built(description, 4))
    network, words = untrained_network(folder, description, 6)
    assert words == "random weights of seed 6"
    assert torch.equal(weights_of(network), built(description, 6))


def test_a_run_that_began_from_another_model_is_compared_with_that_model(run_folder, model):
    folder, description = run_folder(weights=str(model))
    network, words = untrained_network(folder, description, None)
    assert words == f"the weights of {model.name}, from which the run began"
    assert torch.equal(weights_of(network), built(description, 1))


def test_a_model_folder_does_not_tell_its_seed_and_the_words_say_so(model):
    description = read_description(model)
    network, words = untrained_network(str(model), description, None)
    assert words == "random weights of seed 0; the model folder does not tell with which it was trained"
    assert torch.equal(weights_of(network), built(description, 0))
