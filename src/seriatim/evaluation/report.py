"""The report of an evaluation: one HTML file that needs nothing else, with tables, intervals, and images beside their truth."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from scipy import ndimage

from seriatim.core.instances import Instance, Instances
from seriatim.core.shapes import box_slices
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.evaluation.evaluate import Evaluation
from seriatim.evaluation.score_table import ClassTable, Row, class_table, headline_rows, show_number
from seriatim.metrics.overlap import overlap_label_maps
from seriatim.results.overlay import as_shown

MANY = 12
"""Images from which on three of each kind are shown, not one."""

SIDE = 640
"""Longer side of a shown image in pixels, roughly."""

OUTLINE = 3
"""Width of outlines in shown pixels."""

RIGHT, WRONG, MISSED = (86, 180, 233), (255, 140, 0), (240, 80, 170)
"""Colours of outlines that people with any colour vision tell apart."""

TITLES = {"best": "Best", "median": "In the middle", "worst": "Worst"}
"""Kinds of shown images, in the order in which they are shown."""


@dataclass(frozen=True)
class ShownImage:
    """A image that the report shows.

    Attributes:
        kind: a key of `TITLES`.
        name: of the image.
        quality: by which it was chosen.
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
    """Kind and number of the images to show: one best, median and worst, of many three each; none twice.

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
    """The images that stand for the first protocol's quality, each read again and drawn with its kept predictions.

    Args:
        evaluation: with kept predictions.
        source: that was evaluated.

    Raises:
        DataError: for a image that cannot be read.
    """
    ratings = next(iter(evaluation.scores.values()))["per_image"]
    shown = []
    for kind, index in choose_images([rating["quality"] for rating in ratings]):
        sample = source.read(evaluation.indices[index])
        found = Instances.from_coco(evaluation.kept[index], (sample.labels.shape[0], sample.labels.shape[1]))
        shown.append(draw_image(kind, sample, found, ratings[index]["quality"]))
    return shown


def draw_image(kind: str, sample: Sample, found: Instances, quality: float) -> ShownImage:
    """A image with the outlines of its truth, and with those of its predictions.

    Right are objects and predictions with IoU of at least 0.5, of predictions that overlap the earlier keeping the pixel; the others are
    missed and wrong.
    """
    truth = sample.instances()
    overlap = overlap_label_maps(found.label_map(), len(found), sample.labels, len(truth), sample.ignore)
    agree = overlap.iou() >= 0.5
    found_targets, right_preds = np.zeros(len(truth), dtype=bool), np.zeros(len(found), dtype=bool)
    found_targets[overlap.targets[agree]] = True
    right_preds[overlap.preds[agree]] = True
    pixels = as_shown((np.clip(sample.image, 0, 1) * 255 + 0.5).astype(np.uint8).transpose(1, 2, 0))
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
    other: tuple[int, int, int],
) -> bytes:
    factor = SIDE / max(instances.size)
    factor = float(int(factor)) if factor >= 1 else factor
    height, width = (max(1, round(extent * factor)) for extent in instances.size)
    method = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    canvas = np.array(Image.fromarray(pixels).resize((width, height), method))
    for instance, is_right in zip(instances, agrees, strict=True):
        scaled = _scaled(instance, height / instances.size[0], width / instances.size[1])
        inside = ndimage.binary_erosion(scaled.mask, iterations=OUTLINE)
        canvas[box_slices(scaled.box)][np.logical_and(scaled.mask, np.logical_not(inside))] = (
            RIGHT if is_right else other
        )
    file = io.BytesIO()
    Image.fromarray(canvas).save(file, format="WEBP", quality=88, method=4)
    return file.getvalue()


def _scaled(instance: Instance, down: float, across: float) -> Instance:
    """The instance in a image of another size, by the nearest pixel."""
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
    """The report as one HTML file.

    Args:
        evaluation: its numbers.
        facts: what was evaluated, when and how, in the order in which it is shown.
        shown: images, see `show_images`.
    """
    first = next(iter(evaluation.scores))
    title = f"{facts.get('model') or facts.get('predictions', 'Predictions')} on {facts.get('data', 'data')}"
    body = [
        f"<header><h1>{escape(title)}</h1>{_facts(facts)}</header>",
        *(_protocol(name, result, evaluation) for name, result in evaluation.scores.items()),
        _images(shown, first),
        _all_images(evaluation, first),
    ]
    before_title, before_body, after = _PAGE.split("@@")
    return "".join([before_title, escape(title), before_body, *body, after]).encode()


def _facts(facts: Mapping[str, str]) -> str:
    items = "".join(f"<div><dt>{escape(key)}</dt><dd>{escape(str(value))}</dd></div>" for key, value in facts.items())
    return f"<dl class=facts>{items}</dl>"


def _protocol(name: str, result: Mapping[str, Any], evaluation: Evaluation) -> str:
    rows = headline_rows(result)
    has_intervals = any(row.interval for row in rows)
    head = "<tr><th>number<th class=num>value" + ("<th class=num>95 % interval<th class=wide>" if has_intervals else "")
    table = f"<table><thead>{head}</thead><tbody>{''.join(_row(row, has_intervals) for row in rows)}</tbody></table>"
    classes = class_table(result, evaluation.class_names)
    details = "" if classes is None else _classes(classes)
    return f"<section><h2>{escape(name)}</h2>{table}{details}</section>"


def _row(row: Row, has_intervals: bool) -> str:
    cells = f"<td>{escape(row.name)}<td class=num>{row.value_text()}"
    if has_intervals:
        cells += f"<td class=num>{row.interval_text()}<td class=wide>{_bar(row)}"
    return f"<tr>{cells}"


def _bar(row: Row) -> str:
    """The interval on a line from 0 to 1; nothing for numbers that do not lie there."""
    if row.interval is None or row.value is None or not 0 <= row.interval[0] <= row.interval[1] <= 1:
        return ""
    low, high = (100 * edge for edge in row.interval)
    return (
        f'<svg class=bar viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class=rail y="3.5" width="100" height="1"/>'
        f'<rect class=span x="{low:.2f}" y="2" width="{max(high - low, 0.3):.2f}" height="4"/>'
        f'<rect class=mark x="{100 * row.value - 0.3:.2f}" y="0" width="0.6" height="8"/></svg>'
    )


def _classes(table: ClassTable) -> str:
    head = "".join(f"<th class=num>{escape(column)}" for column in table.columns)
    rows = "".join(
        f"<tr><td>{escape(name)}" + "".join(f"<td class=num>{show_number(value)}" for value in values)
        for name, values in table.rows
    )
    return f"<h3>Classes</h3><table><thead><tr><th>class{head}</thead><tbody>{rows}</tbody></table>"


def _images(shown: Sequence[ShownImage], protocol: str) -> str:
    if not shown:
        return ""
    legend = "".join(
        f'<span><i style="background:rgb{colour}"></i>{escape(text)}</span>'
        for colour, text in ((RIGHT, "found, right"), (MISSED, "missed object"), (WRONG, "wrong prediction"))
    )
    cards = [
        f"<div><h3>{title}</h3>{''.join(_card(one) for one in shown if one.kind == kind)}</div>"
        for kind, title in TITLES.items()
        if any(one.kind == kind for one in shown)
    ]
    return (
        f"<section><h2>Images</h2><p class=legend>{legend}<span>right: IoU of at least 0.5; sorted by the quality under "
        f"{escape(protocol)}</span></p><div class=kinds>{''.join(cards)}</div></section>"
    )


def _card(one: ShownImage) -> str:
    caption = (
        f"{one.num_targets} objects, {one.num_preds} predictions, {one.num_right} right; quality {one.quality:.4f}"
    )
    return (
        f"<article><p><b>{escape(one.name)}</b><br>{caption}</p><div class=pair>"
        f'<figure><img alt="truth of {escape(one.name)}" src="{_data(one.truth)}"><figcaption>truth</figcaption></figure>'
        f'<figure><img alt="predictions for {escape(one.name)}" src="{_data(one.prediction)}"><figcaption>prediction</figcaption></figure>'
        "</div></article>"
    )


def _data(encoded: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(encoded).decode()}"


def _all_images(evaluation: Evaluation, first: str) -> str:
    qualities = [rating["quality"] for rating in evaluation.scores[first]["per_image"]]
    order = sorted(range(len(qualities)), key=lambda k: (qualities[k] is None, -(qualities[k] or 0.0), k))
    names = list(evaluation.scores)
    head = "".join(f"<th class=num>quality, {escape(name)}" for name in names)
    rows = []
    for index in order:
        cells = "".join(
            f"<td class=num>{show_number(evaluation.scores[name]['per_image'][index]['quality'])}" for name in names
        )
        counts = f"<td class=num>{evaluation.num_targets[index]}<td class=num>{evaluation.num_preds[index]}"
        rows.append(f"<tr><td>{escape(evaluation.names[index])}{counts}{cells}")
    return (
        f"<section><h2>All {len(order)} images</h2>{_histogram([one for one in qualities if one is not None], first)}"
        f"<table><thead><tr><th>image<th class=num>objects<th class=num>predictions{head}</thead>"
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _histogram(qualities: Sequence[float], protocol: str) -> str:
    """How many images have which quality, in twenty steps from 0 to 1."""
    if not qualities:
        return ""
    counts, _ = np.histogram(np.clip(qualities, 0, 1), 20, (0, 1))
    bars = "".join(
        f'<rect x="{20 * place + 1}" y="{80 - height:.1f}" width="18" height="{height:.1f}"><title>{place / 20:.2f} to '
        f"{(place + 1) / 20:.2f}: {count}</title></rect>"
        for place, count in enumerate(counts.tolist())
        if (height := 76 * count / int(counts.max())) > 0
    )
    return (
        f'<figure class=histogram><svg viewBox="0 0 400 96" role="img" aria-label="quality of the images">{bars}'
        '<line x1="0" y1="80.5" x2="400" y2="80.5"/><text x="0" y="94">0</text><text x="200" y="94" text-anchor="middle">0.5</text>'
        f'<text x="400" y="94" text-anchor="end">1</text></svg><figcaption>images by quality under {escape(protocol)}</figcaption></figure>'
    )


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>@@</title>
<style>
:root { color-scheme: light dark; --ink: #1c2024; --soft: #60666d; --line: #dfe2e6; --page: #f6f7f9; --card: #fff; --accent: #1b6ca8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaed; --soft: #9aa1a9; --line: #33383f; --page: #14171a; --card: #1d2125; --accent: #6db8ee; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 .75rem; }
h3 { font-size: .95rem; margin: 1.5rem 0 .5rem; color: var(--soft); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.25rem 1.5rem; margin-top: 1.25rem; overflow-x: auto; }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: .75rem 1.5rem; margin: 0; }
.facts dt { color: var(--soft); font-size: .8rem; }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.facts div:last-child { grid-column: 1 / -1; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-size: .8rem; font-weight: 600; }
th, td { padding: .3rem .75rem .3rem 0; border-bottom: 1px solid var(--line); }
tbody tr:last-child td { border-bottom: 0; }
td { overflow-wrap: anywhere; } td:first-child { min-width: 7rem; }
.num { text-align: right; white-space: nowrap; }
.wide { width: 34%; padding-right: 0; padding-left: .75rem; }
.bar { display: block; width: 100%; height: 10px; }
.rail { fill: var(--line); } .span { fill: var(--accent); opacity: .45; } .mark { fill: var(--accent); }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0; color: var(--soft); font-size: .85rem; }
.legend i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
article { margin-bottom: 1rem; break-inside: avoid; }
article p { margin: 0 0 .35rem; font-size: .9rem; overflow-wrap: anywhere; }
.kinds { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: 0 1.25rem; }
.kinds h3 { margin-top: .75rem; }
.pair { display: grid; gap: .25rem; }
figure { margin: 0; }
figcaption { color: var(--soft); font-size: .8rem; }
.pair img { display: block; width: 100%; height: auto; border-radius: 6px; background: #000; }
.histogram { max-width: 460px; margin-bottom: 1rem; }
.histogram rect { fill: var(--accent); opacity: .8; } .histogram line { stroke: var(--line); }
.histogram text { fill: var(--soft); font-size: 11px; }
@media (max-width: 640px) { .wide { display: none; } section { padding: 1rem; } }
@media print { body { background: #fff; max-width: none; padding: 0; } section { border: 0; padding: 0; } .kinds { grid-template-columns: repeat(3, 1fr); } }
</style>
</head>
<body>
@@
</body>
</html>
"""
