"""The order in which objects are emitted: Kendall's tau-a against right to left, bottom to top, and large to small.

Source: Salvador et al., "Recurrent neural networks for semantic instance segmentation" (arXiv:1712.00617), Sec. 4.7, Table 6 and Fig. 6. Of each
image with at least two objects, tau-a between the order emitted and each plain order; then the mean over those images. Truth plays no part.
`pairs.py` has Fig. 7.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from seriatim.analysis.intervals import Interval, as_list, interval_of_mean
from seriatim.analysis.pairs import PairCounts
from seriatim.analysis.places import Place, find_place
from seriatim.core.errors import DataError
from seriatim.core.instances import Instances
from seriatim.core.progress import Progress
from seriatim.data.source import Source
from seriatim.evaluation.predictions import PredictionSource
from seriatim.results.drawing import to_rgb

ORDERS = ("right_to_left", "bottom_to_top", "large_to_small")
"""The plain orders: by descending x and y of the centre of mass, and by descending area."""

MANY_OBJECTS = 4
"""Images with fewer objects are shown only where there are not enough others: two objects often stand in a plain order by chance."""


@dataclass(frozen=True, slots=True)
class OrderTau:
    """How far the order emitted follows a plain order.

    Attributes:
        mean: tau-a, the mean over the images: 1 exactly, -1 exactly reversed; None if no image has two objects.
        interval: 95 % bootstrap interval of the mean over the images; None for fewer than two images.
    """

    mean: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True, eq=False)
class OrderExample:
    """An image whose objects follow a plain order, to be drawn.

    Attributes:
        name: of the image.
        tau: with the order.
        pixels: of the image, RGB.
        instances: in the order emitted, with the pixels of all.
    """

    name: str
    tau: float
    pixels: UInt8[np.ndarray, "height width 3"]
    instances: Instances


@dataclass(slots=True)
class OrderReport:
    """The orders of the objects of a data set, built image by image.

    Attributes:
        num_examples: at most this many images of each order are kept to be drawn.
        class_names: of the classes of the objects, from class 1; empty where they have none.
        pairs: patterns of consecutive objects.
        taus: of each image with at least two objects, with each of `ORDERS`.
        num_left_out: images with fewer than two objects.
        examples: order -> the images that follow it best, the best first.
    """

    num_examples: int = 0
    class_names: Sequence[str] = ()
    pairs: PairCounts = field(default_factory=PairCounts)
    taus: list[tuple[float, float, float]] = field(default_factory=list)
    num_left_out: int = 0
    examples: dict[str, list[OrderExample]] = field(default_factory=lambda: {order: [] for order in ORDERS})

    def add(self, instances: Instances, name: str = "", image: np.ndarray | None = None) -> None:
        """Count the objects of one more image.

        Args:
            instances: in the order emitted, each at its full extent; those without a pixel are left out.
            name: of the image.
            image: values in 0..1, channels first, to be drawn; None keeps no example.
        """
        placed = [(place, one) for one in instances if (place := find_place(one)) is not None]
        self.pairs.add([(place, one.class_id) for place, one in placed], instances.size)
        taus = correlate_orders([place for place, _ in placed])
        if taus is None:
            self.num_left_out += 1
            return
        self.taus.append(taus)
        if image is None:
            return
        kept = Instances(instances.size, [one for _, one in placed])
        pixels = None
        for order, tau in zip(ORDERS, taus, strict=True):
            best = self.examples[order]
            if len(best) < self.num_examples or _rank(tau, kept) > _rank(best[-1].tau, best[-1].instances):
                pixels = to_rgb(image, min_range=0.05) if pixels is None else pixels
                best.append(OrderExample(name, tau, pixels, kept))
                best.sort(key=lambda example: _rank(example.tau, example.instances), reverse=True)
                del best[self.num_examples :]

    def summarise(self) -> dict[str, OrderTau]:
        """Each of `ORDERS` -> its tau over the images."""
        of_orders = np.array(self.taus, dtype=np.float64).reshape(-1, len(ORDERS)).T
        return {
            order: OrderTau(float(taus.mean()) if len(taus) else None, interval_of_mean(taus))
            for order, taus in zip(ORDERS, of_orders, strict=True)
        }

    def as_json(self) -> dict[str, Any]:
        """The numbers under their names."""
        found = self.summarise()
        return {
            **{order: tau.mean for order, tau in found.items()},
            "interval": {order: as_list(tau.interval) for order, tau in found.items()},
            "num_images": len(self.taus),
            "num_left_out": self.num_left_out,
            "pairs": self.pairs.as_json(self.class_names),
        }


def _rank(tau: float, instances: Instances) -> tuple[bool, float, int]:
    """Images with many objects first, then by tau, then by the number of objects."""
    return len(instances) >= MANY_OBJECTS, tau, len(instances)


def collect_orders(
    predictions: PredictionSource, source: Source, num_examples: int = 0, progress: Progress | None = None
) -> OrderReport:
    """The orders of the objects of a data set.

    Args:
        predictions: gives the objects of each image, in the order emitted and at full extent (`emitted.as_emitted`).
        source: the images.
        num_examples: images of each order that are kept to be drawn.
        progress: called after every image with the number of images done and of all images.

    Raises:
        DataError: if there is no image, or an image or its objects cannot be read.
    """
    if not len(source):
        raise DataError("order: needs at least one image, got none")
    report = OrderReport(num_examples, predictions.class_names)
    for index in range(len(source)):
        sample = source.read(index)
        report.add(predictions.find(index, sample), sample.name, sample.image if num_examples else None)
        if progress is not None:
            progress(index + 1, len(source))
    return report


def correlate_orders(places: Sequence[Place]) -> tuple[float, float, float] | None:
    """Tau-a of the objects of one image with each of `ORDERS`; None for fewer than two objects.

    Args:
        places: of the objects in the order emitted, each at its full extent.

    >>> correlate_orders([Place(0.0, 3.0, 1), Place(0.0, 0.5, 2)])
    (1.0, 0.0, -1.0)
    """
    if len(places) < 2:
        return None
    right_to_left, bottom_to_top, large_to_small = (
        kendall_tau(-np.array(values, dtype=np.float64))
        for values in ([one.x for one in places], [one.y for one in places], [one.area for one in places])
    )
    return right_to_left, bottom_to_top, large_to_small


def kendall_tau(values: Float64[np.ndarray, " instances"]) -> float:
    """Kendall's tau-a between the order of the values and the order in which they stand.

    `(P - Q) / (N (N - 1) / 2)` with P the pairs whose later value is larger and Q those whose later value is smaller; pairs of
    equal values are in neither.

    Args:
        values: at least two.

    Raises:
        DataError: if there are fewer.

    >>> kendall_tau(np.array([1.0, 2.0, 4.0, 3.0]))  # 5 pairs ascend, 1 descends
    0.6666666666666666
    """
    num = len(values)
    if num < 2:
        raise DataError(f"values: Kendall's tau needs at least two, got {num}")
    balance = sum(int(np.sign(values[place + 1 :] - values[place]).sum()) for place in range(num))
    return balance / (num * (num - 1) / 2)
