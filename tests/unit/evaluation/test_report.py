import io
import re
from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from seriatim.core.instances import Instances
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.evaluation.evaluate import evaluate_predictions
from seriatim.evaluation.report import MISSED, RIGHT, WRONG, choose_images, draw_image, render_report, show_images

from ..conftest import paint_discs

CENTRES = [(15, 15), (15, 45), (45, 15), (45, 45)]


class Discs(Source):
    """Images of four discs, of which the predictions miss more, the later the image is."""

    class_names = ("<b>disc</b>", "other")

    def __init__(self, count, names=None):
        self.names = names or [f"image {k}" for k in range(count)]

    def __len__(self):
        return len(self.names)

    def name(self, index):
        return self.names[index]

    def read(self, index):
        labels = paint_discs((60, 60), CENTRES, 10)
        return Sample(self.names[index], (labels > 0)[None].astype(np.float32), labels, np.array([1, 2, 1, 2]))


class PredictionSource:
    class_names = Discs.class_names

    def find(self, index, sample):
        whole = Instances.from_label_map(sample.labels)
        classed = [replace(one, class_id=1 + k % 2, score=0.5) for k, one in enumerate(whole)]
        return Instances(whole.size, classed[: max(0, 4 - index)])


def report(source, protocols=("nuclei", "sds"), facts=None):
    found = evaluate_predictions(PredictionSource(), source, list(protocols), num_resamples=50, keep=True)
    return found, render_report(found, facts or {"data": "discs", "model": "four"}, show_images(found, source)).decode()


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.text = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_needs_nothing_from_elsewhere():
    _, text = report(Discs(5))
    page = Tags(text)
    assert "script" not in page.tags
    assert page.tags.count("img") == 6
    assert all(link.startswith("data:image/webp;base64,") for link in page.links)
    assert not re.search(r"https?://|@import|url\(", text)


def test_images_in_the_report_can_be_decoded_and_stand_for_best_median_and_worst():
    found, text = report(Discs(5))
    images = [Image.open(io.BytesIO(b64decode(link.split(",")[1]))) for link in Tags(text).links]
    assert {image.size for image in images} == {(600, 600)}
    assert [one.name for one in show_images(found, Discs(5))] == ["image 0", "image 2", "image 4"]


def test_every_number_interval_class_and_image_is_in_the_report():
    found, text = report(Discs(4))
    page = " ".join(Tags(text).text)
    result = found.scores["nuclei"]
    low, high = result["interval"]["AP"][0.5]
    assert f"{result['AP'][0.5]:.4f}" in page
    assert f"[{low:.4f}, {high:.4f}]" in page
    assert "AP_vol" in page
    assert all(f"image {k}" in page for k in range(4))
    assert "<b>disc</b>" in page


def test_names_are_escaped_wherever_they_come_from():
    evil = "<script>alert('x')</script>&\"@@"
    _, text = report(Discs(3, [evil, "b", "c"]), facts={"data": evil, "model": evil, "command": evil})
    page = Tags(text)
    assert "script" not in page.tags
    assert "".join(page.text).count(evil) >= 5
    assert "<b>disc</b>" not in text


def test_many_images_show_three_of_each_kind_and_none_twice():
    chosen = choose_images([float(k) for k in range(12)])
    assert chosen == [
        *(("best", k) for k in (11, 10, 9)),
        *(("median", k) for k in (7, 6, 5)),
        *(("worst", k) for k in (2, 1, 0)),
    ]
    assert choose_images([0.5]) == [("best", 0)]
    assert choose_images([0.5, 0.7]) == [("best", 1), ("worst", 0)]
    assert choose_images([None, None]) == []


@pytest.mark.parametrize("side", [40, 900])
def test_outlines_say_what_is_right_missed_and_wrong(side):
    labels = paint_discs((side, side), [(side // 4, side // 4), (3 * side // 4, 3 * side // 4)], side // 6)
    sample = Sample("two", np.zeros((1, side, side), dtype=np.float32), labels, np.array([1, 1]))
    preds = np.where(labels == 1, 1, 0) + np.roll(np.where(labels == 2, 2, 0), -side // 2, axis=1)
    shown = draw_image("best", sample, Instances.from_label_map(preds), 0.5)
    assert (shown.num_targets, shown.num_preds, shown.num_right) == (2, 2, 1)
    truth, prediction = (
        np.asarray(Image.open(io.BytesIO(data))).astype(int) for data in (shown.truth, shown.prediction)
    )
    for image, there, absent in ((truth, (RIGHT, MISSED), WRONG), (prediction, (RIGHT, WRONG), MISSED)):
        assert all(is_like(image, colour) for colour in there)
        assert not is_like(image, absent)


def is_like(image, colour):
    return (np.abs(image - colour).sum(axis=-1) < 120).sum() > 30
