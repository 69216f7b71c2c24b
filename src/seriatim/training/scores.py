"""What a run's validation takes from the result of a protocol: the number that picks the best weights, and others for the log."""

from collections.abc import Callable, Mapping
from statistics import fmean
from typing import Any

Number = Callable[[Mapping[str, Any]], float | None]
"""Takes a number from the result of a protocol (see `metrics`); None where the images hold no target that it could be computed from."""

NUMBERS: dict[str, dict[str, Number]] = {
    "cityscapes": {"score": lambda result: result["AP"]},
    "coco": {"score": lambda result: result["AP50"], "AP": lambda result: result["AP"]},
    "coco_boxes": {"score": lambda result: result["AP50"], "AP": lambda result: result["AP"]},
    "cvppp": {"score": lambda result: result["SBD"]["mean"], "absDiC": lambda result: result["absDiC"]["mean"]},
    "din": {"score": lambda result: result["AP_vol"]},
    "matching_iou": {"score": lambda result: result["mean_iou_foreground"]},
    "nuclei": {"score": lambda result: fmean(result["AP"].values()), "absDiC": lambda result: result["absDiC"]},
    "sds": {"score": lambda result: result["AP_vol"]},
    "semantic_iou": {"score": lambda result: result["mean_iou_foreground"]},
    "voc07": {"score": lambda result: result["AP_vol"]},
}
"""Protocol -> name in the log -> number. `score` picks the best weights; for all protocols a larger score is better."""
