"""The benchmarks import what there is, take turns, replace old results, and see a change."""

import copy
import json
import runpy
import sys
from pathlib import Path

import pytest
from tests import box_masks

from seriatim.core.errors import ConfigError
from seriatim.data.catalogue import open_source
from seriatim.inference.model_folder import ModelDescription, write_model_folder
from seriatim.inference.predictor import load
from seriatim.models import catalogue

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path.name for path in (ROOT / "benchmarks").glob("*.py"))
NO_MEASUREMENT = ("cells.py", "fill_tables.py", "measuring.py")


def forget_benchmarks():
    """Let the modules beside the scripts be imported anew."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(ROOT / "benchmarks")):
            del sys.modules[name]


@pytest.fixture
def script(monkeypatch):
    """Gives the names of a script without running its `main`."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield lambda name: runpy.run_path(str(ROOT / "benchmarks" / name), run_name="benchmark")
    forget_benchmarks()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_benchmark_imports_what_there_is(script, name):
    script(name)


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name not in NO_MEASUREMENT])
def test_a_benchmark_stands_in_the_list_of_commands(name):
    assert f"python benchmarks/{name}" in (ROOT / "benchmarks" / "README.md").read_text()


def test_calls_take_turns_and_warm_up_first(script):
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    times = script("measuring.py")["in_turns"](calls, repeats=2, warm_ups=1)
    assert order == ["a", "b"] * 3
    assert [len(some) for some in times.values()] == [2, 2]


def test_a_new_result_replaces_those_of_other_dates(script, tmp_path):
    measuring = script("measuring.py")
    for name in ("speed_cpu_2020-01-01.json", "speed_cuda_2020-01-01.json", "top_speed_cpu_2020-01-01.json"):
        (tmp_path / name).touch()
    path = measuring["save"]("speed", {"seconds": 1}, measuring["Start"](), None, folder=tmp_path)
    assert {one.name for one in tmp_path.iterdir()} == {
        path.name,
        "speed_cuda_2020-01-01.json",
        "top_speed_cpu_2020-01-01.json",
    }
    assert json.loads(path.read_text())["seconds"] == 1


@pytest.fixture
def measured(script):
    """A result of `unchanged.py` with one line of log for each recipe, and its names."""
    names = script("unchanged.py")
    result = {
        "found": {model: {"objects": 3, "sha256": model} for model in names["MODELS"]},
        "losses": {
            recipe: [{"iteration": 1, "total": 0.1}, {"iteration": 2, "total": 0.2}] for recipe in names["RECIPES"]
        },
    }
    return names, result


def test_equal_results_are_identical(measured):
    names, result = measured
    compared = names["compare"](json.loads(json.dumps(result)), result)
    assert (compared["identical"], compared["differences"]) == (True, [])
    assert compared["losses"]["nuclei"]["iterations"] == 2


def test_a_changed_hash_and_the_last_bit_of_a_loss_are_seen(measured):
    names, before = measured
    after = copy.deepcopy(before)
    after["found"]["leaves"]["sha256"] = "other"
    after["losses"]["scenes"][1]["total"] = 0.2 + 2**-54
    compared = names["compare"](before, after)
    assert not compared["identical"]
    assert compared["differences"] == [
        "model leaves",
        "recipe scenes: iteration 2: total 0.2 before, 0.20000000000000007 after",
    ]
    assert compared["found"]["leaves"]["before"] != compared["found"]["leaves"]["after"]
    assert not compared["losses"]["scenes"]["identical"]


def test_a_missing_line_of_the_log_is_seen(measured):
    names, before = measured
    after = copy.deepcopy(before)
    after["losses"]["rsis-voc"].pop()
    assert names["compare"](before, after)["differences"] == ["recipe rsis-voc: 2 lines in the log before, 1 after"]


DETECTOR = {"encoder": "test_resnet", "encoder_depth": 2, "channels": 32, "head_convolutions": 1, "min_score": 0.0}
FCOS = {"name": "detector", "config": {**DETECTOR, "max_detections": 3}}


