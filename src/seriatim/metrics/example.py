"""`Example`: truth and predictions of one image, checked once, and the overlaps from which every protocol starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from seriatim.core.errors import ConfigError, DataError, ShapeError
from seriatim.core.instances import Instances
from seriatim.core.shapes import Size, check_label_map
from seriatim.metrics.overlap import Overlap, overlap_masks
from seriatim.metrics.runs import CountedLabels, RunMasks, count_labels, runs_of

TARGET_KINDS = {
    "target_classes": "iu",
    "target_crowd": "b",
    "target_distances": "fiu",
    "target_distance_confidences": "fiu",
    "target_areas": "fiu",
}
"""What may be given of every target, and the kinds of numbers (letters of numpy) that it may be."""

PRED_KINDS = {"pred_scores": "fiu", "pred_classes": "iu"}
"""The same of every prediction."""

Given = Mapping[str, np.ndarray | None]
"""What was given of every target or prediction, by the name of its argument; None where it was not."""


@dataclass(frozen=True, eq=False)
class WholeTargets:
    """Every target at its full extent, also where another covers it, and the crowds: what the protocol `coco` goes by.

    Attributes:
        runs: of the masks of the targets.
        classes: class of each target.
        crowd: whether it is a group that nobody told apart.
        areas: pixels by which targets are small, medium or large: those that the file states, or those of the mask.
        distances: as in `Example`.
        distance_confidences: as in `Example`.
        void: as given, without the crowds.
    """

    runs: RunMasks
    classes: Int64[np.ndarray, " targets"]
    crowd: Bool[np.ndarray, " targets"]
    areas: Float64[np.ndarray, " targets"] | Int64[np.ndarray, " targets"]
    distances: Float64[np.ndarray, " targets"] | None
    distance_confidences: Float64[np.ndarray, " targets"] | None
    void: Bool[np.ndarray, "height width"] | None

    def front(self, chosen: Bool[np.ndarray, " targets"]) -> Int32[np.ndarray, "height width"]:
        """Number plus 1 of the chosen target that lies in front at each pixel: the smaller, of equal ones the earlier."""
        numbers = np.flatnonzero(chosen)
        return self.runs.paint(numbers[np.lexsort((-numbers, -self.runs.areas[numbers]))])

    def crowd_map(self) -> Int32[np.ndarray, "height width"]:
        """Number plus 1 of the earliest crowd at each pixel."""
        return self.runs.paint(np.flatnonzero(self.crowd)[::-1])


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Example:
    """Truth and predictions of one image.

    Targets are a label map, or, where they may overlap, masks (`target_masks`). Predictions may overlap: masks in the order emitted,
    or, for predictions that do not overlap, a label map (`from_label_maps`). Masks are bool planes, `Instances`, or COCO's run-length
    codes; the latter two are never expanded into planes.

    Of targets that are masks, the protocol `coco` takes each at its full extent. The other protocols take the label map in which the
    smaller target (of equal ones the earlier) lies in front, and a target that keeps no pixel is left out. Crowds among them have no
    label: `coco` and `cityscapes` know them as crowds, and to the others their pixels are void.

    The labels of targets are closed up to 1..G: a label without pixels is no target. The attributes hold the checked
    arrays: they may differ in type and in gaps from what was given, and may share its memory otherwise.

    Attributes:
        size: (height, width) in pixels.
        target_classes: class of each target; all 1 unless given.
        target_crowd: whether a target of the label map is a group that nobody told apart; all False unless given. Only the
            protocols `coco` and `cityscapes` know crowds; to the others, as to their official programs, it is one more object.
        void: pixels to ignore; none unless given. A pixel that is void and target is void, except in `sds`, `voc07` and `coco`, whose
            programs know no void: to them it is the target's.
        target_distances: median distance of each target from the camera in metres, or None (`cityscapes` only).
        target_distance_confidences: how far to trust it, 0..1, or None (`cityscapes` only).
        whole_targets: the targets at full extent, with all crowds (`coco` only).
        pred_masks: of the predictions, in the order emitted, of the kind given; None if the predictions are a label map.
        pred_scores: confidence of each prediction, any finite number; all 1 unless given.
        pred_classes: class of each prediction; all 1 unless given.
        pred_labels: 0 background, 1..P the predictions; None if the predictions are masks.
        target_runs: the targets of the label map.
        pred_runs: the predictions at full extent.
    """

    size: Size
    target_classes: Int64[np.ndarray, " targets"]
    target_crowd: Bool[np.ndarray, " targets"]
    void: Bool[np.ndarray, "height width"] | None
    target_distances: Float64[np.ndarray, " targets"] | None
    target_distance_confidences: Float64[np.ndarray, " targets"] | None
    whole_targets: WholeTargets
    pred_masks: Any
    pred_scores: Float64[np.ndarray, " predictions"]
    pred_classes: Int64[np.ndarray, " predictions"]
    pred_labels: Int32[np.ndarray, "height width"] | None
    target_runs: RunMasks
    pred_runs: RunMasks

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
        targets = {name: _read_numbers(value, name) for name, value in zip(TARGET_KINDS, values, strict=True)}
        preds = {
            name: _read_numbers(value, name)
            for name, value in zip(PRED_KINDS, (pred_scores, pred_classes), strict=True)
        }
        if (target_distances is None) != (target_distance_confidences is None):
            raise ConfigError("target_distances and target_distance_confidences: give both or neither")
        if (target_labels is None) == (target_masks is None):
            raise ConfigError("target_labels and target_masks: give one of them")
        if (pred_masks is None) == (pred_labels is None):
            raise ConfigError(
                "pred_masks and pred_labels: give one of them (masks of shape (0, height, width) for none)"
            )
        is_by_column = _are_codes(target_masks) or _are_codes(pred_masks)
        if target_masks is None:
            counted, places = _read_labels(target_labels, "target_labels", targets, is_by_column)
            runs = counted.runs
            targets = {name: None if values is None else values[places] for name, values in targets.items()}
        else:
            counted = None
            _, runs = _read_masks(target_masks, None, "target_masks", is_by_column)
            _check_counts(targets, runs.count, "target")
        size = runs.size
        whole = _read_whole_targets(runs, targets, None if void is None else _read_void(void, size))
        seen, runs, label_map, void = (
            _see_in_label_map(whole, is_by_column)
            if counted is None
            else (np.arange(runs.count), runs, counted.label_map, whole.void)
        )
        if pred_labels is None:
            pred_masks, pred_runs = _read_masks(pred_masks, size, "pred_masks", is_by_column)
            _check_counts(preds, pred_runs.count, "prediction")
        else:
            pred_labels, pred_runs = _read_pred_labels(pred_labels, size, preds, is_by_column)
        self.__dict__.update(
            size=size,
            target_classes=whole.classes[seen],
            target_crowd=whole.crowd[seen],
            void=void,
            target_distances=None if whole.distances is None else whole.distances[seen],
            target_distance_confidences=None
            if whole.distance_confidences is None
            else whole.distance_confidences[seen],
            whole_targets=whole,
            pred_masks=pred_masks,
            pred_scores=_read_scores(preds["pred_scores"], pred_runs.count),
            pred_classes=_read_classes(preds["pred_classes"], pred_runs.count, "pred_classes"),
            pred_labels=pred_labels,
            target_runs=runs,
            pred_runs=pred_runs,
        )
        if label_map is not None:
            self.__dict__["target_labels"] = label_map

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
            pred_scores: as for `Example`, and so are the others.
            pred_classes: integers (P,).
            target_classes: integers (G,).
            target_crowd: bool (G,).
            void: bool (height, width).
            target_distances: numbers (G,), metres.
            target_distance_confidences: numbers (G,).

        Raises:
            ShapeError, DataError, ConfigError: as for `Example`.

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
            pred_scores=pred_scores,
            pred_classes=pred_classes,
            pred_labels=pred_labels,
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
        return self.target_runs.paint(np.arange(self.num_targets))

    @cached_property
    def pred_label_map(self) -> Int32[np.ndarray, "height width"]:
        """Label map of the predictions: 0 background, 1..P; the EARLIER one keeps a contested pixel."""
        if self.pred_labels is not None:
            return self.pred_labels
        return self.pred_runs.paint(np.arange(self.num_preds)[::-1])

    @cached_property
    def pred_label_runs(self) -> RunMasks:
        """The predictions without the pixels that an earlier one holds: those of the label map."""
        if len(self.pred_runs.layers) <= 1:
            return self.pred_runs
        present, _, runs = count_labels(self.pred_label_map, self.pred_runs.is_by_column)
        return runs.renumbered(present - 1, self.num_preds)

    @cached_property
    def overlap(self) -> Overlap:
        """Predictions at full extent with targets; void plays no part (`sds`, `voc07`)."""
        return overlap_masks(self.pred_runs, self.target_runs)

    @cached_property
    def valid_overlap(self) -> Overlap:
        """Predictions at full extent with targets, void pixels taken out of both (`cityscapes`, `proposals`)."""
        if self.void is None:
            return self.overlap
        return overlap_masks(self.pred_runs.within(~self.void), self.target_runs.within(~self.void))

    @cached_property
    def label_overlap(self) -> Overlap:
        """The label map of the predictions with targets, void pixels taken out of both (the other protocols)."""
        if self.pred_label_runs is self.pred_runs:
            return self.valid_overlap
        if self.void is None:
            return overlap_masks(self.pred_label_runs, self.target_runs)
        return overlap_masks(self.pred_label_runs.within(~self.void), self.target_runs.within(~self.void))

    @cached_property
    def whole_overlap(self) -> Overlap:
        """Predictions at full extent with `whole_targets`; void plays no part (`coco`)."""
        if self.whole_targets.runs is self.target_runs:
            return self.overlap
        return overlap_masks(self.pred_runs, self.whole_targets.runs)

    def with_crowds_labelled(self) -> "Example":
        """The same example with every crowd in the label map, as `cityscapes` has it; crowds are then no longer void.

        A crowd has the pixels that no object has, and the earlier one those of several.
        """
        whole = self.whole_targets
        if self.target_crowd.any() or not whole.crowd.any():
            return self
        objects, crowds = whole.front(~whole.crowd), whole.crowd_map()
        return Example(
            np.where(objects > 0, objects, crowds),
            whole.classes,
            whole.crowd,
            None if whole.void is None else whole.void & (crowds == 0),
            whole.distances,
            whole.distance_confidences,
            self.pred_masks,
            self.pred_scores,
            self.pred_classes,
            self.pred_labels,
        )


def _read_whole_targets(runs: RunMasks, given: Given, void: Bool[np.ndarray, "height width"] | None) -> WholeTargets:
    crowd, areas = given["target_crowd"], _read_floats(given["target_areas"], "target_areas")
    return WholeTargets(
        runs,
        _read_classes(given["target_classes"], runs.count, "target_classes"),
        np.zeros(runs.count, dtype=bool) if crowd is None else crowd.astype(bool),
        runs.areas if areas is None else areas,
        _read_floats(given["target_distances"], "target_distances"),
        _read_floats(given["target_distance_confidences"], "target_distance_confidences"),
        void,
    )


def _see_in_label_map(
    whole: WholeTargets, is_by_column: bool
) -> tuple[
    Int64[np.ndarray, " seen"],
    RunMasks,
    Int32[np.ndarray, "height width"] | None,
    Bool[np.ndarray, "height width"] | None,
]:
    """Of targets that are masks: positions of those that keep a pixel in the label map, their runs, the map, and void with the crowds.

    The map is None where no target overlaps another: then nobody may need it.
    """
    runs, void = whole.runs, whole.void
    if len(runs.layers) <= 1 and not whole.crowd.any():
        seen = np.flatnonzero(runs.areas)
        return seen, runs if len(seen) == runs.count else runs.chosen(seen), None, void
    labels = whole.front(~whole.crowd)
    if whole.crowd.any():
        groups = (whole.crowd_map() > 0) & (labels == 0)
        void = groups if void is None else groups | void
    present, label_map, runs = count_labels(labels, is_by_column)
    return present - 1, runs, label_map, void


def _read_numbers(values: Any, where: str) -> np.ndarray | None:
    """Numbers along one axis, of the kind that the argument may have; None stays None."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.ndim != 1:
        raise ShapeError(f"{where}: expected one axis, got shape {array.shape}")
    kinds = (TARGET_KINDS | PRED_KINDS)[where]
    if array.dtype.kind not in kinds and len(array):
        expected = {"b": "bool", "iu": "integers", "fiu": "numbers"}[kinds]
        raise ShapeError(f"{where}: expected {expected}, got dtype {array.dtype}")
    return array


