"""Protocol `semantic_iou`: intersection over union of classes, objects not told apart.

Predictions are taken as a label map in which the EARLIER one keeps a contested pixel; void pixels are removed from both maps. Every object
gives its pixels to its class; background is class 0. Then, over the data set, `IoU_c = TP_c / (P_c + G_c - TP_c)`: pixels of class c both
predicted and true, predicted, and true. Scores play no part; a crowd is an object like any other.

Result: `per_class` {class: IoU, or None without a true pixel}, background as 0 among them; `mean_iou` over the classes with true pixels,
background included; `mean_iou_foreground` without it. None where nothing is to be averaged. Classes are numbered from 1.

Source: Everingham et al., "The PASCAL visual object classes challenge: a retrospective", IJCV 111(1), 2015, Sec. 4.

>>> from seriatim.metrics import evaluate
>>> example = Example.from_label_maps(np.array([[1, 2, 0, 0]]), np.array([[1, 0, 0, 2]]), pred_classes=[1, 2])
>>> scores = evaluate([example], "semantic_iou")
>>> scores["per_class"], round(scores["mean_iou"], 4)
({0: 0.3333333333333333, 1: 0.5, 2: None}, 0.4167)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from seriatim.core.errors import DataError
from seriatim.metrics.example import Example
from seriatim.metrics.scoring import Scoring, Weights, known, mean_known, quality_or, ratio


@dataclass(frozen=True)
class ClassPixels:
    """Pixels of each class of one image, 0 being the background: shared, predicted and true; a class may be missing."""

    shared: dict[int, int]
    predicted: dict[int, int]
    true: dict[int, int]

    @classmethod
    def of(
        cls, example: Example, classes: Int64[np.ndarray, " pairs"], shared: Int64[np.ndarray, " pairs"]
    ) -> "ClassPixels":
        """The pixels of an image of which these pairs of objects share some.

        Args:
            example: the image.
            classes: class of each pair.
            shared: pixels that the pair shares.

        Raises:
            DataError: if a target or prediction has class 0.
        """
        if (example.target_classes == 0).any() or (example.pred_classes == 0).any():
            raise DataError("class 0 is the background; number classes from 1")
        overlap = example.label_overlap
        num_pixels = example.size[0] * example.size[1] - (0 if example.void is None else int(example.void.sum()))
        num_pred, num_true = int(overlap.pred_areas.sum()), int(overlap.target_areas.sum())
        num_shared = num_pixels - num_pred - num_true + int(overlap.intersections.sum())
        return cls(
            shared={0: num_shared, **_sums(classes, shared)},
            predicted={0: num_pixels - num_pred, **_sums(example.pred_classes, overlap.pred_areas)},
            true={0: num_pixels - num_true, **_sums(example.target_classes, overlap.target_areas)},
        )


def _sums(classes: Int64[np.ndarray, " n"], pixels: Int64[np.ndarray, " n"]) -> dict[int, int]:
    present, places = np.unique(classes, return_inverse=True)
    return dict(zip(present.tolist(), np.bincount(places, pixels).astype(np.int64).tolist(), strict=True))


def _tabulate(example: Example) -> ClassPixels:
    overlap = example.label_overlap
    classes = example.target_classes[overlap.targets]
    agree = example.pred_classes[overlap.preds] == classes
    return ClassPixels.of(example, classes[agree], overlap.intersections[agree])


class ClassIoU:
    """The intersection over union of every class over all images."""

    def __init__(self, tables: Sequence[ClassPixels]) -> None:
        """
        Args:
            tables: of the images.
        """
        self._classes = sorted(set().union(*({*table.predicted, *table.true} for table in tables)))
        self._shared, self._predicted, self._true = (
            np.array([[of_image.get(class_id, 0) for class_id in self._classes] for of_image in column], dtype=float)
            for column in zip(*((table.shared, table.predicted, table.true) for table in tables), strict=True)
        )

    def result(self) -> dict[str, Any]:
        """As the protocol `semantic_iou` has it."""
        weights = np.ones((1, len(self._true)))
        iou = self._iou(weights)[0].tolist()
        return {
            **{key: known(values[0]) for key, values in self.resample(weights).items()},
            "per_class": dict(zip(self._classes, map(known, iou), strict=True)),
        }

    def resample(self, weights: Weights) -> dict[str, Any]:
        """`mean_iou` and `mean_iou_foreground`."""
        iou = self._iou(weights).T
        return {"mean_iou": mean_known(iou), "mean_iou_foreground": mean_known(iou[1:])}

    def _iou(self, weights: Weights) -> Float64[np.ndarray, "resamples classes"]:
        shared, predicted, true = (weights @ counts for counts in (self._shared, self._predicted, self._true))
        return np.where(true > 0, ratio(shared, predicted + true - shared), np.nan)


def rate_classes(table: ClassPixels) -> dict[str, Any]:
    """The numbers of one image; its quality is its IoU over the classes that are in it, without background."""
    result = ClassIoU([table]).result()
    quality = quality_or(result["mean_iou_foreground"], len(table.predicted) - 1)
    return {"quality": quality, "mean_iou": result["mean_iou"], "mean_iou_foreground": result["mean_iou_foreground"]}


SEMANTIC_IOU = Scoring(_tabulate, ClassIoU, rate_classes)
