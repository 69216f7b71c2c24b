"""Scores of a model, or of predictions of any program, under the official protocols.

Of every image only the tables of the protocols (`metrics.Evaluator`) and, for a report, its predictions as run-length codes are kept; no image
and no label map stays in memory.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from seriatim.core.errors import ConfigError, DataError
from seriatim.core.instances import Instances
from seriatim.core.progress import Progress
from seriatim.data.samples import Sample
from seriatim.data.source import Source, WholeTruth
from seriatim.evaluation.predictions import (
    ModelPredictions,
    PredictionSource,
    check_class_ids,
    match_classes,
)
from seriatim.metrics import Evaluator, Example

if TYPE_CHECKING:
    from seriatim.inference.predictor import Predictor  # predictions of others are evaluated without importing torch


CLASS_BY_CLASS = ("cityscapes", "coco", "coco_boxes", "sds", "voc07")
"""Protocols that rank the masks of each class by themselves and take masks that overlap."""


@dataclass(frozen=True)
class Evaluation:
    """The scores of a data set.

    Attributes:
        indices: numbers of the images in the data set, in the order of evaluation: that of the data set, but in a COCO file
            that of the ids, as in pycocotools, since the order decides between equal scores.
        names: of the images.
        scores: protocol -> the result that its function in `metrics` documents; `per_image`, a list of {`name`, `quality`, numbers of
            the protocol, `targets`, `predictions`}; and, if asked for, `interval`, the 95 % interval under the keys of the headline numbers.
        num_targets: objects of each image.
        num_preds: predictions of each image.
        class_names: of the data set, from class 1.
        judges_classes: whether a prediction had to be of the right class; False if the predictions have no classes, or
            none of the data set: then all objects count as one class.
        kept: predictions of each image as COCO annotations, if asked for.
    """

    indices: list[int]
    names: list[str]
    scores: dict[str, dict[str, Any]]
    num_targets: list[int]
    num_preds: list[int]
    class_names: tuple[str, ...]
    judges_classes: bool
    kept: list[list[dict[str, Any]]] = field(default_factory=list)


def evaluate_model(
    predictor: "Predictor", source: Source, protocols: Sequence[str], progress: Progress | None = None
) -> dict[str, dict[str, Any]]:
    """The scores of a model on a data set: protocol -> the result that its function in `metrics` documents, with `per_image`.

    Args:
        predictor: the model.
        source: the data set.
        protocols: names of `metrics.PROTOCOLS`.
        progress: called after every image.

    Raises:
        ConfigError: for an unknown protocol.
        DataError: for an image that cannot be read.
    """
    return evaluate_predictions(ModelPredictions(predictor), source, protocols, progress=progress).scores


def evaluate_predictions(
    predictions: PredictionSource,
    source: Source,
    protocols: Sequence[str],
    num_resamples: int = 0,
    seed: int = 0,
    keep: bool = False,
    progress: Progress | None = None,
    all_classes: bool = False,
) -> Evaluation:
    """The scores of predictions of any source.

    Args:
        predictions: give the objects of every image.
        source: the data set.
        protocols: names of `metrics.PROTOCOLS`.
        num_resamples: data sets drawn from the images for the intervals (see `metrics.Evaluator.intervals`); 0 for no intervals.
        seed: of the draws.
        keep: keep the predictions, so that images can be shown.
        progress: called after every image.
        all_classes: score every prediction once for each class, see `in_all_classes`; `num_preds` and `kept` stay those of the predictions.

    Raises:
        ConfigError: for an unknown protocol, or one that does not score each class by itself with `all_classes`.
        DataError: for an image or prediction that cannot be read, or if there is no image.
    """
    evaluator = Evaluator(protocols)
    if not len(source):
        raise DataError("evaluate: the data hold no images")
    class_numbers = match_classes(predictions.class_names, source.class_names)
    if all_classes:
        _check_all_classes(evaluator.protocols, class_numbers is not None)
    indices = _official_order(source)
    names, num_targets, num_preds, kept = [], [], [], []
    for done, index in enumerate(indices, start=1):
        sample = source.read(index)
        found = predictions.find(index, sample)
        if class_numbers is not None:
            check_class_ids(found, len(predictions.class_names), sample.name)
        whole = source.whole_truth(index) if "coco" in evaluator.protocols else None
        judged = in_all_classes(found) if all_classes else found
        evaluator.add(make_example(sample, judged, class_numbers, whole))
        names.append(sample.name)
        num_targets.append(len(sample.classes))
        num_preds.append(len(found))
        if keep:
            kept.append(found.to_coco())
        if progress is not None:
            progress(done, len(source))
    counts = [{"targets": targets, "predictions": preds} for targets, preds in zip(num_targets, num_preds, strict=True)]
    scores = {}
    for protocol in evaluator.protocols:
        ratings = evaluator.ratings(protocol)
        per_image = [
            {"name": name, **rating, **count} for name, rating, count in zip(names, ratings, counts, strict=True)
        ]
        scores[protocol] = {**evaluator.result(protocol), "per_image": per_image}
        if num_resamples:
            scores[protocol]["interval"] = evaluator.intervals(protocol, num_resamples, seed)
    return Evaluation(
        indices, names, scores, num_targets, num_preds, source.class_names, class_numbers is not None, kept
    )


def _check_all_classes(protocols: Iterable[str], judges_classes: bool) -> None:
    unfit = [name for name in protocols if name not in CLASS_BY_CLASS]
    if unfit:
        raise ConfigError(
            f"--all-classes: {unfit[0]} does not rank the masks of each class by themselves; take {', '.join(CLASS_BY_CLASS)}"
        )
    if not judges_classes:
        raise ConfigError("--all-classes: the model has none of the classes of the data")


def in_all_classes(found: Instances) -> Instances:
    """Every object once for each class, in the order found, with the score that its class would have: presence times class probability.

    The released evaluation of RSIS scores masks in this way: one that is hardly sure of its class still counts for the others, at the end of
    their lists. An object's score is presence times the probability of its class, so that the presence follows from both.

    Raises:
        ConfigError: if the objects have no class probabilities.

    >>> from seriatim.core.instances import Instance
    >>> one = Instance((0, 0, 1, 1), np.ones((1, 1), dtype=bool), 0.6, class_id=2, class_probs=np.array([0.25, 0.75]))
    >>> [(each.class_id, round(each.score, 2)) for each in in_all_classes(Instances((1, 1), [one]))]
    [(1, 0.2), (2, 0.6)]
    """
    judged = []
    for one in found:
        if one.class_probs is None:
            raise ConfigError(
                "--all-classes: the objects have no class probabilities; this model tells no classes apart"
            )
        presence = one.score / float(one.class_probs[one.class_id - 1])
        judged += [
            replace(one, class_id=number, score=presence * float(prob))
            for number, prob in enumerate(one.class_probs, start=1)
        ]
    return Instances(found.size, judged)


def _official_order(source: Source) -> list[int]:
    order = list(range(len(source)))
    return order if source.coco is None else sorted(order, key=source.image_id)


def make_example(
    sample: Sample,
    found: Instances,
    class_numbers: Int[np.ndarray, " classes"] | None,
    whole: WholeTruth | None = None,
) -> Example:
    """Truth and predictions of one image.

    Args:
        sample: the truth.
        found: the predictions; where they overlap, protocols that go by masks take them whole.
        class_numbers: see `match_classes`; None takes all targets and predictions for one class.
        whole: all objects and crowds, hidden ones too, and the areas that the file states, where the data set knows them.
    """
    pred_classes = None if class_numbers is None else class_numbers[found.class_ids]
    predictions = {"pred_masks": found, "pred_scores": found.scores, "pred_classes": pred_classes}
    if whole is None and sample.objects is None and sample.crowds is None:
        return Example(
            sample.labels,
            None if class_numbers is None else sample.classes,
            void=sample.ignore,
            target_distances=sample.distances,
            target_distance_confidences=sample.distance_confidences,
            **predictions,
        )
    objects = sample.instances() if whole is None else whole.objects
    crowds = (sample.crowds or Instances(objects.size)) if whole is None else whole.crowds
    classes = np.concatenate([objects.class_ids, crowds.class_ids])
    unknown = np.full(len(crowds), np.inf), np.zeros(len(crowds))
    distances, confidences = (
        None if of_objects is None else np.concatenate([of_objects, of_crowds])
        for of_objects, of_crowds in zip((sample.distances, sample.distance_confidences), unknown, strict=True)
    )
    return Example(
        target_masks=Instances(objects.size, [*objects, *crowds]),
        target_classes=None if class_numbers is None else classes,
        target_crowd=np.arange(len(classes)) >= len(objects),
        void=sample.ignore,
        target_distances=distances,
        target_distance_confidences=confidences,
        target_areas=None if whole is None else whole.areas,
        **predictions,
    )