@pytest.fixture
def zoo_scores(script, tmp_path, monkeypatch):
    """The names of `zoo_scores.py` with one set, of a model that takes boxes and one that there is not; its images; and a detector."""
    box_masks.in_catalogue(monkeypatch)
    data, _ = box_masks.write_data(tmp_path / "data")
    boxed = ModelDescription.parse({"model": {"name": box_masks.NAME}, "inference": {"overlaps": "keep"}})
    write_model_folder(tmp_path / "boxed", box_masks.BoxMasks(box_masks.BoxMasksConfig()), boxed)
    found = ModelDescription.parse({"model": FCOS, "inference": {"overlaps": "keep"}})
    write_model_folder(tmp_path / "detector", catalogue.build("detector", FCOS["config"], seed=0), found)
    names = script("zoo_scores.py")
    systems = {"boxed": ("boxed", False, ()), "no-such-model": ("no-such-model", False, ())}
    names["SETS"]["made"] = names["TestSet"]("none", ("nuclei",), systems)
    return names, open_source(data), tmp_path


def test_a_model_that_starts_from_boxes_is_scored_with_its_detector_and_the_boxes_alone_stand_beside_it(
    zoo_scores, capsys
):
    names, source, folder = zoo_scores
    named = names["Named"]({"boxed": str(folder / "boxed")}, {"boxed": str(folder / "detector")})
    result = json.loads(json.dumps(names["measure"]("made", source, named)))
    assert "no-such-model: does not ship; left out" in capsys.readouterr().out
    assert list(result["systems"]) == ["boxed", "boxed: boxes alone"]
    model, boxes = result["systems"].values()
    assert model["predictions"] == boxes["predictions"] > 0, "the mask of a box is the box"
    assert "coco_boxes" in boxes
    assert "coco_boxes" not in model
    weights = [(folder / part / "model.safetensors").stat().st_size for part in ("boxed", "detector")]
    assert (model["bytes"], boxes["bytes"]) == (sum(weights), weights[1])


def test_boxes_alone_are_full_and_the_best_come_first(zoo_scores):
    names, source, folder = zoo_scores
    detector = load(folder / "detector", "cpu")
    alone = names["BoxesAlone"](detector, 0, (), min_score=0.0)
    found = alone.look(source.read(0))
    assert len(found) == 3
    assert all(one.mask.all() for one in found)
    assert list(found.scores) == sorted(found.scores, reverse=True)
    alone.min_score = float(found.scores[1])
    assert len(alone.look(source.read(0))) == 2


def test_a_model_that_takes_boxes_without_a_detector_is_refused_with_what_to_do(zoo_scores):
    names, _, folder = zoo_scores
    with pytest.raises(ConfigError, match="--detectors boxed=MODEL"):
        names["Named"]({"boxed": str(folder / "boxed")}).load("boxed")


def test_a_table_of_scores_has_columns_for_what_some_system_was_scored_by(script):
    names = script("fill_tables.py")
    columns = (("|DiC|", "nuclei", "absDiC", 2), ("box AP50", "coco_boxes", "AP50", 3))
    system = {"nuclei": {"absDiC": 1.5}, "predictions": 3, "targets": 4, "images_per_second": 2.0}
    old = names["scores_table"]({"sets": {"a": {"systems": {"x": system}}}}, "a", columns)
    assert old[0] == "| model | \\|DiC\\| | objects predicted / true | images a second |"
    boxes = {**system, "bytes": 2_500_000, "coco_boxes": {"AP50": 0.5}}
    new = names["scores_table"]({"sets": {"a": {"systems": {"x": {**system, "bytes": 1}, "y": boxes}}}}, "a", columns)
    assert new[2] == "| `x` | 1.50 | - | 3 / 4 | 2.00 | 0.0 |"
    assert new[4] == "| `y` | 1.50 | 0.500 | 3 / 4 | 2.00 | 2.5 |"


def test_the_parts_of_din_stand_beside_a_detector_which_is_said_to_be_untrained_where_none_is_named(script, tmp_path):
    path, tables = tmp_path / "parts.json", script("fill_tables.py")
    script("din_parts.py")["main"](["--side", "64", "--detections", "2", "--repeats", "1", "--json", str(path)])
    table = tables["din_parts"](json.loads(path.read_text()))
    assert table[0] == "| detections | detector | semantic network | semantic CRF | terms | instance CRF | whole |"
    assert table[2].count(" s |") == 6
    assert table[-1] == "Detector: untrained, of recipe detector-scenes."
    of_before = {"rows": [{"detections": 1, "parts": {"terms": {"wall": 0.5}, "whole": {"wall": 1.0}}}]}
    assert tables["din_parts"](of_before)[0] == "| detections | terms | whole |"
