"""Every score against numbers that other programs gave for the same small data sets.

Origin: `stored_metrics.json`, whose head says which program and version gave which numbers, how, and what was left out and why. No
number in it comes from seriatim: where a test fails here, a score is no longer that of its program.
"""

import json
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_api

from seriatim.analysis.order import OrderReport
from seriatim.core.instances import Instance, Instances
from seriatim.metrics import PROTOCOLS, Example, evaluate

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools' decode

KINDS = ("hand-made", "random")
STORED_NAMES = {"semantic_iou": "semantic"}
ATTRIBUTES = (
    "target_classes",
    "target_crowd",
    "target_distances",
    "target_distance_confidences",
    "pred_scores",
    "pred_classes",
)


@cache
def stored():
    return json.loads(Path(__file__).with_name("stored_metrics.json").read_text(encoding="utf-8"))


def planes(codes, size):
    decoded = [mask_api.decode({"size": size, "counts": code}).astype(bool) for code in codes]
    return np.array(decoded, dtype=bool).reshape(len(codes), *size)


def paint(masks, values, size):
    """The values where the masks lie, the earlier mask in front."""
    painted = np.zeros(size, dtype=int)
    for mask, value in reversed(list(zip(masks, values, strict=True))):
        painted[mask] = value
    return painted


def read(image):
    """Arguments of an `Example`."""
    size = image["size"]
    targets = planes(image["target_masks"], size)
    given = {name: np.array(image[name]) for name in ATTRIBUTES if name in image}
    for name in ("target_classes", "pred_classes"):
        given[name] = given[name].astype(int)
    return {
        **given,
        "target_labels": paint(targets, range(1, len(targets) + 1), size),
        "pred_masks": planes(image["pred_masks"], size),
        "void": planes([image["void"]], size)[0] if "void" in image else None,
    }


@cache
def images_of(name):
    (data_set,) = (one for one in stored()["data_sets"] if one["name"] == name)
    return [read(image) for image in data_set["images"]]


@cache
def examples_of(name):
    return [Example(**image) for image in images_of(name)]


def emitted(image):
    """The predictions that have a pixel, in their order."""
    cut_out = (Instance.from_mask(mask) for mask in image["pred_masks"])
    return Instances(image["target_labels"].shape, [instance for instance in cut_out if instance is not None])


def score(name, protocol):
    if protocol == "order":
        report = OrderReport()
        for image in images_of(name):
            report.add(emitted(image))
        return report.as_json()
    return evaluate(examples_of(name), protocol=protocol)


def leaves(stored_value, found, place=""):
    """(place, stored number, found number) of every number that is stored; None beside it where nothing is found."""
    if isinstance(stored_value, dict):
        for key, value in stored_value.items():
            yield from leaves(value, found.get(key) if isinstance(found, dict) else None, f"{place}/{key}")
    elif isinstance(stored_value, list):
        same = isinstance(found, list) and len(found) == len(stored_value)
        for index, value in enumerate(stored_value):
            yield from leaves(value, found[index] if same else None, f"{place}/{index}")
    elif stored_value is not None:
        yield place, stored_value, found


def compare(kind, protocol):
    """How many numbers were compared, and those that differ by more than the tolerance of their program."""
    programs, count, wrong = stored()["programs"], 0, []
    for data_set in stored()["data_sets"]:
        if data_set["kind"] != kind:
            continue
        found = json.loads(json.dumps(score(data_set["name"], protocol)))  # with the keys that JSON has
        for program, numbers in data_set["numbers"].items():
            for place, expected, got in leaves(numbers.get(STORED_NAMES.get(protocol, protocol)), found):
                count += 1
                if got is None or not abs(got - expected) <= programs[program]["tolerance"]:
                    wrong.append(f"{data_set['name']}: {program}: {place}: stored {expected}, got {got}")
    return count, wrong


WITH_PROGRAMS = sorted({*PROTOCOLS, "order"} - {"box_proposals"})
"""Those that another program gives too; `box_proposals` is checked by hand in `tests/unit/metrics/test_box_proposals.py`."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", WITH_PROGRAMS)
def test_every_stored_number_comes_out_again(protocol, kind):
    count, wrong = compare(kind, protocol)
    assert count >= 30
    assert not wrong, f"{len(wrong)} of {count} numbers differ:\n" + "\n".join(wrong[:20])


def test_all_data_sets_and_programs_are_in_the_file():
    data_sets, programs = stored()["data_sets"], stored()["programs"]
    assert Counter(data_set["kind"] for data_set in data_sets) == {"hand-made": 17, "random": 24}
    assert len({data_set["name"] for data_set in data_sets}) == 41
    given = {(program, name) for data_set in data_sets for program, of in data_set["numbers"].items() for name in of}
    assert given == {(program, name) for program, entry in programs.items() for name in entry["protocols"]}
    assert {name for _, name in given} == {STORED_NAMES.get(name, name) for name in WITH_PROGRAMS}


def test_what_was_left_out_has_its_reason():
    used = {reason for data_set in stored()["data_sets"] for reason in data_set["left_out"].values()}
    assert used == set(stored()["reasons"])


@pytest.mark.parametrize("change", [1e-8, -1e-8, float("nan")])
def test_a_number_that_is_off_by_little_is_noticed(change, monkeypatch):
    monkeypatch.setattr(f"{__name__}.score", lambda name, protocol: {"mean_iou": 0.5 + change})
    data_set = {"name": "one", "kind": "random", "numbers": {"rules": {"semantic": {"mean_iou": 0.5}}}}
    file = {"programs": {"rules": {"tolerance": 1e-9}}, "data_sets": [data_set]}
    monkeypatch.setattr(f"{__name__}.stored", lambda: file)
    count, wrong = compare("random", "semantic_iou")
    assert count == len(wrong) == 1
