"""Kind `labelme:DIR`: the files of Labelme, one JSON an image with `shapes` drawn on it.

Polygons, rectangles, circles and masks are read; shapes of one label with one `group_id` are parts of one object. Labels are the classes,
sorted by name; shapes with the label `__ignore__` are pixels to ignore. The image lies at `imagePath`, seen from the JSON file, or in
`imageData`. Where objects overlap, the smaller lies on top. Flags and descriptions are passed over.
"""

import base64
import binascii
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32
from PIL import Image

from seriatim.core.errors import DataError, ImageError
from seriatim.core.files import make_folder, write_atomically
from seriatim.core.instances import Instance, Instances, class_name
from seriatim.core.progress import Progress
from seriatim.core.shapes import Size, box_slices
from seriatim.data.encoding import encode_image, samples_to_write
from seriatim.data.images import FORMATS, MAX_PIXELS, from_pillow, to_float_image
from seriatim.data.masks.outlines import MAX_COORDINATE, as_one_ring, check_ring, draw_object, instance_outlines
from seriatim.data.masks.overlaps import lay_objects
from seriatim.data.problems import Problems
from seriatim.data.readers.files import FileSource, check_folder, read_image
from seriatim.data.readers.json_values import describe, finite_number, is_integer, load_json
from seriatim.data.samples import Sample
from seriatim.data.source import Source

IGNORE = "__ignore__"
"""Label of what counts for nothing, as in Labelme's own programs."""

VERSION = "5.5.0"
"""Of Labelme, whose files we write."""

NUM_CORNERS = 64
"""Corners that stand for a circle; the area is that of the circle to two parts in a thousand."""


class _Shape(NamedTuple):
    """One shape: its corners, or a mask and where its upper left pixel lies (y, x)."""

    number: int
    label: str
    group: int | None
    ring: np.ndarray | None
    mask: np.ndarray | None
    origin: tuple[int, int]


class _Entry(NamedTuple):
    file: Path
    name: str
    image_file: Path | None
    size: Size | None
    objects: list[list[_Shape]]


class LabelmeSource(FileSource[_Entry]):
    """Images with drawn objects, in the order of the names of the JSON files: inner folders and stem.

    Its `problems` are shapes and files that were left out, each with the number of the shape, counted from 1.
    """

    def __init__(self, folder: Path, strict: bool = False) -> None:
        """
        Args:
            folder: holds JSON files of Labelme.
            strict: refuse data with problems.

        Raises:
            DataError: if no image can be used.
        """
        check_folder(folder)
        self.folder = folder
        self.problems = Problems(strict)
        files = [path for path in sorted(folder.rglob("*.json")) if not path.name.startswith(".")]
        self.entries = [entry for path in files if (entry := self._read_entry(path)) is not None]
        if not self.entries:
            reason = self.problems[0] if self.problems else "it holds no *.json"
            raise DataError(f"{folder}: expected files of Labelme, NAME.json with shapes: {reason}")
        labels = {shapes[0].label for entry in self.entries for shapes in entry.objects}
        self.class_names = tuple(sorted(labels - {IGNORE})) or ("object",)

    def _read_entry(self, file: Path) -> _Entry | None:
        try:
            values = load_json(file)
            if not isinstance(values, dict) or not isinstance(values.get("shapes"), list):
                raise DataError(f"{file}: is no file of Labelme: expected an object with a list of shapes")
            entry = _image_path(file, values)
        except DataError as error:
            self.problems.note(file, "", f"{str(error).removeprefix(f'{file}: ')}; left out")
            return None
        height, width = values.get("imageHeight"), values.get("imageWidth")
        shapes = [self._shape(file, number, shape) for number, shape in enumerate(values["shapes"], start=1)]
        return _Entry(
            file,
            "-".join(file.relative_to(self.folder).with_suffix("").parts),
            entry,
            (height, width) if is_integer(height) and is_integer(width) else None,
            _join_groups([shape for shape in shapes if shape is not None]),
        )

    def _shape(self, file: Path, number: int, values: Any) -> _Shape | None:
        try:
            return _parse_shape(number, values)
        except DataError as error:
            self.problems.note(file, f"shape {number}", f"{error}; left out")
            return None

    def read_entry(self, entry: _Entry) -> Sample:
        """The image and its objects, in the order of the first shape of each.

        Raises:
            DataError: naming the file whose image is damaged or has another size than it says.
        """
        image = _read_image(entry)
        size = (image.shape[1], image.shape[2])
        if entry.size is not None and entry.size != size:
            said = f"{entry.size[0]} x {entry.size[1]} pixels"
            raise DataError(f"{entry.file}: says that its image has {said}; it has {size[0]} x {size[1]}")
        found, sources, ignore = [], [], np.zeros(size, dtype=bool)
        for shapes in entry.objects:
            label = shapes[0].label
            class_id = 0 if label == IGNORE else self.class_names.index(label) + 1
            instance = _draw(shapes, size, class_id)
            if instance is None:
                self.problems.note(entry.file, f"shape {shapes[0].number}", "lies outside the image; left out")
            elif class_id:
                found.append(instance)
                sources.append(shapes[0].number)
            else:
                ignore[box_slices(instance.box)] |= instance.mask
        sample, covered = lay_objects(entry.name, image, found, ignore)
        for position in covered:
            self.problems.note(entry.file, f"shape {sources[position]}", "is covered by other objects wholly; left out")
        return sample


