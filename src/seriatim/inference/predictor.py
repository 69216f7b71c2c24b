"""`load` and `Predictor`: images in, objects in the order found out, at the size of the image.

An image is prepared, brought to the scale of the network if the model asks for that, and cut into tiles where it is large. The network detects the
objects of a batch of tiles; they are placed in the image, joined across tiles, and what they share is settled by the model's rule. A model that takes
boxes gets those that are given, or else those that its detector finds in the whole image before.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import ArrayLike
from PIL import Image

from seriatim.core.boxes import Boxes
from seriatim.core.errors import ConfigError, ShapeError
from seriatim.core.instances import Instance, Instances
from seriatim.core.platform import denormals_as_zero
from seriatim.core.progress import Progress
from seriatim.core.shapes import Box, Size
from seriatim.data.images import from_pillow, read_pixels, to_float_image
from seriatim.data.preparation import prepare, prepared_size, rescale
from seriatim.inference.model_folder import ModelDescription, read_model_folder
from seriatim.inference.overlaps import resolve_overlaps
from seriatim.inference.placement import ImagePrompts, original_box, pad_tile, place
from seriatim.inference.refinement import refine_instances
from seriatim.inference.scale import estimate_scale
from seriatim.inference.tiling import TileMerger, plan_tiles
from seriatim.inference.zoo import find_model_folder
from seriatim.models.interface import Found, Model

ImageInput = str | Path | Image.Image | np.ndarray
"""A file, or pixels as a person sees them: Pillow's, or uint8, uint16, float or bool of HxW, HxWx3 or HxWx4."""


def load(
    name_or_folder: str | Path, device: str = "auto", crf: bool = False, settings: Sequence[str] = ()
) -> "Predictor":
    """A model that is ready for use.

    Args:
        name_or_folder: a model that ships (`seriatim models` lists them), a run folder, or a model folder with model.safetensors and config.json.
        device: auto (an accelerator if there is one), cpu or cuda.
        crf: refine the outlines of what it finds by a dense CRF.
        settings: such as `model.config.max_steps=50` or `inference.overlaps=keep`, laid over those that travel with the weights.

    Raises:
        ConfigError: if there is no such model, not the device asked for, or a setting cannot be used with these weights.
        CheckpointError: if the model is damaged.
    """
    chosen = choose_device(device)
    network, description = read_model_folder(find_model_folder(name_or_folder), settings)
    return Predictor(_for_use(network), description, chosen, crf)


def _for_use(network: Model[Any]) -> Model[Any]:
    return network.eval().to(memory_format=torch.channels_last)  # the layout in which convolutions are fastest


