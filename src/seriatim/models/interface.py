"""What every model promises; training, the predictor and the tests know no model by name.

losses              the weighted terms of the loss of one batch                     one training step of any of the systems
parameter_groups    the parameters by name of their group                           each with its own learning rate in a recipe
detect              the objects of a batch of images in the order found             all that the predictor calls
begin_with_masks    what comes from the masks of the training objects          once, before a new run
remark              what the reader of the log has to be told               beside a validation
diameter_estimator  the diameters of the objects of a batch, or None                for `preparation.diameter`
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from seriatim.core.batch import Batch, Prompts
from seriatim.core.config import Config
from seriatim.core.instances import Instance


class ModelConfig(Config):
    """The settings that every model has."""

    input_channels: Literal[1, 3, 4] = 3
    """Channels of the image."""
    num_classes: int = Field(default=0, ge=0)
    """Classes of objects; 0 where the model tells none apart."""
    mask_threshold: float = Field(default=0.5, gt=0, lt=1)
    """A pixel with at least this probability belongs to the mask."""


class Found(NamedTuple):
    """An object of one image of a batch.

    Attributes:
        image: number of the image in the batch.
        instance: the object, in pixels of the image that the model sees.
        probs: probability that a pixel belongs to it, of the whole image; the mask holds those of at least `config.mask_threshold`.
    """

    image: int
    instance: Instance
    probs: Float[Tensor, "height width"]


DiameterEstimator = Callable[[Tensor], np.ndarray]
"""From images (batch, channels, height, width) to the diameters in pixels of all their objects."""


@dataclass(frozen=True, slots=True)
class TrainingContext:
    """What a training step depends on beside the batch and the weights.

    Attributes:
        generator: source of all randomness, on the CPU.
        num_objects: the curriculum's number of objects; None for all.
        notes: numbers for the log that are no losses; a model may add some by name.
    """

    generator: torch.Generator
    num_objects: int | None = None
    notes: dict[str, float] = field(default_factory=dict)


ConfigT = TypeVar("ConfigT", bound=ModelConfig)


class Model(nn.Module, ABC, Generic[ConfigT]):
    """A network of the catalogue, made from its settings."""

    config: ConfigT
    """Everything that fixes the network."""

    takes_boxes: ClassVar[bool] = False
    """Whether `detect` needs boxes; a model that does not is given none."""

    size_multiple: ClassVar[int] = 32
    """The predictor pads the images that it gives to `detect` until their sides are multiples of it."""

    @abstractmethod
    def losses(self, batch: Batch, weights: Any, context: TrainingContext) -> dict[str, Float[Tensor, ""]]:
        """The weighted terms of the loss of one batch.

        Args:
            batch: images and truth.
            weights: of the terms, of the model's objective config.
            context: curriculum and randomness.
        """

    @abstractmethod
    def parameter_groups(self) -> Mapping[str, Sequence[nn.Parameter]]:
        """Every parameter once, by the name of its group; the first group takes the recipe's `optimizer.learning_rate`."""

    @abstractmethod
    def detect(
        self, images: Float[Tensor, "batch channels height width"], prompts: Sequence[Prompts] | None = None
    ) -> Iterator[Found]:
        """The objects of every image, each image's in the order found, each as soon as it is known.

        Args:
            images: values in 0..1, on the device of the network.
            prompts: boxes or points of every image, for a model that takes them.

        Raises:
            ConfigError: if the model needs prompts and there are none, or takes none.
        """

    @property
    def num_masks(self) -> int:
        """Masks of training objects that `begin_with_masks` takes at most; 0 for a model that begins without any."""
        return 0

    def begin_with_masks(self, masks: Iterable[np.ndarray], seed: int) -> None:
        """Set what the model begins its training with from the masks of training objects; called once for a new run.

        Args:
            masks: bool (height, width) of the objects, each cut to its box.
            seed: of all draws.
        """
        del masks, seed

    def remark(self, notes: Mapping[str, float]) -> str | None:
        """What the reader of the log has to be told about the notes of a validation; None for nothing.

        Args:
            notes: means of those that `losses` left in the context.
        """
        del notes

    @property
    def diameter_estimator(self) -> DiameterEstimator | None:
        """Gives the diameters of the objects of a batch of images; None for a model that does not estimate them."""
        return None
