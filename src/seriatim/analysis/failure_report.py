"""The failures of a whole data set: counts, every case with its image and box, and a few examples of each kind to look at.

Source: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (arXiv:1511.08250), appendix C, Fig. 11 to 13.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int32, UInt8

from seriatim.analysis.failures import FAILURES, PRED_KINDS, TARGET_KINDS, Case, find_cases, sort_failures
from seriatim.core.instances import Instances
from seriatim.core.progress import Progress
from seriatim.core.shapes import Box, Size, box_slices
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.evaluation.predictions import PredictionSource
from seriatim.results.drawing import to_rgb

_MIN_CROP = 48


@dataclass(frozen=True, slots=True)
class ImageFailures:
    """The failures of one image.

    Attributes:
        name: of the image.
        target_counts: number of targets of every kind.
        pred_counts: number of predictions of every kind.
        cases: every failure.
    """

    name: str
    target_counts: dict[str, int]
    pred_counts: dict[str, int]
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True, eq=False)
class CaseExample:
    """A failure with its surroundings, to be drawn.

    Attributes:
        image_name: name of the image.
        case: what failed; its labels are those of the maps below.
        pixels: the image around it, RGB.
        target_labels: the truth there.
        pred_labels: the predictions there.
    """

    image_name: str
    case: Case
    pixels: UInt8[np.ndarray, "height width 3"]
    target_labels: Int32[np.ndarray, "height width"]
    pred_labels: Int32[np.ndarray, "height width"]


@dataclass(slots=True)
class FailureReport:
    """The failures of a data set.

    Attributes:
        num_examples: at most this many of each kind.
        images: in the order of the data set.
        examples: of every kind of failure, from as many images as there are, in their order; of an image the largest case first.
    """

    num_examples: int
    images: list[ImageFailures] = field(default_factory=list)
    examples: dict[str, list[CaseExample]] = field(default_factory=lambda: {kind: [] for kind in FAILURES})
    _ranks: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: {kind: [] for kind in FAILURES})

    def target_counts(self) -> dict[str, int]:
        """Number of targets of every kind."""
        return {kind: sum(one.target_counts[kind] for one in self.images) for kind in TARGET_KINDS}

    def pred_counts(self) -> dict[str, int]:
        """Number of predictions of every kind."""
        return {kind: sum(one.pred_counts[kind] for one in self.images) for kind in PRED_KINDS}

    def case_counts(self) -> dict[str, int]:
        """Number of cases of every kind of failure."""
        kinds = [case.kind for one in self.images for case in one.cases]
        return {kind: kinds.count(kind) for kind in FAILURES}

    def add(self, sample: Sample, found: Instances) -> None:
        """Sort the failures of one more image.

        Args:
            sample: the truth; its classes are not looked at.
            found: the predictions; where they overlap, the earlier one holds the pixel.

        Raises:
            ShapeError: if truth and predictions are of different sizes.
        """
        pred_labels = found.label_map()
        failures = sort_failures(sample.labels, pred_labels, sample.ignore)
        cases = find_cases(failures, sample.labels, pred_labels)
        number = len(self.images)
        self.images.append(ImageFailures(sample.name, failures.target_counts(), failures.pred_counts(), tuple(cases)))
        shown = None
        for kind in FAILURES:
            largest = sorted((case for case in cases if case.kind == kind), key=lambda case: (-case.area, case.box))
            for rank, case in enumerate(largest[: self.num_examples]):
                ranks = self._ranks[kind]
                if len(ranks) == self.num_examples and (rank, number) > max(ranks):
                    break
                shown = to_rgb(sample.image, min_range=0.05) if shown is None else shown
                window = box_slices(_surroundings(case.box, found.size))
                parts = [np.ascontiguousarray(plane[window]) for plane in (shown, sample.labels, pred_labels)]
                self._keep(kind, (rank, number), CaseExample(sample.name, case, *parts))

    def _keep(self, kind: str, rank: tuple[int, int], example: CaseExample) -> None:
        ranks, examples = self._ranks[kind], self.examples[kind]
        if len(ranks) == self.num_examples:
            worst = ranks.index(max(ranks))
            del ranks[worst], examples[worst]
        place = sum((number, place) < (rank[1], rank[0]) for place, number in ranks)
        ranks.insert(place, rank)
        examples.insert(place, example)

    def as_json(self) -> dict[str, Any]:
        """Counts, then the counts and cases of every image; boxes are y0, x0, y1, x1, half-open."""
        return {
            "num_images": len(self.images),
            "targets": self.target_counts(),
            "predictions": self.pred_counts(),
            "cases": self.case_counts(),
            "images": [_image_as_json(one) for one in self.images],
        }


def _image_as_json(image_name: ImageFailures) -> dict[str, Any]:
    cases = [
        {"kind": case.kind, "box": list(case.box), "targets": list(case.targets), "predictions": list(case.preds)}
        for case in image_name.cases
    ]
    return {
        "name": image_name.name,
        "targets": image_name.target_counts,
        "predictions": image_name.pred_counts,
        "cases": cases,
    }


def collect_failures(
    predictions: PredictionSource, source: Source, num_examples: int = 6, progress: Progress | None = None
) -> FailureReport:
    """The failures of all images of a data set.

    Args:
        predictions: of a model, or read by `evaluation.predictions.open_predictions`.
        source: the data set.
        num_examples: keep at most this many examples of each kind of failure.
        progress: called after every image.

    Raises:
        DataError: for an image or prediction that cannot be read.
    """
    report = FailureReport(num_examples)
    for index in range(len(source)):
        sample = source.read(index)
        report.add(sample, predictions.find(index, sample))
        if progress is not None:
            progress(index + 1, len(source))
    return report


def _surroundings(box: Box, size: Size) -> Box:
    """The box with a margin on all sides, made square and not too small, as far as the image reaches."""
    side = max(_MIN_CROP, round(1.5 * max(box[2] - box[0], box[3] - box[1])))
    edges = []
    for axis in (0, 1):
        length = min(side, size[axis])
        start = min(max((box[axis] + box[axis + 2] - length) // 2, 0), size[axis] - length)
        edges.append((start, start + length))
    return edges[0][0], edges[1][0], edges[0][1], edges[1][1]
