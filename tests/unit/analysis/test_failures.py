import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seriatim.analysis.failures import FAILURES, PRED_KINDS, TARGET_KINDS, find_cases, sort_failures
from seriatim.core.errors import ShapeError


def row(text):
    """A label map of one row: 0 or . background, digits labels."""
    return np.array([[0 if one == "." else int(one) for one in text]], dtype=np.int32)


def kinds(truth, found, ignore=None):
    sorted_out = sort_failures(row(truth), row(found), ignore)
    return sorted_out.target_kinds.tolist(), sorted_out.pred_kinds.tolist()


HAND_MADE = {
    "nothing at all": ("....", "....", [], []),
    "exactly right": ("11..22", "11..22", ["right", "right"], ["right", "right"]),
    "right although labels differ": ("11..22", "77..33", ["right", "right"], ["right", "right"]),
    "iou of exactly one half is right": ("1111..", "..11..", ["right"], ["right"]),
    "iou just below one half": ("11111..", "...11..", ["inexact"], ["inexact"]),
    "nothing found": ("11.22", ".....", ["missed", "missed"], []),
    "nothing there": (".....", "11.22", [], ["hallucinated", "hallucinated"]),
    "touching the background only beside it": ("11...", "..11.", ["missed"], ["hallucinated"]),
    "mostly on background": ("1111....", "...1111.", ["missed"], ["hallucinated"]),
    "exactly half on background is not mostly": ("11111...", "....11..", ["missed"], ["inexact"]),
    "large around a small target": ("...1....", "22222222", ["inexact"], ["inexact"]),
    "one mask over two equal targets": ("1122", "1111", ["joined", "joined"], ["joined"]),
    "one mask over two touching unequal targets": ("111112", "111111", ["right", "joined"], ["right"]),
    "one mask over three": ("11.22.33", "99999999", ["joined"] * 3, ["joined"]),
    "one mask that covers half of each of three": ("112233", "1.1.1.", ["joined"] * 3, ["joined"]),
    "one mask that covers less than half of each": ("11112222", "...11...", ["missed"] * 2, ["inexact"]),
    "cut into exact halves": ("1111", "1122", ["split"], ["split", "split"]),
    "cut into thirds": ("111111111", "111222333", ["split"], ["split"] * 3),
    "two specks do not split": ("1" * 20, "12" + "." * 18, ["inexact"], ["inexact", "inexact"]),
    "a rest beside the right mask": ("1111111111", "2222222.33", ["right"], ["right", "duplicated"]),
    "two rests": ("1111111111", "333.222.44", ["split"], ["split"] * 3),
    "a mask in a swallowed target": ("11111122222", "11111111133", ["right", "joined"], ["right", "inexact"]),
    "small inside": ("1" * 10, "...11.....", ["inexact"], ["inexact"]),
    "parts that lie elsewhere do not split": ("...1111...", "2222233333", ["inexact"], ["inexact", "inexact"]),
}


@pytest.mark.parametrize("case", HAND_MADE, ids=lambda case: case.replace(" ", "_"))
def test_worked_by_hand(case):
    truth, found, targets, preds = HAND_MADE[case]
    assert kinds(truth, found) == (targets, preds)


def test_a_big_mask_over_three_targets_of_which_one_is_most_of_it():
    truth, found = np.zeros((12, 12), dtype=np.int32), np.zeros((12, 12), dtype=np.int32)
    truth[1:9, 1:9], truth[1:4, 9:11], truth[5:8, 9:11] = 1, 2, 3
    found[1:9, 1:11] = 5
    sorted_out = sort_failures(truth, found)
    assert sorted_out.target_kinds.tolist() == ["right", "joined", "joined"]
    assert sorted_out.pred_kinds.tolist() == ["right"]
    [case] = find_cases(sorted_out, truth, found)
    assert (case.kind, case.targets, case.preds, case.box) == ("joined", (1, 2, 3), (5,), (1, 1, 9, 11))


def test_ignored_pixels_count_for_nothing():
    ignore = row("...11.") > 0
    assert kinds("111...", "...11.", ignore) == (["missed"], [])
    assert kinds("11111.", "111...", ignore) == (["right"], ["right"])


