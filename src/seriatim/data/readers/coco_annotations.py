"""One annotation of a COCO file, checked before anything is made of it.

Left out: an annotation that is no object, whose id is missing, no integer or used twice, whose image or category is unknown, whose iscrowd is
neither 0 nor 1, whose score (of a result) is no number in 0..1, or whose segmentation is damaged, empty or outside the image. Kept, and
remarked on: a bbox, area or (of truth) score that is nonsense, a bbox that contradicts the mask, polygons cut at the image's edge or
without area beside good ones, and crowds given as polygons.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Int64

from seriatim.core import rle
from seriatim.core.errors import DataError
from seriatim.core.instances import Instance
from seriatim.core.shapes import Box, Size
from seriatim.data.masks.polygons import Corners, Extent, check_polygons, rasterise_polygons
from seriatim.data.problems import FileProblems
from seriatim.data.readers.json_values import describe, finite_number, is_integer

BOX_TOLERANCE = (2.0, 0.05)
"""How far an edge of a bbox may lie from the mask's: the larger of so many pixels and this share of the mask's longer side."""

CHUNK = 2000
"""Annotations that are measured together."""

MAX_CHARACTERS_AT_ONCE = 1_000_000
"""Of the codes that are measured together, beyond the last of them."""

MAX_DRAWN_PIXELS = 400_000_000
"""Pixels of all masks of one image, each counted in its box; what would need more memory is left out and listed."""

Verdict = Box | str | None
"""What `measure_codes` says of a code: the box of its mask or what is wrong; None where there is no code to measure."""

Segmentation = list[Corners] | str | Int[np.ndarray, " runs"]
"""Polygons, a compressed run-length code (small, and taken apart again when it is drawn), or run lengths."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """An annotation that passed.

    Attributes:
        item: what messages call it, such as `annotation 17`.
        image_id: of its image, in the file.
        class_id: from 1.
        is_crowd: whether it stands for a group.
        segmentation: of its mask.
        score: in 0..1; 1 of truth.
        stated_area: pixels as the file states them; None where it states none, or nonsense.
        max_pixels: of the box that its mask takes in memory.
    """

    item: str
    image_id: int
    class_id: int
    is_crowd: bool
    segmentation: Segmentation
    score: float
    stated_area: float | None
    max_pixels: int


class AnnotationChecker:
    """Turns what a file holds into `Annotation`s, and lists what is wrong with it."""

    def __init__(
        self,
        sizes: Mapping[int, Size | None],
        class_ids: Mapping[int, int],
        log: FileProblems,
        are_results: bool = False,
    ) -> None:
        """
        Args:
            sizes: (height, width) of the image of every id; None of images that are left out and listed already.
            class_ids: the class of every category id.
            log: gets the problems.
            are_results: they are predictions: a score is needed, an id is not, and nothing is a crowd.
        """
        self.sizes = sizes
        self.class_ids = class_ids
        self.log = log
        self.are_results = are_results
        self._met: set[int] = set()

    def check_all(self, raw: Sequence[Any]) -> Iterator[Annotation]:
        """The annotations that are not left out, in their order.

        Args:
            raw: what the file holds.

        Raises:
            DataError: where the log is strict, at the first problem.
        """
        for start in range(0, len(raw), CHUNK):
            chunk = raw[start : start + CHUNK]
            for offset, (one, verdict) in enumerate(zip(chunk, self._measure(chunk), strict=True)):
                annotation = self._check_one(one, start + offset, verdict)
                if annotation is not None:
                    yield annotation

    def _measure(self, chunk: Sequence[Any]) -> list[Verdict]:
        """Box or fault of the compressed code of every annotation that has one of the right size; None of the others."""
        verdicts: list[Verdict] = [None] * len(chunk)
        places, texts, sizes, num_characters = [], [], [], 0
        for place, raw in enumerate(chunk):
            code, size = self._compressed_code(raw)
            if code is None or size is None:
                continue
            places.append(place)
            texts.append(code)
            sizes.append(size)
            num_characters += len(code)
            if num_characters > MAX_CHARACTERS_AT_ONCE:
                _fill(verdicts, places, rle.measure_codes(texts, sizes))
                places, texts, sizes, num_characters = [], [], [], 0
        _fill(verdicts, places, rle.measure_codes(texts, sizes))
        return verdicts

    def _compressed_code(self, raw: Any) -> tuple[str | None, Size | None]:
        segmentation = raw.get("segmentation") if isinstance(raw, dict) else None
        if not isinstance(segmentation, dict) or not isinstance(segmentation.get("counts"), str):
            return None, None
        image_id = raw.get("image_id")
        return segmentation["counts"], self.sizes.get(image_id) if is_integer(image_id) else None

    def _check_one(self, raw: Any, position: int, verdict: Verdict) -> Annotation | None:
        number = raw.get("id") if isinstance(raw, dict) else None
        item = f"annotation {describe(number)}" if is_integer(number) else f"annotations[{position}]"
        try:
            if not isinstance(raw, dict):
                raise DataError(f"expected an object, got {describe(raw)}")
            if not self.are_results:
                self._check_id(raw)
            found = self._check(raw, item, verdict)
        except DataError as error:
            fault = str(error)
        else:
            if found is None:
                return None
            annotation, remarks = found
            for remark in remarks:
                self.log.add(item, f"{remark}; kept")
            return annotation
        self.log.add(item, f"{fault}; left out")
        return None

    def _check_id(self, raw: dict[str, Any]) -> None:
        number = raw.get("id")
        if not is_integer(number):
            raise DataError(f"expected an integer id, got {describe(number)}")
        if number in self._met:
            raise DataError("a second one of this id")
        self._met.add(number)

    def _check(self, raw: dict[str, Any], item: str, verdict: Verdict) -> tuple[Annotation, list[str]] | None:
        image_id, category_id = raw.get("image_id"), raw.get("category_id")
        if not is_integer(image_id) or image_id not in self.sizes:
            raise DataError(f"image_id {describe(image_id)} is of no image in the file")
        if not is_integer(category_id) or category_id not in self.class_ids:
            raise DataError(f"category_id {describe(category_id)} is of no known category")
        size = self.sizes[image_id]
        if size is None:
            return None
        is_crowd = not self.are_results and _is_crowd(raw)
        score, remarks = self._score(raw)
        segmentation, extent, more = check_segmentation(raw.get("segmentation"), size, verdict)
        remarks += more
        if is_crowd and isinstance(segmentation, list):
            remarks.append("a crowd given as polygons")
        remarks += check_box(raw.get("bbox"), None if more else extent)
        area = finite_number(raw.get("area"))
        if raw.get("area") is not None and (area is None or area < 0):
            remarks.append(f"area {describe(raw['area'])} is no number of pixels, and is not used")
            area = None
        max_pixels = (int(extent[2]) - int(extent[0]) + 1) * (int(extent[3]) - int(extent[1]) + 1)
        class_id = self.class_ids[category_id]
        return Annotation(item, image_id, class_id, is_crowd, segmentation, score, area, max_pixels), remarks

    def _score(self, raw: dict[str, Any]) -> tuple[float, list[str]]:
        stated = raw.get("score")
        if stated is None and not self.are_results:
            return 1.0, []
        score = finite_number(stated)
        if score is not None and 0 <= score <= 1:
            return (score if self.are_results else 1.0), []
        fault = f"score {describe(stated)} is no number in 0..1"
        if self.are_results:
            raise DataError(fault)
        return 1.0, [f"{fault}, and is not used"]


def check_segmentation(raw: Any, size: Size, verdict: Verdict = None) -> tuple[Segmentation, Extent, list[str]]:
    """What is to be drawn, the extent of the mask or of the corners within the image, and remarks.

    Args:
        raw: what the file holds.
        size: (height, width) of the image in pixels.
        verdict: of a compressed code, what `measure_codes` gave.

    Raises:
        DataError: saying what is wrong, without the place.
    """
    if isinstance(raw, list):
        return check_polygons(raw, size)
    if isinstance(raw, dict):
        _check_code_size(raw.get("size"), size)
        counts = raw.get("counts")
        if not isinstance(counts, str):
            runs = plain_runs(counts)
            return runs, rle.measure_runs(runs, size), []
        verdict = verdict if verdict is not None else rle.measure_codes([counts], [size])[0]
        if isinstance(verdict, str):
            raise DataError(f"run-length code: {verdict}")
        return counts, verdict, []
    raise DataError(f"segmentation: expected polygons or a run-length code, got {describe(raw)}")


def check_box(bbox: Any, extent: Extent | None) -> list[str]:
    """Remarks on a bbox (x, y, width, height) that is nonsense or contradicts the extent of the mask.

    >>> check_box([2, 1, 3, 4], (1, 2, 5, 5)), check_box(None, (1, 2, 5, 5))
    ([], [])
    >>> check_box([20, 1, 3, 4], (1, 2, 5, 5))
    ['bbox [20, 1, 3, 4] contradicts the mask, which lies at [2, 1, 3, 4]']
    """
    if bbox is None:
        return []
    numbers = [finite_number(number) for number in bbox] if isinstance(bbox, list) and len(bbox) == 4 else []
    x, y, width, height = numbers if numbers else [None] * 4
    if x is None or y is None or width is None or height is None or width < 0 or height < 0:
        return [f"bbox {_shown(bbox)} is no x, y, width, height, and is not used"]
    if extent is None:
        return []
    y0, x0, y1, x1 = extent
    pixels, share = BOX_TOLERANCE
    tolerance = max(pixels, share * max(y1 - y0, x1 - x0))
    if max(abs(x - x0), abs(y - y0), abs(x + width - x1), abs(y + height - y1)) <= tolerance:
        return []
    return [f"bbox {_shown(bbox)} contradicts the mask, which lies at {_shown([x0, y0, x1 - x0, y1 - y0])}"]


def draw_all(annotations: Sequence[Annotation], size: Size, log: FileProblems) -> list[tuple[Annotation, Instance]]:
    """The annotations of one image that cover any pixel, each with its instance; steps count what is drawn.

    Args:
        annotations: that passed.
        size: (height, width) of the image in pixels.
        log: gets those that cover no pixel, and those beyond `MAX_DRAWN_PIXELS`.

    Raises:
        DataError: where the log is strict, at the first problem.
    """
    drawn: list[tuple[Annotation, Instance]] = []
    room = MAX_DRAWN_PIXELS
    for annotation in annotations:
        if annotation.max_pixels > room:
            log.add(annotation.item, f"the masks of its image fill more than {MAX_DRAWN_PIXELS} pixels; left out")
            continue
        room -= annotation.max_pixels
        box, mask = _draw(annotation.segmentation, size)
        if not mask.size:
            log.add(annotation.item, "covers no pixel; left out")
            continue
        instance = Instance(box, mask, score=annotation.score, class_id=annotation.class_id, step=len(drawn))
        drawn.append((annotation, instance))
    return drawn


def plain_runs(counts: Any) -> Int64[np.ndarray, " runs"]:
    """The numbers of a code that is not compressed.

    Raises:
        DataError: if it is no list of integers of 33 bits.
    """
    if not isinstance(counts, list):
        raise DataError(f"run-length code: expected counts, a text or a list, got {describe(counts)}")
    other_types = set(map(type, counts)) - {int}
    if other_types:
        raise DataError(f"run-length code: holds {min(kind.__name__ for kind in other_types)} where integers belong")
    if counts and max(map(abs, counts)) >= 2**33:
        raise DataError("run-length code: holds a number beyond 33 bits")
    return np.array(counts, dtype=np.int64)


def _draw(segmentation: Segmentation, size: Size) -> tuple[Box, Bool[np.ndarray, "box_height box_width"]]:
    if isinstance(segmentation, list):
        return rasterise_polygons(segmentation, size)
    runs = rle.read_runs(segmentation) if isinstance(segmentation, str) else segmentation
    return rle.decode({"size": list(size), "counts": runs})


def _check_code_size(stated: Any, size: Size) -> None:
    if not (isinstance(stated, list) and len(stated) == 2 and all(map(is_integer, stated))):
        raise DataError(f"run-length code: expected a size [height, width], got {describe(stated)}")
    if (stated[0], stated[1]) != size:
        sides = " x ".join(describe(side) for side in stated)
        raise DataError(f"run-length code: is of {sides} pixels, its image {size[0]} x {size[1]}")


def _fill(verdicts: list[Verdict], places: Sequence[int], measured: Sequence[Box | str]) -> None:
    for place, verdict in zip(places, measured, strict=True):
        verdicts[place] = verdict


def _is_crowd(raw: dict[str, Any]) -> bool:
    flag = raw.get("iscrowd", 0)
    if not is_integer(flag) or flag not in (0, 1):
        raise DataError(f"iscrowd: expected 0 or 1, got {describe(flag)}")
    return flag == 1


def _shown(numbers: Any) -> str:
    return (
        f"[{', '.join(describe(number) for number in numbers)}]"
        if isinstance(numbers, list) and len(numbers) == 4
        else describe(numbers)
    )
