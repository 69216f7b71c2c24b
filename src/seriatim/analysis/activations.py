"""Whether the order of the objects lies in what the encoder gives: tau of the order with the objects' activations, before and after training.

Source: Salvador et al., "Recurrent neural networks for semantic instance segmentation" (arXiv:1712.00617), Sec. 4.7, Table 7 and Fig. 8. The
activation of an object in a level f_i is the mean over the channels of the encoder's feature map, averaged over the mask; tau is 1 where
objects come from the most to the least active. The masks and their order are those of the trained model, as emitted, for both
encoders. The encoder sees the whole prepared image at once, also where the model looks at it in tiles.

RIS has one map of features, B; where its network is a pyramid, the levels under it are given too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, UInt8
from torch import Tensor
from torch.nn import functional as F

from seriatim.analysis.emitted import as_emitted
from seriatim.analysis.intervals import Interval, as_list, interval_of_mean
from seriatim.analysis.order import kendall_tau
from seriatim.core.errors import ConfigError, DataError
from seriatim.core.instances import Instance, Instances
from seriatim.core.progress import Progress
from seriatim.core.shapes import Size, box_slices
from seriatim.data.source import Source
from seriatim.inference.placement import pad_tile
from seriatim.inference.predictor import Predictor
from seriatim.models.ris import RIS
from seriatim.models.sequential import SequentialModel
from seriatim.nn.encoders import Encoder
from seriatim.results.drawing import to_rgb

BEFORE, AFTER = "before", "after"
"""Training."""

MAP_SIDE = 24
"""Cells of a side of the maps of where objects lie."""


@dataclass(frozen=True, slots=True)
class LevelTau:
    """How far the order follows the activations of one level, the means over the images with their 95 % bootstrap intervals.

    Attributes:
        level: f0, the deepest, to f4, or B of RIS.
        before: tau with the encoder before training.
        before_interval: of it.
        after: tau with the trained encoder.
        after_interval: of it.
        change_interval: of the difference, paired image by image.
    """

    level: str
    before: float
    before_interval: Interval | None
    after: float
    after_interval: Interval | None
    change_interval: Interval | None


@dataclass(frozen=True, slots=True, eq=False)
class ActivationExample:
    """An image with its most and its least active object in the deepest level.

    Attributes:
        name: of the image.
        pixels: RGB.
        instances: in the order emitted.
        chosen: `before` and `after` -> numbers of the most and of the least active object, from 0.
    """

    name: str
    pixels: UInt8[np.ndarray, "height width 3"]
    instances: Instances
    chosen: dict[str, tuple[int, int]]


@dataclass(slots=True)
class ActivationReport:
    """The activations of the objects of a data set, built image by image.

    Attributes:
        num_examples: at most this many images are kept to be drawn.
        levels: the finest first, as in Table 7; known from the first image.
        taus: `before` and `after` -> of each image with at least two objects, tau with each level.
        num_left_out: images with fewer than two objects.
        examples: the first images.
        maps: (`before` or `after`, `most` or `least`) -> in how many images the most or least active object covers each place, the image
            drawn as a square.
    """

    num_examples: int = 6
    levels: tuple[str, ...] = ()
    taus: dict[str, list[list[float]]] = field(default_factory=lambda: {BEFORE: [], AFTER: []})
    num_left_out: int = 0
    examples: list[ActivationExample] = field(default_factory=list)
    maps: dict[tuple[str, str], Float64[np.ndarray, "side side"]] = field(
        default_factory=lambda: {
            (when, which): np.zeros((MAP_SIDE, MAP_SIDE)) for when in (BEFORE, AFTER) for which in ("most", "least")
        }
    )

    @property
    def deepest(self) -> str:
        """The level whose most and least active objects are shown."""
        return self.levels[-1]

    def add(
        self,
        instances: Instances,
        activations: Mapping[str, Mapping[str, Float64[np.ndarray, " instances"]]],
        name: str,
        image: Float32[np.ndarray, "channels height width"],
    ) -> None:
        """Count the objects of one more image.

        Args:
            instances: in the order emitted.
            activations: `before` and `after` -> level, the finest first -> of each object.
            name: of the image.
            image: values in 0..1, to be drawn.
        """
        if len(instances) < 2:
            self.num_left_out += 1
            return
        self.levels = tuple(activations[AFTER])
        chosen = {}
        for when in (BEFORE, AFTER):
            self.taus[when].append([kendall_tau(-activations[when][level]) for level in self.levels])
            values = activations[when][self.deepest]
            chosen[when] = (int(values.argmax()), int(values.argmin()))
            for which, number in zip(("most", "least"), chosen[when], strict=True):
                self.maps[when, which] += _to_unit_square(instances[number], instances.size)
        if len(self.examples) < self.num_examples:
            self.examples.append(ActivationExample(name, to_rgb(image, min_range=0.05), instances, chosen))

    def summarise(self) -> list[LevelTau]:
        """Table 7, the finest level first; empty if no image has two objects."""
        before, after = (
            np.array(self.taus[when], dtype=np.float64).reshape(-1, len(self.levels)).T for when in (BEFORE, AFTER)
        )
        return [
            LevelTau(
                level,
                float(old.mean()),
                interval_of_mean(old),
                float(new.mean()),
                interval_of_mean(new),
                interval_of_mean(new - old),
            )
            for level, old, new in zip(self.levels, before, after, strict=True)
        ]

    def as_json(self) -> dict[str, Any]:
        """The numbers under their names."""
        return {
            "num_images": len(self.taus[AFTER]),
            "num_left_out": self.num_left_out,
            "levels": {
                one.level: {
                    BEFORE: one.before,
                    f"{BEFORE}_interval": as_list(one.before_interval),
                    AFTER: one.after,
                    f"{AFTER}_interval": as_list(one.after_interval),
                    "change_interval": as_list(one.change_interval),
                }
                for one in self.summarise()
            },
        }


def collect_activations(
    predictor: Predictor,
    initial: SequentialModel[Any],
    source: Source,
    num_examples: int = 6,
    absolute: bool = False,
    progress: Progress | None = None,
) -> ActivationReport:
    """The activations of the objects of a data set in the encoder before and after training.

    Args:
        predictor: of the trained model.
        initial: the same network before training.
        source: the images.
        num_examples: images that are kept to be drawn.
        absolute: take the mean over the channels of the absolute values.
        progress: called after every image with the number of images done and of all images.

    Raises:
        ConfigError: if the model emits no sequence.
        DataError: if there is no image, or one cannot be read.
    """
    trained = predictor.network
    if not isinstance(trained, SequentialModel):
        raise ConfigError(
            f"model {predictor.description.model.name!r}: is not sequential, so its objects have no order"
        )
    if not len(source):
        raise DataError("activations: needs at least one image, got none")
    emitted = as_emitted(predictor)
    networks = {BEFORE: initial.eval().to(predictor.device), AFTER: trained}
    report = ActivationReport(num_examples)
    for index in range(len(source)):
        sample = source.read(index)
        found = emitted.predict_values(sample.image)
        activations = {}
        if len(found) >= 2:
            prepared = predictor.prepared(sample.image)
            with predictor.evaluating(), predictor.arithmetic():
                images = torch.from_numpy(pad_tile(prepared, predictor.tile_multiple))[None].to(predictor.device)
                for when, network in networks.items():
                    maps = channel_means(network, images, absolute)
                    activations[when] = mean_in_masks(maps, found, (prepared.shape[1], prepared.shape[2]))
        report.add(found, activations, sample.name, sample.image)
        if progress is not None:
            progress(index + 1, len(source))
    if not report.levels:
        raise DataError(f"activations: none of {len(source)} images has two objects, so there is no order")
    return report


class LevelMap(NamedTuple):
    """A level of the encoder.

    Attributes:
        values: the mean over the channels in every cell.
        size: (height, width) that the cells cover, in pixels of the prepared image; the last ones may reach beyond it.
    """

    values: Float[Tensor, "map_height map_width"]
    size: Size


def channel_means(
    network: SequentialModel[Any], images: Float[Tensor, "1 channels height width"], absolute: bool = False
) -> dict[str, LevelMap]:
    """Every level of the encoder, the finest first.

    Args:
        network: RSIS or RIS.
        images: one prepared image, padded as the predictor does it.
        absolute: take the mean of the absolute values.
    """
    levels: dict[str, tuple[Tensor, Size]] = {}
    encoder = network.encoder
    if isinstance(encoder, Encoder):
        for number, (level, stride) in enumerate(zip(encoder(images), encoder.strides, strict=True)):
            levels[f"f{number}"] = (level, (level.shape[2] * stride, level.shape[3] * stride))
    if isinstance(network, RIS):
        memory = network.encode(images)
        levels["B"] = (network.features_read(memory, images), memory.grid_size)
    means = {
        name: LevelMap((level.abs() if absolute else level)[0].float().mean(dim=0), size)
        for name, (level, size) in levels.items()
    }
    return dict(sorted(means.items(), key=lambda one: one[1].values.numel(), reverse=True))


def mean_in_masks(
    maps: Mapping[str, LevelMap], instances: Instances, scaled: Size
) -> dict[str, Float64[np.ndarray, " instances"]]:
    """Level -> the mean of its map over the mask of every object, each cell weighted by the share of it that the mask covers.

    Args:
        maps: of the prepared image.
        instances: in pixels of the image.
        scaled: (height, width) of the prepared image without padding.
    """
    found: dict[str, list[float]] = {name: [] for name in maps}
    for instance in instances:
        plane = _plane(instance, instances.size)
        if instances.size != scaled:
            plane = F.interpolate(plane, size=scaled, mode="area")
        for name, (values, size) in maps.items():
            beyond = [max(covered - extent, 0) for covered, extent in zip(size, scaled, strict=True)]
            padded = F.pad(plane, (0, beyond[1], 0, beyond[0]))
            weights = F.interpolate(padded, size=values.shape, mode="area")[0, 0].to(values.device)
            found[name].append(float((weights * values).sum() / weights.sum()))
    return {name: np.array(values) for name, values in found.items()}


def _to_unit_square(instance: Instance, size: Size) -> Float64[np.ndarray, "side side"]:
    """The share of each cell that an object covers, the image drawn as a square of `MAP_SIDE` cells."""
    return F.interpolate(_plane(instance, size), size=(MAP_SIDE, MAP_SIDE), mode="area")[0, 0].double().numpy()


def _plane(instance: Instance, size: Size) -> Float[Tensor, "1 1 height width"]:
    """The mask in the whole image, 1 where the object is."""
    plane = torch.zeros(1, 1, *size)
    plane[0, 0][box_slices(instance.box)] = torch.from_numpy(instance.mask).float()
    return plane