def test_labels_with_gaps_are_named_as_they_came():
    sorted_out = sort_failures(row("22..7"), row("99..."))
    assert sorted_out.target_labels.tolist() == [2, 7]
    assert sorted_out.pred_labels.tolist() == [9]
    assert sorted_out.target_counts() == {"right": 1, "joined": 0, "split": 0, "inexact": 0, "missed": 1}


def test_an_image_without_pixels_has_no_objects():
    empty = np.zeros((0, 4), dtype=np.int32)
    sorted_out = sort_failures(empty, empty)
    assert sum(sorted_out.target_counts().values()) == sum(sorted_out.pred_counts().values()) == 0
    assert find_cases(sorted_out, empty, empty) == []


def test_maps_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match="pred_labels"):
        sort_failures(row("11"), row("111"))
    with pytest.raises(ShapeError, match="negative"):
        sort_failures(row("11"), -row("11"))


@pytest.mark.parametrize(
    ("truth", "found", "expected"),
    [
        ("1122", "1111", [("joined", (1, 2), (1,))]),
        ("1111", "1122", [("split", (1,), (1, 2))]),
        ("1111111111", "2222222.33", [("duplicated", (1,), (2, 3))]),
        ("11.22", "11...", [("missed", (2,), ())]),
        ("11...", "11.22", [("hallucinated", (), (2,))]),
        ("...1....", "22222222", [("inexact", (1,), (2,))]),
        ("11112222", "...11...", [("missed", (1,), ()), ("missed", (2,), ()), ("inexact", (), (1,))]),
    ],
)
def test_a_case_names_all_that_take_part(truth, found, expected):
    cases = find_cases(sort_failures(row(truth), row(found)), row(truth), row(found))
    assert [(case.kind, case.targets, case.preds) for case in cases] == expected


def test_the_box_of_a_case_holds_all_that_take_part():
    truth, found = row("11..22.."), row("..777777")
    cases = find_cases(sort_failures(truth, found), truth, found)
    assert {case.kind: case.box for case in cases} == {"missed": (0, 0, 1, 2), "inexact": (0, 2, 1, 8)}


