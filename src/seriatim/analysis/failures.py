"""`sort_failures`: every prediction and every target of an image in exactly one kind of success or failure.

Source: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (arXiv:1511.08250), appendix C, has three kinds: joined (Fig. 11), missed
(Fig. 12), hallucinated (Fig. 13). The others, and the formulas, are ours. numpy only; torch is not needed to sort label maps.

With I the pixels that prediction P and target T share, |P| and |T| their pixels, without those that are ignored:

    P matches T      2 I >= |P| + |T| - I (IoU of at least 1/2), and neither has another partner with such an IoU
    P covers T       2 I >= |T|
    P lies in T      2 I > |P|, so in at most one

The first line that fits decides.

    prediction      right          it matches a target
                    joined         it covers two or more targets
                    duplicated     it lies in a target that is right
                    split          it lies in a target that is split
                    hallucinated   more than half of it is background, and it covers no target
                    inexact        it touches targets, but none of the above: much too large, too small, or beside one
    target          right          a prediction matches it
                    joined         a prediction covers it and at least one other target
                    split          two or more predictions, neither right nor joined, lie in it and together cover at least half of it
                    missed         no prediction covers it or lies in it
                    inexact        a prediction covers it or lies in it, but none of the above

Labels play no part, only pixels, so that renumbering objects changes nothing. An IoU of exactly 1/2 with two partners arises only where a
target is cut into two halves, or two targets of one size are filled by one mask: such objects are split and joined, not right.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, Integer, Shaped
from scipy import ndimage

from seriatim.core.errors import ShapeError
from seriatim.core.shapes import Box, check_label_map
from seriatim.metrics.overlap import Overlap, overlap_label_maps
from seriatim.metrics.runs import count_labels

TARGET_KINDS = ("right", "joined", "split", "inexact", "missed")
"""Kinds of targets."""

PRED_KINDS = ("right", "joined", "split", "duplicated", "inexact", "hallucinated")
"""Kinds of predictions."""

FAILURES = ("joined", "split", "duplicated", "missed", "hallucinated", "inexact")
"""Kinds of failures, the order in which they are shown."""


@dataclass(frozen=True, eq=False)
class Failures:
    """The kind of every prediction and every target of an image.

    Labels all of whose pixels are ignored are left out.

    Attributes:
        target_labels: the targets' labels, ascending.
        target_kinds: of each, one of `TARGET_KINDS`.
        pred_labels: the predictions' labels, ascending.
        pred_kinds: of each, one of `PRED_KINDS`.
        overlap: of the pairs that share pixels, by their positions in these arrays.
    """

    target_labels: Int64[np.ndarray, " targets"]
    target_kinds: Shaped[np.ndarray, " targets"]
    pred_labels: Int64[np.ndarray, " predictions"]
    pred_kinds: Shaped[np.ndarray, " predictions"]
    overlap: Overlap

    def target_counts(self) -> dict[str, int]:
        """Number of targets of every kind; they add up to the number of targets."""
        return {kind: int(np.count_nonzero(self.target_kinds == kind)) for kind in TARGET_KINDS}

    def pred_counts(self) -> dict[str, int]:
        """Number of predictions of every kind; they add up to the number of predictions."""
        return {kind: int(np.count_nonzero(self.pred_kinds == kind)) for kind in PRED_KINDS}


@dataclass(frozen=True, slots=True)
class Case:
    """One failure with all that take part in it.

    Attributes:
        kind: one of `FAILURES`.
        box: (y0, x0, y1, x1), half-open, around all of them.
        targets: labels of the targets that take part.
        preds: labels of the predictions that take part.
    """

    kind: str
    box: Box
    targets: tuple[int, ...]
    preds: tuple[int, ...]

    @property
    def area(self) -> int:
        """Pixels of the box."""
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


def sort_failures(
    target_labels: Integer[np.ndarray, "height width"],
    pred_labels: Integer[np.ndarray, "_ _"],
    ignore: Bool[np.ndarray, "height width"] | None = None,
) -> Failures:
    """Every prediction and every target in exactly one kind; the formulas stand at the top of this module.

    Args:
        target_labels: 0 background, any positive labels.
        pred_labels: the same.
        ignore: pixels that count for nothing, taken out of both maps; None unless given.

    Raises:
        ShapeError: if these are no label maps of one size.

    >>> truth = np.array([[1, 1, 0, 2, 2, 0, 3]])
    >>> found = np.array([[1, 1, 0, 0, 0, 2, 0]])
    >>> sorted_out = sort_failures(truth, found)
    >>> sorted_out.target_kinds.tolist(), sorted_out.pred_kinds.tolist()
    (['right', 'missed', 'missed'], ['right', 'hallucinated'])
    """
    check_label_map(target_labels, "target_labels")
    check_label_map(pred_labels, "pred_labels")
    if target_labels.shape != pred_labels.shape:
        raise ShapeError(f"pred_labels: {pred_labels.shape}, but target_labels: {target_labels.shape}; they must agree")
    if ignore is not None:
        target_labels, pred_labels = np.where(ignore, 0, target_labels), np.where(ignore, 0, pred_labels)
    targets, dense_targets, _ = count_labels(target_labels)
    preds, dense_preds, _ = count_labels(pred_labels)
    overlap = overlap_label_maps(dense_preds, len(preds), dense_targets, len(targets))
    target_kinds, pred_kinds = _kinds(overlap)
    return Failures(targets, target_kinds, preds, pred_kinds, overlap)


def _kinds(
    overlap: Overlap,
) -> tuple[Shaped[np.ndarray, " targets"], Shaped[np.ndarray, " predictions"]]:
    preds, targets, shared = overlap.preds, overlap.targets, overlap.intersections
    num_preds, num_targets = len(overlap.pred_areas), len(overlap.target_areas)
    right = _matching_pairs(overlap)
    right_pred, right_target = _named(preds[right], num_preds), _named(targets[right], num_targets)
    covers, lies_in = _covers(overlap), _lies_in(overlap)

    num_covered = np.bincount(preds[covers], minlength=num_preds)
    joins = num_covered >= 2
    joined_pred = joins & ~right_pred
    joined_target = _named(targets[covers & joins[preds]], num_targets) & ~right_target

    free_pred = ~right_pred & ~joined_pred
    duplicated = _named(preds[lies_in & right_target[targets]], num_preds) & free_pred
    part = lies_in & free_pred[preds] & ~(right_target | joined_target)[targets]
    num_parts = np.bincount(targets[part], minlength=num_targets)
    share = np.bincount(targets[part], weights=shared[part], minlength=num_targets)
    split_target = (num_parts >= 2) & (2 * share >= overlap.target_areas)
    split_pred = _named(preds[part & split_target[targets]], num_preds)

    on_targets = np.bincount(preds, weights=shared, minlength=num_preds)
    hallucinated = (2 * on_targets < overlap.pred_areas) & (num_covered == 0)
    held = _named(targets[covers | lies_in], num_targets)
    target_kinds = np.select([right_target, joined_target, split_target, ~held], _TARGET_CHOICES, "inexact")
    pred_kinds = np.select([right_pred, joined_pred, duplicated, split_pred, hallucinated], _PRED_CHOICES, "inexact")
    return target_kinds, pred_kinds


_TARGET_CHOICES = [np.array(kind) for kind in ("right", "joined", "split", "missed")]
_PRED_CHOICES = [np.array(kind) for kind in ("right", "joined", "duplicated", "split", "hallucinated")]


def _matching_pairs(overlap: Overlap) -> Bool[np.ndarray, " pairs"]:
    half = 3 * overlap.intersections >= overlap.area_sums()
    partners_of_pred = np.bincount(overlap.preds[half], minlength=len(overlap.pred_areas))
    partners_of_target = np.bincount(overlap.targets[half], minlength=len(overlap.target_areas))
    return half & (partners_of_pred[overlap.preds] == 1) & (partners_of_target[overlap.targets] == 1)


def _covers(overlap: Overlap) -> Bool[np.ndarray, " pairs"]:
    return 2 * overlap.intersections >= overlap.target_areas[overlap.targets]


def _lies_in(overlap: Overlap) -> Bool[np.ndarray, " pairs"]:
    return 2 * overlap.intersections > overlap.pred_areas[overlap.preds]


def _named(positions: Int64[np.ndarray, " named"], count: int) -> Bool[np.ndarray, " objects"]:
    """Of `count` objects, which stand in the list."""
    chosen = np.zeros(count, dtype=bool)
    chosen[positions] = True
    return chosen


def find_cases(
    failures: Failures,
    target_labels: Integer[np.ndarray, "height width"],
    pred_labels: Integer[np.ndarray, "height width"],
) -> list[Case]:
    """The failures of an image, each with all that take part in it, by kind as in `FAILURES`, then by label.

    A mask over several targets is one case, and so is a target with its parts. A target that is inexact stands with the inexact
    prediction that covers it or lies in it, if there is one. Every prediction and target that is not right is in at least one case.

    Args:
        failures: of `sort_failures`.
        target_labels: the label maps that were sorted.
        pred_labels: the label maps that were sorted.
    """
    overlap = failures.overlap
    boxes = (_boxes(target_labels, failures.target_labels), _boxes(pred_labels, failures.pred_labels))
    of_pred, of_target = failures.pred_kinds, failures.target_kinds
    covers, lies_in, matches = _covers(overlap), _lies_in(overlap), _matching_pairs(overlap)
    pairs_of_pred = _grouped(overlap.preds, len(of_pred))
    pairs_of_target = _grouped(overlap.targets, len(of_target))
    found: list[tuple[str, list[int], list[int]]] = []
    for pred in np.flatnonzero(np.bincount(overlap.preds[covers], minlength=len(of_pred)) >= 2):
        pairs = pairs_of_pred[pred]
        targets = overlap.targets[pairs[covers[pairs]]]
        if of_pred[pred] == "joined" or (of_target[targets] == "joined").any():
            found.append(("joined", targets.tolist(), [int(pred)]))
    for target in np.flatnonzero(of_target == "split"):
        pairs = pairs_of_target[target]
        parts = overlap.preds[pairs[lies_in[pairs]]]
        found.append(("split", [int(target)], parts[of_pred[parts] == "split"].tolist()))
    for pred in np.flatnonzero(of_pred == "duplicated"):
        pairs = pairs_of_pred[pred]
        [target] = overlap.targets[pairs[lies_in[pairs]]].tolist()
        mates = pairs_of_target[target]
        found.append(("duplicated", [target], [*overlap.preds[mates[matches[mates]]].tolist(), int(pred)]))
    found.extend(("missed", [int(target)], []) for target in np.flatnonzero(of_target == "missed"))
    found.extend(("hallucinated", [], [int(pred)]) for pred in np.flatnonzero(of_pred == "hallucinated"))
    near = covers | lies_in
    told = np.zeros(len(of_target), dtype=bool)
    for pred in np.flatnonzero(of_pred == "inexact"):
        pairs = pairs_of_pred[pred]
        targets = overlap.targets[pairs[near[pairs]]]
        told[targets] = True
        found.append(("inexact", targets.tolist(), [int(pred)]))
    for target in np.flatnonzero((of_target == "inexact") & ~told):
        pairs = pairs_of_target[target]
        found.append(("inexact", [int(target)], overlap.preds[pairs[near[pairs]]].tolist()))
    return [_case(failures, boxes, *one) for one in found]


def _case(
    failures: Failures, boxes: tuple[list[Box], list[Box]], kind: str, targets: list[int], preds: list[int]
) -> Case:
    around = [*(boxes[0][one] for one in targets), *(boxes[1][one] for one in preds)]
    tops, lefts, bottoms, rights = zip(*around, strict=True)
    return Case(
        kind,
        (min(tops), min(lefts), max(bottoms), max(rights)),
        tuple(int(failures.target_labels[one]) for one in targets),
        tuple(int(failures.pred_labels[one]) for one in preds),
    )


def _grouped(owners: Int64[np.ndarray, " pairs"], count: int) -> list[np.ndarray]:
    """The positions of the pairs of every owner."""
    order = np.argsort(owners, kind="stable")
    return np.split(order, np.cumsum(np.bincount(owners, minlength=count))[:-1])


def _boxes(labels: Integer[np.ndarray, "height width"], wanted: Int64[np.ndarray, " objects"]) -> list[Box]:
    """The box of every label wanted, all of which occur."""
    if not len(wanted):
        return []
    present, dense, _ = count_labels(labels)
    windows = ndimage.find_objects(dense)
    chosen = [windows[position] for position in np.searchsorted(present, wanted)]
    return [(rows.start, columns.start, rows.stop, columns.stop) for rows, columns in chosen]