def _read_classes(values: np.ndarray | None, count: int, where: str) -> Int64[np.ndarray, " count"]:
    """Classes, all 1 unless given."""
    if values is None:
        return np.ones(count, dtype=np.int64)
    values = values.astype(np.int64)
    if (values < 0).any():
        raise DataError(f"{where}: expected classes from 0, got {values.min()}")
    return values


def _read_floats(values: np.ndarray | None, where: str) -> Float64[np.ndarray, " count"] | None:
    """Numbers, infinite ones among them, but no NaN."""
    if values is not None and np.isnan(values).any():
        raise DataError(f"{where}: expected numbers, got NaN")
    return None if values is None else values.astype(np.float64)


def _read_scores(values: np.ndarray | None, count: int) -> Float64[np.ndarray, " count"]:
    """Finite numbers, all 1 unless given."""
    if values is None:
        return np.ones(count)
    if not np.isfinite(values).all():
        raise DataError("pred_scores: expected finite numbers, got NaN or infinity")
    return values.astype(np.float64)


def _read_void(values: Any, size: Size) -> Bool[np.ndarray, "height width"]:
    plane = np.asarray(values)
    if plane.shape != size or plane.dtype != bool:
        raise ShapeError(f"void: expected bool {size}, got {plane.dtype} {plane.shape}")
    return plane


