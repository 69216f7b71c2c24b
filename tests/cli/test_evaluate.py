import json

import numpy as np
import pytest
from PIL import Image


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
    assert {"commit", "seconds", "cores"} <= set(scores["provenance"])
    assert scores["provenance"]["command"].startswith("seriatim evaluate --data folder:")
    assert (scores["data"], scores["predictions"]) == ("folder:PATH/TO/data", "PATH/TO/labels")
    assert scores["nuclei"]["AP"]["0.5"] == 1.0
    assert scores["images"] == 2
    assert len(scores["nuclei"]["per_image"]) == 2


def test_a_model_is_scored(run, data, model):
    code, out, _ = run(
        "evaluate", "--data", f"folder:{data}", "--model", model, "--protocol", "cvppp", "--json", "-", "--limit", "1"
    )
    assert code == 0
    scores = json.loads(out)
    assert scores["images"] == 1
    assert 0 <= scores["cvppp"]["SBD"]["mean"] <= 1


def test_a_model_runs_on_as_many_threads_as_are_asked_for(run, data, model, monkeypatch):
    asked = []
    monkeypatch.setattr("torch.set_num_threads", asked.append)
    words = ("evaluate", "--data", f"folder:{data}", "--model", model, "--protocol", "nuclei", "--limit", "1")
    assert run(*words, "--bootstrap", "0", "--threads", "3")[0] == 0
    assert run(*words, "--bootstrap", "0")[0] == 0
    assert asked == [3]


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
    assert json.loads(run(*words, "--recipe", recipe)[1])["images"] == 1
    assert json.loads(run(*words, "--recipe", recipe, "--part", "training")[1])["images"] == 1
    assert json.loads(run(*words)[1])["images"] == 2


def test_coco_results_that_segment_wrote_are_scored(run, data, tmp_path, model):
    out = tmp_path / "results"
    assert run("segment", data / "images", "--model", model, "--out", out, "--formats", "coco,labels")[0] == 0
    words = ("evaluate", "--data", f"folder:{data}", "--protocol", "coco", "nuclei", "--json", "-")
    code, text, _ = run(*words, "--predictions", out / "instances.json")
    assert code == 0
    from_maps = json.loads(run(*words, "--predictions", out)[1])
    assert json.loads(text)["nuclei"]["AP"] == from_maps["nuclei"]["AP"]
    assert (json.loads(text)["classes_judged"], from_maps["classes_judged"]) == (True, False)


def test_intervals_stand_beside_the_numbers_unless_they_are_not_wanted(run, data):
    words = ("evaluate", "--data", f"folder:{data}", "--predictions", data / "labels", "--protocol", "nuclei")
    scores = json.loads(run(*words, "--json", "-")[1])
    assert scores["nuclei"]["interval"]["AP"]["0.5"] == [1.0, 1.0]
    assert scores["bootstrap"] == {"resamples": 1000, "seed": 0, "confidence": 0.95}
    assert "[1.0000, 1.0000]" in run(*words)[1]
    without = json.loads(run(*words, "--json", "-", "--bootstrap", "0")[1])
    assert "interval" not in without["nuclei"]
    assert without["nuclei"]["AP"] == scores["nuclei"]["AP"]


def test_per_image_names_and_rates_every_image(run, data):
    words = ("evaluate", "--data", f"folder:{data}", "--predictions", data / "labels", "--protocol", "sds", "cvppp")
    scores = json.loads(run(*words, "--json", "-")[1])
    for protocol in ("sds", "cvppp"):
        assert [(one["name"], one["quality"]) for one in scores[protocol]["per_image"]] == [("one", 1.0), ("two", 1.0)]


def test_a_report_is_written(run, data, tmp_path):
    code, out, _ = run(
        *("evaluate", "--data", f"folder:{data}", "--predictions", data / "labels", "--protocol", "nuclei", "cvppp"),
        *("--html", tmp_path / "report.html", "--limit", "1"),
    )
    text = (tmp_path / "report.html").read_text()
    assert (code, "nuclei: 1 images" in out) == (0, True)
    assert text.startswith("<!doctype html>")
    assert "seriatim evaluate --data" in text
    assert "--limit 1" in text


def test_a_report_names_the_settings_that_were_changed(run, data, model, tmp_path):
    words = ("evaluate", "--data", f"folder:{data}", "--model", model, "--protocol", "nuclei", "--limit", "1")
    report = tmp_path / "report.html"
    assert run(*words, "--html", report, "--set", "inference.solid=true", "--set", "model.config.max_steps=1")[0] == 0
    assert "inference.solid=true, model.config.max_steps=1" in report.read_text()


