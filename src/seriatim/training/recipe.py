"""A recipe: everything that fixes a training run, in one complete TOML file.

A recipe is the name of one that ships (`seriatim/recipes/NAME.toml`) or a path. Precedence: defaults < file < `--set`.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from seriatim.core.config import Config, apply_overrides, read_toml
from seriatim.core.errors import ConfigError, did_you_mean
from seriatim.data.augment import AugmentationConfig
from seriatim.data.preparation import PreparationConfig
from seriatim.inference.config import InferenceConfig


class DataConfig(Config):
    """Where the images come from."""

    source: str
    """KIND:PATH of the images; without `validation` and `test` also of those kept back."""
    num_validation: int = Field(default=0, ge=0)
    """Images of the source kept back to watch the training."""
    num_test: int = Field(default=0, ge=0)
    """Images of the source kept back for the numbers that are reported; never looked at in training."""
    split_seed: int = 0
    """Draws the split."""
    validation: str | None = None
    """KIND:PATH of validation images of their own."""
    test: str | None = None
    """KIND:PATH of test images of their own."""
    classes: list[str] | None = Field(default=None, min_length=1)
    """Keep the objects of these classes only; what has none of them is neither trained on nor watched. None keeps all."""

    @model_validator(mode="after")
    def _each_part_has_one_origin(self) -> "DataConfig":
        for part, number, spec in (
            ("validation", self.num_validation, self.validation),
            ("test", self.num_test, self.test),
        ):
            if number and spec is not None:
                raise ValueError(
                    f"{part} images come from the source (num_{part} = {number}) or are images of their own ({part} = {spec!r}), "
                    f"not both; take one out with --set data.num_{part}= or --set data.{part}="
                )
        return self


class ModelSection(Config):
    """Which network."""

    name: str
    """A name of the catalogue, such as rsis."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The network's settings, checked by the network's own config class."""
    weights: str | None = None
    """Weights to begin with: a model that ships, a run folder or a model folder of the same settings; None draws them by chance."""


class OptimizerConfig(Config):
    """Adam and its schedule."""

    name: Literal["adam", "adamw"] = "adam"
    """Weight decay added to the gradient (adam) or decoupled from it (adamw)."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of everything but the encoder."""
    encoder_learning_rate: float | None = Field(default=None, ge=0)
    """Of the encoder; None for the same."""
    weight_decay: float = Field(default=1e-6, ge=0)
    """Of all parameters."""
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    """Keep the rate, let it fall to 1 % over all stages along half a cosine, or lower it at each plateau of the validation loss."""
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    """What a plateau multiplies the rate by (RIS Sec. 4.1: 0.1)."""
    plateau_patience: int = Field(default=3, ge=1)
    """Validations without a better loss that make a plateau."""
    plateau_floor: float = Field(default=1e-3, gt=0, le=1)
    """Least that plateaus leave of the rate, as a factor; a new stage and a further object of the curriculum begin with the whole rate."""
    warmup: int = Field(default=0, ge=0)
    """Iterations over which the rate rises from zero."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Largest norm of the whole gradient."""
    clip_value: float | None = Field(default=None, gt=0)
    """Largest absolute value of each element of the gradient."""


class CurriculumConfig(Config):
    """Few objects first, one more each time the validation loss stops falling (RSIS Sec. 4.2)."""

    start: int = Field(default=2, ge=1)
    """Objects to begin with."""
    patience: int = Field(default=2, ge=1)
    """Validations without a better loss before one more object is asked for."""


class StageConfig(Config):
    """A part of the run with its own loss."""

    name: str
    """What logs call it."""
    iterations: int = Field(ge=1)
    """Optimizer updates at the most."""
    patience: int | None = Field(default=None, ge=1)
    """End the stage after so many validations without a better loss; None never."""
    weights: dict[str, Any] = Field(default_factory=dict)
    """Weights of the terms of the loss, checked by the model's objective."""
    curriculum: CurriculumConfig | None = None
    """Number of objects, if it is to grow; without it the stage trains on all."""
    learning_rate: float | None = Field(default=None, gt=0)
    """In this stage instead of the optimizer's."""
    encoder_learning_rate: float | None = Field(default=None, ge=0)
    """In this stage instead of the optimizer's; 0 freezes the encoder, and its batch norms with it."""
    crop_size: tuple[int, int] | None = None
    """Crops of this size in this stage instead of the augmentation's."""
    batch_size: int | None = Field(default=None, ge=1)
    """Crops a batch in this stage."""


class ValidationConfig(Config):
    """How the run is watched."""

    every: int = Field(default=500, ge=1)
    """Iterations between two validations."""
    num_batches: int = Field(default=8, ge=1)
    """Validation batches for the loss."""
    num_images: int = Field(default=0, ge=0)
    """Validation images for the protocols; 0 for none, the best weights are then those of the lowest loss."""
    protocol: Literal["nuclei", "cvppp", "coco"] = "nuclei"
    """Protocol of the score that picks the best weights: AP, mean over the thresholds (nuclei), SBD (cvppp), AP50 (coco)."""


class RuntimeConfig(Config):
    """What the machine does."""

    batch_size: int = Field(default=8, ge=1)
    """Crops a batch, over all processes."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Arithmetic of the network."""
    num_workers: int = Field(default=0, ge=0)
    """Processes that draw crops."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of arithmetic; None leaves it to torch."""
    save_every: int = Field(default=200, ge=1)
    """Iterations between two checkpoints."""
    half_weights: bool = False
    """Store the finished model in 16 bits a weight."""


class Recipe(Config):
    """A whole run."""

    seed: int = 0
    """Of all chance: weights, crops, teacher."""
    data: DataConfig
    model: ModelSection
    stages: list[StageConfig] = Field(min_length=1)
    preparation: PreparationConfig = PreparationConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    validation: ValidationConfig = ValidationConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    inference: InferenceConfig = InferenceConfig()

    @property
    def num_iterations(self) -> int:
        """Of all stages, at the most."""
        return sum(stage.iterations for stage in self.stages)


def names() -> tuple[str, ...]:
    """The recipes that ship."""
    return tuple(
        sorted(path.name.removesuffix(".toml") for path in _shipped().iterdir() if path.name.endswith(".toml"))
    )


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a name or file, with `overrides` such as `optimizer.learning_rate=1e-4` laid over it.

    Raises:
        ConfigError: naming the file and the key.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        if name_or_path not in names():
            raise ConfigError(
                f"{name_or_path}: no such recipe{did_you_mean(name_or_path, names())} (or give the path of a .toml file)"
            )
        path = Path(str(_shipped() / f"{name_or_path}.toml"))
    return Recipe.parse(apply_overrides(read_toml(path), overrides), str(path))


def _shipped() -> Any:
    return files("seriatim") / "recipes"
