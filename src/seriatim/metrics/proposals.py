"""Protocol `proposals`: how many objects the first N masks of each image find, as MCG and COB count.

Of each target, the best IoU over the first N predictions in the order emitted, void pixels removed from both. The targets of all images are
pooled; one that lies wholly in void is left out. Scores and the classes of predictions play no part, several targets may share a
prediction, and a crowd is an object like any other.

Result, for N of 10 and 50 (the columns of RSIS Table 4): `recall` {N: {threshold: share of targets with IoU **>** threshold}} for 0.5,
0.7 and 0.85; `average_recall` {N: mean share with IoU **>=** 0.5, 0.55, ... 0.95}; `mean_best_iou` {N: mean best IoU}. Every value is
None if there is no target at all. And `per_class` {class: the same three keys for the targets of this class}.

Source: Pont-Tuset et al., "Multiscale combinatorial grouping", TPAMI 39(1), 2017, Sec. 6; Maninis et al., "Convolutional oriented
boundaries", ECCV 2016, Sec. 4; and their evaluation programs.

>>> from seriatim.metrics import evaluate
>>> target, masks = np.array([[1, 1, 1, 0, 2]]), np.array([[[1, 1, 0, 0, 0]]], dtype=bool)
>>> scores = evaluate([Example(target, pred_masks=masks)], "proposals")
>>> scores["recall"][10], round(scores["mean_best_iou"][10], 4)
({0.5: 0.5, 0.7: 0.0, 0.85: 0.0}, 0.3333)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from seriatim.metrics.example import Example
from seriatim.metrics.scoring import ImageTable, Scoring, Weights, known, per_class, ratio

COUNTS = (10, 50)
"""Numbers N of masks an image that are looked at."""

RECALL_THRESHOLDS = (0.5, 0.7, 0.85)
"""IoU above which an object counts as found for `recall`."""

AVERAGE_THRESHOLDS = tuple(hundredths / 100 for hundredths in range(50, 100, 5))
"""IoU at or above which an object counts as found for `average_recall`."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """Of one image, or of one class in it: its targets, and for each N those found at each threshold, and the sum of their best IoU."""

    num_targets: int
    found: Float64[np.ndarray, "counts recall_thresholds"]
    found_for_average: Float64[np.ndarray, "counts average_thresholds"]
    iou_sum: Float64[np.ndarray, " counts"]


def _tabulate(example: Example) -> ImageTable[Numbers]:
    overlap = example.valid_overlap
    is_target = overlap.target_areas > 0
    iou = overlap.iou_table()[:, is_target]
    return tabulate_recall(iou, example.target_classes[is_target], COUNTS)


def tabulate_recall(
    iou: Float64[np.ndarray, "predictions targets"], classes: Int64[np.ndarray, " targets"], counts: Sequence[int]
) -> ImageTable[Numbers]:
    """What the first N predictions of an image find of its targets, for each N.

    Args:
        iou: of every prediction, in the order in which they count, with every target.
        classes: of the targets.
        counts: N.
    """
    best = np.array([iou[:num].max(axis=0, initial=0.0) for num in counts])
    parts = {class_id: _measure(best[:, classes == class_id]) for class_id in np.unique(classes).tolist()}
    return ImageTable(_measure(best), parts)


def _measure(best: Float64[np.ndarray, "counts targets"]) -> Numbers:
    return Numbers(
        num_targets=best.shape[1],
        found=(best[:, :, None] > np.array(RECALL_THRESHOLDS)).sum(axis=1, dtype=np.float64),
        found_for_average=(best[:, :, None] >= np.array(AVERAGE_THRESHOLDS)).sum(axis=1, dtype=np.float64),
        iou_sum=best.sum(axis=1),
    )


class _Recalls:
    """The numbers over some images, for any weighting of them."""

    def __init__(self, numbers: Sequence[Numbers], counts: Sequence[int]) -> None:
        self._counts = counts
        self._num_targets = np.array([one.num_targets for one in numbers], dtype=np.float64)
        self._found = np.array([one.found for one in numbers])
        self._found_for_average = np.array([one.found_for_average for one in numbers])
        self._iou_sums = np.array([one.iou_sum for one in numbers])

    def numbers(self) -> dict[str, Any]:
        means = self.resample(np.ones((1, len(self._num_targets))))
        return {
            "recall": {
                num: {threshold: known(values[0]) for threshold, values in of_num.items()}
                for num, of_num in means["recall"].items()
            },
            **{
                key: {num: known(values[0]) for num, values in means[key].items()}
                for key in ("average_recall", "mean_best_iou")
            },
        }

    def resample(self, weights: Weights) -> dict[str, Any]:
        recall, for_average, mean_iou = (
            self._share(weights, sums) for sums in (self._found, self._found_for_average, self._iou_sums)
        )
        return {
            "recall": {
                num: dict(zip(RECALL_THRESHOLDS, recall[:, place].T, strict=True))
                for place, num in enumerate(self._counts)
            },
            "average_recall": {num: for_average[:, place].mean(axis=-1) for place, num in enumerate(self._counts)},
            "mean_best_iou": {num: mean_iou[:, place] for place, num in enumerate(self._counts)},
        }

    def _share(
        self, weights: Weights, of_images: Float64[np.ndarray, "images counts ..."]
    ) -> Float64[np.ndarray, "resamples counts ..."]:
        sums = np.tensordot(weights, of_images, 1)
        totals = (weights @ self._num_targets).reshape(-1, *[1] * (sums.ndim - 1))
        return ratio(sums, np.broadcast_to(totals, sums.shape))


class _Pool(_Recalls):
    def __init__(self, tables: Sequence[ImageTable[Numbers]], counts: Sequence[int]) -> None:
        super().__init__([table.whole for table in tables], counts)
        self._tables = tables

    def result(self) -> dict[str, Any]:
        return {
            **self.numbers(),
            "per_class": per_class(self._tables, lambda parts: _Recalls(parts, self._counts).numbers()),
        }


def recall_scoring(tabulate: Callable[[Example], ImageTable[Numbers]], counts: Sequence[int]) -> Scoring:
    """The parts of a protocol of recall; the quality of an image is the mean best IoU of the most predictions, and unknown without a target.

    Args:
        tabulate: what is found in an image.
        counts: numbers N of predictions that are looked at.
    """

    def rate(table: ImageTable[Numbers]) -> dict[str, Any]:
        numbers = _Recalls([table.whole], counts).numbers()
        return {"quality": numbers["mean_best_iou"][counts[-1]], **numbers}

    return Scoring(tabulate, lambda tables: _Pool(tables, counts), rate)


PROPOSALS = recall_scoring(_tabulate, COUNTS)
