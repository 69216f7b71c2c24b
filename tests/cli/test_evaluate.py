import json

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def data(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "data" / part).mkdir(parents=True)
    labels = np.zeros((40, 60), dtype=np.uint16)
    labels[5:15, 5:15], labels[20:30, 30:50] = 1, 2
    for name in ("one", "two"):
        Image.fromarray((labels > 0).astype(np.uint8) * 200).save(tmp_path / "data" / "images" / f"{name}.png")
        Image.fromarray(labels).save(tmp_path / "data" / "labels" / f"{name}.png")
    return tmp_path / "data"


def test_label_maps_are_scored_and_shown_as_a_table(run, data, tmp_path):
    code, out, _ = run(
        "evaluate",
        "--data",
        f"folder:{data}",
        "--predictions",
        data / "labels",
        "--protocol",
        "nuclei",
        "--json",
        tmp_path / "scores.json",
    )
    assert code == 0
    assert "AP 0.5" in out
    assert "1.0000" in out
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["nuclei"]["AP"]["0.5"] == 1.0
    assert scores["pictures"] == 2
    assert len(scores["nuclei"]["per_image"]) == 2


def test_a_model_is_scored(run, data, model):
    code, out, _ = run(
        "evaluate", "--data", f"folder:{data}", "--model", model, "--protocol", "cvppp", "--json", "-", "--limit", "1"
    )
    assert code == 0
    scores = json.loads(out)
    assert scores["pictures"] == 1
    assert 0 <= scores["cvppp"]["SBD"]["mean"] <= 1


@pytest.mark.parametrize(
    "words",
    [
        ("--protocol", "nuclei", "cvppp"),
        ("--protocol", "nuclei", "--protocol", "cvppp"),
        ("--protocol", "nuclei,cvppp"),
    ],
)
def test_several_protocols_may_be_given_in_any_way(run, data, words):
    code, out, _ = run("evaluate", *words, "--data", f"folder:{data}", "--predictions", data / "labels", "--json", "-")
    assert code == 0
    assert {"nuclei", "cvppp"} <= set(json.loads(out))


@pytest.mark.parametrize(
    "words",
    [
        ("--data", "folder:DATA", "--protocol", "nuclei"),
        ("--data", "folder:DATA", "--protocol", "nuclei", "--model", "x", "--predictions", "y"),
        ("--data", "folder:DATA", "--protocol", "nucleii", "--predictions", "DATA/labels"),
        ("--data", "foulder:DATA", "--protocol", "nuclei", "--predictions", "DATA/labels"),
        ("--data", "folder:DATA", "--protocol", "nuclei", "--model", "nowhere"),
    ],
)
def test_wrong_usage_is_exit_code_2(run, data, words):
    code, out, err = run("evaluate", *(word.replace("DATA", str(data)) for word in words))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


def test_missing_data_are_a_failure(run, tmp_path):
    code, _, err = run(
        "evaluate", "--data", f"folder:{tmp_path / 'none'}", "--protocol", "nuclei", "--predictions", tmp_path
    )
    assert code == 1
    assert "none" in err


def test_a_recipe_picks_the_part_that_it_keeps_back(run, data, tmp_path):
    recipe = tmp_path / "small.toml"
    recipe.write_text(
        """
        [data]
        source = "folder:elsewhere"
        num_test = 1
        [model]
        name = "rsis"
        [[stages]]
        name = "all"
        iterations = 1
        """
    )
    words = (
        "evaluate",
        "--data",
        f"folder:{data}",
        "--predictions",
        data / "labels",
        "--protocol",
        "nuclei",
        "--json",
        "-",
    )
    assert json.loads(run(*words, "--recipe", recipe)[1])["pictures"] == 1
    assert json.loads(run(*words, "--recipe", recipe, "--part", "training")[1])["pictures"] == 1
    assert json.loads(run(*words)[1])["pictures"] == 2
