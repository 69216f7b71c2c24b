"""`load` and `Predictor`: images in, objects in the order found out, at the size of the image.

A image is prepared, brought to the scale of the network if the model asks for that, and cut into tiles where it is large. `encode` runs
once for a batch of tiles, then `step` until every tile has ended; tiles that have ended leave the batch.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from PIL import Image
from torch import Tensor, nn

from seriatim.core.errors import ConfigError, ShapeError
from seriatim.core.instances import Instance, Instances
from seriatim.core.platform import denormals_as_zero
from seriatim.core.shapes import Box, Size
from seriatim.data.images import from_pillow, read_pixels, to_float_image
from seriatim.data.preparation import prepare, rescale, shrunk_size
from seriatim.inference.config import InferenceConfig as InferenceConfig
from seriatim.inference.model_folder import ModelDescription, read_model_folder
from seriatim.inference.refinement import refine_instances
from seriatim.inference.scale import estimate_scale
from seriatim.inference.tiling import OverlapResolver, TileMerger, plan_tiles
from seriatim.inference.zoo import find_model_folder
from seriatim.models import catalogue

ImageInput = str | Path | Image.Image | np.ndarray
"""A file, or pixels as a person sees them: Pillow's, or uint8, uint16, float or bool of HxW, HxWx3 or HxWx4."""

Progress = Callable[[int, int], None]
"""Called with the number of tiles done and of all tiles."""

MULTIPLE = 32
"""Both sides of what a network sees are multiples of this."""


