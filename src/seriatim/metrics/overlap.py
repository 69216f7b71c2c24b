"""How many pixels every prediction shares with every target, from one look at the pixels.

Never a loop over pairs of full-size masks: the lengths of the intervals that two masks share are added up for every pair at once.

    RunMasks of predictions and of targets  --overlap_masks-->  Overlap
    two label maps  ------------------overlap_label_maps----->  Overlap
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, Shaped

from seriatim.metrics.runs import RunMasks, join, segments

MAX_CELLS = 1 << 24
"""Pairs up to which shared pixels are counted in a table of all pairs."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """The pairs of a prediction and a target that share pixels.

    Attributes:
        pred_areas: pixels of each prediction 1..P; 0 for an empty one.
        target_areas: pixels of each target 1..G; 0 for an empty one.
        preds: position (label - 1) of the prediction of each pair, ascending.
        targets: position of the target of each pair, ascending for each prediction.
        intersections: pixels shared by each pair, at least 1.
    """

    pred_areas: Int64[np.ndarray, " predictions"]
    target_areas: Int64[np.ndarray, " targets"]
    preds: Int64[np.ndarray, " pairs"]
    targets: Int64[np.ndarray, " pairs"]
    intersections: Int64[np.ndarray, " pairs"]

    @property
    def num_preds(self) -> int:
        """Number of predictions that have a pixel."""
        return int(np.count_nonzero(self.pred_areas))

    @property
    def num_targets(self) -> int:
        """Number of targets that have a pixel."""
        return int(np.count_nonzero(self.target_areas))

    def area_sums(self) -> Int64[np.ndarray, " pairs"]:
        """Pixels of the prediction plus pixels of the target, of each pair."""
        return self.pred_areas[self.preds] + self.target_areas[self.targets]

    def iou(self) -> Float64[np.ndarray, " pairs"]:
        """Intersection over union of each pair: one division of whole numbers, so that 3/5 is the number 0.6."""
        return self.intersections / (self.area_sums() - self.intersections)

    def iou_table(self) -> Float64[np.ndarray, "predictions targets"]:
        """Intersection over union of every prediction with every target.

        >>> overlap_label_maps(np.array([[1, 1, 0]]), 1, np.array([[1, 2, 2]]), 2).iou_table().round(3).tolist()
        [[0.5, 0.333]]
        """
        return self.table(self.iou())

    def table(self, values: Shaped[np.ndarray, " pairs"]) -> Shaped[np.ndarray, "predictions targets"]:
        """The values of the pairs as a table, 0 where nothing is shared."""
        table = np.zeros((len(self.pred_areas), len(self.target_areas)), dtype=values.dtype)
        table[self.preds, self.targets] = values
        return table

    def by_class(
        self, pred_classes: Int64[np.ndarray, " predictions"], target_classes: Int64[np.ndarray, " targets"]
    ) -> "dict[int, Overlap]":
        """Of each class that has a prediction or target with a pixel, the overlap as if there were no other class.

        Args:
            pred_classes: of the predictions 1..P.
            target_classes: of the targets 1..G.

        >>> overlap = overlap_label_maps(np.array([[1, 1, 2, 0]]), 2, np.array([[1, 2, 2, 0]]), 2)
        >>> parts = overlap.by_class(np.array([5, 7]), np.array([5, 5]))
        >>> {class_id: (part.num_preds, part.num_targets, part.intersections.tolist()) for class_id, part in parts.items()}
        {5: (1, 2, [1, 1]), 7: (1, 0, [])}
        """
        parts = {}
        for class_id in np.unique(
            [*pred_classes[self.pred_areas > 0], *target_classes[self.target_areas > 0]]
        ).tolist():
            preds, targets = pred_classes == class_id, target_classes == class_id
            pairs = preds[self.preds] & targets[self.targets]
            parts[class_id] = Overlap(
                np.where(preds, self.pred_areas, 0),
                np.where(targets, self.target_areas, 0),
                self.preds[pairs],
                self.targets[pairs],
                self.intersections[pairs],
            )
        return parts


def overlap_label_maps(
    pred_labels: Int[np.ndarray, "height width"],
    num_preds: int,
    target_labels: Int[np.ndarray, "height width"],
    num_targets: int,
    void: Bool[np.ndarray, "height width"] | None = None,
) -> Overlap:
    """The pairs of labels that share pixels, void pixels taken out of both maps.

    Args:
        pred_labels: 0 background, at most `num_preds`.
        num_preds: P.
        target_labels: 0 background, at most `num_targets`.
        num_targets: G.
        void: pixels to leave out; none unless given.

    >>> overlap = overlap_label_maps(np.array([[1, 1, 0]]), 1, np.array([[1, 2, 2]]), 2)
    >>> overlap.targets.tolist(), overlap.intersections.tolist(), overlap.iou().round(3).tolist()
    ([0, 1], [1, 1], [0.5, 0.333])
    """
    width = num_targets + 1
    preds, targets = pred_labels.ravel(), target_labels.ravel()
    starts, lengths = segments(preds, targets, *([] if void is None else [void.ravel()]))
    if void is not None:
        outside = ~void.ravel()[starts]
        starts, lengths = starts[outside], lengths[outside]
    codes, counts = _sum_by_code(
        preds[starts].astype(np.int64) * width + targets[starts], lengths, (num_preds + 1) * width
    )
    preds, targets = np.divmod(codes, width)
    pred_areas = np.bincount(preds, counts, num_preds + 1).astype(np.int64)
    target_areas = np.bincount(targets, counts, width).astype(np.int64)
    both = (preds > 0) & (targets > 0)
    return Overlap(pred_areas[1:], target_areas[1:], preds[both] - 1, targets[both] - 1, counts[both])


def overlap_masks(preds: RunMasks, targets: RunMasks) -> Overlap:
    """The pairs of masks that share pixels.

    Args:
        preds: P masks, which may overlap.
        targets: G masks of the same image, which may overlap, read along the same direction.

    >>> from seriatim.metrics.runs import runs_of
    >>> preds, targets = np.array([[[True, True, False]]]), np.array([[[True, False, False]], [[False, True, True]]])
    >>> overlap_masks(runs_of(preds), runs_of(targets)).intersections.tolist()
    [1, 1]
    """
    shared, codes = [], []
    for layer in targets.layers:
        mask, other, starts, ends = preds.cut_by(layer)
        shared.append(ends - starts)
        codes.append(mask * targets.count + other)
    pairs, counts = _sum_by_code(join(codes), join(shared), preds.count * targets.count)
    return Overlap(preds.areas, targets.areas, *np.divmod(pairs, max(targets.count, 1)), counts)


def _sum_by_code(
    codes: Int64[np.ndarray, " n"], values: Int64[np.ndarray, " n"], num_codes: int
) -> tuple[Int64[np.ndarray, " codes"], Int64[np.ndarray, " codes"]]:
    """The codes (0..num_codes - 1) that have values, ascending, and the sum of the values (at least 1) of each."""
    if num_codes <= max(MAX_CELLS, codes.size):
        sums = np.bincount(codes, values, minlength=1).astype(np.int64)
        present = np.flatnonzero(sums)
        return present, sums[present]
    present, places = np.unique(codes, return_inverse=True)
    return present, np.bincount(places, values, len(present)).astype(np.int64)
