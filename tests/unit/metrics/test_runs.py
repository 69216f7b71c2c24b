import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from seriatim.core.errors import DataError, ShapeError
from seriatim.core.instances import Instance
from seriatim.metrics import runs as runs_module
from seriatim.metrics.runs import count_labels, runs_of

PLANES = hnp.arrays(bool, st.tuples(st.integers(0, 4), st.integers(1, 4), st.integers(1, 9)))


def test_labels_of_any_size_are_closed_up():
    for labels in ([[0, 5], [9, 9]], [[0, 5], [10**11, 10**11]]):
        for is_by_column in (False, True):
            present, dense, runs = count_labels(np.array(labels), is_by_column)
            assert (present.tolist(), dense.tolist()) == ([5, labels[1][0]], [[0, 1], [2, 2]])
            assert runs.areas.tolist() == [1, 2]
    present, dense, _ = count_labels(np.array([[10**11, 10**11 + 1]]))
    assert (present.tolist(), dense.tolist()) == ([10**11, 10**11 + 1], [[1, 2]])
    present, dense, _ = count_labels(np.zeros((0, 3), dtype=np.uint8))
    assert (present.tolist(), dense.shape) == ([], (0, 3))


def unfold(runs):
    planes = np.zeros((runs.count, *runs.size), dtype=bool)
    owners, positions = runs.pixels(np.arange(runs.count))
    planes.reshape(runs.count, runs.size[0] * runs.size[1])[owners, positions] = True
    return planes


@given(planes=PLANES)
def test_every_kind_of_masks_has_the_same_pixels(encode, cut_out, planes):
    found = [runs_of(planes), runs_of(planes, is_by_column=True)]
    found += [runs_of(cut_out(planes)), runs_of(cut_out(planes), is_by_column=True)]
    if len(planes):
        found.append(runs_of(encode(planes)))
    for runs in found:
        assert (unfold(runs) == planes).all()
        assert runs.areas.tolist() == planes.sum(axis=(1, 2)).tolist()
        assert (runs.ends > runs.starts).all()


@given(planes=PLANES)
def test_layers_hold_every_run_once_and_none_over_another(planes):
    runs = runs_of(planes)
    owners = [set(layer.owners.tolist()) for layer in runs.layers]
    assert sum(map(len, owners)) == len(set().union(*owners)) == np.count_nonzero(runs.areas)
    assert sum(len(layer.starts) for layer in runs.layers) == len(runs.starts)
    for layer in runs.layers:
        assert (layer.starts[1:] >= layer.ends[:-1]).all()
    if len(planes) and planes.sum(axis=0).max() <= 1:
        assert len(runs.layers) <= 1


@given(labels=hnp.arrays(np.int32, (3, 5), elements=st.integers(0, 4)), is_by_column=st.booleans())
def test_label_maps_become_masks_and_masks_label_maps(labels, is_by_column):
    present, dense, runs = count_labels(labels, is_by_column)
    assert (unfold(runs) == (labels == present[:, None, None])).all()
    assert (runs.paint(np.arange(len(present))) == dense).all()
    assert (np.append(0, present)[dense] == labels).all()


@given(planes=PLANES, is_by_column=st.booleans())
def test_masks_are_chosen_and_renumbered(planes, is_by_column):
    runs, numbers = runs_of(planes, is_by_column), np.arange(len(planes))[::-2]
    assert (unfold(runs.chosen(numbers)) == planes[numbers]).all()
    spread = unfold(runs.renumbered(2 * np.arange(len(planes)), 2 * len(planes)))
    assert (spread[::2] == planes).all()
    assert not spread[1::2].any()


def test_masks_painted_later_lie_on_top():
    runs = runs_of(np.array([[[True, True, False]], [[False, True, True]]]))
    assert runs.paint(np.array([0, 1])).tolist() == [[1, 2, 2]]
    assert runs.paint(np.array([1, 0])).tolist() == [[1, 1, 2]]
    assert runs.paint(np.array([1])).tolist() == [[0, 2, 2]]


@given(
    values=hnp.arrays(bool, 64, elements=st.booleans()) | st.integers(0, 255).map(lambda bits: pattern(bits)),
)
def test_changes_are_found_word_by_word_as_value_by_value(values):
    expected = [place for place in range(1, len(values)) if values[place] != values[place - 1]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs_module, "MAX_PLAIN", 0)
        assert runs_module._changes(values).tolist() == expected


def pattern(bits):
    """A word that is repeated, which hides its own changes from a comparison of words."""
    return np.tile(np.unpackbits(np.uint8([bits])).astype(bool), 6)


def test_plain_counts_and_bytes_are_codes_too():
    text = {"size": [4, 2], "counts": "125"}
    found = runs_of([text, {"size": [4, 2], "counts": [1, 2, 5]}, {"size": (4, 2), "counts": b"125"}])
    assert found.areas.tolist() == [2, 2, 2]
    assert runs_of([{"size": [4, 2], "counts": [0, 8]}]).areas.tolist() == [8]
    assert runs_of([{"size": [4, 2], "counts": [8]}]).areas.tolist() == [0]
    assert runs_of([{"size": [4, 2], "counts": [1, 0, 2, 1, 4]}]).starts.tolist() == [3]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ({"size": [4, 2], "counts": "12"}, r"here\[1\]: run lengths add up to 3 pixels, the image has 8"),
        ({"size": [4, 2], "counts": ""}, r"here\[1\]: holds no runs"),
        ({"size": [4, 2], "counts": "12é"}, "no part of such a code"),
        ({"size": [4, 2], "counts": "12 "}, "no part of such a code"),
        ({"size": [4, 2], "counts": "12o"}, "ends in the middle of a number"),
        ({"size": [4, 2], "counts": "ooooooooooooo1"}, "beyond 33 bits"),
        ({"size": [4, 2], "counts": [-1, 9]}, "a negative run"),
        ({"size": [4, 2], "counts": [1.5, 6.5]}, "a list of integers"),
        ({"size": [4, 2], "counts": None}, "a text or a list of integers"),
        ({"size": 8, "counts": "125"}, "a size of two numbers"),
    ],
)
def test_a_damaged_code_is_named(code, message):
    with pytest.raises(DataError, match=message):
        runs_of([{"size": [4, 2], "counts": "125"}, code], where="here")


def test_codes_of_several_sizes_are_refused():
    with pytest.raises(ShapeError, match="of one size"):
        runs_of([{"size": [4, 2], "counts": "125"}, {"size": [2, 4], "counts": "125"}])


def test_neighbouring_masks_that_fill_the_image_stay_apart():
    runs = runs_of(np.ones((3, 2, 2), dtype=bool))
    assert (runs.owners.tolist(), runs.starts.tolist(), runs.ends.tolist()) == ([0, 1, 2], [0, 0, 0], [4, 4, 4])


@pytest.mark.parametrize("is_by_column", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_boxes_are_those_around_the_pixels_also_where_runs_go_over_several_lines(seed, is_by_column):
    rng = np.random.default_rng(seed)
    planes = rng.random((12, 7, 5)) < rng.choice([0.02, 0.1, 0.9], 12)[:, None, None]
    planes[0], planes[1] = True, False
    expected = [[0, 0, 0, 0] if (cut := Instance.from_mask(plane)) is None else list(cut.box) for plane in planes]
    assert runs_of(planes, is_by_column).boxes.tolist() == expected