def load(name_or_folder: str | Path, device: str = "auto", crf: bool = False) -> "Predictor":
    """A model that is ready for use.

    Args:
        name_or_folder: a model that ships (`seriatim models` lists them), a run folder, or a model folder with model.safetensors and config.json.
        device: auto (an accelerator if there is one), cpu or cuda.
        crf: refine the outlines of what it finds by a dense CRF.

    Raises:
        ConfigError: if there is no such model, or not the device asked for.
        CheckpointError: if the model is damaged.
    """
    chosen = choose_device(device)
    network, description = read_model_folder(find_model_folder(name_or_folder))
    network = network.eval().to(memory_format=torch.channels_last)  # the layout in which convolutions are fastest
    return Predictor(network, description, chosen, crf)


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
        network: nn.Module,
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
        self.network: Any = network if device is None else network.to(device)
        self.description = description
        self.class_names = description.class_names
        self.crf = crf
        self._entry = catalogue.entry(description.model.name)
        self._config: Any = self.network.config
        if description.preparation.channels != self._config.input_channels:
            raise ConfigError(
                f"preparation.channels: {description.preparation.channels}, but the network takes {self._config.input_channels}"
            )
        if description.preparation.diameter is not None and not self._config.extensions.gaze:
            raise ConfigError(
                "preparation.diameter: needs a network that estimates diameters (model.config.extensions.gaze)"
            )

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.network.parameters()).device

    def predict(self, image: ImageInput, progress: Progress | None = None) -> Instances:
        """The objects of a image, in the order found; none overlaps another.

        Args:
            image: see `Image`; EXIF orientation of files and Pillow's images is applied.
            progress: called after every tile.

        Raises:
            ImageError: if a file cannot be read as a image.
            ShapeError: if an array is no image.
        """
        return self.predict_values(_values(image), progress)

    def stream(self, image: ImageInput, progress: Progress | None = None) -> Iterator[Instance]:
        """The same objects in the same order, each as soon as it is certain.

        A image that fits into one tile is seen step by step; in a larger one objects come after each row of tiles. With the CRF, which
        looks at all objects together, they come at the end.

        Args:
            image: as for `predict`.
            progress: as for `predict`.

        Raises:
            ImageError: as for `predict`.
            ShapeError: as for `predict`.
        """
        return self._stream(_values(image), progress)

    def predict_values(
        self, image: Float32[np.ndarray, "channels height width"], progress: Progress | None = None
    ) -> Instances:
        """The objects of a image as data sets hold it: values in 0..1, channels first, not yet prepared."""
        return Instances((image.shape[1], image.shape[2]), self._stream(image, progress))

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
                scale = estimate_scale(prepared, preparation.diameter, self._dense_maps)
            size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        return rescale(prepared, shrunk_size(size, preparation))

    def predict_prepared(self, image: Float32[np.ndarray, "channels height width"]) -> Instances:
        """The objects of a image that has the channels, brightness, polarity and scale of the network already."""
        size = (image.shape[1], image.shape[2])
        with self.evaluating():
            return Instances(size, self._stream_prepared(image, size, None))

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

    def _stream(
        self, image: Float32[np.ndarray, "channels height width"], progress: Progress | None
    ) -> Iterator[Instance]:
        size = (image.shape[1], image.shape[2])
        with self.evaluating():
            found = self._stream_prepared(self.prepared(image), size, progress)
            if not self.crf:
                yield from found
                return
            values, settings = prepare(image, self.description.preparation), self.description.inference
            yield from refine_instances(values, Instances(size, found), settings.crf, settings.solid, self.device)

    def _stream_prepared(
        self, prepared: Float32[np.ndarray, "channels height width"], size: Size, progress: Progress | None
    ) -> Iterator[Instance]:
        settings = self.description.inference
        scaled = (prepared.shape[1], prepared.shape[2])
        rows = plan_tiles(scaled, settings.tile_size, settings.overlap, MULTIPLE)
        resolver = OverlapResolver(size, settings.max_hidden, settings.min_area, settings.solid)
        if len(rows) == len(rows[0]) == 1:
            for _, instance in self._segment_tiles(prepared, rows[0], size):
                claimed = resolver.claim(instance)
                if claimed is not None:
                    yield claimed
            if progress is not None:
                progress(1, 1)
            return
        shrink = min(size[0] / scaled[0], size[1] / scaled[1])
        margin = max(1, round(settings.border_margin * shrink))
        merger = TileMerger(
            [[_original_box(box, scaled, size) for box in row] for row in rows], margin, settings.join_overlap
        )
        done, total = 0, sum(len(row) for row in rows)
        for row in rows:
            found: list[list[Instance]] = [[] for _ in row]
            for first in range(0, len(row), settings.tile_batch):
                batch = row[first : first + settings.tile_batch]
                for index, instance in self._segment_tiles(prepared, batch, size):
                    found[first + index].append(instance)
                done += len(batch)
                if progress is not None:
                    progress(done, total)
            for instance in merger.add_row(found):
                claimed = resolver.claim(instance)
                if claimed is not None:
                    yield claimed

    def _dense_maps(self, crops: Float32[np.ndarray, "crops channels height width"]) -> Any:
        return self._encode(torch.from_numpy(crops)).gaze.maps

    def _segment_tiles(
        self, prepared: Float32[np.ndarray, "channels height width"], boxes: Sequence[Box], size: Size
    ) -> Iterator[tuple[int, Instance]]:
        """Tile number and object, step by step; boxes in pixels of `prepared`, objects in pixels of the image of `size`."""
        scaled = (prepared.shape[1], prepared.shape[2])
        crops = np.stack([pad_tile(prepared[:, y0:y1, x0:x1]) for y0, x0, y1, x1 in boxes])
        for index, instance, probs in self._steps(torch.from_numpy(crops)):
            y0, x0, y1, x1 = boxes[index]
            if scaled == size:
                placed = _place(instance, boxes[index])
            else:
                tile_probs = probs[: y1 - y0, : x1 - x0]
                placed = _place_scaled(instance, tile_probs, boxes[index], scaled, size, self._config.mask_threshold)
            if placed is not None:
                yield index, placed

    def _steps(self, images: Tensor) -> Iterator[tuple[int, Instance, Tensor]]:
        """Number of the image, what a step found in it, and the step's probabilities; images leave the batch when they end."""
        memory = self._encode(images)
        state = None
        going = list(range(len(images)))
        for step in range(self._config.max_steps):
            output, state = self._step(memory, state, len(going))
            staying = []
            for position, index in enumerate(going):
                instance, ended = self._entry.decode_step(output, position, step, self._config)
                if not ended:
                    staying.append(position)
                if instance is not None:
                    yield index, instance, output.mask_probs[position]
            if not staying:
                return
            if len(staying) < len(going):
                memory, state = self._select(memory, state, staying)
                going = [going[position] for position in staying]

    def _encode(self, images: Float[Tensor, "batch channels height width"]) -> Any:
        with self.arithmetic():
            return self.network.encode(images.to(self.device))

    def _step(self, memory: Any, state: Any, batch: int) -> tuple[Any, Any]:
        with self.arithmetic():
            return self.network.step(memory, self.network.initial_state(memory, batch) if state is None else state)

    @torch.inference_mode()
    def _select(self, memory: Any, state: Any, images: Sequence[int]) -> tuple[Any, Any]:
        chosen = torch.tensor(images, device=self.device)
        return memory.select(chosen), state.select(chosen)


