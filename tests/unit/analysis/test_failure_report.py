import numpy as np
import pytest
from PIL import Image

from seriatim.analysis.failure_report import FailureReport, collect_failures, read_predictions
from seriatim.core.errors import DataError
from seriatim.core.instances import Instances
from seriatim.data.samples import Sample


def sample_of(labels, name="one", ignore=None):
    labels = np.asarray(labels, dtype=np.int32)
    image = (labels > 0).astype(np.float32)[None] * 0.3
    return Sample(name, image, labels, np.ones(labels.max(initial=0), dtype=np.int64), ignore)


class Drawn:
    """Pictures of 80 x 100 pixels with two squares each."""

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


def nothing(sample):
    return Instances((sample.labels.shape[0], sample.labels.shape[1]))


def test_counts_and_cases_of_all_pictures_are_gathered():
    calls = []
    report = collect_failures(nothing, Drawn(3), 2, lambda done, total: calls.append((done, total)))
    assert report.target_counts() == {"right": 0, "joined": 0, "split": 0, "inexact": 0, "missed": 6}
    assert sum(report.pred_counts().values()) == 0
    assert report.case_counts()["missed"] == 6
    assert calls == [(1, 3), (2, 3), (3, 3)]
    told = report.as_json()
    assert told["num_pictures"] == 3
    assert told["pictures"][2]["cases"][1] == {
        "kind": "missed",
        "box": [40, 42, 60, 62],
        "targets": [2],
        "predictions": [],
    }


def test_examples_come_from_many_pictures_the_largest_first():
    report = collect_failures(nothing, Drawn(4), 3)
    shown = report.examples["missed"]
    assert [one.picture for one in shown] == ["p0", "p1", "p2"]
    assert [one.case.targets for one in shown] == [(2,)] * 3
    few = collect_failures(nothing, Drawn(2), 3).examples["missed"]
    assert [(one.picture, one.case.targets) for one in few] == [("p0", (2,)), ("p0", (1,)), ("p1", (2,))]


def test_an_example_shows_the_surroundings_stretched_to_the_full_range():
    [example, *_] = collect_failures(nothing, Drawn(1), 1).examples["missed"]
    assert example.pixels.shape == (48, 48, 3)
    assert example.target_labels.shape == example.pred_labels.shape == (48, 48)
    assert (example.target_labels == 2).sum() == 400
    assert example.pixels.max() == 255
    assert np.array_equal(example.pixels[..., 0] > 0, example.target_labels > 0)


def test_surroundings_stay_inside_a_small_picture():
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
    report = collect_failures(nothing, Drawn(2), 0)
    assert not any(report.examples.values())
    assert report.case_counts()["missed"] == 4


def test_label_maps_are_read_and_checked(tmp_path):
    source = Drawn(2)
    with pytest.raises(DataError, match="no such folder"):
        read_predictions(tmp_path / "none", source)
    Image.fromarray(source.read(0).labels.astype(np.uint16)).save(tmp_path / "p0.labels.png")
    with pytest.raises(DataError, match="no label map for p1"):
        read_predictions(tmp_path, source)
    Image.fromarray(np.zeros((3, 4), dtype=np.uint16)).save(tmp_path / "p1.png")
    read = read_predictions(tmp_path, source)
    assert np.array_equal(read(source.read(0)).label_map(), source.read(0).labels)
    with pytest.raises(DataError, match="is 3 x 4 pixels"):
        read(source.read(1))
