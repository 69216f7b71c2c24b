import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from seriatim.core.tensor_files import load_tensors
from seriatim.inference import zoo
from seriatim.inference.model_folder import read_description
from seriatim.training import zoo_entry

RECIPE = """
seed = 3

[data]
source = "folder:data"
num_validation = 1
num_test = 2

[preparation]
channels = 1

[augmentation]
crop_size = [32, 32]

[model]
name = "rsis"

[model.config]
encoder = "resnet18"
encoder_depth = 2
levels = 2
width = 8
input_channels = 1
max_steps = 2
stop_threshold = 0.0
min_area_fraction = 0.0

[[stages]]
name = "masks"
iterations = 3
weights = { mask = 1.0 }

[validation]
every = 1
num_batches = 1
num_images = 1
protocol = "cvppp"

[runtime]
batch_size = 2
"""


@pytest.fixture
def shipped(tmp_path, monkeypatch, model):
    folder = tmp_path / "zoo"
    folder.mkdir()
    monkeypatch.setattr(zoo, "ZOO", folder)
    (folder / "tiny").symlink_to(model)
    (folder / "not-a-model").mkdir()
    return folder


@pytest.mark.parametrize("words", [(), ("list",)])
def test_models_that_ship_are_listed_with_size_and_what_they_are_for(run, shipped, words):
    code, out, err = run("models", *words)
    assert (code, err) == (0, "")
    assert out.startswith("tiny")
    assert "MB  finds dots" in out
    assert out.count("\n") == 1


def test_a_card_is_shown(run, shipped, model):
    assert run("models", "show", "tiny")[:2] == (0, "# tiny: finds dots\n\nOnly a test.\n\n")
    assert run("models", "show", model)[0] == 0


def test_the_marks_of_filled_tables_are_not_shown(run, shipped):
    folder = shipped / "marked"
    folder.mkdir()
    (folder / "config.json").touch()
    (folder / "card.md").write_text("# marked\n\n<!-- table: a from b -->\n| 1 |\n<!-- end -->\nrest\n")
    assert run("models", "show", "marked")[1] == "# marked\n\n| 1 |\nrest\n\n"


@pytest.mark.parametrize("words", [("show",), ("show", "tinny")])
def test_a_model_that_is_not_there_is_exit_code_2_and_one_line(run, shipped, words):
    code, out, err = run("models", *words)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1


