"""How objects that share pixels are settled: the earlier one keeps them, the later one, the one with the better score, or both do."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Bool
from scipy import ndimage

from seriatim.core.instances import Instance
from seriatim.core.shapes import Size, box_slices

OverlapRule = Literal["earlier", "later", "score", "keep"]


class OverlapResolver:
    """Leaves each contested pixel to the object that comes first, unless overlaps are kept.

    Attributes:
        num_too_small: objects dropped so far because fewer pixels than `min_area`, but at least one, are left to them.
    """

    def __init__(
        self, size: Size, max_hidden: float = 0.5, min_area: int = 1, solid: bool = False, keep: bool = False
    ) -> None:
        """
        Args:
            size: (height, width) of the image.
            max_hidden: an object is dropped if more than this share of it is taken; 1 drops none of which a pixel is left.
            min_area: an object is dropped if fewer pixels are left to it.
            solid: an object is its largest connected part, with its holes filled.
            keep: no pixel counts as taken.
        """
        self.max_hidden = max_hidden
        self.min_area = max(min_area, 1)
        self.solid = solid
        self.keep = keep
        self.num_too_small = 0
        self._taken = np.zeros((1, 1) if keep else size, dtype=bool)

    def claim(self, instance: Instance) -> Instance | None:
        """What is left of the object for it to keep, or None."""
        mask = fill_largest_part(instance.mask) if self.solid else instance.mask
        taken = np.zeros_like(mask) if self.keep else self._taken[box_slices(instance.box)]
        free = mask & ~taken
        if self.max_hidden * np.count_nonzero(mask) < np.count_nonzero(mask & taken):
            return None
        if self.solid and free.any():
            free = fill_largest_part(free) & ~taken
        if np.count_nonzero(free) < self.min_area:
            self.num_too_small += bool(free.any())
            return None
        taken |= free
        if np.array_equal(free, instance.mask):
            return instance
        visible = Instance.from_mask(free, offset=instance.box[:2])
        return None if visible is None else replace(instance, box=visible.box, mask=visible.mask)


def resolve_overlaps(
    found: Iterable[Instance],
    size: Size,
    rule: OverlapRule = "earlier",
    max_hidden: float = 0.5,
    min_area: int = 1,
    solid: bool = False,
    tally: Counter[str] | None = None,
) -> Iterator[Instance]:
    """What each object keeps, in the order found; objects of which too little is left are dropped.

    With the rules `later` and `score` nothing comes before all objects are known.

    Args:
        found: objects in the order found.
        size: as for `OverlapResolver`, as the rest.
        rule: who keeps a contested pixel: the earlier object, the later one, the one with the better score (of equal ones the earlier), or both.
        max_hidden: as above.
        min_area: as above.
        solid: as above.
        tally: at the end, its `too_small` is raised by the number of objects that `min_area` cost.

    >>> first, second = (Instance((0, x, 1, x + 2), np.ones((1, 2), dtype=bool), score) for x, score in ((0, 0.5), (1, 0.9)))
    >>> [[one.box for one in resolve_overlaps((first, second), (1, 3), rule)] for rule in ("earlier", "later", "keep")]
    [[(0, 0, 1, 2), (0, 2, 1, 3)], [(0, 0, 1, 1), (0, 1, 1, 3)], [(0, 0, 1, 2), (0, 1, 1, 3)]]
    """
    resolver = OverlapResolver(size, max_hidden, min_area, solid, keep=rule == "keep")
    if rule in ("earlier", "keep"):
        yield from (kept for one in found if (kept := resolver.claim(one)) is not None)
    else:
        instances = list(found)
        numbers = range(len(instances))
        order = reversed(numbers) if rule == "later" else sorted(numbers, key=lambda number: -instances[number].score)
        claimed = {number: resolver.claim(instances[number]) for number in order}
        yield from (kept for number in numbers if (kept := claimed[number]) is not None)
    if tally is not None:
        tally["too_small"] += resolver.num_too_small


def fill_largest_part(mask: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """The largest connected part (corners do not connect), with its holes filled."""
    parts, count = ndimage.label(mask)  # pyright: ignore[reportGeneralTypeIssues]
    if count > 1:
        mask = parts == np.bincount(parts.ravel())[1:].argmax() + 1
    return np.asarray(ndimage.binary_fill_holes(mask))