def choose_device(name: str) -> torch.device:
    """The device of a name: auto, cpu or cuda.

    Raises:
        ConfigError: for another name, or if there is no such device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device {name!r}: expected auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError("device 'cuda': none is available here; take cpu or auto")
    return torch.device("cuda" if name != "cpu" and available else "cpu")


class Predictor:
    """A network and everything needed to use it on images of any kind and size.

    Attributes:
        network: put into evaluation mode while it is used.
        description: how images are prepared and the network is used.
        class_names: of the classes, from class 1.
        crf: whether a dense CRF refines the outlines (`inference/refinement.py`).
    """

    def __init__(
        self,
        network: Model[Any],
        description: ModelDescription,
        device: torch.device | str | None = None,
        crf: bool = False,
    ) -> None:
        """
        Args:
            network: of the catalogue.
            description: that fits it.
            device: to which the network is moved; None leaves it where it is.
            crf: refine the outlines; the settings are those of the description.

        Raises:
            ConfigError: if the description asks for what the network cannot do.
        """
        self.network = network if device is None else network.to(device)
        self.description = description
        self.class_names = description.class_names
        self.crf = crf
        channels, expected = description.preparation.channels, network.config.input_channels
        if channels != expected:
            raise ConfigError(f"preparation.channels: {channels}, but the network takes {expected}")
        if description.preparation.diameter is not None and network.diameter_estimator is None:
            raise ConfigError("preparation.diameter: needs a network that estimates diameters (model.config.guidance)")
        if description.inference.detector is not None and not network.takes_boxes:
            raise ConfigError(f"inference.detector: this model ({description.model.name}) takes no boxes")

    def check_boxes(self) -> None:
        """Refuse boxes for a model that takes none.

        Raises:
            ConfigError: naming the model.
        """
        if not self.network.takes_boxes:
            raise ConfigError(
                f"boxes: this model ({self.description.model.name}) takes none; it finds the objects itself"
            )

    @cached_property
    def detector(self) -> "Predictor | None":
        """The model whose boxes this one takes where none are given (`inference.detector`), loaded when it is first asked for.

        Raises:
            ConfigError: if there is no such model, it needs boxes itself, or its classes are others.
            CheckpointError: if it is damaged.
        """
        name = self.description.inference.detector
        if name is None:
            return None
        network, description = read_model_folder(find_model_folder(name))
        if network.takes_boxes:
            raise ConfigError(
                f"inference.detector: {name} takes boxes itself; it needs a model that finds objects without"
            )
        mine, others = (tuple(names) for names in (self.class_names, description.class_names))
        if mine != others and not len(mine) == len(others) == 1:
            raise ConfigError(
                f"inference.detector: {name} has the classes {', '.join(others)}, this model {', '.join(mine)}; they must be the same"
            )
        return Predictor(_for_use(network), description, self.device)

    def find_boxes(self, image: Float32[np.ndarray, "channels height width"]) -> Boxes | None:
        """What `detector` finds in an image as data sets hold it, in its order; None without a detector."""
        if self.detector is None:
            return None
        found = self.detector.predict_values(image)
        return Boxes.of([one.box for one in found], found.scores, found.class_ids)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    @property
    def tile_multiple(self) -> int:
        """The sides of a padded tile are multiples of it; an image of the one fixed size is seen as in training, without padding."""
        return 1 if self.description.preparation.size is not None else self.network.size_multiple

    def predict(
        self,
        image: ImageInput,
        progress: Progress | None = None,
        *,
        points: ArrayLike | None = None,
        boxes: ArrayLike | None = None,
        box_scores: ArrayLike | None = None,
        box_classes: ArrayLike | None = None,
    ) -> Instances:
        """The objects of an image, in the order found; whether they may overlap is a setting of the model.

        Args:
            image: see `ImageInput`; EXIF orientation of files and Pillow's images is applied.
            progress: called with the number of tiles done and of all tiles.
            points: (y, x) in pixels of the image: the object at each point is segmented, by models with guidance, in the order of the points;
                `Instance.step` is the number of the point.
            boxes: (y0, x0, y1, x1) of detections or proposals in pixels of the image, for models that take boxes; None for those of the model's
                detector (`inference.detector`).
            box_scores: of the boxes, 0..1; None for 1.
            box_classes: of the boxes, from 1; None, or 0, for unknown.

        Raises:
            ImageError: if a file cannot be read as an image.
            ShapeError: if an array is no image, or points or boxes are none.
            ConfigError: if the model takes no points or boxes, or needs boxes.
        """
        found = None if boxes is None else Boxes.of(boxes, box_scores, box_classes)
        return self.predict_values(to_values(image), progress, found, points)

    # The signature is that of `predict`, written out so that a reader and an editor see what it takes.
    def stream(
        self,
        image: ImageInput,
        progress: Progress | None = None,
        *,
        points: ArrayLike | None = None,
        boxes: ArrayLike | None = None,
        box_scores: ArrayLike | None = None,
        box_classes: ArrayLike | None = None,
    ) -> Iterator[Instance]:
        """The same objects in the same order, each as soon as it is certain.

        An image that fits into one tile is seen step by step; in a larger one objects come after each row of tiles. With the CRF, which looks at
        all objects together, or where the better score or the later object keeps contested pixels, they come at the end.

        Args:
            image: as for `predict`, as the rest and the errors.
            progress: as for `predict`.
            points: as for `predict`.
            boxes: as for `predict`.
            box_scores: as for `predict`.
            box_classes: as for `predict`.
        """
        found = None if boxes is None else Boxes.of(boxes, box_scores, box_classes)
        values = to_values(image)
        return self._stream(values, progress, self._prompts(found, points, (values.shape[1], values.shape[2])))

    def predict_values(
        self,
        image: Float32[np.ndarray, "channels height width"],
        progress: Progress | None = None,
        boxes: Boxes | None = None,
        points: ArrayLike | None = None,
    ) -> Instances:
        """The objects of an image as data sets hold it: values in 0..1, channels first, not yet prepared; the rest as for `predict`."""
        size = (image.shape[1], image.shape[2])
        tally: Counter[str] = Counter()
        found = Instances(size, self._stream(image, progress, self._prompts(boxes, points, size), tally))
        found.num_too_small = tally["too_small"]
        return found

    def prepared(
        self, values: Float32[np.ndarray, "channels height width"]
    ) -> Float32[np.ndarray, "prepared new_height new_width"]:
        """The image as the network sees it before it is cut into tiles: its channels, brightness and polarity, at the network's scale.

        Where the model asks for a diameter of the objects, the network looks at parts of the image to estimate the scale.

        Args:
            values: as data sets hold them, in 0..1; 1, 3 or 4 channels, the fourth transparency unless the network takes 4.

        Returns:
            As many channels as the network takes; as many pixels as `values` unless the description asks for a diameter or a longest side.

        Raises:
            ShapeError: if the image has another number of channels, or no pixel.
        """
        if len(values) not in (1, 3, 4) or not values.size:
            raise ShapeError(f"values: expected 1, 3 or 4 channels of at least one pixel, got shape {values.shape}")
        preparation = self.description.preparation
        prepared = prepare(values, preparation)
        size = (prepared.shape[1], prepared.shape[2])
        if preparation.diameter is not None:
            with self.evaluating():
                scale = estimate_scale(prepared, preparation.diameter, self._diameters)
            size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        return rescale(prepared, prepared_size(size, preparation))

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Puts the network into evaluation mode for a while, since it may be in the middle of its training."""
        was_training = self.network.training
        self.network.eval()
        try:
            yield
        finally:
            self.network.train(was_training)

    @contextmanager
    def arithmetic(self) -> Iterator[None]:
        """Within it the network computes without gradients, in the precision that the description asks for."""
        is_half = self.description.inference.precision == "bfloat16"
        with (
            torch.inference_mode(),
            denormals_as_zero(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=is_half),
        ):
            yield

    def _prompts(self, boxes: Boxes | None, points: ArrayLike | None, size: Size) -> ImagePrompts | None:
        if boxes is not None:
            self.check_boxes()
        if boxes is None and points is None:
            return None
        return ImagePrompts(
            Boxes.none() if boxes is None else boxes, np.zeros((0, 2)) if points is None else _points(points, size)
        )

    def _stream(
        self,
        image: Float32[np.ndarray, "channels height width"],
        progress: Progress | None,
        prompts: ImagePrompts | None,
        tally: Counter[str] | None = None,
    ) -> Iterator[Instance]:
        size = (image.shape[1], image.shape[2])
        if prompts is None and (boxes := self.find_boxes(image)) is not None:
            prompts = ImagePrompts(boxes, np.zeros((0, 2)))
        with self.evaluating():
            found = self._resolved(self.prepared(image), size, progress, prompts, tally)
            if not self.crf:
                yield from found
                return
            values, settings = prepare(image, self.description.preparation), self.description.inference
            yield from refine_instances(values, Instances(size, found), settings.crf, settings.solid, self.device)

    def _resolved(
        self,
        prepared: Float32[np.ndarray, "channels height width"],
        size: Size,
        progress: Progress | None,
        prompts: ImagePrompts | None,
        tally: Counter[str] | None,
    ) -> Iterator[Instance]:
        """The objects with what they keep of shared pixels, in pixels of the image of `size`."""
        settings = self.description.inference
        found = self._joined(prepared, size, progress, prompts)
        if prompts is not None and len(prompts.points):
            found = sorted(found, key=lambda instance: instance.step)  # across tiles too, the order of the points
        rules = (settings.overlaps, settings.max_hidden, settings.min_area, settings.solid)
        return resolve_overlaps(found, size, *rules, tally)

    def _joined(
        self,
        prepared: Float32[np.ndarray, "channels height width"],
        size: Size,
        progress: Progress | None,
        prompts: ImagePrompts | None,
    ) -> Iterator[Instance]:
        """The objects of all tiles, those that several tiles saw once."""
        settings = self.description.inference
        scaled = (prepared.shape[1], prepared.shape[2])
        rows = plan_tiles(scaled, settings.tile_size, settings.overlap)
        tiles = [tile for row in rows for tile in row]
        if len(tiles) == 1:
            for _, instance in self._found_in_tiles(prepared, tiles, [0], size, prompts):
                yield instance
            if progress is not None:
                progress(1, 1)
            return
        margin = max(1, round(settings.border_margin * min(size[0] / scaled[0], size[1] / scaled[1])))
        boxes = [[original_box(tile, scaled, size) for tile in row] for row in rows]
        merger = TileMerger(boxes, margin, settings.join_overlap)
        done = 0
        for row in rows:
            found: list[list[Instance]] = [[] for _ in row]
            for first in range(0, len(row), settings.tile_batch):
                numbers = range(done, done + len(row[first : first + settings.tile_batch]))
                for number, instance in self._found_in_tiles(prepared, tiles, numbers, size, prompts):
                    found[first + number - done].append(instance)
                done += len(numbers)
                if progress is not None:
                    progress(done, len(tiles))
            yield from merger.add_row(found)

    def _found_in_tiles(
        self,
        prepared: Float32[np.ndarray, "channels height width"],
        tiles: Sequence[Box],
        numbers: Sequence[int],
        size: Size,
        prompts: ImagePrompts | None,
    ) -> Iterator[tuple[int, Instance]]:
        """Number of the tile and object, as found; tiles in pixels of `prepared`, objects in pixels of the image of `size`."""
        scaled = (prepared.shape[1], prepared.shape[2])
        cut = (prepared[:, y0:y1, x0:x1] for y0, x0, y1, x1 in (tiles[one] for one in numbers))
        crops = np.stack([pad_tile(crop, self.tile_multiple) for crop in cut])
        asked = None if prompts is None else [prompts.of_tile(tiles, one, scaled, size) for one in numbers]
        given = None if asked is None else [of_tile.to(self.device) for of_tile, _ in asked]
        found = self.network.detect(torch.from_numpy(crops).to(self.device), given)
        while (one := self._next(found)) is not None:
            tile = tiles[numbers[one.image]]
            placed = place(one.instance, one.probs, tile, scaled, size, self.network.config.mask_threshold)
            if placed is not None and asked is not None and len(asked[one.image][1]):
                placed = replace(placed, step=int(asked[one.image][1][placed.step]))  # number of the point in the image
            if placed is not None:
                yield numbers[one.image], placed

    def _next(self, found: Iterator[Found]) -> Found | None:
        with self.arithmetic():  # around each object, so that the settings do not reach whoever takes the objects
            return next(found, None)

    def _diameters(self, windows: Float32[np.ndarray, "windows channels height width"]) -> np.ndarray:
        estimate = self.network.diameter_estimator
        assert estimate is not None, "checked when the predictor was made"
        with self.arithmetic():
            return estimate(torch.from_numpy(windows).to(self.device))


