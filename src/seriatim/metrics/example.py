"""`Example`: truth and predictions of one image, checked once, from which every protocol starts."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from seriatim.core.errors import ConfigError, DataError
from seriatim.core.shapes import Size, check_label_map
from seriatim.metrics.example_checks import (
    check_counts,
    check_distances,
    close_gaps,
    keep_gaps,
    read_classes,
    read_floats,
    read_masks,
    read_numbers,
    read_plane,
    size_of_masks,
)
from seriatim.metrics.overlap import (
    Cut,
    MaskOverlap,
    table_from_label_map,
    table_from_masks,
    table_of_disjoint,
)
from seriatim.metrics.run_masks import RunMasks, runs_of, runs_of_labels, segments

TARGET_KINDS = {
    "target_classes": "iu",
    "target_crowd": "b",
    "target_distances": "fiu",
    "target_distance_confidences": "fiu",
    "target_areas": "fiu",
}
"""What may be given of every target, and the kinds of numbers that it may be."""


@dataclass(frozen=True, eq=False)
class WholeTargets:
    """Every target at its full extent, also where another covers it, and the crowds: what the protocol `coco` goes by.

    Attributes:
        intersections: pixels that each prediction, at its full extent, shares with each target.
        areas: pixels of each target.
        stated_areas: by which targets are small, medium or large: those given, or the same pixels.
        classes: class of each target.
        crowd: whether it is a group that nobody told apart.
    """

    intersections: Int64[np.ndarray, "predictions targets"]
    areas: Int64[np.ndarray, " targets"]
    stated_areas: Float64[np.ndarray, " targets"] | Int64[np.ndarray, " targets"]
    classes: Int64[np.ndarray, " targets"]
    crowd: Bool[np.ndarray, " targets"]


@dataclass(frozen=True, eq=False)
class _Given:
    """Targets as masks, with their attributes before any was dropped."""

    masks: Any
    attributes: dict[str, np.ndarray | None]
    classes: Int64[np.ndarray, " targets"]
    crowd: Bool[np.ndarray, " targets"]
    void: Bool[np.ndarray, "height width"] | None


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Example:
    """Truth and predictions of one image.

    Targets stand in a label map, or, where they may overlap, come as masks (`target_masks`). Predictions may overlap: masks in
    the order emitted, or, for predictions that do not overlap, a label map (`from_label_maps`). Masks are bool planes,
    `Instances`, or COCO's run-length codes; the latter two are never expanded into planes.

    Of targets that come as masks, the protocol `coco` takes each at its full extent. The other protocols take the label map in
    which the smaller target (of equal ones the earlier) lies in front, a target that keeps no pixel being none. Crowds among
    them are in no label: `coco` and `cityscapes` know them as crowds, and to the others their pixels are void.

    The labels of targets are closed up to 1..G: a label without pixels is no target. The attributes hold the checked
    arrays: they may differ in type and in gaps from what was given, and may share its memory otherwise.

    Attributes:
        size: (height, width) in pixels.
        target_classes: class of each target; all 1 unless given.
        target_crowd: whether a target of the label map is a group that nobody told apart; all False unless given. Only the
            protocols `coco` and `cityscapes` know crowds; to the others, as to their official programs, it is one more object.
        void: pixels to ignore; none unless given. Where a pixel is void and target, void holds, except in `sds`, `voc07` and `coco`, whose
            programs know no void: to them it is the target's.
        target_distances: median distance of each target from the camera in metres, or None (`cityscapes` only).
        target_distance_confidences: how far to trust it, 0..1, or None (`cityscapes` only).
        target_areas: pixels of each target as its file states them, or None (`coco` only).
        pred_masks: one a prediction, in the order emitted, of the kind given; None if the predictions came as a label map.
        pred_scores: confidence of each prediction, any finite number; all 1 unless given.
        pred_classes: class of each prediction; all 1 unless given.
        pred_labels: 0 background, 1..P the predictions; None if the predictions came as masks.
    """

    size: Size
    target_classes: Int64[np.ndarray, " targets"]
    target_crowd: Bool[np.ndarray, " targets"]
    void: Bool[np.ndarray, "height width"] | None
    target_distances: Float64[np.ndarray, " targets"] | None
    target_distance_confidences: Float64[np.ndarray, " targets"] | None
    target_areas: Float64[np.ndarray, " targets"] | None
    pred_masks: Any
    pred_scores: Float64[np.ndarray, " predictions"]
    pred_classes: Int64[np.ndarray, " predictions"]
    pred_labels: Int32[np.ndarray, "height width"] | None
    _given: _Given | None
    _is_by_column: bool
    _cut: Cut | None

    def __init__(
        self,
        target_labels: Any = None,
        target_classes: Any = None,
        target_crowd: Any = None,
        void: Any = None,
        target_distances: Any = None,
        target_distance_confidences: Any = None,
        pred_masks: Any = None,
        pred_scores: Any = None,
        pred_classes: Any = None,
        pred_labels: Any = None,
        target_masks: Any = None,
        target_areas: Any = None,
    ) -> None:
        """Check and keep truth and predictions; exactly one of `pred_masks` and `pred_labels`, and of `target_labels` and `target_masks`.

        Args:
            target_labels: integers (height, width), 0 background. With attributes of G targets, either the labels are at
                most G and label k has the k-th attribute, or there are exactly G labels and their order counts.
            target_classes: integers (G,).
            target_crowd: bool (G,).
            void: bool (height, width).
            target_distances: numbers (G,), metres.
            target_distance_confidences: numbers (G,).
            pred_masks: in the order emitted: bool (P, height, width), `Instances`, or run-length codes; anything of length 0 for
                no prediction.
            pred_scores: finite numbers (P,).
            pred_classes: integers (P,).
            pred_labels: integers (height, width), 0 background; see `from_label_maps`.
            target_masks: G targets that may overlap, of the same kinds as `pred_masks`; planes and `Instances` may be none.
            target_areas: numbers (G,), by which `coco` calls targets small, medium or large, as its program goes by the areas that
                the file states; those of the masks unless given.

        Raises:
            ShapeError: if an array has another shape or kind of number, or attributes do not fit the labels.
            DataError: if a score is not finite, a confidence is NaN, a class is negative or a run-length code is damaged.
            ConfigError: if not exactly one of `pred_masks` and `pred_labels`, or of `target_labels` and `target_masks`, is
                given, or only one of distances and confidences.
        """
        values = (target_classes, target_crowd, target_distances, target_distance_confidences, target_areas)
        given = {
            name: read_numbers(value, name, kinds)
            for (name, kinds), value in zip(TARGET_KINDS.items(), values, strict=True)
        }
        check_distances(given)
        if (target_labels is None) == (target_masks is None):
            raise ConfigError("target_labels and target_masks: give one of them")
        if (pred_masks is None) == (pred_labels is None):
            raise ConfigError(
                "pred_masks and pred_labels: give one of them (masks of shape (0, height, width) for none)"
            )
        if target_labels is None:
            self._set("size", size_of_masks(target_masks, "target_masks"))
            target_masks = read_masks(target_masks, self.size, "target_masks")
        else:
            target_labels = np.asarray(target_labels)
            check_label_map(target_labels, "target_labels")
            self._set("size", target_labels.shape)
        self._set("void", None if void is None else read_plane(void, self.size))
        self._set_preds(
            pred_masks,
            pred_labels,
            {
                "pred_scores": read_numbers(pred_scores, "pred_scores", "fiu"),
                "pred_classes": read_numbers(pred_classes, "pred_classes", "iu"),
            },
        )
        self._set("_is_by_column", isinstance(target_masks, tuple) or isinstance(self.pred_masks, tuple))
        if isinstance(self.pred_masks, tuple):
            _ = self.pred_runs  # which checks the codes
        if target_labels is None:
            self._set("_cut", None)
            positions = self._set_masks(target_masks, given)
        else:
            self._set("_given", None)
            self._set("_cut", segments(target_labels.ravel()))
            labels, positions = close_gaps(target_labels, "target_labels", given, self._cut)
            self.__dict__["target_labels"] = labels
        self._set_attributes(given, positions)

    def _set_masks(self, masks: Any, given: dict[str, np.ndarray | None]) -> Int64[np.ndarray, " targets"]:
        """Keep targets that came as masks; the positions of those that a label map shows."""
        count = len(masks)
        check_counts(given, count, "target")
        crowd = given["target_crowd"]
        crowd = np.zeros(count, dtype=bool) if crowd is None else crowd.astype(bool)
        classes = read_classes(given["target_classes"], count, "target_classes")
        self._set("_given", _Given(masks, given, classes, crowd, self.void))
        runs = self._target_runs
        if len(runs.layers) <= 1 and not crowd.any():
            return np.flatnonzero(runs.areas)
        labels = self._paint(~crowd)
        if crowd.any():
            groups = (self._paint(crowd) > 0) & (labels == 0)
            self._set("void", groups if self.void is None else groups | self.void)
        self.__dict__["target_labels"], positions = close_gaps(labels, "target_masks", {"target_masks": crowd})
        return positions

    def _paint(self, chosen: Bool[np.ndarray, " targets"]) -> Int32[np.ndarray, "height width"]:
        """Target number plus 1 of the masks chosen, the smaller in front, of equal ones the earlier."""
        numbers = np.flatnonzero(chosen)
        return self._target_runs.paint(numbers[np.lexsort((-numbers, -self._target_runs.areas[numbers]))])

    def _set_attributes(self, given: dict[str, np.ndarray | None], positions: Int64[np.ndarray, " targets"]) -> None:
        count = len(positions)
        kept = {name: None if values is None else values[positions] for name, values in given.items()}
        crowd = kept["target_crowd"]
        self._set("target_classes", read_classes(kept["target_classes"], count, "target_classes"))
        self._set("target_crowd", np.zeros(count, dtype=bool) if crowd is None else crowd.astype(bool))
        for name in ("target_distances", "target_distance_confidences", "target_areas"):
            self._set(name, read_floats(kept[name], name))

    def _set_preds(self, masks: Any, labels: Any, given: dict[str, np.ndarray | None]) -> None:
        if labels is None:
            masks = read_masks(masks, self.size, "pred_masks")
            count = len(masks)
            check_counts(given, count, "prediction")
        else:
            labels, count = keep_gaps(np.asarray(labels), self.size, given)
        scores = given["pred_scores"]
        if scores is not None and not np.isfinite(scores).all():
            raise DataError("pred_scores: expected finite numbers, got NaN or infinity")
        self._set("pred_masks", masks)
        self._set("pred_labels", labels)
        self._set("pred_scores", np.ones(count) if scores is None else scores.astype(np.float64))
        self._set("pred_classes", read_classes(given["pred_classes"], count, "pred_classes"))

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
    def num_targets(self) -> int:
        """Number of targets, crowds of the label map among them."""
        return len(self.target_classes)

    @property
    def num_preds(self) -> int:
        """Number of predictions, empty ones among them."""
        return len(self.pred_scores)

    @cached_property
    def target_labels(self) -> Int32[np.ndarray, "height width"]:
        """Label map of the targets: 0 background, 1..G, in the order of the labels or masks given."""
        return close_gaps(self._paint(~self._masks.crowd), "target_masks", {})[0]

    @cached_property
    def pred_label_map(self) -> Int32[np.ndarray, "height width"]:
        """Label map of the predictions: 0 background, 1..P; the EARLIER one keeps a contested pixel."""
        if self.pred_labels is not None:
            return self.pred_labels
        return self.pred_runs.paint(np.arange(self.num_preds)[::-1])

    @cached_property
    def pred_runs(self) -> RunMasks:
        """The predictions that came as masks."""
        assert self.pred_masks is not None, "one of pred_masks and pred_labels is always there"
        return runs_of(self.pred_masks, self._is_by_column, "pred_masks")

    @cached_property
    def overlap(self) -> MaskOverlap:
        """Pixels that each prediction, at its full extent, shares with each target; computed once for all protocols."""
        if self.pred_labels is not None:
            return table_from_label_map(
                self.pred_labels, self.num_preds, self.target_labels, self.num_targets, self.void
            )
        if "target_labels" not in self.__dict__ and self.void is None:  # masks of which none overlaps another
            there = self._target_runs.areas > 0
            shared = self.whole_targets.intersections[:, there]
            return table_of_disjoint(shared, self.pred_runs.areas, self._target_runs.areas[there])
        return table_from_masks(self.pred_runs, self.target_labels, self.num_targets, self.void, self._cut)

    @cached_property
    def whole_targets(self) -> WholeTargets:
        """The targets as `coco` takes them: at full extent and with all crowds; void plays no part."""
        if self._given is None:
            table = self.overlap
            areas = table.target_areas
            stated = areas if self.target_areas is None else self.target_areas
            return WholeTargets(table.intersections, areas, stated, self.target_classes, self.target_crowd)
        runs, given = self._target_runs, self._masks
        stated = read_floats(given.attributes["target_areas"], "target_areas")
        if self.pred_labels is None:
            preds = self.pred_runs
        else:
            preds = runs_of_labels(self.pred_labels, self.num_preds, self._is_by_column)
        shared = preds.shared_pixels(runs.layers, runs.count)
        return WholeTargets(shared, runs.areas, runs.areas if stated is None else stated, given.classes, given.crowd)

    def with_crowds_labelled(self) -> "Example":
        """The same example with every crowd in the label map, as `cityscapes` has it; crowds are then no longer void.

        A crowd has the pixels that no object has, and the earlier one those of several.
        """
        if self._given is None or not self._masks.crowd.any():
            return self
        given = self._given
        labels = self._paint(~given.crowd)
        groups = self._target_runs.paint(np.flatnonzero(given.crowd)[::-1])
        labels = np.where(labels > 0, labels, groups)
        return Example(
            labels,
            given.classes,
            given.crowd,
            None if given.void is None else given.void & (groups == 0),
            given.attributes["target_distances"],
            given.attributes["target_distance_confidences"],
            self.pred_masks,
            self.pred_scores,
            self.pred_classes,
            self.pred_labels,
        )

    @property
    def _masks(self) -> _Given:
        assert self._given is not None, "the targets came as masks"
        return self._given

    @cached_property
    def _target_runs(self) -> RunMasks:
        return runs_of(self._masks.masks, self._is_by_column, "target_masks")