def _image_path(file: Path, values: dict[str, Any]) -> Path | None:
    """Of the image; None where it lies in the JSON file.

    Raises:
        DataError: if there is no image.
    """
    name = values.get("imagePath")
    if isinstance(name, str) and name and "\0" not in name:
        for path in (file.parent / name, file.parent / name.replace("\\", "/")):
            if path.is_file():
                return path
    if isinstance(values.get("imageData"), str) and values["imageData"]:
        return None
    raise DataError(f"{file}: its image {describe(name)} is not there, and imageData holds none")


def _read_image(entry: _Entry) -> Float32[np.ndarray, "channels height width"]:
    if entry.image_file is not None:
        return read_image(entry.image_file)
    try:
        return to_float_image(_decode_image(load_json(entry.file)["imageData"]), str(entry.file))
    except ImageError as error:
        raise DataError(f"{entry.file}: imageData: {error}") from None


def _decode_image(text: str) -> np.ndarray:
    """
    Raises:
        ImageError: without the place.
    """
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=False)), formats=FORMATS) as entry:
            if entry.size[0] * entry.size[1] > MAX_PIXELS:
                raise ImageError(f"{entry.size[1]} x {entry.size[0]} pixels are more than {MAX_PIXELS}")
            return from_pillow(entry)
    except ImageError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise ImageError(f"cannot be read as an image: {type(error).__name__}: {str(error)[:200]}") from None


def _parse_shape(number: int, values: Any) -> _Shape:
    """
    Raises:
        DataError: saying what is wrong, without the place.
    """
    if not isinstance(values, dict):
        raise DataError(f"expected an object with label, points and shape_type, got {describe(values)}")
    label, group, kind = values.get("label"), values.get("group_id"), values.get("shape_type", "polygon")
    if not isinstance(label, str) or not label:
        raise DataError(f"expected a label, got {describe(label)}")
    if group is not None and not is_integer(group):
        raise DataError(f"expected a number as group_id, got {describe(group)}")
    points = _points(values.get("points"))
    shape = _Shape(number, label, group, None, None, (0, 0))
    match kind, len(points):
        case "polygon" | None, _:
            ring = points
        case "rectangle", 2:
            (x0, y0), (x1, y1) = points
            ring = np.array(((x0, y0), (x1, y0), (x1, y1), (x0, y1)))
        case "circle", 2:
            ring = _circle(points)
        case "mask", 2:
            x, y = (int(value) for value in np.floor(points.min(axis=0)))
            return shape._replace(mask=_decode_mask(values.get("mask")), origin=(y, x))
        case "rectangle" | "circle" | "mask", count:
            raise DataError(f"a {kind} has two points, got {count}")
        case _:
            known = "polygon, rectangle, circle, mask"
            raise DataError(f"shape_type {describe(kind)} has no area that could be read; known: {known}")
    check_ring(ring, f"the {kind or 'polygon'}")
    return shape._replace(ring=ring)


def _points(values: Any) -> np.ndarray:
    if not isinstance(values, list) or not values:
        raise DataError(f"expected points, got {describe(values)}")
    for point in values:
        is_pair = isinstance(point, list) and len(point) == 2
        if not is_pair or any(finite_number(value) is None for value in point):
            raise DataError(f"expected points (x, y) of two finite numbers, got {describe(point)}")
    points = np.array(values, dtype=np.float64)
    if np.abs(points).max() > MAX_COORDINATE:
        raise DataError(f"has coordinates beyond {MAX_COORDINATE:g}")
    return points


def _circle(points: np.ndarray) -> np.ndarray:
    """Corners on the circle round the first point through the second."""
    angles = np.arange(NUM_CORNERS) * (2 * np.pi / NUM_CORNERS)
    radius = float(np.hypot(*(points[1] - points[0])))
    return points[0] + radius * np.column_stack((np.cos(angles), np.sin(angles)))


def _decode_mask(text: Any) -> Bool[np.ndarray, "height width"]:
    if not isinstance(text, str):
        raise DataError(f"expected a mask as text, got {describe(text)}")
    try:
        pixels = _decode_image(text)
    except (ImageError, binascii.Error) as error:
        raise DataError(f"its mask {error}") from None
    channels = pixels[..., None] if pixels.ndim == 2 else pixels[..., :3]
    mask = np.any(channels > 0, axis=-1)
    if not np.any(mask):
        raise DataError("its mask is empty")
    return np.asarray(mask)