def to_values(image: ImageInput) -> Float32[np.ndarray, "channels height width"]:
    """An image as data sets hold it: values in 0..1, channels first.

    Raises:
        ImageError: if a file cannot be read as an image.
        ShapeError: if an array is no image.
    """
    if isinstance(image, str | Path):
        return to_float_image(read_pixels(Path(image)), str(image))
    if isinstance(image, Image.Image):
        return to_float_image(from_pillow(image))
    if isinstance(image, np.ndarray):
        return to_float_image(image)
    raise ShapeError(f"image: expected a path, a Pillow image or a numpy array, got {type(image).__name__}")


def _points(points: ArrayLike, size: Size) -> Float[np.ndarray, "points 2"]:
    places = np.asarray(points, dtype=np.float64)
    if not places.size:
        return np.zeros((0, 2))
    if places.ndim != 2 or places.shape[1] != 2 or not np.isfinite(places).all():
        raise ShapeError(f"points: expected finite (y, x) of shape (points, 2), got shape {places.shape}")
    outside = np.flatnonzero(((places < 0) | (places > size)).any(axis=1))
    if len(outside):
        raise ShapeError(
            f"points: point {outside[0]}, {places[outside[0]].tolist()}, lies outside the image of {size[0]} x {size[1]} pixels"
        )
    return places