@pytest.mark.parametrize("words", [("list", "tiny"), ("lst",), ("add",), ("add", "run")])
def test_wrong_usage_is_exit_code_2(run, shipped, words):
    code, out, err = run("models", *words)
    assert (code, out) == (2, "")
    assert "Usage: seriatim models" in err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished run of three iterations, with two test images, beside its data."""
    from seriatim.cli.main import main

    folder = tmp_path_factory.mktemp("trained")
    labels = np.zeros((48, 48), dtype=np.uint16)
    labels[4:20, 4:20], labels[26:44, 20:44] = 1, 2
    for part in ("images", "labels"):
        (folder / "data" / part).mkdir(parents=True)
    for name in "abcdef":
        Image.fromarray((labels > 0).astype(np.uint8) * 180).save(folder / "data" / "images" / f"{name}.png")
        Image.fromarray(labels).save(folder / "data" / "labels" / f"{name}.png")
    recipe = folder / "tiny.toml"
    recipe.write_text(RECIPE.replace("folder:data", f"folder:{folder / 'data'}"))
    assert main(["train", str(recipe), "--out", str(folder / "run"), "--device", "cpu"]) == 0
    return folder / "run"


def test_a_run_becomes_a_model_with_the_weights_that_the_run_picked_in_16_bits(run, trained, tmp_path):
    code, out, err = run("models", "add", trained, "dots", "--to", tmp_path)
    assert code == 0, err
    assert out.strip() == str(tmp_path / "dots")
    made, _ = load_tensors(tmp_path / "dots" / "model.safetensors")
    picked, _ = load_tensors(trained / "model" / "model.safetensors")
    assert made.keys() == picked.keys()
    for name, tensor in made.items():
        assert torch.equal(tensor, picked[name].to(tensor.dtype)), name
    assert any(tensor.dtype == torch.float16 for tensor in made.values())
    assert [path.name for path in tmp_path.iterdir()] == ["dots"]


def test_weights_keep_32_bits_where_that_is_asked_for(run, trained, tmp_path):
    assert run("models", "add", trained, "dots", "--to", tmp_path, "--full")[0] == 0
    made, _ = load_tensors(tmp_path / "dots" / "model.safetensors")
    assert not any(tensor.dtype == torch.float16 for tensor in made.values())


def test_the_card_tells_data_recipe_picked_iteration_and_curve(run, trained, tmp_path):
    assert run("models", "add", trained, "dots", "--to", tmp_path)[0] == 0
    card = (tmp_path / "dots" / "card.md").read_text()
    for word in ("## Data", "## Recipe", "## Scores", "## Limits", "seriatim evaluate", "Seed 3"):
        assert word in card
    assert "| training | 3 | `folder:PATH/TO/data` |" in card
    assert "| test | 2 |" in card
    assert "Not measured." in card
    records = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    validations = [record for record in records if "score" in record]
    best = max(record["score"] for record in validations)
    first = next(record for record in validations if record["score"] == best)
    assert f"iteration {first['iteration']}, the best of the last stage" in card
    for record in validations:
        assert f"| {record['iteration']} | {record['validation_loss']:.4f} | {record['score']:.4f} |" in card
    assert str(tmp_path.parent) not in card


def test_the_card_names_the_best_iteration_of_the_last_stage(run, trained, tmp_path):
    copied = shutil.copytree(trained, tmp_path / "run")
    log = (copied / "metrics.jsonl").read_text()
    validations = [json.loads(line) for line in log.splitlines() if "score" in line]
    before = {**validations[0], "stage": "an earlier stage", "iteration": 1, "score": 99.0}
    (copied / "metrics.jsonl").write_text(json.dumps(before) + "\n" + log)
    assert run("models", "add", copied, "dots", "--to", tmp_path)[0] == 0
    best = max(validations, key=lambda record: record["score"])
    assert f"iteration {best['iteration']}, the best of the last stage" in (tmp_path / "dots" / "card.md").read_text()


def test_the_commands_of_a_card_name_the_folder_of_a_model_outside_the_package(run, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("models", "add", trained, "dots", "--to", "my models")[0] == 0
    card = (tmp_path / "my models" / "dots" / "card.md").read_text()
    assert card.count("--model 'my models/dots' --") == 2
    assert "The test images are kept back from the training data." in card
    assert "images like those of its training at best" in card


def test_the_card_says_so_where_the_test_images_have_a_source_of_their_own(run, trained, tmp_path):
    run_folder = tmp_path / "run"
    shutil.copytree(trained, run_folder)
    config = (run_folder / "config.toml").read_text()
    assert "num_test = 2" in config
    config = config.replace("num_test = 2", 'num_test = 0\ntest = "rosettes:1"')
    (run_folder / "config.toml").write_text(config)
    images = json.loads((run_folder / "images.json").read_text())
    (run_folder / "images.json").write_text(json.dumps({**images, "training": 5}))
    code, _, err = run("models", "add", run_folder, "dots", "--to", tmp_path / "zoo", "--measure")
    assert code == 0, err
    card = (tmp_path / "zoo" / "dots" / "card.md").read_text()
    assert "The test images are those of `rosettes:1`; the training images are of `folder:PATH/TO/data`." in card
    assert "1 images of rosettes:1" in card
    assert "only where the two sources are alike" in card
    assert "at best" not in card


def test_images_that_were_kept_back_are_named_beside_the_card(run, trained, tmp_path):
    assert run("models", "add", trained, "dots", "--to", tmp_path)[0] == 0
    lists = json.loads((tmp_path / "dots" / "images.json").read_text())
    assert {part: entry["count"] for part, entry in lists.items()} == {"training": 3, "validation": 1, "test": 2}
    kept_back = lists["validation"]["names"] + lists["test"]["names"]
    assert len(set(kept_back)) == 3
    assert set(kept_back) < set("abcdef")
    assert "names" not in lists["training"]
    assert len(lists["training"]["sha256_of_names"]) == 64


def test_class_names_and_settings_are_those_of_the_command(run, trained, tmp_path):
    words = ("--class-names", "dot", "--set", "inference.solid=true", "--set", "model.config.stop_threshold=0.25")
    assert run("models", "add", trained, "dots", "--to", tmp_path, *words)[0] == 0
    description = read_description(tmp_path / "dots")
    assert description.class_names == ("dot",)
    assert description.inference.solid
    assert description.model.config["stop_threshold"] == 0.25
    assert (tmp_path / "dots" / "card.md").read_text().startswith("# dots: dot, by RSIS\n")


def test_measured_scores_and_those_of_result_files_are_in_the_card(run, trained, tmp_path):
    data = f"folder:{trained.parent / 'data'}"
    words = ("evaluate", "--data", data, "--model", trained, "--protocol", "nuclei", "--json", tmp_path / "s.json")
    assert run(*words)[0] == 0
    more = ("--measure", "--scores", tmp_path / "s.json")
    code, _, err = run("models", "add", trained, "dots", "--to", tmp_path / "zoo", *more)
    assert code == 0, err
    card = (tmp_path / "zoo" / "dots" / "card.md").read_text()
    assert "Not measured." not in card
    assert "2 images of the test images" in card
    assert "| `cvppp` | value | 95 % interval |" in card
    assert "6 images of folder:PATH/TO/data" in card
    score = json.loads((tmp_path / "s.json").read_text())["nuclei"]
    assert f"| PQ | {score['PQ']:.4f} |" in card
    assert str(tmp_path.parent) not in card


def test_a_name_that_is_taken_is_refused_unless_forced(run, trained, tmp_path):
    (tmp_path / "dots").mkdir()
    (tmp_path / "dots" / "old").touch()
    code, _, err = run("models", "add", trained, "dots", "--to", tmp_path)
    assert code == 2
    assert "--force" in err
    assert (tmp_path / "dots" / "old").exists()
    assert run("models", "add", trained, "dots", "--to", tmp_path, "--force")[0] == 0
    assert not (tmp_path / "dots" / "old").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("Two Words",), "lower-case"),
        (("dots", "--class-names", "a,b"), "the model has 1"),
        (("dots", "--set", "inference.sold=true"), "solid"),
        (("dots", "--set", "model.config.stop_thresold=1"), "stop_threshold"),
        (("dots", "--scores", "nowhere.json"), "nowhere.json"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_left(run, trained, tmp_path, words, told):
    code, _, err = run("models", "add", trained, *words, "--to", tmp_path / "zoo")
    assert code in (1, 2)
    assert told in err
    assert not list(tmp_path.rglob("*"))[1:]


def test_a_file_that_is_no_result_is_refused(run, trained, tmp_path):
    (tmp_path / "bad.json").write_text('{"images": 3}')
    code, _, err = run("models", "add", trained, "dots", "--to", tmp_path / "zoo", "--scores", tmp_path / "bad.json")
    assert code == 2
    assert "bad.json: is no result" in err


def test_weights_above_the_limit_are_refused(run, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(zoo_entry, "MAX_MEGABYTES", 0.001)
    code, _, err = run("models", "add", trained, "dots", "--to", tmp_path, "--full")
    assert code == 1
    assert "at most 0.001" in err
    assert "--half" in err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_no_run_is_refused(run, tmp_path):
    code, _, err = run("models", "add", tmp_path, "dots", "--to", tmp_path)
    assert code == 2
    assert "no run folder" in err
