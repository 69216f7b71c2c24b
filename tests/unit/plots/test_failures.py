import numpy as np

from seriatim.analysis.failure_report import CaseExample
from seriatim.analysis.failures import FAILURES, PRED_KINDS, TARGET_KINDS, Case
from seriatim.plots.failures import COLOURS, MEANINGS, PREDICTION, TRUTH, draw_failures


def example(targets=(1,), preds=(2,), name="plant"):
    target_labels, pred_labels = np.zeros((48, 48), dtype=np.int32), np.zeros((48, 48), dtype=np.int32)
    target_labels[5:20, 5:20], pred_labels[8:24, 8:24], pred_labels[30:40, 30:40] = 1, 2, 3
    pixels = np.full((48, 48, 3), 90, dtype=np.uint8)
    return CaseExample(name, Case("joined", (5, 5, 24, 24), targets, preds), pixels, target_labels, pred_labels)


def page(examples, targets=None, preds=None):
    counts = {kind: len(examples.get(kind, ())) for kind in FAILURES}
    return draw_failures(
        "a title",
        targets or dict.fromkeys(TARGET_KINDS, 1),
        preds or dict.fromkeys(PRED_KINDS, 2),
        counts,
        examples,
    )


def texts(figure):
    return [one.get_text() for one in figure.texts]


def test_every_kind_has_a_colour_and_a_meaning():
    assert set(COLOURS) == {*TARGET_KINDS, *PRED_KINDS}
    assert tuple(MEANINGS) == FAILURES
    assert len(set(COLOURS.values())) == len(COLOURS)


def test_counts_and_shares_stand_on_the_page():
    told = texts(page({}, {"right": 1500, "missed": 500}, {"right": 1500}))
    assert "right 1,500 (75.0 %)" in told
    assert "missed 500 (25.0 %)" in told
    assert "right 1,500 (100.0 %)" in told


def test_kinds_without_an_example_take_no_room():
    few = page({"joined": [example()]})
    more = page({"joined": [example()], "missed": [example(preds=())]})
    assert "missed" not in texts(few)
    assert "missed" in texts(more)
    assert more.get_figheight() > few.get_figheight() + 1


def test_what_takes_part_is_drawn_strongly_in_two_colours():
    figure = page({"joined": [example()]})
    [axes] = [axes for axes in figure.axes if axes.images]
    drawn = [(one.get_edgecolor()[0][:3], float(one.get_linewidth()[0])) for one in axes.collections]
    strong = [colour for colour, width in drawn if width > 1]
    thin = [colour for colour, width in drawn if width < 1]
    assert len(strong) == 2
    assert len(thin) == 1
    assert TRUTH != PREDICTION
    assert not np.allclose(strong[0], strong[1])


def test_nothing_found_and_nothing_there_still_makes_a_page():
    figure = page({}, dict.fromkeys(TARGET_KINDS, 0), dict.fromkeys(PRED_KINDS, 0))
    assert "right 0" in texts(figure)


def test_an_object_that_fills_the_crop_and_a_long_name_are_drawn():
    filled = example(name="x" * 60)
    filled.target_labels[:] = 1
    told = texts(page({"inexact": [filled]}))
    assert any(text.startswith("xxx") and "…" in text for text in told)


def test_the_labels_of_the_bars_stay_apart_and_inside_the_page_whatever_the_shares():
    figure = page({}, dict.fromkeys(TARGET_KINDS, 100_000), dict.fromkeys(PRED_KINDS, 100_000))
    figure.draw_without_rendering()
    boxes = [one.get_window_extent() for one in figure.texts]
    for number, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert not any(box.overlaps(other) for other in boxes[:number])
