"""Patterns of consecutive objects: how often the second of two lies to the left of the first, above it, or is smaller.

Source: Salvador et al., "Recurrent neural networks for semantic instance segmentation" (arXiv:1712.00617), Sec. 4.7, Fig. 7. Two objects
emitted one after the other are ordered in an axis if their centres of mass differ in it by more than 15 % of the image's side. For the size the
paper gives no rule; ours: if the areas differ by more than a factor of 1.5. Pairs of categories count in either order: person then dog
and dog then person are one pair; "bottom to top" says that the first of the two lies lower, whatever its category.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from seriatim.analysis.places import Place
from seriatim.core.instances import class_name
from seriatim.core.shapes import Size

MIN_DISTANCE = 0.15
"""Of the image's side: centres that differ by more are ordered (Sec. 4.7)."""

MIN_RATIO = 1.5
"""Areas that differ by more than this factor are ordered."""

MIN_PAIRS = 20
"""Pairs of categories that were seen less often are not shown (Sec. 4.7)."""

PATTERNS = ("right_to_left", "left_to_right", "bottom_to_top", "top_to_bottom", "large_to_small", "small_to_large")
"""Each direction beside its reverse."""

ALL, SAME_CLASS, DIFFERENT_CLASS = "all pairs", "same class", "different classes"


class Group(NamedTuple):
    """The pairs of one kind.

    Attributes:
        name: what they have in common.
        num_pairs: how many there are.
        counts: pattern -> pairs that follow it; the rest follow neither it nor its reverse.
    """

    name: str
    num_pairs: int
    counts: dict[str, int]

    def share(self, pattern: str) -> float:
        """Share of the pairs that follow a pattern, 0..1; 0 where there is no pair."""
        return self.counts[pattern] / self.num_pairs if self.num_pairs else 0.0


@dataclass(slots=True)
class PairCounts:
    """Consecutive objects by their classes, counted image by image.

    Attributes:
        found: (smaller class, larger class) -> patterns of each pair of such objects.
    """

    found: dict[tuple[int, int], list[tuple[str, ...]]] = field(default_factory=dict)

    def add(self, objects: Sequence[tuple[Place, int]], size: Size) -> None:
        """Count the pairs of one image.

        Args:
            objects: place and class of each, in the order emitted.
            size: of the image.
        """
        for (first, first_class), (second, second_class) in pairwise(objects):
            classes = (min(first_class, second_class), max(first_class, second_class))
            self.found.setdefault(classes, []).append(find_patterns(first, second, size))

    def groups(self, class_names: Sequence[str] = ()) -> list[Group]:
        """All pairs, those of one class, those of different classes, then every pair of categories that was seen often, the most frequent first.

        Args:
            class_names: of the classes, from class 1. With fewer than two, there is only the first group, since no classes are told apart.
        """
        every = [patterns for of_classes in self.found.values() for patterns in of_classes]
        if len(class_names) < 2:
            return [_group(ALL, every)]
        same = [patterns for (one, other), pairs in self.found.items() if one == other for patterns in pairs]
        different = [patterns for (one, other), pairs in self.found.items() if one != other for patterns in pairs]
        often = sorted(
            (classes for classes, pairs in self.found.items() if len(pairs) >= MIN_PAIRS),
            key=lambda classes: (-len(self.found[classes]), classes),
        )
        named = [
            _group("+".join(class_name(one, class_names) for one in classes), self.found[classes]) for classes in often
        ]
        return [_group(ALL, every), _group(SAME_CLASS, same), _group(DIFFERENT_CLASS, different), *named]

    def as_json(self, class_names: Sequence[str] = ()) -> dict[str, Any]:
        """Name of each group -> its number of pairs, and the share of each pattern in percent; None where there is no pair."""
        return {
            group.name: {
                "num_pairs": group.num_pairs,
                **{pattern: 100 * group.share(pattern) if group.num_pairs else None for pattern in PATTERNS},
            }
            for group in self.groups(class_names)
        }


def find_patterns(first: Place, second: Place, size: Size) -> tuple[str, ...]:
    """The patterns that two objects emitted one after the other follow: at most one of an axis and one of the size.

    Args:
        first: of the two.
        second: emitted next.
        size: (height, width) of the image.

    >>> find_patterns(Place(50.0, 80.0, 30), Place(40.0, 20.0, 20), (100, 100))  # 10 rows and a factor of 1.5 are not enough
    ('right_to_left',)
    """
    right, down = (first.x - second.x) / size[1], (first.y - second.y) / size[0]
    is_ordered = (
        right > MIN_DISTANCE,
        -right > MIN_DISTANCE,
        down > MIN_DISTANCE,
        -down > MIN_DISTANCE,
        first.area > MIN_RATIO * second.area,
        second.area > MIN_RATIO * first.area,
    )
    return tuple(pattern for pattern, holds in zip(PATTERNS, is_ordered, strict=True) if holds)


def _group(name: str, pairs: Sequence[tuple[str, ...]]) -> Group:
    return Group(name, len(pairs), {pattern: sum(pattern in one for one in pairs) for pattern in PATTERNS})
