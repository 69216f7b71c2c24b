"""What is measured of a model on test images, image by image, undisturbed and under interventions.

    AP50        TP / (TP + FP + FN) at IoU 0.5 of one image (protocol `nuclei`)
    SBD         of one image (protocol `cvppp`)
    IoU         mean over the objects of the IoU with the mask that the best assignment gives them
    recall      share of the objects that some mask covers with an IoU above 0.5 (protocol `proposals`)
    predicted   number of objects found           true   number of objects
    -|DiC|      minus the absolute difference of the two, so that larger is better

Conditions beside those of `seriatim analyse recurrence`: `N proposals` takes the masks of N steps, whatever the stop signal says and however they overlap
(RSIS Sec. 4.5); `votes alone` takes a guided model's dense maps and no step of its network. `true count` is the one in which every step counts and the
sequence has as many steps as there are objects, so that its scores are those of the masks alone.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from seriatim.analysis.emitted import as_emitted
from seriatim.analysis.recurrence import STOP_FORCED, TRUE_COUNT, UNDISTURBED, EncodeOnce, make_disturbed
from seriatim.core.boxes import Boxes
from seriatim.core.instances import Instance, Instances
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.evaluation.evaluate import make_example
from seriatim.inference.predictor import Predictor
from seriatim.metrics import Evaluator, Example
from seriatim.models.guidance import OFFSET_UNIT
from seriatim.models.sequential import SequentialModel
from seriatim.nn.detections import true_boxes
from seriatim.nn.disturbed_boxes import disturb_boxes

MEASURES = ("AP50", "SBD", "IoU", "recall", "predicted", "true", "-|DiC|")
VOTES_ALONE = "votes alone"
PROPOSALS = 4
"""Of each object, beside as many false ones, for a model that takes boxes."""

PROPOSAL_JITTER = 0.2
"""Standard deviation by which their edges are moved, in heights or widths of the box: as in training."""

FOREGROUND = 0.5
"""Cells of at least this probability vote."""

PerImage = dict[str, list[float]]
"""Measure -> the value of every image."""


def measure(predictor: Predictor, source: Source, conditions: Sequence[str]) -> dict[str, PerImage]:
    """Condition -> what is measured of every image with at least two objects.

    Args:
        predictor: of a sequential model, or one that takes boxes, that sees an image in one tile.
        source: the test images.
        conditions: of `seriatim.analysis.recurrence`, and `VOTES_ALONE`.
    """
    found: dict[str, PerImage] = {name: {key: [] for key in MEASURES} for name in conditions}
    for sample, results in find(predictor, source, conditions):
        for name, instances in results.items():
            for key, value in numbers_of(sample, instances).items():
                found[name][key].append(value)
    return found


def find(
    predictor: Predictor, source: Source, conditions: Sequence[str]
) -> Iterator[tuple[Sample, Mapping[str, Instances]]]:
    """Every image with at least two objects, and condition -> the objects found in it."""
    network = predictor.network
    if network.takes_boxes:
        yield from find_from_boxes(predictor, source)
        return
    assert isinstance(network, SequentialModel)
    encoder = EncodeOnce(network)
    disturbed = {name: one for name, one in make_disturbed(encoder).items() if name in conditions}
    users = {name: Predictor(one, predictor.description) for name, one in disturbed.items()}
    for name in conditions:
        if proposals := re.fullmatch(r"(\d+) proposals", name):
            model = make_disturbed(encoder)[STOP_FORCED]
            model.config = model.config.model_copy(update={"max_steps": int(proposals[1])})
            users[name] = as_emitted(Predictor(model, predictor.description))
    for index in range(len(source)):
        sample = source.read(index)
        if len(sample.classes) < 2:
            continue
        encoder.forget()
        if TRUE_COUNT in users:
            model = disturbed[TRUE_COUNT]
            model.config = model.config.model_copy(update={"max_steps": len(sample.classes)})
        results = {name: users[name].predict_values(sample.image) for name in conditions if name in users}
        if VOTES_ALONE in conditions:
            results[VOTES_ALONE] = find_by_votes(predictor, sample)
        yield sample, results


def find_from_boxes(predictor: Predictor, source: Source) -> Iterator[tuple[Sample, Mapping[str, Instances]]]:
    """The same of a model that takes boxes, undisturbed: from proposals made of the true boxes, drawn from the number of the image alone."""
    for index in range(len(source)):
        sample = source.read(index)
        if len(sample.classes) >= 2:
            yield sample, {UNDISTURBED: predictor.predict_values(sample.image, boxes=proposals_of(sample, index))}


def proposals_of(sample: Sample, seed: int) -> Boxes:
    """`PROPOSALS` moved copies of every true box and as many false boxes.

    Args:
        sample: with objects.
        seed: of the draws.
    """
    size = (sample.labels.shape[0], sample.labels.shape[1])
    truth = true_boxes(torch.from_numpy(sample.labels.astype(np.int64)), torch.ones(len(sample.classes)).long())
    generator = torch.Generator().manual_seed(seed)
    made = disturb_boxes(truth, size, 1, PROPOSAL_JITTER, float(PROPOSALS), generator, PROPOSALS)
    return Boxes.of(made.boxes.numpy(), made.scores.clamp(0, 1).numpy(), made.class_ids.numpy()).clip(size)


def numbers_of(sample: Sample, found: Instances) -> dict[str, float]:
    """The measures of one image."""
    example = make_example(sample, found, None)
    evaluator = Evaluator(["nuclei", "cvppp"])
    evaluator.add(example)
    predicted, true = float(len(found)), float(len(sample.classes))
    return {
        "AP50": float(evaluator.result("nuclei")["AP"][0.5]),
        "SBD": float(evaluator.result("cvppp")["SBD"]["mean"]),
        "IoU": mean_iou(example),
        "recall": recall(example),
        "predicted": predicted,
        "true": true,
        "-|DiC|": -abs(predicted - true),
    }


def mean_iou(example: Example) -> float:
    """Mean over the objects of the IoU with the predictions that the best one-to-one assignment gives them; 0 for those without."""
    table = example.valid_overlap.iou_table()
    if not table.size:
        return 0.0
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / table.shape[1])


def recall(example: Example) -> float:
    """Share of the objects whose best IoU with a prediction is above 0.5."""
    table = example.valid_overlap.iou_table()
    return float((table.max(axis=0, initial=0.0) > 0.5).mean())


@torch.inference_mode()
def find_by_votes(predictor: Predictor, sample: Sample) -> Instances:
    """The objects that a guided model's dense maps give without the sequence: from the best seed down, the cells whose votes lie within a radius of the seed's.

    Args:
        predictor: of a guided model.
        sample: the image.
    """
    network = predictor.network
    assert isinstance(network, SequentialModel)
    assert network.config.guidance is not None
    prepared = predictor.prepared(sample.image)
    with predictor.evaluating():
        memory: Any = network.encode(torch.from_numpy(prepared)[None]).guidance
    maps = memory.maps
    left = (memory.seed_probs * (maps.foreground_logits.sigmoid() >= FOREGROUND))[0].clone()
    votes, diameters = memory.votes[-1][0], OFFSET_UNIT * 2 ** maps.log2_diameters[0].clamp(-2, 5)
    size = (sample.labels.shape[0], sample.labels.shape[1])
    found: list[Instance] = []
    while len(found) < network.config.max_steps and float(left.max()) >= network.config.guidance.seed_threshold:
        cell = np.unravel_index(int(left.argmax()), left.shape)
        apart = (votes - votes[:, cell[0], cell[1]][:, None, None]).norm(dim=0)
        mask = (apart <= diameters[cell] / 2) & (left > 0)
        mask[cell] = True
        left[mask] = 0
        whole = torch.nn.functional.interpolate(mask[None, None].float(), size=size, mode="nearest-exact")
        instance = Instance.from_mask(whole[0, 0].bool().numpy(), class_id=1, step=len(found))
        if instance is not None:
            found.append(instance)
    return Instances(size, found)


def scores_over(of_seeds: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of every measure over the seeds and, where it is one of each image, over the images."""
    return {key: round(float(np.mean([mean_of(one[key]) for one in of_seeds])), 4) for key in of_seeds[0]}


def mean_of(measured: Any) -> float:
    """The number of a measure: of all images at once, or the mean over them."""
    return float(measured["value"] if isinstance(measured, Mapping) else np.mean(measured))
