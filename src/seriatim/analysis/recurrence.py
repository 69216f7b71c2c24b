"""Whether a sequential model is recurrent: what becomes of its results when its state, its canvas or its stop is taken away at every step.

The interventions are ours; the papers claim that the state records what has been segmented (RIS Fig. 4) and that the stop signal ends the
sequence. An intervention changes the state between two steps or the settings of the sequence; the weights and the step itself stay:

    state zeroed     before every step, hidden and cell state of all ConvLSTMs are those of the first step, zero
    canvas zeroed    with guidance: before every step, nothing counts as taken
    stop forced      every step counts as an object: the sequence ends at `max_steps`, and with guidance where no seed is left
    true count       the same, but the sequence ends after as many steps as the image has objects

Each is compared with the undisturbed model image by image. An image is encoded once for all of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from seriatim.analysis.intervals import Interval, as_list, interval_of_mean, interval_of_ratio_change
from seriatim.core.batch import Batch
from seriatim.core.errors import ConfigError, DataError
from seriatim.core.instances import Instance
from seriatim.core.progress import Progress
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.evaluation.evaluate import make_example
from seriatim.evaluation.predictions import match_classes
from seriatim.evaluation.score_table import Row, headline_rows
from seriatim.inference.predictor import Predictor
from seriatim.inference.tiling import plan_tiles
from seriatim.metrics.evaluator import Evaluator, difference_intervals
from seriatim.models.guidance import DenseMaps
from seriatim.models.interface import TrainingContext
from seriatim.models.sequential import SequentialConfig, SequentialModel

UNDISTURBED, STATE_ZEROED, CANVAS_ZEROED = "undisturbed", "state zeroed", "canvas zeroed"
STOP_FORCED, TRUE_COUNT = "stop forced", "true count"

Change = Callable[[Any, Any], Any]
"""From a state and the state before the first step to the state that the next step gets."""


def zero_cells(state: Any, first: Any) -> Any:
    """The state with all ConvLSTMs as before the first step; what was taken stays."""
    return state._replace(cells=first.cells)


def zero_canvas(state: Any, first: Any) -> Any:
    """The state with nothing taken; the ConvLSTMs stay."""
    return state._replace(occupancy=first.occupancy)


class EncodeOnce:
    """Encodes what a network sees of one image once, however many interventions ask for it."""

    def __init__(self, network: SequentialModel[Any]) -> None:
        """
        Args:
            network: that encodes.
        """
        self.network = network
        self._known: list[tuple[Tensor, Any]] = []

    def forget(self) -> None:
        """Begin another image."""
        self._known.clear()

    def encode(self, images: Float[Tensor, "batch channels height width"]) -> Any:
        """The memory of the images."""
        for seen, memory in self._known:
            if seen.shape == images.shape and torch.equal(seen, images):
                return memory
        self._known.append((images, self.network.encode(images)))
        return self._known[-1][1]


def _in_whole_images(config: SequentialConfig) -> SequentialConfig:
    """The settings without windows, which are chosen by the state of the whole image, so that what is taken from the state is taken from all of it."""
    if config.guidance is None:
        return config
    return config.model_copy(update={"guidance": config.guidance.model_copy(update={"window": 0.0})})


class Disturbed(SequentialModel[SequentialConfig]):
    """A network whose state is changed before every step; weights and step are the network's own."""

    def __init__(self, encoder: EncodeOnce, change: Change | None = None) -> None:
        """
        Args:
            encoder: of the network.
            change: of the state; None leaves it as it is.
        """
        super().__init__()
        self.network = encoder.network
        self.config = _in_whole_images(encoder.network.config)
        self.size_multiple = self.network.size_multiple  # pyright: ignore[reportAttributeAccessIssue]
        self._encoder = encoder
        self._change = change

    def encode(self, images: Float[Tensor, "batch channels height width"]) -> Any:
        """As the network, once an image."""
        return self._encoder.encode(images)

    def dense_maps(self, images: Float[Tensor, "batch channels height width"]) -> DenseMaps | None:
        """As the network."""
        return self.network.dense_maps(images)

    def initial_state(self, memory: Any, batch: int) -> Any:
        """As the network."""
        return self.network.initial_state(memory, batch)

    def step(self, memory: Any, state: Any, cell: Int[Tensor, " batch"] | None = None) -> tuple[Any, Any]:
        """As the network, from the changed state."""
        if self._change is not None:
            state = self._change(state, self.network.initial_state(memory, len(state.cells[0].hidden)))
        return self.network.step(memory, state, cell)

    def found_in(self, output: Any, image: int, step: int) -> Instance | None:
        """As the network."""
        return self.network.found_in(output, image, step)

    def features_read(self, memory: Any, images: Float[Tensor, "batch channels height width"]) -> Tensor:
        """As the network."""
        return self.network.features_read(memory, images)

    def losses(self, batch: Batch, weights: Any, context: TrainingContext) -> dict[str, Float[Tensor, ""]]:
        """None: an intervention is not trained."""
        raise ConfigError("an intervention is not trained")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one intervention does.

    Attributes:
        name: of the intervention.
        rows: the headline numbers of the protocol under it; the interval is that of the change.
        ratio: number of predictions over number of targets; None without targets.
        ratio_interval: of the change of it, paired.
        abs_dic: mean over the images of the absolute difference in count.
        abs_dic_interval: of the change of it, paired.
    """

    name: str
    rows: Sequence[Row]
    ratio: float | None
    ratio_interval: Interval | None
    abs_dic: float
    abs_dic_interval: Interval | None


@dataclass(slots=True)
class RecurrenceReport:
    """The results of a model undisturbed and under every intervention, built image by image.

    Attributes:
        protocol: that scores them.
        names: of the conditions, the undisturbed one first.
        evaluators: condition -> scores of its images.
        num_preds: condition -> predictions of each image.
        num_targets: objects of each image.
        left_out: condition -> why it could not be applied.
    """

    protocol: str
    names: Sequence[str]
    evaluators: dict[str, Evaluator] = field(default_factory=dict)
    num_preds: dict[str, list[int]] = field(default_factory=dict)
    num_targets: list[int] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.evaluators = {name: Evaluator([self.protocol]) for name in self.names}
        self.num_preds = {name: [] for name in self.names}

    def drop(self, name: str, reason: str) -> None:
        """Take out a condition that cannot be applied to all images."""
        del self.evaluators[name], self.num_preds[name]
        self.names = [one for one in self.names if one != name]
        self.left_out[name] = reason

    def compare(self) -> list[Comparison]:
        """Every condition against the undisturbed one, which comes first and has no interval, since nothing changes in it."""
        targets = np.array(self.num_targets, dtype=np.float64)
        plain = np.array(self.num_preds[UNDISTURBED], dtype=np.float64)
        found = []
        for name in self.names:
            preds = np.array(self.num_preds[name], dtype=np.float64)
            evaluator = self.evaluators[name]
            result = evaluator.result(self.protocol)
            ratio = float(preds.sum() / targets.sum()) if targets.sum() else None
            wrong = np.abs(preds - targets)
            if name == UNDISTURBED:
                found.append(Comparison(name, headline_rows(result), ratio, None, float(wrong.mean()), None))
                continue
            changes = difference_intervals(self.evaluators[UNDISTURBED], evaluator, self.protocol)
            found.append(
                Comparison(
                    name,
                    headline_rows({**result, "interval": changes}),
                    ratio,
                    interval_of_ratio_change(plain, preds, targets),
                    float(wrong.mean()),
                    interval_of_mean(wrong - np.abs(plain - targets)),
                )
            )
        return found

    def as_json(self) -> dict[str, Any]:
        """The numbers under their names; every interval is that of the change against the undisturbed model."""
        return {
            "protocol": self.protocol,
            "num_images": len(self.num_targets),
            "conditions": {one.name: _as_json(one) for one in self.compare()},
            "left_out": self.left_out,
        }


def _as_json(one: Comparison) -> dict[str, Any]:
    scores = {row.name: {"value": row.value, "change_interval": as_list(row.interval)} for row in one.rows}
    return {
        "scores": scores,
        "predicted_over_true": {"value": one.ratio, "change_interval": as_list(one.ratio_interval)},
        "absDiC": {"value": one.abs_dic, "change_interval": as_list(one.abs_dic_interval)},
    }


def collect_recurrence(
    predictor: Predictor, source: Source, protocol: str = "cvppp", progress: Progress | None = None
) -> RecurrenceReport:
    """The results of a model on a data set, undisturbed and under every intervention that fits it.

    Args:
        predictor: of a sequential model; its rules for overlaps hold in every condition.
        source: the images with their truth.
        protocol: that scores them.
        progress: called after every image with the number of images done and of all images.

    Raises:
        ConfigError: if the model emits no sequence, or there is no such protocol.
        DataError: if there is no image, or one cannot be read.
    """
    network = predictor.network
    if not isinstance(network, SequentialModel):
        raise ConfigError(f"model {predictor.description.model.name!r}: is not sequential, so it has no state")
    if not len(source):
        raise DataError("recurrence: needs at least one image, got none")
    encoder = EncodeOnce(network)
    disturbed = make_disturbed(encoder)
    users = {name: Predictor(one, predictor.description) for name, one in disturbed.items()}
    report = RecurrenceReport(protocol, list(users))
    classes = match_classes(predictor.class_names, source.class_names)
    for index in range(len(source)):
        sample = source.read(index)
        encoder.forget()
        if TRUE_COUNT in report.evaluators:
            _tell_count(users[TRUE_COUNT], disturbed[TRUE_COUNT], sample, report)
        whole = source.whole_truth(index) if protocol == "coco" else None
        for name in report.names:
            found = users[name].predict_values(sample.image)
            report.evaluators[name].add(make_example(sample, found, classes, whole))
            report.num_preds[name].append(len(found))
        report.num_targets.append(len(sample.classes))
        if progress is not None:
            progress(index + 1, len(source))
    return report


def make_disturbed(encoder: EncodeOnce) -> dict[str, Disturbed]:
    """Condition -> the network under it; the canvas is that of a guided network alone."""
    found = {UNDISTURBED: Disturbed(encoder), STATE_ZEROED: Disturbed(encoder, zero_cells)}
    if encoder.network.config.guidance is not None:
        found[CANVAS_ZEROED] = Disturbed(encoder, zero_canvas)
    for name in (STOP_FORCED, TRUE_COUNT):
        found[name] = Disturbed(encoder)
        found[name].config = found[name].config.model_copy(update={"stop_threshold": 0.0})
    return found


def _tell_count(user: Predictor, network: Disturbed, sample: Sample, report: RecurrenceReport) -> None:
    """End the sequence after as many steps as the image has objects; leave the condition out where several tiles share the objects."""
    prepared = user.prepared(sample.image)
    settings = user.description.inference
    rows = plan_tiles((prepared.shape[1], prepared.shape[2]), settings.tile_size, settings.overlap)
    if sum(map(len, rows)) > 1:
        report.drop(TRUE_COUNT, f"{sample.name} is seen in several tiles, whose numbers of objects are not known")
        return
    network.config = network.config.model_copy(update={"max_steps": len(sample.classes)})
