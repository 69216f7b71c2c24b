"""The order in which objects are emitted: Kendall's tau-a against right to left, bottom to top, and large to small.

Source: Salvador et al., "Recurrent neural networks for semantic instance segmentation" (arXiv:1712.00617), Sec. 4.7, Table 6. Of each image with
at least two objects, tau-a between the order emitted and each plain order; then the mean over those images. Truth plays no part.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from seriatim.core.errors import DataError
from seriatim.core.instances import Instances
from seriatim.core.progress import Progress
from seriatim.data.source import Source
from seriatim.evaluation.predictions import PredictionSource

ORDERS = ("right_to_left", "bottom_to_top", "large_to_small")
"""The plain orders: by descending x and y of the centre of mass, and by descending area."""


@dataclass(frozen=True, slots=True)
class OrderReport:
    """How far the order emitted follows each plain order: 1 exactly, -1 exactly reversed, None if no image has two objects.

    Attributes:
        right_to_left: mean tau-a over the images.
        bottom_to_top: mean tau-a over the images.
        large_to_small: mean tau-a over the images.
        num_images: images in the means.
        num_left_out: images with fewer than two objects.
    """

    right_to_left: float | None
    bottom_to_top: float | None
    large_to_small: float | None
    num_images: int
    num_left_out: int

    def as_json(self) -> dict[str, Any]:
        """The numbers under their names."""
        return asdict(self)


def collect_orders(predictions: PredictionSource, source: Source, progress: Progress | None = None) -> OrderReport:
    """The orders of the objects of a data set.

    Args:
        predictions: gives the objects of each image, in the order emitted.
        source: the images.
        progress: called after every image with the number of images done and of all images.

    Raises:
        DataError: if there is no image, or an image or its objects cannot be read.
    """

    def found() -> Iterable[Instances]:
        for index in range(len(source)):
            yield predictions.find(index, source.read(index))
            if progress is not None:
                progress(index + 1, len(source))

    return summarise_orders(found())


def summarise_orders(images: Iterable[Instances]) -> OrderReport:
    """The means over the images that have at least two objects.

    Args:
        images: the objects of each image in the order emitted; those without a pixel are left out.

    Raises:
        DataError: if there is no image.

    >>> summarise_orders([Instances.from_label_map(np.array([[2, 2, 0, 1]]))])
    OrderReport(right_to_left=1.0, bottom_to_top=0.0, large_to_small=-1.0, num_images=1, num_left_out=0)
    """
    found = [correlate_orders(instances) for instances in images]
    if not found:
        raise DataError("order: needs at least one image, got none")
    known = [taus for taus in found if taus is not None]
    means: list[float | None] = np.mean(known, axis=0).tolist() if known else [None] * len(ORDERS)
    return OrderReport(*means, num_images=len(known), num_left_out=len(found) - len(known))


def correlate_orders(instances: Instances) -> tuple[float, float, float] | None:
    """Tau-a of the objects of one image with each of `ORDERS`; None for fewer than two objects with a pixel.

    Args:
        instances: in the order emitted, each at its full extent.
    """
    areas, rows, columns = [], [], []
    for instance in instances:
        inside = np.nonzero(instance.mask)
        area = len(inside[0])
        if area:
            areas.append(area)
            rows.append((int(inside[0].sum()) + instance.box[0] * area) / area)
            columns.append((int(inside[1].sum()) + instance.box[1] * area) / area)
    if len(areas) < 2:
        return None
    right_to_left, bottom_to_top, large_to_small = (
        kendall_tau(-np.array(values, dtype=np.float64)) for values in (columns, rows, areas)
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