def _join_groups(shapes: Sequence[_Shape]) -> list[list[_Shape]]:
    objects: list[list[_Shape]] = []
    groups: dict[tuple[str, int], list[_Shape]] = {}
    for shape in shapes:
        if shape.group is None:
            objects.append([shape])
            continue
        key = (shape.label, shape.group)
        if key not in groups:
            groups[key] = []
            objects.append(groups[key])
        groups[key].append(shape)
    return objects


def _draw(shapes: Sequence[_Shape], size: Size, class_id: int) -> Instance | None:
    """The union of the shapes; None outside the image."""
    drawn = []
    for shape in shapes:
        if shape.ring is not None:
            drawn.append(draw_object([shape.ring], size, class_id=class_id))
        elif shape.mask is not None:
            drawn.append(_place(shape.mask, shape.origin, size, class_id))
    parts = [part for part in drawn if part is not None]
    if len(parts) < 2:
        return parts[0] if parts else None
    y0, x0 = (min(part.box[axis] for part in parts) for axis in (0, 1))
    y1, x1 = (max(part.box[axis] for part in parts) for axis in (2, 3))
    mask = np.zeros((y1 - y0, x1 - x0), dtype=bool)
    for part in parts:
        top, left, bottom, right = part.box
        mask[top - y0 : bottom - y0, left - x0 : right - x0] |= part.mask
    return Instance((y0, x0, y1, x1), mask, class_id=class_id)


def _place(
    mask: Bool[np.ndarray, "height width"], origin: tuple[int, int], size: Size, class_id: int
) -> Instance | None:
    """A mask at its place, cut to the image."""
    y, x = origin
    top, left = max(-y, 0), max(-x, 0)
    inside = mask[top : max(size[0] - y, 0), left : max(size[1] - x, 0)]
    return Instance.from_mask(inside, offset=(y + top, x + left), class_id=class_id)


def encode_labelme(
    instances: Instances,
    class_names: Sequence[str],
    image_path: str,
    ignore: Bool[np.ndarray, "height width"] | None = None,
) -> bytes:
    """A file of Labelme with a polygon for every part of every object, along the edges of its pixels.

    Args:
        instances: with classes from 1, or 0 where a model knows none.
        class_names: from class 1.
        image_path: of the image, seen from the file.
        ignore: pixels that count for nothing.
    """
    shapes: list[str] = []  # as text, which takes a tenth of the memory
    for number, instance in enumerate(instances, start=1):
        shapes += _shapes_of(instance, class_name(max(instance.class_id, 1), class_names), number)
    void = None if ignore is None else Instance.from_mask(ignore)
    if void is not None:
        shapes += _shapes_of(void, IGNORE, None)
    values = {
        "version": VERSION,
        "flags": {},
        "imagePath": image_path,
        "imageData": None,
        "imageHeight": instances.size[0],
        "imageWidth": instances.size[1],
    }
    joined = ",\n".join(shapes)
    return f'{json.dumps(values)[:-1]}, "shapes": [\n{joined}\n]}}\n'.encode()


def _shapes_of(instance: Instance, label: str, number: int | None) -> list[str]:
    parts = instance_outlines(instance)
    shapes = [
        {
            "label": label,
            "points": as_one_ring([part.outer, *part.holes]).tolist(),
            "group_id": number if len(parts) > 1 else None,
            "description": "" if instance.score == 1 else f"score {instance.score:.4f}",
            "shape_type": "polygon",
            "flags": {},
            "mask": None,
        }
        for part in parts
    ]
    return [json.dumps(shape, separators=(",", ":")) for shape in shapes]


def relative_path(entry: Path, folder: Path) -> str:
    """Where an image lies, seen from a folder; as a whole where no way leads there (another drive)."""
    try:
        return Path(os.path.relpath(entry.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return entry.resolve().as_posix()


def write_labelme(source: Source, folder: Path, progress: Progress | None = None) -> None:
    """Write every sample as a data set of kind `labelme:`: an image as PNG of 8 bits and a JSON file of its stem beside it.

    Args:
        source: what to write.
        folder: gets `NAME.png` and `NAME.json` of every image; made if missing.
        progress: called with the number done and the number of all.

    Raises:
        DataError: if a sample cannot be read.
        FileWriteError: if the disk does not take a file.
    """
    make_folder(folder)
    for stem, sample in samples_to_write(source, progress):
        write_atomically(folder / f"{stem}.png", encode_image(sample.image))
        encoded = encode_labelme(sample.instances(), source.class_names, f"{stem}.png", sample.ignore)
        write_atomically(folder / f"{stem}.json", encoded)
