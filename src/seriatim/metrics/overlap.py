"""How many pixels each prediction shares with each target, from one look at the pixels.

Never a loop over pairs of full-size masks: maps and masks are cut into the stretches along which nothing changes (see `run_masks`), and
the lengths of the stretches are added up for every pair.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Int32, Int64, Integer

from seriatim.metrics.run_masks import RunMasks, Runs, runs_of, segments

_DENSE_CELLS = 1 << 24


@dataclass(frozen=True, eq=False)
class LabelOverlap:
    """The pairs of a predicted and a target label that share pixels; void pixels are in neither map.

    Labels without a pixel left are still counted in the areas, with 0.

    Attributes:
        pred_areas: pixels of each predicted label 1..P.
        target_areas: pixels of each target label 1..G.
        preds: position (label - 1) of the prediction of each pair.
        targets: position of the target of each pair.
        intersections: pixels shared by each pair, at least 1.
    """

    pred_areas: Int64[np.ndarray, " predictions"]
    target_areas: Int64[np.ndarray, " targets"]
    preds: Int64[np.ndarray, " pairs"]
    targets: Int64[np.ndarray, " pairs"]
    intersections: Int64[np.ndarray, " pairs"]

    @property
    def num_preds(self) -> int:
        """Number of predicted labels that have a pixel."""
        return int(np.count_nonzero(self.pred_areas))

    @property
    def num_targets(self) -> int:
        """Number of target labels that have a pixel."""
        return int(np.count_nonzero(self.target_areas))

    def area_sums(self) -> Int64[np.ndarray, " pairs"]:
        """Pixels of the prediction plus pixels of the target, of each pair."""
        return self.pred_areas[self.preds] + self.target_areas[self.targets]

    def iou(self) -> Float64[np.ndarray, " pairs"]:
        """Intersection over union of each pair: one division of whole numbers, so that 3/5 is the number 0.6."""
        return self.intersections / (self.area_sums() - self.intersections)

    def of_class(
        self,
        class_id: int,
        pred_classes: Int64[np.ndarray, " predictions"],
        target_classes: Int64[np.ndarray, " targets"],
    ) -> "LabelOverlap":
        """The same as if both maps held the objects of one class alone.

        Args:
            class_id: the class.
            pred_classes: of the predicted labels 1..P.
            target_classes: of the target labels 1..G.
        """
        preds, targets = pred_classes == class_id, target_classes == class_id
        pairs = preds[self.preds] & targets[self.targets]
        return LabelOverlap(
            np.where(preds, self.pred_areas, 0),
            np.where(targets, self.target_areas, 0),
            self.preds[pairs],
            self.targets[pairs],
            self.intersections[pairs],
        )


def overlaps_of_classes(
    overlap: LabelOverlap,
    pred_classes: Int64[np.ndarray, " predictions"],
    target_classes: Int64[np.ndarray, " targets"],
) -> dict[int, LabelOverlap]:
    """Of each class that has a predicted or target label with a pixel, the overlap as if the maps held this class alone.

    >>> found = overlap_label_maps(np.array([[1, 1, 2, 0]]), 2, np.array([[1, 2, 2, 0]]), 2)
    >>> parts = overlaps_of_classes(found, np.array([5, 7]), np.array([5, 5]))
    >>> {class_id: (part.num_preds, part.num_targets, part.intersections.tolist()) for class_id, part in parts.items()}
    {5: (1, 2, [1, 1]), 7: (1, 0, [])}
    """
    seen = np.concatenate([pred_classes[overlap.pred_areas > 0], target_classes[overlap.target_areas > 0]])
    return {class_id: overlap.of_class(class_id, pred_classes, target_classes) for class_id in np.unique(seen).tolist()}


@dataclass(frozen=True, eq=False)
class MaskOverlap:
    """Pixels that predictions, which may overlap, share with targets, which do not; void counted apart.

    Attributes:
        intersections: pixels shared, void ones among them.
        pred_areas: pixels of each prediction, void ones among them.
        target_areas: pixels of each target, void ones among them.
        valid_intersections: pixels shared outside void.
        valid_pred_areas: pixels of each prediction outside void.
        valid_target_areas: pixels of each target outside void.
    """

    intersections: Int64[np.ndarray, "predictions targets"]
    pred_areas: Int64[np.ndarray, " predictions"]
    target_areas: Int64[np.ndarray, " targets"]
    valid_intersections: Int64[np.ndarray, "predictions targets"]
    valid_pred_areas: Int64[np.ndarray, " predictions"]
    valid_target_areas: Int64[np.ndarray, " targets"]

    def iou(self) -> Float64[np.ndarray, "predictions targets"]:
        """Intersection over union over all pixels, void ones among them; 0 for two empty masks."""
        return _iou(self.intersections, self.pred_areas, self.target_areas)

    def valid_iou(self) -> Float64[np.ndarray, "predictions targets"]:
        """Intersection over union over the pixels outside void; 0 for two empty masks."""
        return _iou(self.valid_intersections, self.valid_pred_areas, self.valid_target_areas)


def _iou(
    intersections: Int64[np.ndarray, "predictions targets"],
    pred_areas: Int64[np.ndarray, " predictions"],
    target_areas: Int64[np.ndarray, " targets"],
) -> Float64[np.ndarray, "predictions targets"]:
    unions = pred_areas[:, None] + target_areas[None, :] - intersections
    return intersections / np.maximum(unions, 1)


Cut = tuple[Int64[np.ndarray, " segments"], Int64[np.ndarray, " segments"]]
"""First position and length of each stretch of equal labels along the rows of a map."""


def count_labels(
    labels: Integer[np.ndarray, "height width"] | Bool[np.ndarray, "height width"], cut: Cut | None = None
) -> tuple[Int64[np.ndarray, " labels"], Int32[np.ndarray, "height width"]]:
    """The labels other than 0 that occur, ascending, and the same map with them numbered 1, 2, ... without gaps.

    Args:
        labels: 0 background.
        cut: of the map, where it is known already.

    >>> present, dense = count_labels(np.array([[0, 7], [3, 7]]))
    >>> present.tolist(), dense.tolist()
    ([3, 7], [[0, 2], [1, 2]])
    """
    flat = labels.ravel()
    starts, lengths = segments(flat) if cut is None else cut
    values = flat[starts]
    present, numbers = np.unique(values, return_inverse=True)
    first = 1 if len(present) and present[0] == 0 else 0
    if len(present) == first or present[-1] == len(present) - first:  # 1..G already
        return present[first:].astype(np.int64), labels.astype(np.int32, copy=False)
    dense = np.repeat((numbers + 1 - first).astype(np.int32), lengths).reshape(labels.shape)
    return present[first:].astype(np.int64), dense


def overlap_label_maps(
    pred_labels: Int[np.ndarray, "height width"],
    num_preds: int,
    target_labels: Int[np.ndarray, "height width"],
    num_targets: int,
    void: Bool[np.ndarray, "height width"] | None = None,
) -> LabelOverlap:
    """The pairs of labels that share pixels, void pixels taken out of both maps.

    Args:
        pred_labels: 0 background, at most `num_preds`.
        num_preds: P.
        target_labels: 0 background, at most `num_targets`.
        num_targets: G.
        void: pixels to leave out; none unless given.

    >>> found = overlap_label_maps(np.array([[1, 1, 0]]), 1, np.array([[1, 2, 2]]), 2)
    >>> found.targets.tolist(), found.intersections.tolist(), found.iou().round(3).tolist()
    ([0, 1], [1, 1], [0.5, 0.333])
    """
    width = num_targets + 1
    preds, targets = pred_labels.ravel(), target_labels.ravel()
    starts, lengths = segments(preds, targets, *([] if void is None else [void.ravel()]))
    if void is not None:
        outside = ~void.ravel()[starts]
        starts, lengths = starts[outside], lengths[outside]
    codes = preds[starts].astype(np.int64) * width + targets[starts]
    if (num_preds + 1) * width <= max(_DENSE_CELLS, codes.size):
        counts = np.bincount(codes, lengths, minlength=1).astype(np.int64)
        pairs = np.flatnonzero(counts)
        counts = counts[pairs]
    else:
        pairs, places = np.unique(codes, return_inverse=True)
        counts = np.bincount(places, lengths, len(pairs)).astype(np.int64)
    preds, targets = np.divmod(pairs, width)
    pred_areas = np.bincount(preds, counts, num_preds + 1).astype(np.int64)
    target_areas = np.bincount(targets, counts, width).astype(np.int64)
    both = (preds > 0) & (targets > 0)
    return LabelOverlap(pred_areas[1:], target_areas[1:], preds[both] - 1, targets[both] - 1, counts[both])


def table_from_masks(
    masks: RunMasks | Bool[np.ndarray, "predictions height width"],
    target_labels: Int[np.ndarray, "height width"],
    num_targets: int,
    void: Bool[np.ndarray, "height width"] | None = None,
    cut: Cut | None = None,
) -> MaskOverlap:
    """Shared pixels of masks that may overlap with the labels of a map.

    Args:
        masks: of the predictions.
        target_labels: 0 background, at most `num_targets`.
        num_targets: G.
        void: pixels counted apart; none unless given.
        cut: of `target_labels`, where it is known already.
    """
    if not isinstance(masks, RunMasks):
        masks = runs_of(masks)
    layer, num_codes = _layer_of_labels(target_labels, num_targets, void, masks.is_by_column, cut)
    counts = masks.shared_pixels([layer], num_codes)
    counts[:, 0] = masks.areas - counts[:, 1:].sum(axis=1)
    totals = np.bincount(layer.owners, layer.ends - layer.starts, num_codes).astype(np.int64)
    totals[0] = target_labels.size - totals[1:].sum()
    return _split_void(counts, totals, num_targets)


def table_from_label_map(
    pred_labels: Int[np.ndarray, "height width"],
    num_preds: int,
    target_labels: Int[np.ndarray, "height width"],
    num_targets: int,
    void: Bool[np.ndarray, "height width"] | None = None,
) -> MaskOverlap:
    """The same table of predictions that come as a label map 1..P."""
    num_codes = (num_targets + 1) * (1 if void is None else 2)
    preds, targets = pred_labels.ravel(), target_labels.ravel()
    starts, lengths = segments(preds, targets, *([] if void is None else [void.ravel()]))
    pairs = preds[starts].astype(np.int64) * num_codes + targets[starts]
    if void is not None:
        pairs += (num_targets + 1) * void.ravel()[starts]
    counts = np.bincount(pairs, lengths, (num_preds + 1) * num_codes).astype(np.int64)
    counts = counts.reshape(num_preds + 1, num_codes)
    return _split_void(counts[1:], counts.sum(axis=0), num_targets)


def table_of_disjoint(
    shared: Int64[np.ndarray, "predictions targets"],
    pred_areas: Int64[np.ndarray, " predictions"],
    target_areas: Int64[np.ndarray, " targets"],
) -> MaskOverlap:
    """The same table where it is known already and nothing is void."""
    return MaskOverlap(shared, pred_areas, target_areas, shared, pred_areas, target_areas)


def _layer_of_labels(
    target_labels: Int[np.ndarray, "height width"],
    num_targets: int,
    void: Bool[np.ndarray, "height width"] | None,
    is_by_column: bool,
    cut: Cut | None,
) -> tuple[Runs, int]:
    """Runs of the target labels, plus G + 1 where they are void, without those of the background; and the number of such codes."""
    labels = target_labels.T.ravel() if is_by_column else target_labels.ravel()
    if void is None:
        starts, lengths = segments(labels) if cut is None or is_by_column else cut
        codes, num_codes = labels[starts].astype(np.int64), num_targets + 1
    else:
        apart = void.T.ravel() if is_by_column else void.ravel()
        starts, lengths = segments(labels, apart)
        codes = labels[starts] + (num_targets + 1) * apart[starts].astype(np.int64)
        num_codes = 2 * (num_targets + 1)
    there = codes > 0
    return Runs(starts[there], (starts + lengths)[there], codes[there]), num_codes


def _split_void(
    counts: Int64[np.ndarray, "predictions codes"], totals: Int64[np.ndarray, " codes"], num_targets: int
) -> MaskOverlap:
    valid = counts[:, : num_targets + 1]
    valid_totals = totals[: num_targets + 1]
    if len(totals) == num_targets + 1:
        whole, whole_totals = valid, valid_totals
    else:
        whole, whole_totals = valid + counts[:, num_targets + 1 :], valid_totals + totals[num_targets + 1 :]
    return MaskOverlap(
        intersections=whole[:, 1:],
        pred_areas=whole.sum(axis=1),
        target_areas=whole_totals[1:],
        valid_intersections=valid[:, 1:],
        valid_pred_areas=valid.sum(axis=1),
        valid_target_areas=valid_totals[1:],
    )
