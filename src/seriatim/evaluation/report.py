"""The report of an evaluation: one HTML file that needs no other, with tables, intervals, and images beside their truth."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from jinja2 import Environment, StrictUndefined
from PIL import Image

from seriatim.core.instances import Instance, Instances
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.evaluation.evaluate import Evaluation
from seriatim.evaluation.score_table import class_table, headline_rows, show_number
from seriatim.metrics.overlap import overlap_label_maps
from seriatim.results.drawing import Colour, draw_outlines, to_rgb

MANY = 12
"""From this number of images on, three of each kind are shown, not one."""

SIDE = 640
"""Longer side of a shown image, in pixels; it may be shorter where whole factors enlarge it."""

OUTLINE = 3
"""Width of the outlines on a shown image, in pixels."""

RIGHT, WRONG, MISSED = (86, 180, 233), (255, 140, 0), (240, 80, 170)
"""Colours of the outlines; people with any colour vision tell them apart."""

TITLES = {"best": "Best", "median": "In the middle", "worst": "Worst"}
"""Kinds of shown images, in the order in which they are shown."""


@dataclass(frozen=True)
class ShownImage:
    """An image that the report shows.

    Attributes:
        kind: a key of `TITLES`.
        name: of the image.
        quality: its score, by which it was chosen.
        truth: the image with the outlines of the truth, as WebP.
        prediction: the same with those of the predictions.
        num_targets: objects.
        num_preds: predictions.
        num_right: predictions with IoU of at least 0.5 with an object.
    """

    kind: str
    name: str
    quality: float
    truth: bytes
    prediction: bytes
    num_targets: int
    num_preds: int
    num_right: int


def choose_images(qualities: Sequence[float | None]) -> list[tuple[str, int]]:
    """Kind and number of the images to show: the best, median and worst one, or of many images three each; none twice.

    >>> choose_images([0.1, 0.9, None, 0.5])
    [('best', 1), ('median', 3), ('worst', 0)]
    """
    known = [(quality, index) for index, quality in enumerate(qualities) if quality is not None]
    order = [index for _, index in sorted(known, key=lambda pair: (-pair[0], pair[1]))]
    each = 3 if len(order) >= MANY else 1
    middle = max((len(order) - each) // 2, 0)
    chosen: dict[int, str] = {}
    for kind, indices in (
        ("best", order[:each]),
        ("worst", order[::-1][:each]),
        ("median", order[middle : middle + each]),
    ):
        for index in indices:
            chosen.setdefault(index, kind)
    return [(kind, index) for kind in TITLES for index in order if chosen.get(index) == kind]


def show_images(evaluation: Evaluation, source: Source) -> list[ShownImage]:
    """Images chosen by their quality under the first protocol, each read again and drawn with its kept predictions.

    Args:
        evaluation: with kept predictions.
        source: the data set that was evaluated.

    Raises:
        DataError: for an image that cannot be read.
    """
    ratings = next(iter(evaluation.scores.values()))["per_image"]
    shown = []
    for kind, index in choose_images([rating["quality"] for rating in ratings]):
        sample = source.read(evaluation.indices[index])
        found = Instances.from_coco(evaluation.kept[index], (sample.labels.shape[0], sample.labels.shape[1]))
        shown.append(draw_image(kind, sample, found, ratings[index]["quality"]))
    return shown


def draw_image(kind: str, sample: Sample, found: Instances, quality: float) -> ShownImage:
    """An image with the outlines of its truth, and with those of its predictions.

    An object and a prediction are right if their IoU is at least 0.5; where predictions overlap, the earlier one keeps the pixel. Other
    objects are missed, other predictions wrong.
    """
    truth = sample.instances()
    overlap = overlap_label_maps(found.label_map(), len(found), sample.labels, len(truth), sample.ignore)
    agree = overlap.iou() >= 0.5
    found_targets, right_preds = np.zeros(len(truth), dtype=bool), np.zeros(len(found), dtype=bool)
    found_targets[overlap.targets[agree]] = True
    right_preds[overlap.preds[agree]] = True
    pixels = to_rgb(sample.image)
    return ShownImage(
        kind,
        sample.name,
        quality,
        _draw(pixels, truth, found_targets, MISSED),
        _draw(pixels, found, right_preds, WRONG),
        len(truth),
        len(found),
        int(right_preds.sum()),
    )


def _draw(
    pixels: UInt8[np.ndarray, "height width 3"],
    instances: Instances,
    agrees: Bool[np.ndarray, " instances"],
    other: Colour,
) -> bytes:
    factor = SIDE / max(instances.size)
    factor = float(int(factor)) if factor >= 1 else factor
    height, width = (max(1, round(extent * factor)) for extent in instances.size)
    method = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    canvas = np.array(Image.fromarray(pixels).resize((width, height), method))
    scaled = [_scaled(one, height / instances.size[0], width / instances.size[1]) for one in instances]
    draw_outlines(canvas, scaled, OUTLINE, [RIGHT if is_right else other for is_right in agrees])
    file = io.BytesIO()
    Image.fromarray(canvas).save(file, format="WEBP", quality=88, method=4)
    return file.getvalue()


def _scaled(instance: Instance, down: float, across: float) -> Instance:
    """The instance in an image of another size, by the nearest pixel."""
    y0, x0, y1, x1 = instance.box
    rows, columns = (
        np.arange(int(np.floor(first * factor)), int(np.ceil(last * factor)))
        for first, last, factor in ((y0, y1, down), (x0, x1, across))
    )
    from_rows = np.clip(((rows + 0.5) / down).astype(int) - y0, 0, y1 - y0 - 1)
    from_columns = np.clip(((columns + 0.5) / across).astype(int) - x0, 0, x1 - x0 - 1)
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    return Instance(box, instance.mask[np.ix_(from_rows, from_columns)])


def render_report(evaluation: Evaluation, facts: Mapping[str, str], shown: Sequence[ShownImage]) -> bytes:
    """The report as one HTML file, from the template `report.html.jinja`, which escapes all text.

    Args:
        evaluation: its numbers.
        facts: what was evaluated, when and how, in the order shown.
        shown: images, see `show_images`.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": show_number, "data_uri": _data_uri}
    template = environment.from_string(Path(__file__).with_name("report.html.jinja").read_text(encoding="utf-8"))
    images = _rated_images(evaluation)
    known = [image["qualities"][0] for image in images if image["qualities"][0] is not None]
    kinds = {title: [image for image in shown if image.kind == kind] for kind, title in TITLES.items()}
    page = template.render(
        title=f"{facts.get('model') or facts.get('predictions', 'Predictions')} on {facts.get('data', 'data')}",
        facts=facts,
        protocols=[
            {"name": name, "rows": headline_rows(result), "classes": class_table(result, evaluation.class_names)}
            for name, result in evaluation.scores.items()
        ],
        legend={"found, right": RIGHT, "missed object": MISSED, "wrong prediction": WRONG},
        shown={title: of_kind for title, of_kind in kinds.items() if of_kind},
        image_columns=["objects", "predictions", *(f"quality, {name}" for name in evaluation.scores)],
        images=images,
        histogram=np.histogram(np.clip(known, 0, 1), 20, (0, 1))[0].tolist(),
    )
    return page.encode()


def _rated_images(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The images with their qualities under every protocol, the best under the first one first."""
    ratings = [result["per_image"] for result in evaluation.scores.values()]
    images = [
        {
            "name": name,
            "num_targets": num_targets,
            "num_preds": num_preds,
            "qualities": [one["quality"] for one in rated],
        }
        for name, num_targets, num_preds, *rated in zip(
            evaluation.names, evaluation.num_targets, evaluation.num_preds, *ratings, strict=True
        )
    ]
    return sorted(
        images, key=lambda image: -np.inf if (quality := image["qualities"][0]) is None else quality, reverse=True
    )


def _data_uri(encoded: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(encoded).decode()}"
