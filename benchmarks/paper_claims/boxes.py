"""What is measured of a DIN on test images with boxes, over all images, and of the boxes alone.

    AP^r vol        mean of AP^r over the thresholds 0.1 .. 0.9 (protocol `din`)         AP^r low, high    over 0.1 to 0.3, 0.7 to 0.9
    AP^r 0.5, 0.7, 0.9                                                                   Matching IoU    mean over the classes (protocol `matching_iou`)
    semantic IoU    mean over the classes of the IoU of the class of the largest Q with the true class (protocol `semantic_iou`)

These are numbers of a set of images, not means over its images. So of each number there are its value and those of sets of as many images that are drawn from
it; the draws are the same for all models of one set, so that differences are paired.

Boxes are those of the true objects, moved by a tenth of their sides, with false ones among them (`nn/disturbed_boxes.py`). Condition `N false`:
so many false boxes for each true one, on average; `undisturbed`: half a false one, as in training. `N false, boxes alone`: every box is an object that fills it,
and the one of the better score keeps a contested pixel.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from paper_claims.rules import NUM_RESAMPLES

from seriatim.core.batch import Prompts
from seriatim.core.instances import Instance, Instances
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.evaluation.evaluate import make_example
from seriatim.inference.predictor import Predictor
from seriatim.metrics import Evaluator
from seriatim.models.din import DIN, DINOutput, decode
from seriatim.nn.detections import read_detections, true_boxes
from seriatim.nn.disturbed_boxes import disturb_boxes

MEASURES = ("AP^r vol", "AP^r low", "AP^r high", "AP^r 0.5", "AP^r 0.7", "AP^r 0.9", "Matching IoU", "semantic IoU")
BOX_JITTER = 0.1
AS_IN_TRAINING = 0.5
BOXES_ALONE = ", boxes alone"
LOW, HIGH = slice(0, 3), slice(6, 9)
"""Thresholds 0.1, 0.2 and 0.3; 0.7, 0.8 and 0.9."""

Pooled = dict[str, Any]
"""Measure -> `value` of the images, and `drawn`: those of `NUM_RESAMPLES` draws."""


def measure(predictor: Predictor, source: Source, conditions: Sequence[str]) -> dict[str, Pooled]:
    """Condition -> what is measured.

    Args:
        predictor: of a DIN that sees an image in one tile.
        source: the test images.
        conditions: see above.
    """
    network = predictor.network
    assert isinstance(network, DIN)
    found: dict[str, Pooled] = {}
    for condition in conditions:
        instances, classes = Evaluator(["din", "matching_iou"]), Evaluator(["semantic_iou"])
        for index in range(len(source)):
            sample = source.read(index)
            prompts = boxes_of(sample, index, false_boxes(condition), network.num_classes)
            if condition.endswith(BOXES_ALONE):
                instances.add(make_example(sample, fill_boxes(prompts, sample), None))
                continue
            with predictor.evaluating(), predictor.arithmetic():
                image = torch.from_numpy(predictor.prepared(sample.image))
                output = network.segment(network.semantic_logits(image[None])[0], image, prompts)
            size = (image.shape[1], image.shape[2])
            instances.add(make_example(sample, Instances(size, (one for one, _ in decode(output))), None))
            classes.add(make_example(sample, Instances(size, class_regions(output)), None))
        found[condition] = pool(instances, classes)
    return found


def false_boxes(condition: str) -> float:
    """False boxes for each true one.

    >>> false_boxes("2 false"), false_boxes("1 false, boxes alone"), false_boxes("undisturbed")
    (2.0, 1.0, 0.5)
    """
    number, space, _ = condition.partition(" false")
    return float(number) if space else AS_IN_TRAINING


def boxes_of(sample: Sample, index: int, number: float, num_classes: int) -> Prompts:
    """The disturbed boxes of an image; the true ones among them are the same whatever the number of false ones.

    Args:
        sample: the image.
        index: its number, from which the draws follow.
        number: of false boxes for each true one.
        num_classes: of those of false boxes.
    """
    truth = true_boxes(torch.from_numpy(sample.labels).long(), torch.from_numpy(np.asarray(sample.classes)).long())
    size = (sample.labels.shape[0], sample.labels.shape[1])
    return disturb_boxes(truth, size, num_classes, BOX_JITTER, number, torch.Generator().manual_seed(index))


def fill_boxes(prompts: Prompts, sample: Sample) -> Instances:
    """Every box as an object that fills it, the best first."""
    size = (sample.labels.shape[0], sample.labels.shape[1])
    detections = read_detections(prompts, size, int(prompts.class_ids.max()) if len(prompts.class_ids) else 1)
    filled: list[Instance] = []
    for number, score in enumerate(detections.scores.tolist()):
        y0, x0, y1, x1 = box = detections.pixel_box(number)
        mask = np.ones((y1 - y0, x1 - x0), dtype=bool)
        filled.append(Instance(box, mask, min(score, 1.0), int(detections.class_ids[number]), step=number))
    return Instances(size, filled)


def class_regions(output: DINOutput) -> Iterator[Instance]:
    """The pixels of each class according to Q, as one object."""
    best = output.semantic_logits.argmax(dim=0).numpy()
    for class_id in range(1, len(output.semantic_logits)):
        region = Instance.from_mask(best == class_id, class_id=class_id)
        if region is not None:
            yield region


def pool(instances: Evaluator, classes: Evaluator) -> Pooled:
    """The measures of all images; without `semantic IoU` where no image has a segmentation of the classes."""
    values = of_draws(instances, classes, 0)
    drawn = of_draws(instances, classes, NUM_RESAMPLES)
    return {
        key: {"value": round(float(value[0]), 5), "drawn": [round(float(one), 5) for one in drawn[key]]}
        for key, value in values.items()
    }


def of_draws(instances: Evaluator, classes: Evaluator, draws: int) -> dict[str, Float64[np.ndarray, " draws"]]:
    """Measure -> its numbers, one for each draw of the images; for no draw the number of the images themselves."""
    segments, matched = (numbers_of(instances, protocol, draws) for protocol in ("din", "matching_iou"))
    curve = np.stack([np.atleast_1d(value) for value in segments["mAP"]])
    found = {
        "AP^r vol": np.atleast_1d(segments["AP_vol"]),
        "AP^r low": curve[LOW].mean(axis=0),
        "AP^r high": curve[HIGH].mean(axis=0),
        "AP^r 0.5": curve[4],
        "AP^r 0.7": curve[6],
        "AP^r 0.9": curve[8],
        "Matching IoU": np.atleast_1d(matched["mean_iou"]),
    }
    if classes.num_images:
        found["semantic IoU"] = np.atleast_1d(numbers_of(classes, "semantic_iou", draws)["mean_iou"])
    return found


def numbers_of(evaluator: Evaluator, protocol: str, draws: int) -> dict[str, Any]:
    """The headline numbers of a protocol."""
    return evaluator.resampled(protocol, draws) if draws else evaluator.result(protocol)
