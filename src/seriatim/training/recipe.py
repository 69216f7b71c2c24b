"""A recipe: everything that fixes a training run, in one complete TOML file.

A recipe is the name of one that ships (`seriatim/recipes/NAME.toml`) or a path. Precedence: defaults < file < `--set`.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from seriatim.core.config import Config, apply_overrides, read_toml
from seriatim.core.errors import ConfigError, did_you_mean
from seriatim.data.augment import AugmentationConfig
from seriatim.data.preparation import PreparationConfig
from seriatim.inference.config import InferenceConfig
from seriatim.training.scores import NUMBERS

GroupRates = dict[str, Annotated[float, Field(ge=0)]]
"""Name of a group of parameters -> its largest learning rate."""


class DataConfig(Config):
    """Where the images come from."""

    source: str
    """KIND:PATH of the images; without `validation` and `test` also of those kept back."""
    num_validation: int = Field(default=0, ge=0)
    """Images of the source kept back to watch the training."""
    num_test: int = Field(default=0, ge=0)
    """Images of the source kept back for the numbers that are reported; never looked at in training."""
    split_seed: int = Field(default=0, ge=0, lt=2**32)
    """Draws the split."""
    validation: str | None = None
    """KIND:PATH of validation images of their own."""
    test: str | None = None
    """KIND:PATH of test images of their own."""
    boxes: str | None = None
    """COCO results file with detections or proposals for the images of the source, for models that take boxes."""
    validation_boxes: str | None = None
    """The same for validation images of their own."""
    test_boxes: str | None = None
    """The same for test images of their own."""
    classes: list[str] | None = Field(default=None, min_length=1)
    """Keep the objects of these classes only; what has none of them is neither trained on nor watched. None keeps all."""

    @property
    def boxes_of_validation(self) -> str | None:
        """The file with the boxes of the validation images."""
        return self.boxes if self.validation is None else self.validation_boxes

    @model_validator(mode="after")
    def _each_part_has_one_origin(self) -> "DataConfig":
        for part, number, spec, boxes in (
            ("validation", self.num_validation, self.validation, self.validation_boxes),
            ("test", self.num_test, self.test, self.test_boxes),
        ):
            if boxes is not None and spec is None:
                raise ValueError(
                    f"{part}_boxes is given without data.{part}; images of the source have their boxes in data.boxes"
                )
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
    """Weights to begin with: a model that ships, a run folder or a model folder of the same settings; None draws them from the seed."""


class OptimizerConfig(Config):
    """Adam or stochastic gradient descent, and its schedule."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    """Weight decay added to the gradient (adam, sgd) or decoupled from it (adamw)."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of sgd: share of the step before that is added to each step (DIN Sec. 3.5: 0.9)."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Of all parameters, except those of groups with a rate of their own."""
    group_learning_rates: GroupRates = Field(default_factory=dict)
    """By name of a group of the model's parameters, such as `encoder`; 0 freezes the group with its normalisation layers."""
    weight_decay: float = Field(default=1e-6, ge=0)
    """Of all parameters."""
    schedule: Literal["constant", "cosine", "plateau"] = "constant"
    """Keep the rates, lower them to 1 % over all stages along half a cosine, or lower them at each plateau of the validation loss."""
    plateau_factor: float = Field(default=0.1, gt=0, lt=1)
    """Factor of the rates at a plateau (RIS Sec. 4.1: 0.1)."""
    plateau_patience: int = Field(default=3, ge=1)
    """Validations without a better loss that make a plateau."""
    plateau_floor: float = Field(default=1e-3, gt=0, le=1)
    """Smallest factor after several plateaus; a new stage and a further object of the curriculum start with the full rates."""
    warmup: int = Field(default=0, ge=0)
    """Iterations over which the rates rise from zero."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Maximum norm of the whole gradient."""
    clip_value: float | None = Field(default=None, gt=0)
    """Maximum absolute value of each element of the gradient."""


class CurriculumConfig(Config):
    """Few objects first, one more each time the validation loss stops falling (RSIS Sec. 4.2)."""

    start: int = Field(default=2, ge=1)
    """Objects at first."""
    patience: int = Field(default=2, ge=1)
    """Validations without a better loss before one more object is added."""


class StageConfig(Config):
    """A part of the run with a loss of its own."""

    name: str
    """Its name in the log."""
    iterations: int = Field(ge=1)
    """Maximum number of optimizer updates."""
    patience: int | None = Field(default=None, ge=1)
    """Validations without a better loss that end the stage; None for no limit."""
    weights: dict[str, Any] = Field(default_factory=dict)
    """Weights of the terms of the loss, checked by the model's objective."""
    curriculum: CurriculumConfig | None = None
    """How the number of objects grows; without it the stage trains on all."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Replaces the optimizer's in this stage."""
    group_learning_rates: GroupRates = Field(default_factory=dict)
    """Replace those of the optimizer in this stage, group by group."""
    crop_size: tuple[int, int] | None = None
    """Replaces the augmentation's in this stage."""
    batch_size: int | None = Field(default=None, ge=1)
    """Replaces the runtime's in this stage."""


class ValidationConfig(Config):
    """What is measured on the validation images, and how often.

    The run's model is the best of its last stage that was validated: a stage trains terms of the loss, such as the stop loss, that the one before
    did not, so a score is never carried from one stage into the next.
    """

    every: int = Field(default=500, ge=1)
    """Iterations between two validations; the end of a stage is validated too."""
    num_batches: int = Field(default=8, ge=1)
    """Validation batches for the loss."""
    num_images: int = Field(default=0, ge=0)
    """Validation images to score; 0 for none, the best weights are then those of the lowest loss."""
    protocol: str = "nuclei"
    """Protocol of the score that picks the best weights, such as nuclei (AP, mean over the thresholds), cvppp (SBD) or coco (AP50)."""

    @field_validator("protocol")
    @classmethod
    def _has_one_number(cls, protocol: str) -> str:
        if protocol not in NUMBERS:
            raise ValueError(
                f"no protocol with a single number is called {protocol!r}{did_you_mean(protocol, NUMBERS)}"
            )
        return protocol


class RuntimeConfig(Config):
    """How the machine is used."""

    batch_size: int = Field(default=8, ge=1)
    """Crops in a batch, over all processes."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Arithmetic of the network."""
    num_workers: int = Field(default=0, ge=0)
    """Processes that prepare crops."""
    threads: int | None = Field(default=None, ge=1)
    """Threads for computing; None leaves the number to torch."""
    save_every: int = Field(default=200, ge=1)
    """Iterations between two checkpoints."""
    half_weights: bool = False
    """Store the finished model with 16 bits per weight."""


class Recipe(Config):
    """A whole run."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of all random generators: weights, crops, teacher."""
    data: DataConfig
    model: ModelSection
    stages: list[StageConfig] = Field(min_length=1)
    preparation: PreparationConfig = PreparationConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    validation: ValidationConfig = ValidationConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    inference: InferenceConfig = InferenceConfig()

    @model_validator(mode="after")
    def _plateaus_are_seen(self) -> "Recipe":
        waiting = ["optimizer.schedule: plateau"] if self.optimizer.schedule == "plateau" else []
        waiting += [f"stages.{stage.name}.curriculum:" for stage in self.stages if stage.curriculum is not None]
        if waiting and not self.data.num_validation and self.data.validation is None:
            raise ValueError(f"{waiting[0]} needs validation images; set data.num_validation or data.validation")
        return self

    @property
    def num_iterations(self) -> int:
        """Maximum over all stages."""
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
