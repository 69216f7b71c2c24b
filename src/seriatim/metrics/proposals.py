"""Protocol `proposals`: how many objects the first N masks of each image find, as MCG and COB count."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64

from seriatim.metrics.example import Example
from seriatim.metrics.scoring import Scoring, Weights, known, ratio

COUNTS = (10, 50)
"""Numbers N of masks an image that are looked at."""

RECALL_THRESHOLDS = (0.5, 0.7, 0.85)
"""IoU above which an object counts as found for `recall`."""

AVERAGE_THRESHOLDS = tuple(hundredths / 100 for hundredths in range(50, 100, 5))
"""IoU at or above which an object counts as found for `average_recall`."""


def evaluate_proposals(examples: Sequence[Example]) -> dict[str, Any]:
    """Share of objects that one of the first N masks covers well.

    Of each target, the best IoU over the first N predictions in the order emitted, void pixels removed from both. The
    targets of all images are pooled; one that lies wholly in void is left out. Scores and the classes of predictions play no part,
    several targets may share a prediction, and a crowd is an object like any other.

    Args:
        examples: at least one.

    Returns:
        For N of 10 and 50 (the columns of RSIS Table 4): `recall` {N: {threshold: share of targets with IoU **>**
        threshold}} for 0.5, 0.7 and 0.85; `average_recall` {N: mean share with IoU **>=** 0.5, 0.55, ... 0.95};
        `mean_best_iou` {N: mean best IoU}. Every value is None if there is no target at all. And `per_class` {class: the same
        three keys for the targets of this class}.

    Source:
        Pont-Tuset et al., "Multiscale combinatorial grouping", TPAMI 39(1), 2017, Sec. 6; Maninis et al., "Convolutional
        oriented boundaries", ECCV 2016, Sec. 4; and their evaluation programs.

    >>> target = np.array([[1, 1, 1, 0, 2]])
    >>> masks = np.array([[[1, 1, 0, 0, 0]]], dtype=bool)
    >>> scores = evaluate_proposals([Example(target, pred_masks=masks)])
    >>> scores["recall"][10], round(scores["mean_best_iou"][10], 4)
    ({0.5: 0.5, 0.7: 0.0, 0.85: 0.0}, 0.3333)
    """
    return PROPOSALS.pool([PROPOSALS.tabulate(example) for example in examples]).result()


@dataclass(frozen=True, eq=False)
class _Table:
    """Of one image, or of one class in it: its targets, and for each N those found at each threshold, and the sum of their best IoU."""

    num_targets: int
    found: Float64[np.ndarray, "counts recall_thresholds"]
    found_for_average: Float64[np.ndarray, "counts average_thresholds"]
    iou_sum: Float64[np.ndarray, " counts"]
    classes: dict[int, "_Table"] = field(default_factory=dict)


class _Pool:
    def __init__(self, tables: Sequence[_Table]) -> None:
        self._tables = tables
        self._num_targets = np.array([table.num_targets for table in tables], dtype=np.float64)
        self._sums = {
            name: np.array([getattr(table, name) for table in tables])
            for name in ("found", "found_for_average", "iou_sum")
        }

    def result(self) -> dict[str, Any]:
        class_ids = sorted(set().union(*(table.classes for table in self._tables)))
        return {
            **self.numbers(),
            "per_class": {
                class_id: _Pool(
                    [table.classes[class_id] for table in self._tables if class_id in table.classes]
                ).numbers()
                for class_id in class_ids
            },
        }

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
        recall, for_average, mean_iou = (self._share(weights, name) for name in self._sums)
        return {
            "recall": {
                num: dict(zip(RECALL_THRESHOLDS, recall[:, place].T, strict=True)) for place, num in enumerate(COUNTS)
            },
            "average_recall": {num: for_average[:, place].mean(axis=-1) for place, num in enumerate(COUNTS)},
            "mean_best_iou": {num: mean_iou[:, place] for place, num in enumerate(COUNTS)},
        }

    def _share(self, weights: Weights, name: str) -> Float64[np.ndarray, "resamples ..."]:
        sums = np.tensordot(weights, self._sums[name], 1)
        totals = (weights @ self._num_targets).reshape(-1, *[1] * (sums.ndim - 1))
        return ratio(sums, np.broadcast_to(totals, sums.shape))


def _tabulate(example: Example) -> _Table:
    best = np.array([_best_iou(example, num) for num in COUNTS])
    class_ids = example.target_classes[example.overlap.valid_target_areas > 0]
    return _count(
        best, {class_id: _count(best[:, class_ids == class_id], {}) for class_id in np.unique(class_ids).tolist()}
    )


def _count(best: Float64[np.ndarray, "counts targets"], classes: dict[int, _Table]) -> _Table:
    return _Table(
        num_targets=best.shape[1],
        found=(best[:, :, None] > np.array(RECALL_THRESHOLDS)).sum(axis=1, dtype=np.float64),
        found_for_average=(best[:, :, None] >= np.array(AVERAGE_THRESHOLDS)).sum(axis=1, dtype=np.float64),
        iou_sum=best.sum(axis=1),
        classes=classes,
    )


def _rate(table: _Table) -> dict[str, Any]:
    result = _Pool([table]).numbers()
    return {"quality": result["mean_best_iou"][COUNTS[-1]], **result}


def _best_iou(example: Example, num: int) -> Float64[np.ndarray, " targets"]:
    """Best IoU of each target with a pixel outside void over the first `num` predictions; 0 without any."""
    overlap = example.overlap
    return overlap.valid_iou()[:num, overlap.valid_target_areas > 0].max(axis=0, initial=0.0)


PROPOSALS = Scoring(tabulate=_tabulate, pool=_Pool, rate=_rate)
"""The parts of the protocol; the quality of an image is the mean best IoU of 50 masks, and unknown without a target."""