def _are_codes(masks: Any) -> bool:
    return isinstance(masks, list | tuple) and len(masks) > 0 and isinstance(masks[0], Mapping)


def _read_masks(masks: Any, size: Size | None, where: str, is_by_column: bool) -> tuple[Any, RunMasks]:
    """Masks, codes as a tuple and no masks as planes, and their runs; of an image of any size if `size` is None."""
    if isinstance(masks, Instances) or _are_codes(masks):
        runs = runs_of(masks, is_by_column, where)
        if size not in (None, runs.size):
            raise ShapeError(f"{where}: of an image of {runs.size} pixels, expected {size}")
        return masks if isinstance(masks, Instances) else tuple(masks), runs
    planes = np.asarray(masks)
    if planes.ndim and not len(planes) and (size is not None or planes.ndim == 3):
        planes = np.zeros((0, *(size or planes.shape[1:])), dtype=bool)
    if planes.ndim != 3 or planes.dtype != bool or size not in (None, planes.shape[1:]):
        expected = "targets, height, width" if size is None else f"predictions, {size[0]}, {size[1]}"
        raise ShapeError(f"{where}: expected bool ({expected}), got {planes.dtype} {planes.shape}")
    return planes, runs_of(planes, is_by_column)


def _check_counts(given: Given, count: int, what: str) -> None:
    for name, values in given.items():
        if values is not None and len(values) != count:
            raise ShapeError(f"{name}: expected one a {what} ({count}), got {len(values)}")


