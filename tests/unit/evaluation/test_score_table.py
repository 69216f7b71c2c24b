import numpy as np
import pytest

from seriatim.evaluation.score_table import Row, class_table, headline_rows
from seriatim.metrics import PROTOCOLS, Evaluator, Example


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_headline_number_of_every_protocol_is_a_row_with_its_interval(protocol):
    labels = np.arange(1, 5).reshape(2, 2).repeat(60, axis=0).repeat(60, axis=1)
    evaluator = Evaluator([protocol])
    for classes in ([1, 2, 1, 2], [1, 1, 2, 2]):
        distances = {"target_distances": np.ones(4), "target_distance_confidences": np.ones(4)}
        evaluator.add(
            Example.from_label_maps(labels, labels, pred_classes=classes, target_classes=[1, 2, 1, 2], **distances)
        )
    rows = headline_rows({**evaluator.result(protocol), "per_image": [], "interval": evaluator.intervals(protocol, 20)})
    assert len(rows) >= 2
    assert all(row.interval is not None or row.value in (None, -1.0) for row in rows)
    assert len({row.name for row in rows}) == len(rows)


def test_rows_show_four_digits_and_what_is_not_known_as_a_dash():
    row = Row("SBD", 0.83456, 0.1, (0.8, 0.91))
    assert (row.value_text(), row.interval_text()) == ("0.8346 (std 0.1000)", "[0.8000, 0.9100]")
    assert (Row("AP", None).value_text(), Row("AP", None).interval_text()) == ("-", "")


def test_lists_are_named_by_their_thresholds():
    rows = headline_rows({"thresholds": [0.1, 0.2], "mAP": [0.5, None], "AP_vol": 0.5})
    assert [(row.name, row.value) for row in rows] == [("mAP 0.1", 0.5), ("mAP 0.2", None), ("AP_vol", 0.5)]


def test_classes_are_shown_when_there_are_several():
    curve = [1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.5, 0.25, 0.0]
    found = class_table({"thresholds": [0.1], "per_class": {1: curve, 3: None}}, ["cat"])
    assert found is not None
    assert found.rows == [("cat", (0.75, 0.5, np.mean(curve))), ("class 3", (None, None, None))]
    found = class_table({"per_class": {1: {"AP": 0.5, "AP50": 1.0}, 2: {"AP": None, "AP50": None}}}, ["cat", "dog"])
    assert (found.columns, found.rows[1]) == (("AP", "AP50"), ("dog", (None, None)))
    assert class_table({"per_class": {1: 0.5}}, ["cat"]) is None
    assert class_table({"AP": 0.5}, ["cat", "dog"]) is None
