"""`find_place`: where an object lies and how large it is, as the analyses of the sequence measure it (RSIS Sec. 4.7)."""

from typing import NamedTuple

import numpy as np

from seriatim.core.instances import Instance


class Place(NamedTuple):
    """Centre of mass (y, x) of an object in pixels of the image, and its number of pixels, at full extent."""

    y: float
    x: float
    area: int


def find_place(instance: Instance) -> Place | None:
    """Where an object lies; None if it has no pixel.

    >>> find_place(Instance((2, 3, 3, 5), np.ones((1, 2), dtype=bool)))
    Place(y=2.0, x=3.5, area=2)
    """
    rows, columns = np.nonzero(instance.mask)
    area = len(rows)
    if not area:
        return None
    y0, x0 = instance.box[:2]
    return Place((int(rows.sum()) + y0 * area) / area, (int(columns.sum()) + x0 * area) / area, area)
