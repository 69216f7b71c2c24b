"""Galleries of images by their number of objects, with the truth and what a model finds, without and with the dense CRF.

Source: Romera-Paredes & Torr, "Recurrent Instance Segmentation" (arXiv:1511.08250), appendix C: Fig. 9 shows images of three objects, Fig. 10 of
four or more. Here the numbers of objects of the data are divided into groups of about as many images each, and of each group the first
images are shown, not the best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8

from seriatim.core.errors import DataError
from seriatim.core.instances import Instances
from seriatim.core.progress import Progress
from seriatim.data.preparation import prepare
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.evaluation.evaluate import make_example
from seriatim.inference.predictor import Predictor
from seriatim.inference.refinement import refine_instances
from seriatim.metrics.evaluator import Evaluator
from seriatim.results.drawing import to_rgb


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What was found in an image.

    Attributes:
        instances: without overlaps.
        sbd: symmetric best Dice with the truth (protocol `cvppp`), 0..1.
    """

    instances: Instances
    sbd: float


@dataclass(frozen=True, slots=True, eq=False)
class GalleryImage:
    """An image of the gallery.

    Attributes:
        name: of the image.
        pixels: RGB.
        truth: the objects.
        plain: what the model finds.
        refined: the same after the CRF; None if it was not asked for.
    """

    name: str
    pixels: UInt8[np.ndarray, "height width 3"]
    truth: Instances
    plain: Found
    refined: Found | None


@dataclass(frozen=True, slots=True, eq=False)
class GalleryGroup:
    """Images with similar numbers of objects.

    Attributes:
        fewest: objects.
        most: objects.
        num_images: of the data with so many objects.
        images: the first of them.
    """

    fewest: int
    most: int
    num_images: int
    images: tuple[GalleryImage, ...]

    @property
    def name(self) -> str:
        """The numbers of objects in words."""
        if self.fewest == self.most:
            return f"{self.fewest} object{'' if self.fewest == 1 else 's'}"
        return f"{self.fewest} to {self.most} objects"


def collect_gallery(
    predictor: Predictor,
    source: Source,
    crf: bool = False,
    num_groups: int = 3,
    num_images: int = 3,
    progress: Progress | None = None,
) -> list[GalleryGroup]:
    """The groups, fewest objects first; the model sees only the images that are shown.

    Args:
        predictor: the model.
        source: the images; all are read for their numbers of objects.
        crf: also refine what is found, with the settings of the model.
        num_groups: at most.
        num_images: shown of each group, at most.
        progress: called after every image shown, with the number of those done and of all.

    Raises:
        DataError: if no image has an object, or one cannot be read.
    """
    counts = [len(source.read(index).classes) for index in range(len(source))]
    groups = divide_by_count(counts, num_groups)
    if not groups:
        raise DataError(f"gallery: none of {len(source)} images has an object")
    total, done = sum(min(len(group), num_images) for group in groups), 0
    found = []
    for group in groups:
        images = []
        for index in group[:num_images]:
            images.append(_look_at(predictor, source, index, crf))
            done += 1
            if progress is not None:
                progress(done, total)
        of_group = [counts[index] for index in group]
        found.append(GalleryGroup(min(of_group), max(of_group), len(group), tuple(images)))
    return found


def divide_by_count(counts: Sequence[int], num_groups: int) -> list[list[int]]:
    """The numbers of the images in groups of about as many images, fewest objects first; images of one count stay together.

    Args:
        counts: objects of every image; images without any are left out.
        num_groups: at most.

    >>> divide_by_count([3, 0, 1, 2, 3, 9], 2)
    [[2, 3], [0, 4, 5]]
    """
    known = [index for index, count in enumerate(counts) if count]
    groups: list[list[int]] = [[] for _ in range(num_groups)]
    for count in sorted({counts[index] for index in known}):
        alike = [index for index in known if counts[index] == count]
        fewer = sum(counts[index] < count for index in known)
        middle = (fewer + len(alike) / 2) / len(known)
        groups[min(int(middle * num_groups), num_groups - 1)] += alike
    return [sorted(group) for group in groups if group]


def as_json(groups: Sequence[GalleryGroup]) -> dict[str, Any]:
    """Every image with its numbers of objects and scores."""
    return {
        "groups": [
            {
                "fewest": group.fewest,
                "most": group.most,
                "num_images": group.num_images,
                "images": [_image_as_json(image) for image in group.images],
            }
            for group in groups
        ]
    }


def _image_as_json(image: GalleryImage) -> dict[str, Any]:
    found = {"found": len(image.plain.instances), "sbd": image.plain.sbd}
    if image.refined is not None:
        found |= {"found_crf": len(image.refined.instances), "sbd_crf": image.refined.sbd}
    return {"name": image.name, "targets": len(image.truth), **found}


def _look_at(predictor: Predictor, source: Source, index: int, crf: bool) -> GalleryImage:
    sample = source.read(index)
    truth = sample.instances()
    plain = predictor.predict_values(sample.image, boxes=sample.boxes)
    refined = None
    if crf:
        settings = predictor.description.inference
        values = prepare(sample.image, predictor.description.preparation)
        refined = refine_instances(values, plain, settings.crf, settings.solid, predictor.device)
    return GalleryImage(
        sample.name,
        to_rgb(sample.image, min_range=0.05),
        truth,
        _judge(plain, sample),
        None if refined is None else _judge(refined, sample),
    )


def _judge(found: Instances, sample: Sample) -> Found:
    evaluator = Evaluator(["cvppp"])
    evaluator.add(make_example(sample, found, None))
    return Found(found, float(evaluator.result("cvppp")["SBD"]["mean"]))
