"""`Example`: truth and predictions of one image, checked once, from which every protocol starts."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from seriatim.core.errors import ConfigError, DataError, ShapeError
from seriatim.core.shapes import check_label_map
from seriatim.metrics.overlap import (
    MaskOverlap,
    count_labels,
    paint_label_map,
    table_from_label_map,
    table_from_masks,
)


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Example:
    """Truth and predictions of one image.

    Targets do not overlap and stand in a label map. Predictions may overlap: bool planes in the order emitted, or, for
    predictions that do not overlap, a label map (`from_label_maps`), which is never expanded into planes.

    The labels of targets are closed up to 1..G: a label without pixels is no target. The attributes hold the checked
    arrays: they may differ in type and in gaps from what was given, and may share its memory otherwise.

    Attributes:
        target_labels: 0 background, 1..G the targets, in the order of the labels given.
        target_classes: class of each target; all 1 unless given.
        target_crowd: whether a target is a group that nobody told apart; all False unless given. Only the protocols
            `coco` and `cityscapes` know crowds; to the others, as to their official programs, it is one more object.
        void: pixels to ignore; none unless given. Where a pixel is void and target, void holds.
        target_distances: median distance of each target from the camera in metres, or None (`cityscapes` only).
        target_distance_confidences: how far to trust it, 0..1, or None (`cityscapes` only).
        pred_masks: one plane a prediction, in the order emitted; None if the predictions came as a label map.
        pred_scores: confidence of each prediction, any finite number; all 1 unless given.
        pred_classes: class of each prediction; all 1 unless given.
        pred_labels: 0 background, 1..P the predictions; None if the predictions came as planes.
    """

    target_labels: Int32[np.ndarray, "height width"]
    target_classes: Int64[np.ndarray, " targets"]
    target_crowd: Bool[np.ndarray, " targets"]
    void: Bool[np.ndarray, "height width"] | None
    target_distances: Float64[np.ndarray, " targets"] | None
    target_distance_confidences: Float64[np.ndarray, " targets"] | None
    pred_masks: Bool[np.ndarray, "predictions height width"] | None
    pred_scores: Float64[np.ndarray, " predictions"]
    pred_classes: Int64[np.ndarray, " predictions"]
    pred_labels: Int32[np.ndarray, "height width"] | None

    def __init__(
        self,
        target_labels: Any,
        target_classes: Any = None,
        target_crowd: Any = None,
        void: Any = None,
        target_distances: Any = None,
        target_distance_confidences: Any = None,
        pred_masks: Any = None,
        pred_scores: Any = None,
        pred_classes: Any = None,
        pred_labels: Any = None,
    ) -> None:
        """Check and keep truth and predictions; exactly one of `pred_masks` and `pred_labels` is given.

        Args:
            target_labels: integers (height, width), 0 background. With attributes of G targets, either the labels are at
                most G and label k has the k-th attribute, or there are exactly G labels and their order counts.
            target_classes: integers (G,).
            target_crowd: bool (G,).
            void: bool (height, width).
            target_distances: numbers (G,), metres.
            target_distance_confidences: numbers (G,).
            pred_masks: bool (P, height, width), in the order emitted; anything of length 0 for no prediction.
            pred_scores: finite numbers (P,).
            pred_classes: integers (P,).
            pred_labels: integers (height, width), 0 background; see `from_label_maps`.

        Raises:
            ShapeError: if an array has another shape or kind of number, or attributes do not fit the labels.
            DataError: if a score is not finite, a confidence is NaN or a class is negative.
            ConfigError: if not exactly one of `pred_masks` and `pred_labels` is given, or only one of distances and
                confidences.
        """
        self._set_targets(
            np.asarray(target_labels),
            {
                "target_classes": _numbers(target_classes, "target_classes", "iu"),
                "target_crowd": _numbers(target_crowd, "target_crowd", "b"),
                "target_distances": _numbers(target_distances, "target_distances", "fiu"),
                "target_distance_confidences": _numbers(
                    target_distance_confidences, "target_distance_confidences", "fiu"
                ),
            },
        )
        self._set("void", None if void is None else _plane(void, self.size))
        self._set_preds(
            pred_masks,
            pred_labels,
            {
                "pred_scores": _numbers(pred_scores, "pred_scores", "fiu"),
                "pred_classes": _numbers(pred_classes, "pred_classes", "iu"),
            },
        )

    def _set_targets(self, labels: np.ndarray, given: dict[str, np.ndarray | None]) -> None:
        check_label_map(labels, "target_labels")
        if (given["target_distances"] is None) != (given["target_distance_confidences"] is None):
            raise ConfigError("target_distances and target_distance_confidences: give both or neither")
        labels, positions = _close_gaps(labels, "target_labels", given)
        count = len(positions)
        kept = {name: None if values is None else values[positions] for name, values in given.items()}
        crowd = kept["target_crowd"]
        self._set("target_labels", labels)
        self._set("target_classes", _integers(kept["target_classes"], count, "target_classes"))
        self._set("target_crowd", np.zeros(count, dtype=bool) if crowd is None else crowd.astype(bool))
        for name in ("target_distances", "target_distance_confidences"):
            self._set(name, _floats(kept[name], name))

    def _set_preds(self, masks: Any, labels: Any, given: dict[str, np.ndarray | None]) -> None:
        if (masks is None) == (labels is None):
            raise ConfigError(
                "pred_masks and pred_labels: give one of them (masks of shape (0, height, width) for none)"
            )
        if labels is None:
            masks = _masks(masks, self.size)
            count = len(masks)
            for name, values in given.items():
                if values is not None and len(values) != count:
                    raise ShapeError(f"{name}: expected one a prediction ({count}), came {len(values)}")
        else:
            labels = np.asarray(labels)
            check_label_map(labels, "pred_labels")
            if labels.shape != self.size:
                raise ShapeError(f"pred_labels: expected the shape of target_labels {self.size}, came {labels.shape}")
            labels, count = _keep_gaps(labels, given)
        scores = given["pred_scores"]
        if scores is not None and not np.isfinite(scores).all():
            raise DataError("pred_scores: expected finite numbers, came NaN or infinity")
        self._set("pred_masks", masks)
        self._set("pred_labels", labels)
        self._set("pred_scores", np.ones(count) if scores is None else scores.astype(np.float64))
        self._set("pred_classes", _integers(given["pred_classes"], count, "pred_classes"))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        height, width = self.size
        return f"Example({height} x {width}, {self.num_targets} targets, {self.num_preds} predictions)"

    @classmethod
    def from_label_maps(
        cls,
        target_labels: Any,
        pred_labels: Any,
        pred_scores: Any = None,
        pred_classes: Any = None,
        target_classes: Any = None,
        target_crowd: Any = None,
        void: Any = None,
        target_distances: Any = None,
        target_distance_confidences: Any = None,
    ) -> "Example":
        """The example of predictions that do not overlap, without ever a plane for each.

        Args:
            target_labels: integers (height, width), 0 background.
            pred_labels: integers (height, width), 0 background, numbered in the order emitted. Without scores and classes
                gaps are closed; with those of P predictions, either the labels are at most P and label k has the k-th
                score (a label without pixels is an empty prediction), or there are exactly P labels and their order counts.
            pred_scores: finite numbers (P,).
            pred_classes: integers (P,).
            target_classes: integers (G,).
            target_crowd: bool (G,).
            void: bool (height, width).
            target_distances: numbers (G,), metres.
            target_distance_confidences: numbers (G,).

        Raises:
            ShapeError: as for `Example`.
            DataError: as for `Example`.
            ConfigError: as for `Example`.

        >>> Example.from_label_maps(np.array([[0, 1], [2, 2]]), np.array([[0, 7], [7, 7]]))
        Example(2 x 2, 2 targets, 1 predictions)
        """
        return cls(
            target_labels,
            target_classes,
            target_crowd,
            void,
            target_distances,
            target_distance_confidences,
            None,
            pred_scores,
            pred_classes,
            pred_labels,
        )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.target_labels.shape[0], self.target_labels.shape[1]

    @property
    def num_targets(self) -> int:
        """Number of targets, crowds among them."""
        return len(self.target_classes)

    @property
    def num_preds(self) -> int:
        """Number of predictions, empty ones among them."""
        return len(self.pred_scores)

    @cached_property
    def pred_label_map(self) -> Int32[np.ndarray, "height width"]:
        """Label map of the predictions: 0 background, 1..P; the EARLIER one keeps a contested pixel."""
        if self.pred_labels is not None:
            return self.pred_labels
        return paint_label_map(self._planes())

    @cached_property
    def overlap(self) -> MaskOverlap:
        """Pixels that each prediction, at its full extent, shares with each target; computed once for all protocols."""
        if self.pred_labels is not None:
            return table_from_label_map(
                self.pred_labels, self.num_preds, self.target_labels, self.num_targets, self.void
            )
        return table_from_masks(self._planes(), self.target_labels, self.num_targets, self.void)

    def _planes(self) -> Bool[np.ndarray, "predictions height width"]:
        assert self.pred_masks is not None, "one of pred_masks and pred_labels is always there"
        return self.pred_masks


def _numbers(values: Any, where: str, kinds: str) -> np.ndarray | None:
    if values is None:
        return None
    array = np.asarray(values)
    if array.ndim != 1:
        raise ShapeError(f"{where}: expected one axis, came shape {array.shape}")
    if array.dtype.kind not in kinds and len(array):
        expected = {"b": "bool", "iu": "integers", "fiu": "numbers"}[kinds]
        raise ShapeError(f"{where}: expected {expected}, came dtype {array.dtype}")
    return array


def _integers(values: np.ndarray | None, count: int, where: str) -> Int64[np.ndarray, " count"]:
    if values is None:
        return np.ones(count, dtype=np.int64)
    values = values.astype(np.int64)
    if (values < 0).any():
        raise DataError(f"{where}: expected classes from 0, came {values.min()}")
    return values


def _floats(values: np.ndarray | None, where: str) -> Float64[np.ndarray, " count"] | None:
    if values is not None and np.isnan(values).any():
        raise DataError(f"{where}: expected numbers, came NaN")
    return None if values is None else values.astype(np.float64)


def _plane(values: Any, size: tuple[int, ...]) -> Bool[np.ndarray, "height width"]:
    plane = np.asarray(values)
    if plane.shape != size or plane.dtype != bool:
        raise ShapeError(f"void: expected bool {size}, came {plane.dtype} {plane.shape}")
    return plane


def _masks(values: Any, size: tuple[int, ...]) -> Bool[np.ndarray, "predictions height width"]:
    masks = np.asarray(values)
    if masks.ndim and not len(masks):
        return np.zeros((0, *size), dtype=bool)
    if masks.ndim != 3 or masks.shape[1:] != size or masks.dtype != bool:
        raise ShapeError(
            f"pred_masks: expected bool (predictions, {size[0]}, {size[1]}), came {masks.dtype} {masks.shape}"
        )
    return masks


def _num_attributes(given: dict[str, np.ndarray | None]) -> int | None:
    counts = {name: len(values) for name, values in given.items() if values is not None}
    if len(set(counts.values())) > 1:
        raise ShapeError(f"attributes of different length: {', '.join(f'{name} {n}' for name, n in counts.items())}")
    return next(iter(counts.values()), None)


def _close_gaps(
    labels: np.ndarray, where: str, given: dict[str, np.ndarray | None]
) -> tuple[Int32[np.ndarray, "height width"], Int64[np.ndarray, " targets"]]:
    """The labels as 1..G without gaps, and the position of each one's attributes."""
    present, dense = count_labels(labels)
    expected = _num_attributes(given)
    if expected is None or expected == len(present):
        return dense, np.arange(len(present))
    if len(present) and present[-1] > expected:
        raise ShapeError(
            f"{where}: {len(present)} labels up to {present[-1]} do not fit the {expected} entries of "
            f"{', '.join(name for name, values in given.items() if values is not None)}"
        )
    return dense, present - 1


def _keep_gaps(
    labels: np.ndarray, given: dict[str, np.ndarray | None]
) -> tuple[Int32[np.ndarray, "height width"], int]:
    """The labels of predictions as 1..P, and P: a label without pixels stays if it has attributes."""
    expected = _num_attributes(given)
    dense, positions = _close_gaps(labels, "pred_labels", given)
    if expected is None or expected == len(positions):
        return dense, len(positions)
    return np.append(0, positions + 1).astype(np.int32)[dense], expected