def maps(draw, labels):
    """Blocks of random rectangles, so that all kinds of overlap come up."""
    plane = np.zeros((draw(st.integers(1, 9)), draw(st.integers(1, 12))), dtype=np.int32)
    planes = [plane, plane.copy()]
    for one in planes:
        for label in range(1, draw(st.integers(0, labels)) + 1):
            y, x = draw(st.integers(0, one.shape[0] - 1)), draw(st.integers(0, one.shape[1] - 1))
            one[y : y + draw(st.integers(1, 6)), x : x + draw(st.integers(1, 8))] = label
    return planes


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_every_object_has_one_kind_and_the_kinds_fit_each_other(data):
    truth, found = maps(data.draw, 6)
    sorted_out = sort_failures(truth, found)
    targets, preds = sorted_out.target_counts(), sorted_out.pred_counts()
    assert tuple(targets) == TARGET_KINDS
    assert tuple(preds) == PRED_KINDS
    assert sum(targets.values()) == len(np.unique(truth[truth > 0]))
    assert sum(preds.values()) == len(np.unique(found[found > 0]))
    assert targets["right"] == preds["right"]
    assert preds["split"] >= 2 * targets["split"]
    assert (preds["split"] > 0) == (targets["split"] > 0)
    assert preds["duplicated"] == 0 or targets["right"] > 0
    if preds["joined"]:
        assert targets["joined"] + targets["right"] >= 2


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_kinds_follow_their_definitions_object_by_object(data):
    """The definitions once more, pair by pair over full planes, as slow and plain as they can be said."""
    truth, found = maps(data.draw, 5)
    sorted_out = sort_failures(truth, found)
    t = {int(one): truth == one for one in sorted_out.target_labels}
    p = {int(one): found == one for one in sorted_out.pred_labels}
    shared = {(i, j): int((p[i] & t[j]).sum()) for i in p for j in t}
    half = {(i, j) for i, j in shared if shared[i, j] and 2 * shared[i, j] >= (p[i] | t[j]).sum()}
    match = {(i, j) for i, j in half if sum(one == i for one, _ in half) == 1 and sum(one == j for _, one in half) == 1}
    covers = {(i, j) for i, j in shared if 2 * shared[i, j] >= t[j].sum()}
    lies = {(i, j) for i, j in shared if 2 * shared[i, j] > p[i].sum()}
    joiners = {i for i in p if sum(one == i for one, _ in covers) >= 2}
    right_p, right_t = {i for i, _ in match}, {j for _, j in match}
    joined_t = {j for i, j in covers if i in joiners} - right_t

    def parts(j):
        return [i for i in p if (i, j) in lies and i not in right_p and i not in joiners]

    split_t = {
        j
        for j in t
        if j not in right_t | joined_t and len(parts(j)) >= 2 and 2 * sum(shared[i, j] for i in parts(j)) >= t[j].sum()
    }
    for i, kind in zip(p, sorted_out.pred_kinds.tolist(), strict=True):
        if i in right_p:
            expected = "right"
        elif i in joiners:
            expected = "joined"
        elif any((i, j) in lies for j in right_t):
            expected = "duplicated"
        elif any((i, j) in lies for j in split_t):
            expected = "split"
        elif 2 * (p[i] & (truth == 0)).sum() > p[i].sum() and not any((i, j) in covers for j in t):
            expected = "hallucinated"
        else:
            expected = "inexact"
        assert kind == expected
    for j, kind in zip(t, sorted_out.target_kinds.tolist(), strict=True):
        if j in right_t:
            expected = "right"
        elif j in joined_t:
            expected = "joined"
        elif j in split_t:
            expected = "split"
        elif not any((i, j) in covers | lies for i in p):
            expected = "missed"
        else:
            expected = "inexact"
        assert kind == expected


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_renumbering_and_turning_change_nothing(data):
    truth, found = maps(data.draw, 6)
    before = sort_failures(truth, found)
    new = np.array([0, *data.draw(st.permutations(range(11, 18)))])
    after = sort_failures(new[truth], new[found])
    was = dict(zip(new[before.target_labels].tolist(), before.target_kinds.tolist(), strict=True))
    assert dict(zip(after.target_labels.tolist(), after.target_kinds.tolist(), strict=True)) == was
    was = dict(zip(new[before.pred_labels].tolist(), before.pred_kinds.tolist(), strict=True))
    assert dict(zip(after.pred_labels.tolist(), after.pred_kinds.tolist(), strict=True)) == was
    turned = sort_failures(truth.T, found.T)
    assert turned.target_counts() == before.target_counts()
    assert turned.pred_counts() == before.pred_counts()


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_not_right_is_in_a_case_and_cases_hold_their_objects(data):
    truth, found = maps(data.draw, 6)
    sorted_out = sort_failures(truth, found)
    cases = find_cases(sorted_out, truth, found)
    assert [FAILURES.index(case.kind) for case in cases] == sorted(FAILURES.index(case.kind) for case in cases)
    told_targets = {one for case in cases for one in case.targets}
    told_preds = {one for case in cases for one in case.preds}
    assert told_targets >= set(sorted_out.target_labels[sorted_out.target_kinds != "right"].tolist())
    assert told_preds >= set(sorted_out.pred_labels[sorted_out.pred_kinds != "right"].tolist())
    for case in cases:
        outside = np.ones(truth.shape, dtype=bool)
        outside[case.box[0] : case.box[2], case.box[1] : case.box[3]] = False
        assert not np.isin(truth[outside], case.targets).any()
        assert not np.isin(found[outside], case.preds).any()


def test_many_objects_are_sorted_without_a_loop_over_pairs():
    truth = np.zeros((400, 400), dtype=np.int32)
    truth.reshape(100, 4, 100, 4)[:, :3, :, :3] = np.arange(1, 10001).reshape(100, 1, 100, 1)
    found = np.roll(truth, 2, axis=1)
    sorted_out = sort_failures(truth, found)
    assert sum(sorted_out.target_counts().values()) == 10000
    assert len(find_cases(sorted_out, truth, found)) > 1000