@pytest.mark.parametrize("words", [("--crf",), ("--set", "inference.solid=true"), ("--all-classes",)])
def test_what_changes_a_model_needs_one(run, data, words):
    code, _, err = run(
        "evaluate", "--data", f"folder:{data}", "--predictions", data / "labels", "--protocol", "nuclei", *words
    )
    assert (code, words[0] in err, "--model" in err) == (2, True, True)


def test_fifty_steps_without_stopping_are_scored_as_proposals_in_one_command(run, data, model, monkeypatch):
    words = ("evaluate", "--data", f"folder:{data}", "--model", model, "--protocol", "proposals", "--json", "-")
    unstopped = ("--set", "model.config.max_steps=50", "--set", "model.config.stop_threshold=0")
    whole = ("--set", "inference.overlaps=keep", "--set", "inference.max_hidden=1.0")
    as_it_is = json.loads(run(*words, "--set", "model.config.stop_threshold=1")[1])
    changed = json.loads(run(*words, *unstopped, *whole)[1])
    assert [one["predictions"] for one in as_it_is["proposals"]["per_image"]] == [0, 0]
    assert [one["predictions"] for one in changed["proposals"]["per_image"]] == [50, 50]
    assert changed["settings"] == [*unstopped[1::2], *whole[1::2]]
    assert "settings" not in json.loads(run(*words)[1])


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("optimizer.learning_rate=1", "expected a setting of the model"),
        ("model.config.width=16", "do not fit"),
        ("inference.overlaps=never", "inference.overlaps"),
    ],
)
def test_a_setting_that_the_model_cannot_take_is_wrong_usage(run, data, model, setting, told):
    words = ("evaluate", "--data", f"folder:{data}", "--model", model, "--protocol", "nuclei", "--set", setting)
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1


def test_all_classes_of_every_mask_are_scored_on_request(run, data, model):
    words = ("evaluate", "--data", f"folder:{data}", "--model", model, "--json", "-", "--all-classes")
    scores = json.loads(run(*words, "--protocol", "sds")[1])
    assert scores["all_classes"] is True
    code, _, err = run(*words, "--protocol", "cvppp")
    assert (code, "cvppp does not rank" in err) == (2, True)


def test_classes_are_shown_when_there_are_several(run, tmp_path):
    labels = np.zeros((40, 60), dtype=np.uint8)
    labels[5:15, 5:15] = 1
    Image.fromarray(labels * 200).save(tmp_path / "one.png")
    annotations = [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[5, 5, 15, 5, 15, 15, 5, 15]], "iscrowd": 0},
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [[30, 20, 50, 20, 50, 30, 30, 30]], "iscrowd": 0},
    ]
    truth = {
        "images": [{"id": 1, "file_name": "one.png", "height": 40, "width": 60}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    results = [{**one, "score": 0.5} for one in annotations]
    (tmp_path / "found.json").write_text(json.dumps(results))
    code, out, _ = run(
        *("evaluate", "--data", f"coco:{tmp_path / 'truth.json'}", "--predictions", tmp_path / "found.json"),
        *("--protocol", "sds", "coco"),
    )
    assert code == 0
    of_sds, of_coco = (line.split() for line in out.splitlines() if line.strip().startswith("dog"))
    assert of_sds == ["dog", "1.0000", "1.0000", "1.0000"]
    assert of_coco == ["dog", *["1.0000"] * 4, "-", "-", *["1.0000"] * 4, "-", "-"]  # it is small
    _, _, err = run(
        *("evaluate", "--data", f"coco:{tmp_path / 'truth.json'}", "--predictions", tmp_path / "labels"),
        *("--protocol", "sds"),
    )
    assert "no such folder" in err


@pytest.mark.parametrize("kind", ["grid", "npz"])
def test_boxes_alone_are_judged_themselves(run, data, tmp_path, kind):
    boxes = "grid:200"
    if kind == "npz":
        names = sorted(path.stem for path in (data / "labels").iterdir())
        boxes = tmp_path / "boxes.npz"
        np.savez(boxes, **{name: np.array([[0.0, 0, 3, 3, 0.5], [5.0, 5, 2, 9, 0.5]]) for name in names})
    words = ("evaluate", "--data", f"folder:{data}", "--boxes", boxes, "--protocol", "box_proposals")
    code, out, err = run(*words, "--json", "-", "--bootstrap", "0")
    assert code == 0, err
    scores = json.loads(out)
    assert scores["boxes"] == (boxes if kind == "grid" else "PATH/TO/boxes.npz")
    assert ("row 1: expected y0, x0, y1, x1 that cover something" in err) == (kind == "npz")
    recall = scores["box_proposals"]["recall"]
    assert list(recall) == ["50", "300", "1000", "2000"]
    assert (recall["2000"]["0.5"] > 0) == (kind == "grid")
