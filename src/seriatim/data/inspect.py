"""What a data set holds: images, sizes, classes, objects an image, and everything that is wrong with it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seriatim.core.errors import DataError
from seriatim.core.instances import class_name
from seriatim.core.progress import Progress
from seriatim.data.problems import Problem
from seriatim.data.samples import Sample
from seriatim.data.source import Source

Seen = Callable[[int, Sample], None]
"""Called with the number and the sample of every image that can be read."""

SMALL_AREA = 10
"""Objects with fewer pixels are counted as very small: often left-overs of a brush."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Smallest, median, mean and largest of some numbers."""

    smallest: float
    median: float
    mean: float
    largest: float

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Summary | None":
        """The summary of some numbers, or None of none.

        >>> Summary.of([1, 2, 6])
        Summary(smallest=1.0, median=2.0, mean=3.0, largest=6.0)
        """
        if not numbers:
            return None
        values = np.asarray(numbers, dtype=np.float64)
        return cls(float(values.min()), float(np.median(values)), float(values.mean()), float(values.max()))


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a data set holds.

    Attributes:
        num_images: of the data set.
        num_read: of those, how many could be read.
        num_objects: of all images.
        num_empty: images without objects.
        num_crowds: regions that stand for groups.
        num_small: objects of fewer than 10 pixels.
        heights: of the images, in pixels.
        widths: of the images, in pixels.
        channels: number of channels -> number of images.
        objects_per_image: summary.
        object_areas: summary, in pixels.
        objects_per_class: name of the class -> number of objects.
        ignored_share: share of all pixels that count for nothing.
        problems: in the order found.
    """

    num_images: int
    num_read: int
    num_objects: int
    num_empty: int
    num_crowds: int
    num_small: int
    heights: Summary | None
    widths: Summary | None
    channels: dict[int, int]
    objects_per_image: Summary | None
    object_areas: Summary | None
    objects_per_class: dict[str, int]
    ignored_share: float
    problems: list[Problem]


@dataclass
class _Counts:
    sizes: list[tuple[int, int]]
    channels: list[int]
    counts: list[int]
    areas: list[int]
    classes: list[int]
    crowds: int = 0
    ignored: int = 0


def inspect(source: Source, seen: Seen | None = None, progress: Progress | None = None) -> Inspection:
    """What a data set holds, after reading every image of it.

    Args:
        source: the data set.
        seen: called with every sample that can be read.
        progress: called with the number of images done and of all.
    """
    counts = _Counts([], [], [], [], [])
    unreadable: list[Problem] = []
    for index in range(len(source)):
        try:
            sample = source.read(index)
        except DataError as error:
            unreadable.append(Problem(source.name(index), "", f"cannot be read: {error}"))
        else:
            _count(sample, counts)
            if seen is not None:
                seen(index, sample)
        if progress is not None:
            progress(index + 1, len(source))
    named: dict[str, int] = dict.fromkeys(source.class_names, 0)
    for class_id, number in zip(*np.unique(counts.classes, return_counts=True), strict=True):
        named[class_name(int(class_id), source.class_names)] = int(number)
    num_pixels = sum(height * width for height, width in counts.sizes)
    return Inspection(
        num_images=len(source),
        num_read=len(counts.sizes),
        num_objects=sum(counts.counts),
        num_empty=counts.counts.count(0),
        num_crowds=counts.crowds,
        num_small=sum(area < SMALL_AREA for area in counts.areas),
        heights=Summary.of([height for height, _ in counts.sizes]),
        widths=Summary.of([width for _, width in counts.sizes]),
        channels={number: counts.channels.count(number) for number in sorted(set(counts.channels))},
        objects_per_image=Summary.of(counts.counts),
        object_areas=Summary.of(counts.areas),
        objects_per_class=named,
        ignored_share=counts.ignored / num_pixels if num_pixels else 0.0,
        problems=[*source.problems, *unreadable],
    )


def _count(sample: Sample, counts: _Counts) -> None:
    height, width = sample.labels.shape
    counts.sizes.append((height, width))
    counts.channels.append(sample.image.shape[0])
    counts.counts.append(len(sample.classes))
    counts.classes += sample.classes.tolist()
    counts.areas += sample.instances().areas.tolist()
    counts.crowds += 0 if sample.crowds is None else len(sample.crowds)
    counts.ignored += 0 if sample.ignore is None else int(sample.ignore.sum())


def as_rows(found: Inspection) -> list[tuple[str, str]]:
    """The lines of a table for people: what, and how much; classes without objects are only counted."""
    met = {name: count for name, count in found.objects_per_class.items() if count}
    rows: list[tuple[str, Any]] = [
        ("images", found.num_images),
        ("unreadable", found.num_images - found.num_read),
        ("without objects", found.num_empty),
        ("height", _line(found.heights)),
        ("width", _line(found.widths)),
        ("channels", ", ".join(f"{number} in {count} images" for number, count in found.channels.items())),
        ("objects", found.num_objects),
        ("objects an image", _line(found.objects_per_image)),
        ("pixels an object", _line(found.object_areas)),
        ("very small objects", f"{found.num_small} of fewer than {SMALL_AREA} pixels"),
        ("crowds", found.num_crowds),
        ("ignored pixels", f"{found.ignored_share:.2%}"),
        ("classes", f"{len(met)} of {len(found.objects_per_class)} have objects"),
    ]
    rows += [(f"  {name}", count) for name, count in met.items()]
    rows.append(("problems", len(found.problems)))
    return [(name, str(value)) for name, value in rows]


def _line(summary: Summary | None) -> str:
    if summary is None:
        return "-"
    numbers = (f"{value:.1f}".removesuffix(".0") for value in (summary.smallest, summary.median, summary.largest))
    smallest, median, largest = numbers
    return smallest if smallest == largest else f"{smallest} to {largest}, median {median}, mean {summary.mean:.1f}"
