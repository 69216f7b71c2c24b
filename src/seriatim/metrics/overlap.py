"""How many pixels each prediction shares with each target, from one count over the pixels.

Never a loop over pairs of full-size masks: label maps are counted with one `np.bincount` of paired labels, and masks that
may overlap with one `np.bincount` of the target labels under each mask.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Int32, Int64, Integer

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


def count_labels(
    labels: Integer[np.ndarray, "height width"] | Bool[np.ndarray, "height width"],
) -> tuple[Int64[np.ndarray, " labels"], Int32[np.ndarray, "height width"]]:
    """The labels other than 0 that occur, ascending, and the same map with them numbered 1, 2, ... without gaps.

    >>> present, dense = count_labels(np.array([[0, 7], [3, 7]]))
    >>> present.tolist(), dense.tolist()
    ([3, 7], [[0, 2], [1, 2]])
    """
    if not labels.size:
        return np.zeros(0, dtype=np.int64), labels.astype(np.int32)
    largest = int(labels.max())
    if largest > min(max(4 * labels.size, 1 << 16), np.iinfo(np.int32).max):
        values, inverse = np.unique(labels, return_inverse=True)
        dense = inverse.reshape(labels.shape).astype(np.int32) + (0 if values[0] == 0 else 1)
        return values[values != 0].astype(np.int64), dense
    places = labels.astype(np.int32, copy=False)
    present = np.flatnonzero(np.bincount(places.ravel(), minlength=1)[1:]) + 1
    if len(present) == largest:
        return present, places
    numbers = np.zeros(largest + 1, dtype=np.int32)
    numbers[present] = np.arange(1, len(present) + 1)
    return present, numbers[places]


def paint_label_map(masks: Bool[np.ndarray, "predictions height width"]) -> Int32[np.ndarray, "height width"]:
    """Label map 1..P of masks in the order emitted; the EARLIER one keeps a contested pixel.

    >>> paint_label_map(np.array([[[True, True, False]], [[False, True, True]]])).tolist()
    [[1, 1, 2]]
    """
    labels = np.zeros(masks.shape[1:], dtype=np.int32)
    for number in range(len(masks), 0, -1):
        labels[masks[number - 1]] = number
    return labels


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
    codes = pred_labels.astype(np.int64) * width + target_labels
    codes = codes.ravel() if void is None else codes[~void]
    if (num_preds + 1) * width <= max(_DENSE_CELLS, codes.size):
        counts = np.bincount(codes, minlength=1)
        pairs = np.flatnonzero(counts)
        counts = counts[pairs]
    else:
        pairs, counts = np.unique(codes, return_counts=True)
    preds, targets = np.divmod(pairs, width)
    pred_areas = np.zeros(num_preds + 1, dtype=np.int64)
    target_areas = np.zeros(width, dtype=np.int64)
    np.add.at(pred_areas, preds, counts)
    np.add.at(target_areas, targets, counts)
    both = (preds > 0) & (targets > 0)
    return LabelOverlap(pred_areas[1:], target_areas[1:], preds[both] - 1, targets[both] - 1, counts[both])


def table_from_masks(
    masks: Bool[np.ndarray, "predictions height width"],
    target_labels: Int[np.ndarray, "height width"],
    num_targets: int,
    void: Bool[np.ndarray, "height width"] | None = None,
) -> MaskOverlap:
    """Shared pixels of masks that may overlap with the labels of a map.

    Args:
        masks: one plane a prediction.
        target_labels: 0 background, at most `num_targets`.
        num_targets: G.
        void: pixels counted apart; none unless given.
    """
    codes, num_codes = _target_codes(target_labels, num_targets, void)
    counts = np.zeros((len(masks), num_codes), dtype=np.int64)
    for row, mask in zip(counts, masks, strict=True):
        row[:] = np.bincount(codes[mask.ravel()], minlength=num_codes)
    return _split_void(counts, np.bincount(codes, minlength=num_codes), num_targets)


def table_from_label_map(
    pred_labels: Int[np.ndarray, "height width"],
    num_preds: int,
    target_labels: Int[np.ndarray, "height width"],
    num_targets: int,
    void: Bool[np.ndarray, "height width"] | None = None,
) -> MaskOverlap:
    """The same table of predictions that come as a label map 1..P."""
    codes, num_codes = _target_codes(target_labels, num_targets, void)
    pairs = pred_labels.ravel().astype(np.int64) * num_codes + codes
    counts = np.bincount(pairs, minlength=(num_preds + 1) * num_codes).reshape(num_preds + 1, num_codes)
    return _split_void(counts[1:], counts.sum(axis=0), num_targets)


def _target_codes(
    target_labels: Int[np.ndarray, "height width"],
    num_targets: int,
    void: Bool[np.ndarray, "height width"] | None,
) -> tuple[Int[np.ndarray, " pixels"], int]:
    """Target label of each pixel, plus G + 1 where it is void; and the number of such codes."""
    codes = target_labels.ravel()
    if void is None:
        return codes, num_targets + 1
    return codes + (num_targets + 1) * void.ravel().astype(np.int32), 2 * (num_targets + 1)


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
