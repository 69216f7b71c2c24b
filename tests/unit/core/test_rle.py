"""Run lengths of others: boxes as pycocotools finds them, and every fault named."""

import numpy as np
import pytest
from pycocotools import mask as mask_api

from seriatim.core.errors import DataError
from seriatim.core.rle import decode, encode, measure_codes, measure_runs, read_counts, read_runs


def random_masks(rng, num):
    for _ in range(num):
        size = tuple(int(side) for side in rng.integers(1, 40, 2))
        yield rng.random(size) < rng.choice([0.02, 0.5, 0.98, 1.0])


def plain_counts(mask):
    """Worked by hand: lengths of the runs of the columns one after another."""
    flat = np.r_[False, mask.ravel(order="F")]
    borders = np.flatnonzero(np.diff(flat)).tolist()
    return np.diff([0, *borders, mask.size]).tolist()


def test_300_codes_measured_in_one_go_have_the_boxes_of_pycocotools():
    masks = list(random_masks(np.random.default_rng(3), 300))
    codes = [mask_api.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in masks]
    texts = [code["counts"].decode() for code in codes]
    verdicts = measure_codes(texts, [mask.shape for mask in masks])
    for mask, code, text, verdict in zip(masks, codes, texts, verdicts, strict=True):
        runs = read_runs(text)
        assert runs.tolist() == plain_counts(mask)
        if not mask.any():
            assert verdict == "covers no pixel"
            continue
        x, y, width, height = (int(number) for number in mask_api.toBbox(code))
        rows, columns = np.nonzero(mask)
        assert verdict == (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
        assert measure_runs(runs, mask.shape) == verdict
        assert (x, width) == (verdict[1], verdict[3] - verdict[1])
        assert y + height == verdict[2]


def test_a_bad_code_does_not_disturb_its_neighbours():
    good, size = "125", (4, 2)
    texts = [good, "", good, "1", "Z", good, "~", good, "oooooooo0", good, "12h", good, "é", good, "1d2", good]
    verdicts = measure_codes(texts, [size] * len(texts))
    assert [verdict for text, verdict in zip(texts, verdicts, strict=True) if text == good] == [(1, 0, 3, 1)] * 8
    faults = [verdict for text, verdict in zip(texts, verdicts, strict=True) if text != good]
    assert all(isinstance(fault, str) and fault for fault in faults), faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "holds no runs"),
        ("44 ", "no part of such a code"),
        ("4é", "no part of such a code"),
        ("4\ud800", "no part of such a code"),
        ("4X", "ends in the middle of a number"),
        ("44", None),
        ("8", "covers no pixel"),
        ("43", "add up to 7 pixels, the image has 8"),
        ("9", "has a run of 9 pixels"),
        ("4N6", "has a negative run"),
        ("oooooooooo0", "negative run, or one beyond 33 bits"),
        ("o" * 5000 + "0", "negative run, or one beyond 33 bits"),
    ],
)
def test_every_fault_of_a_code_is_named(text, fault):
    verdict = measure_codes([text], [(4, 2)])[0]
    assert (fault in verdict) if fault else verdict == (0, 1, 4, 2)


def test_a_code_too_long_for_the_memory_is_refused():
    assert "more than the limit of 8000000" in str(measure_codes(["0" * 8_000_001], [(4, 2)])[0])


def test_many_codes_compressed_and_plain_are_read_in_one_go():
    masks = list(random_masks(np.random.default_rng(5), 40))
    texts = [mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"] for mask in masks]
    plain = [plain_counts(mask) for mask in masks]
    mixed = [text if place % 3 else counts for place, (text, counts) in enumerate(zip(texts, plain, strict=True))]
    for codes in (texts, [text.decode() for text in texts], plain, mixed):
        values, lengths = read_counts(codes, "masks")
        assert values.tolist() == [count for counts in plain for count in counts]
        assert lengths.tolist() == [len(counts) for counts in plain]


@pytest.mark.parametrize("bad", ["", "4X", b"\xff", [1.5], [[1]], None, 7])
def test_the_code_that_cannot_be_read_is_named(bad):
    with pytest.raises(DataError, match=r"masks\[1\]"):
        read_counts(["44", bad], "masks")


@pytest.mark.not_quick
def test_a_mask_of_noise_comes_back_however_long_its_code():
    mask = np.indices((2100, 2000)).sum(axis=0) % 2 == 0
    code = encode((0, 0, 2100, 2000), mask, (2100, 2000))
    box, back = decode(code)
    assert box == (0, 0, 2100, 2000)
    assert (back == mask).all()
