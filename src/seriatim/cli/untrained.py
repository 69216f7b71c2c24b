"""`untrained_network`: the network of a model as it was before its training, and in words where it comes from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seriatim.inference.model_folder import ModelDescription
    from seriatim.models.sequential import SequentialModel
    from seriatim.training.recipe import Recipe


def untrained_network(
    model: str, description: "ModelDescription", seed: int | None
) -> "tuple[SequentialModel[Any], str]":
    """The network with the weights that its training began with.

    A run folder keeps its recipe: seed, encoder weights and the model that it began from are taken from there. A model folder keeps
    none of these: its network is drawn with `seed`, or 0, and need not be the one that the training began with.

    Args:
        model: as `--model` names it.
        description: of the model.
        seed: of the weights; None takes that of the recipe, or 0.

    Raises:
        ConfigError: if the model emits no sequence, or the recipe names weights that are not there.
        CheckpointError: if weights are damaged or do not fit.
    """
    from seriatim.core.errors import ConfigError
    from seriatim.inference.model_folder import load_weights
    from seriatim.inference.zoo import find_model_folder
    from seriatim.models import catalogue
    from seriatim.models.sequential import SequentialModel

    recipe = _recipe_of(model)
    settings = description.model.config if recipe is None else recipe.model.config
    used = (0 if recipe is None else recipe.seed) if seed is None else seed
    network = catalogue.build(description.model.name, settings, seed=used)
    if not isinstance(network, SequentialModel):
        raise ConfigError(f"model {model!r}: is not sequential, so its objects have no order")
    if recipe is None:
        return network, f"random weights of seed {used}; the model folder does not tell with which it was trained"
    words = [
        f"random weights of the recipe's seed, {used}" if used == recipe.seed else f"random weights of seed {used}"
    ]
    if settings.get("encoder_weights"):
        words.append(f"encoder weights {Path(settings['encoder_weights']).name}")
    if recipe.model.weights is not None:
        load_weights(network, find_model_folder(recipe.model.weights))
        words = [f"the weights of {Path(recipe.model.weights).name}, from which the run began"]
    return network, ", ".join(words)


def _recipe_of(model: str) -> "Recipe | None":
    """The recipe of a run folder; None for a model that ships or a model folder."""
    from seriatim.core.config import read_toml
    from seriatim.inference.zoo import zoo_names
    from seriatim.training.recipe import Recipe

    path = Path(model) / "config.toml"
    if model in zoo_names() or not path.is_file():
        return None
    return Recipe.parse(read_toml(path), str(path))
