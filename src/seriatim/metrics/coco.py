"""Protocol `coco`: pycocotools' own evaluator on the shared overlap table, so that no polygon or run-length code is read."""

import contextlib
import io
from collections import defaultdict
from collections.abc import Sequence
from itertools import count
from typing import Any

import numpy as np
from pycocotools.cocoeval import COCOeval

from seriatim.metrics.example import Example

KEYS = (
    "AP",
    "AP50",
    "AP75",
    "AP_small",
    "AP_medium",
    "AP_large",
    "AR1",
    "AR10",
    "AR100",
    "AR_small",
    "AR_medium",
    "AR_large",
)
"""The twelve numbers in the order in which pycocotools prints them."""


def evaluate_coco(examples: Sequence[Example]) -> dict[str, float]:
    """The twelve numbers of the COCO program for masks.

    AP is the mean over IoU 0.5:0.05:0.95 of the precision at 101 recalls, then over the classes with targets; AR the mean
    over the same IoU of the highest recall with at most 1, 10 or 100 predictions of a class an image. A match has IoU >=
    threshold; a crowd may be matched by many predictions, whose IoU with it is the share of their own pixels, and those
    count neither way. Small is up to 32 x 32 pixels, large from 96 x 96 on.

    Predictions may overlap and count at full extent; an empty one is wrong. Void plays no part.

    Args:
        examples: at least one.

    Returns:
        The keys of `KEYS`. A number that no target bears on is -1, as that program has it.

    Source:
        Lin et al., "Microsoft COCO: common objects in context", ECCV 2014, and pycocotools' `COCOeval`, which does the
        matching, the accumulation and the means. It is given the IoU from our overlap table instead of run-length codes;
        its own library crashes on damaged ones. Objects are numbered from 1, since 0 means "unmatched" there.

    >>> target = np.array([[1, 1, 0, 2]])
    >>> scores = evaluate_coco([Example(target, [1, 1], pred_masks=(target == 1)[None])])
    >>> round(scores["AP"], 4), scores["AR100"], scores["AP_large"]  # 51 of 101 recalls are reached
    (0.505, 0.5, -1.0)
    """
    evaluator = _TableEvaluator(examples)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return {key: float(value) for key, value in zip(KEYS, evaluator.stats, strict=True)}


class _TableEvaluator(COCOeval):
    """pycocotools' evaluator, fed with areas and IoU instead of COCO files."""

    _gts: defaultdict[tuple[int, int], list[dict[str, Any]]]
    _dts: defaultdict[tuple[int, int], list[dict[str, Any]]]

    def __init__(self, examples: Sequence[Example]) -> None:
        super().__init__(iouType="segm")
        self._examples = examples
        classes = [np.union1d(example.target_classes, example.pred_classes) for example in examples]
        self.params.imgIds = list(range(1, len(examples) + 1))
        self.params.catIds = np.unique(np.concatenate(classes)).tolist()

    def _prepare(self) -> None:
        self._gts, self._dts = defaultdict(list), defaultdict(list)
        target_ids, pred_ids = count(1), count(1)
        for image_id, example in enumerate(self._examples, start=1):
            areas = example.overlap.target_areas.tolist()
            crowds = example.target_crowd.tolist()
            for index, class_id in enumerate(example.target_classes.tolist()):
                target = {"id": next(target_ids), "area": areas[index], "index": index}
                self._gts[image_id, class_id].append({**target, "iscrowd": crowds[index], "ignore": crowds[index]})
            areas = example.overlap.pred_areas.tolist()
            scores = example.pred_scores.tolist()
            for index, class_id in enumerate(example.pred_classes.tolist()):
                pred = {"id": next(pred_ids), "area": areas[index], "index": index, "score": scores[index]}
                self._dts[image_id, class_id].append(pred)

    def computeIoU(self, imgId: Any, catId: Any) -> Any:  # noqa: N802, N803
        """IoU of the best-scored predictions of a class in an image with its targets; the name is pycocotools'."""
        targets, preds = self._gts[imgId, catId], self._dts[imgId, catId]
        if not targets or not preds:
            return []
        order = np.argsort([-pred["score"] for pred in preds], kind="stable")[: self.params.maxDets[-1]]
        rows = [preds[position]["index"] for position in order]
        columns = [target["index"] for target in targets]
        overlap = self._examples[imgId - 1].overlap
        shared = overlap.intersections[np.ix_(rows, columns)]
        pred_areas = overlap.pred_areas[rows][:, None]
        unions = pred_areas + overlap.target_areas[columns] - shared
        crowd = np.array([target["iscrowd"] for target in targets])
        return shared / np.maximum(np.where(crowd, pred_areas, unions), 1)