def _num_given(given: Given) -> int | None:
    counts = {name: len(values) for name, values in given.items() if values is not None}
    if len(set(counts.values())) > 1:
        raise ShapeError(f"attributes of different length: {', '.join(f'{name} {n}' for name, n in counts.items())}")
    return next(iter(counts.values()), None)


def _read_labels(
    labels: Any, where: str, given: Given, is_by_column: bool
) -> tuple[CountedLabels, Int64[np.ndarray, " labels"]]:
    """The labels of a map without gaps, and the position of each one's attributes."""
    labels = np.asarray(labels)
    check_label_map(labels, where)
    counted = count_labels(labels, is_by_column)
    present, expected = counted.present, _num_given(given)
    if expected is None or expected == len(present):
        return counted, np.arange(len(present))
    if len(present) and present[-1] > expected:
        raise ShapeError(
            f"{where}: {len(present)} labels up to {present[-1]} do not fit the {expected} entries of "
            f"{', '.join(name for name, values in given.items() if values is not None)}"
        )
    return counted, present - 1


def _read_pred_labels(
    labels: Any, size: Size, given: Given, is_by_column: bool
) -> tuple[Int32[np.ndarray, "height width"], RunMasks]:
    """The labels of predictions as 1..P, and their runs: a label without pixels stays if it has attributes."""
    counted, places = _read_labels(labels, "pred_labels", given, is_by_column)
    if counted.runs.size != size:
        raise ShapeError(f"pred_labels: expected the shape of target_labels {size}, got {counted.runs.size}")
    count = _num_given(given)
    if count is None or count == len(places):
        return counted.label_map, counted.runs
    runs = counted.runs.renumbered(places, count)
    return runs.paint(np.arange(count)), runs
