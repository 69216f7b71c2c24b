import numpy as np

from seriatim.analysis.failure_report import FailureReport, collect_failures
from seriatim.core.instances import Instance, Instances
from seriatim.data.samples import Sample
from seriatim.data.source import Source


def sample_of(labels, name="one", ignore=None):
    labels = np.asarray(labels, dtype=np.int32)
    image = (labels > 0).astype(np.float32)[None] * 0.3
    return Sample(name, image, labels, np.ones(labels.max(initial=0), dtype=np.int64), ignore)


class Drawn(Source):
    """Images of 80 x 100 pixels with two squares each."""

    class_names = ("square",)

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def name(self, index):
        return f"p{index}"

    def read(self, index):
        labels = np.zeros((80, 100), dtype=np.int32)
        labels[10:20, 10:20], labels[40:60, 40 + index : 60 + index] = 1, 2
        return sample_of(labels, self.name(index))


class Finds:
    """The squares given, by number of the image; a square is (y, x, side)."""

    class_names = ()

    def __init__(self, *squares):
        self.squares = squares

    def find(self, index, sample):
        height, width = sample.labels.shape
        squares = self.squares[index] if index < len(self.squares) else ()
        return Instances(
            (height, width),
            [Instance((y, x, y + side, x + side), np.ones((side, side), dtype=bool)) for y, x, side in squares],
        )


NOTHING = Finds()


def test_counts_and_cases_of_all_images_are_gathered():
    calls = []
    report = collect_failures(NOTHING, Drawn(3), 2, lambda done, total: calls.append((done, total)))
    assert report.target_counts() == {"right": 0, "joined": 0, "split": 0, "inexact": 0, "missed": 6}
    assert sum(report.pred_counts().values()) == 0
    assert report.case_counts()["missed"] == 6
    assert calls == [(1, 3), (2, 3), (3, 3)]
    told = report.as_json()
    assert told["num_images"] == 3
    assert told["images"][2]["cases"][1] == {
        "kind": "missed",
        "box": [40, 42, 60, 62],
        "targets": [2],
        "predictions": [],
    }


def test_examples_come_from_many_images_the_largest_first():
    report = collect_failures(NOTHING, Drawn(4), 3)
    shown = report.examples["missed"]
    assert [one.image_name for one in shown] == ["p0", "p1", "p2"]
    assert [one.case.targets for one in shown] == [(2,)] * 3
    few = collect_failures(NOTHING, Drawn(2), 3).examples["missed"]
    assert [(one.image_name, one.case.targets) for one in few] == [("p0", (2,)), ("p0", (1,)), ("p1", (2,))]


def test_an_example_shows_the_surroundings_stretched_to_the_full_range():
    [example, *_] = collect_failures(NOTHING, Drawn(1), 1).examples["missed"]
    assert example.pixels.shape == (48, 48, 3)
    assert example.target_labels.shape == example.pred_labels.shape == (48, 48)
    assert (example.target_labels == 2).sum() == 400
    assert example.pixels.max() == 255
    assert np.array_equal(example.pixels[..., 0] > 0, example.target_labels > 0)


def test_surroundings_stay_inside_a_small_image():
    report = FailureReport(1)
    report.add(sample_of(np.ones((3, 200))), Instances((3, 200)))
    [example] = report.examples["missed"]
    assert example.pixels.shape == (3, 200, 3)


def test_what_is_ignored_is_no_failure():
    labels = np.zeros((10, 10), dtype=np.int32)
    labels[2:5, 2:5] = 1
    report = FailureReport(1)
    report.add(sample_of(labels, ignore=labels > 0), Instances((10, 10)))
    assert report.case_counts() == dict.fromkeys(report.case_counts(), 0)


def test_no_examples_may_be_wanted():
    report = collect_failures(NOTHING, Drawn(2), 0)
    assert not any(report.examples.values())
    assert report.case_counts()["missed"] == 4


def test_every_image_is_judged_by_its_own_predictions():
    report = collect_failures(Finds([(10, 10, 10)], [(10, 10, 10), (40, 41, 20)], [(0, 0, 5)]), Drawn(3))
    assert [one.pred_counts["right"] for one in report.images] == [1, 2, 0]
    assert [(one.case.kind, one.image_name) for one in report.examples["hallucinated"]] == [("hallucinated", "p2")]


def test_where_predictions_overlap_the_earlier_holds_the_pixel_and_one_that_is_left_none_is_not_counted():
    report = collect_failures(Finds([(40, 40, 20), (45, 45, 5), (35, 40, 20), (10, 10, 10)]), Drawn(1))
    assert report.target_counts()["right"] == 2
    assert (report.pred_counts()["right"], sum(report.pred_counts().values())) == (2, 3)
    [case] = report.images[0].cases
    assert (case.kind, case.box, case.preds) == ("hallucinated", (35, 40, 40, 60), (3,))
