"""Boxes of any program, from a JSON file of COCO results: detections for DIN, proposals for R2-IOS.

Two layouts are read. A list of `{"image_id", "category_id", "bbox": [x, y, width, height], "score"}`, where `image_id` is the id of an image
in the COCO file of the data, or the name of an image as a text; and an object with `images`, `annotations` and `categories`, as
`seriatim segment` writes it. Images are found by their name or stem.

    boxes = BoxFile(Path("detections.json")).for_image("photo.png")

`data/box_origins.py` gives every sample of a data set its boxes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seriatim.core.boxes import Boxes
from seriatim.core.errors import DataError
from seriatim.core.shapes import Size
from seriatim.data.problems import FileProblems, Problems
from seriatim.data.readers.coco_header import read_categories, read_list
from seriatim.data.readers.coco_results import NameMatcher
from seriatim.data.readers.json_values import describe, finite_number, is_integer, load_json
from seriatim.data.source import Source

_Row = tuple[float, float, float, float, float, int]


class BoxFile:
    """The boxes of a file, image by image.

    Attributes:
        problems: entries that were left out, each with its place in the file and the reason.
    """

    def __init__(
        self, path: Path, source: Source | None = None, class_names: Sequence[str] = (), strict: bool = False
    ) -> None:
        """
        Args:
            path: a JSON file in either layout.
            source: the data that the boxes are for; a list with the ids of a COCO file needs it.
            class_names: from class 1, to which the categories of the file are matched by name; those of the source where there is one. Of
                other names the class is unknown (0). Without any names, `category_id` is the class.
            strict: raise the first problem instead of listing it.

        Raises:
            DataError: if the file is damaged, its ids need the COCO file of the data, or, strictly, at the first problem.
        """
        self.path = path
        self.problems = Problems(strict)
        self._log = FileProblems(self.problems, path)
        self._coco = None if source is None else source.coco
        self._class_names = tuple(class_names) if source is None else source.class_names
        content = load_json(path)
        is_list = isinstance(content, list)
        raw = content if is_list else read_list(content, "annotations", path)
        names = {} if is_list else self._image_names(read_list(content, "images", path))
        class_ids = None if is_list else self._class_ids(content)
        self._rows: dict[str, list[_Row]] = {name: [] for name in names.values()}
        for position, entry in enumerate(raw):
            try:
                name = self._image_of(entry, names, is_list)
                row = self._row(entry, class_ids)
            except DataError as error:
                self._log.add(f"annotations[{position}]", f"{error}; left out")
                continue
            if row is not None:
                self._rows.setdefault(name, []).append(row)
        self._names = list(self._rows)
        self._matcher = NameMatcher([Path(name) for name in self._names])

    def for_image(self, name: str | Path, size: Size | None = None) -> Boxes:
        """The boxes of an image, in the order of the file; none where it has none.

        Args:
            name: of the image or its path; where the file has several images of its stem, folders in common decide.
            size: of no use here.
        """
        del size
        place = self._matcher.find(str(name))
        rows = [] if place is None else self._rows[self._names[place]]
        if not rows:
            return Boxes.none()
        values = np.array(rows, dtype=np.float64)
        return Boxes(values[:, :4], values[:, 4], values[:, 5].astype(np.int64))

    def _image_names(self, images: list[Any]) -> dict[int, str]:
        names: dict[int, str] = {}
        for position, image in enumerate(images):
            number = image.get("id") if isinstance(image, dict) else None
            name = image.get("file_name") if isinstance(image, dict) else None
            if not is_integer(number) or not isinstance(name, str) or not name:
                self._log.add(f"images[{position}]", f"expected an id and a file_name, got {describe(image)}; left out")
            elif number in names:
                self._log.add(f"image {describe(number)}", "a second one of this id; left out")
            else:
                names[number] = name
        return names

    def _class_ids(self, content: dict[str, Any]) -> dict[int, int] | None:
        """Category id -> class; None where `category_id` is the class, because no class names are known."""
        if "categories" not in content or not self._class_names:
            return None
        categories = read_categories(read_list(content, "categories", self.path), self._log)
        known = {name: number for number, name in enumerate(self._class_names, start=1)}
        if len(categories) == len(known) == 1:  # two single classes agree, whatever they are called
            return dict.fromkeys(categories, 1)
        return {category_id: known.get(name, 0) for category_id, name in categories.items()}

    def _image_of(self, entry: Any, names: dict[int, str], is_list: bool) -> str:
        """
        Raises:
            DataError: without the place.
        """
        if not isinstance(entry, dict):
            raise DataError(f"expected an object, got {describe(entry)}")
        image_id = entry.get("image_id")
        if is_list and isinstance(image_id, str) and image_id:
            return image_id
        if is_list and is_integer(image_id) and self._coco is not None:
            if image_id in self._coco.paths:
                return str(self._coco.paths[image_id])
            raise DataError(f"image_id {describe(image_id)} is of no image in {self._coco.path}")
        if not is_list and is_integer(image_id) and image_id in names:
            return names[image_id]
        if is_list and is_integer(image_id):
            raise DataError(
                f"image_id {describe(image_id)} is a number, and the data are of no COCO file; give the name of the image"
            )
        raise DataError(f"image_id {describe(image_id)} is of no image in the file")

    def _row(self, entry: dict[str, Any], class_ids: dict[int, int] | None) -> _Row | None:
        """Edges, score and class; None of a category that the data leave out.

        Raises:
            DataError: without the place.
        """
        bbox, category_id, score = entry.get("bbox"), entry.get("category_id", 0), entry.get("score", 1.0)
        numbers = [finite_number(one) for one in bbox] if isinstance(bbox, list) and len(bbox) == 4 else [None]
        x, y, width, height = numbers if len(numbers) == 4 else [None] * 4
        if x is None or y is None or width is None or height is None or width <= 0 or height <= 0:
            raise DataError(f"expected a bbox [x, y, width, height] that covers something, got {_shown(bbox)}")
        confidence = finite_number(score)
        if confidence is None or not 0 <= confidence <= 1:
            raise DataError(f"score {describe(score)} is no number in 0..1")
        if not is_integer(category_id) or category_id < 0:
            raise DataError(f"category_id {describe(category_id)} is no number of a category")
        class_id = category_id
        if class_ids is not None:
            if category_id not in class_ids:
                raise DataError(f"category_id {category_id} is of no known category")
            class_id = class_ids[category_id]
        elif self._coco is not None:
            if category_id not in self._coco.class_ids:
                raise DataError(f"category_id {category_id} is of no known category")
            class_id = self._coco.class_ids[category_id]
            if not class_id:
                return None
        return y, x, y + height, x + width, confidence, class_id


def _shown(bbox: Any) -> str:
    is_box = isinstance(bbox, list) and len(bbox) == 4
    return f"[{', '.join(describe(one) for one in bbox)}]" if is_box else describe(bbox)
