"""The benchmarks import what there is, take turns, replace old results, and see a change."""

import copy
import json
import runpy
import sys
from pathlib import Path

import pytest

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
