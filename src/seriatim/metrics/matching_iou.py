"""Protocol `matching_iou`: semantic IoU counted only over the pixels of matched instances.

Predictions are taken as a label map in which the EARLIER one keeps a contested pixel; void pixels are removed from both maps. In each
image, predicted and target segments are matched one to one with the largest total weight, the weight of a pair being its IoU if the
classes agree and 0 otherwise; among matchings of equal weight the one that shares more pixels holds. Then, over the data set,
`IoU_c = TP_c / (P_c + G_c - TP_c)`: pixels shared by matched segments of class c, and pixels of class c predicted and true. Background is
class 0 and is shared where both maps have it. Scores play no part; a crowd is an object like any other.

This is the variant whose sums run over the data set before the division; one that averages over images differs.

Result: as `semantic_iou`: `per_class` {class: IoU, or None without a true pixel}, background as 0 among them; `mean_iou` over the classes
with true pixels, background included; `mean_iou_foreground` without it. None where nothing is to be averaged. Classes are numbered from 1.

Source: Arnab and Torr, "Pixelwise instance segmentation with a dynamically instantiated network", CVPR 2017, Secs. 3.4 and 4.2; no program
of it is public.

>>> from seriatim.metrics import evaluate
>>> example = Example.from_label_maps(np.array([[1, 1, 1, 2, 0, 0]]), np.array([[1, 1, 2, 2, 0, 0]]))
>>> evaluate([example], "matching_iou")["per_class"]  # (2 + 1) / (4 + 4 - 3)
{0: 1.0, 1: 0.6}
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from seriatim.metrics.example import Example
from seriatim.metrics.scoring import Scoring
from seriatim.metrics.semantic_iou import ClassIoU, ClassPixels, rate_classes

_TIE_BREAK = 1e-9


def _tabulate(example: Example) -> ClassPixels:
    overlap = example.label_overlap
    agree = example.pred_classes[overlap.preds] == example.target_classes[overlap.targets]
    pixels = overlap.table(np.where(agree, overlap.intersections, 0))
    weights = overlap.table(np.where(agree, overlap.iou(), 0.0))
    weights += _TIE_BREAK * pixels / max(example.size[0] * example.size[1], 1)
    preds, targets = linear_sum_assignment(weights, maximize=True)
    return ClassPixels.of(example, example.target_classes[targets], pixels[preds, targets])


MATCHING_IOU = Scoring(_tabulate, ClassIoU, rate_classes)