def _values(image: ImageInput) -> Float32[np.ndarray, "channels height width"]:
    if isinstance(image, str | Path):
        return to_float_image(read_pixels(Path(image)), str(image))
    if isinstance(image, Image.Image):
        return to_float_image(from_pillow(image))
    if isinstance(image, np.ndarray):
        return to_float_image(image)
    raise ShapeError(f"image: expected a path, a Pillow image or a numpy array, got {type(image).__name__}")


def pad_tile(
    crop: Float32[np.ndarray, "channels height width"],
) -> Float32[np.ndarray, "channels padded_height padded_width"]:
    """A copy of the crop, continued by reflection on its lower and right edges until its sides are multiples of `MULTIPLE`."""
    missing = [-extent % MULTIPLE for extent in crop.shape[1:]]
    return np.pad(crop, ((0, 0), (0, missing[0]), (0, missing[1])), mode="reflect")


def _place(instance: Instance, box: Box) -> Instance | None:
    """The object of a tile at `box`, in pixels of the image; what lies in the padding is cut off."""
    inside = instance.mask[: max(box[2] - box[0] - instance.box[0], 0), : max(box[3] - box[1] - instance.box[1], 0)]
    return _moved(instance, inside, (box[0] + instance.box[0], box[1] + instance.box[1]))


def _place_scaled(
    instance: Instance, probs: Float[Tensor, "height width"], box: Box, scaled: Size, size: Size, threshold: float
) -> Instance | None:
    """The object of a tile of the scaled image, in pixels of the original: probabilities inside its box, resampled."""
    found = (instance.box[0] + box[0], instance.box[1] + box[1], instance.box[2] + box[0], instance.box[3] + box[1])
    tile, reach = _original_box(box, scaled, size), _original_box(found, scaled, size)
    y0, x0 = max(reach[0] - 1, tile[0]), max(reach[1] - 1, tile[1])
    y1, x1 = min(reach[2] + 1, tile[2]), min(reach[3] + 1, tile[3])
    if y0 >= y1 or x0 >= x1:
        return None
    rows = (np.arange(y0, y1) + 0.5) * (scaled[0] / size[0]) - 0.5 - box[0]
    columns = (np.arange(x0, x1) + 0.5) * (scaled[1] / size[1]) - 0.5 - box[1]
    return _moved(instance, _sample_bilinear(probs.float().cpu().numpy(), rows, columns) >= threshold, (y0, x0))


def _moved(instance: Instance, mask: Bool[np.ndarray, "height width"], offset: tuple[int, int]) -> Instance | None:
    return Instance.from_mask(
        mask,
        offset,
        score=instance.score,
        class_id=instance.class_id,
        class_probs=instance.class_probs,
        step=instance.step,
    )


def _sample_bilinear(
    values: Float[np.ndarray, "height width"], rows: Float[np.ndarray, " rows"], columns: Float[np.ndarray, " columns"]
) -> Float[np.ndarray, "rows columns"]:
    """Values between the centres of pixels; beyond the outermost centres those of the edge."""
    (top, bottom, down), (left, right, across) = (
        _neighbours(places, extent) for places, extent in zip((rows, columns), values.shape, strict=True)
    )
    upper, lower = values[top], values[bottom]
    lines = upper + (lower - upper) * down[:, None]
    return lines[:, left] + (lines[:, right] - lines[:, left]) * across[None, :]


def _neighbours(places: np.ndarray, extent: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    inside = np.clip(places, 0, extent - 1)
    before = np.minimum(inside.astype(np.int64), max(extent - 2, 0))
    return before, np.minimum(before + 1, extent - 1), (inside - before).astype(np.float32)


def _original_box(box: Box, scaled: Size, size: Size) -> Box:
    """The pixels of the original image whose centres lie in a box of the scaled one."""
    if scaled == size:
        return box
    edges = [int(np.ceil(edge * size[axis % 2] / scaled[axis % 2] - 0.5)) for axis, edge in enumerate(box)]
    y0, x0, y1, x1 = (min(max(edge, 0), size[axis % 2]) for axis, edge in enumerate(edges))
    return y0, x0, y1, x1
