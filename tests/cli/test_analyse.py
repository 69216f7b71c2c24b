import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from seriatim.inference.model_folder import ModelDescription, write_model_folder
from seriatim.models import catalogue

RIS = {
    "fcn": "leaf",
    "channels": 6,
    "stride": 4,
    "initial_threshold": 6.5,
    "input_channels": 1,
    "max_steps": 3,
    "stop_threshold": 0.0,
    "guidance": {"seed_threshold": 0.0},
}


@pytest.fixture(scope="session")
def ris(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny-ris"
    description = ModelDescription.parse({"model": {"name": "ris", "config": RIS}, "preparation": {"channels": 1}})
    write_model_folder(folder, catalogue.build("ris", RIS, seed=1), description, card="# tiny\n")
    return folder


def test_the_states_of_an_image_become_figures_and_numbers(run, images, ris, tmp_path):
    words = ("--model", ris, "--out", tmp_path / "s.png", "--features", tmp_path / "f.pdf", "--json", tmp_path / "n")
    code, out, err = run("analyse", "states", images / "a.png", *words)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 4
    with Image.open(tmp_path / "s.png") as figure:
        assert figure.width > 800
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    told = json.loads((tmp_path / "n").read_text())
    assert (told["network"], len(told["steps"])) == ("ris", 3)


def test_the_states_of_rsis_are_drawn_too_and_numbers_go_to_stdout(run, images, model, tmp_path):
    words = ("--model", model, "--out", tmp_path / "s.png", "--steps", "1", "--json", "-")
    code, out, _ = run("analyse", "states", images / "a.png", *words)
    assert code == 0
    assert [step["step"] for step in json.loads(out)["steps"]] == [1]


DIN = {
    "fcn": "pyramid",
    "encoder": "test_resnet",
    "encoder_depth": 2,
    "pyramid_channels": 4,
    "templates_per_bin": 1,
    "input_channels": 1,
}


def test_the_labels_of_a_model_with_boxes_are_drawn(run, images, tmp_path):
    description = ModelDescription.parse({"model": {"name": "din", "config": DIN}, "preparation": {"channels": 1}})
    write_model_folder(tmp_path / "tiny-din", catalogue.build("din", DIN, seed=1), description, card="# tiny\n")
    found = [{"image_id": "a", "category_id": 1, "bbox": [2, 2, 20, 18], "score": 0.5}]
    (tmp_path / "boxes.json").write_text(json.dumps(found))
    boxes = ("--boxes", tmp_path / "boxes.json")
    words = ("analyse", "states", images / "a.png", "--out", tmp_path / "s.png")
    code, out, err = run(*words, "--model", tmp_path / "tiny-din", *boxes, "--json", tmp_path / "n")
    assert (code, err) == (0, "")
    with Image.open(tmp_path / "s.png") as figure:
        assert figure.width > 800
    [label] = json.loads((tmp_path / "n").read_text())["labels"]
    assert (label["class"], label["box"], label["score"]) == (1, [2.0, 2.0, 20.0, 22.0], 0.5)
    assert len(out.splitlines()) == 2
    code, _, err = run(*words, "--model", tmp_path / "tiny-din", *boxes, "--features", tmp_path / "f.png")
    assert code == 2
    assert "--features is for models that take no boxes" in err
    code, _, err = run(*words, "--model", tmp_path / "tiny-din")
    assert code == 2
    assert "--boxes" in err


R2IOS = {
    "trunk": "pyramid",
    "encoder": "test_resnet",
    "encoder_depth": 4,
    "pyramid_channels": 8,
    "fc_channels": 8,
    "mask_side": 6,
    "box_side": 3,
    "input_channels": 1,
}


def test_the_looks_of_an_r2ios_at_its_proposals_are_drawn(run, images, tmp_path):
    description = ModelDescription.parse({"model": {"name": "r2ios", "config": R2IOS}, "preparation": {"channels": 1}})
    write_model_folder(tmp_path / "tiny", catalogue.build("r2ios", R2IOS, seed=1), description, card="# tiny\n")
    words = ("analyse", "states", images / "a.png", "--out", tmp_path / "s.png", "--model", tmp_path / "tiny")
    code, out, err = run(*words, "--boxes", "grid:20", "--steps", 3, "--json", tmp_path / "n")
    assert (code, err) == (0, "")
    told = json.loads((tmp_path / "n").read_text())
    assert 5 < len(told["proposals"]) <= 20
    assert sum(told["taken"]) == len(told["proposals"])
    assert len(out.splitlines()) == 1 + 4
    with Image.open(tmp_path / "s.png") as figure:
        assert figure.width > 300


def test_boxes_for_a_model_that_takes_none_are_refused(run, images, ris, tmp_path):
    (tmp_path / "boxes.json").write_text("[]")
    words = (
        "states",
        images / "a.png",
        "--model",
        ris,
        "--out",
        tmp_path / "s.png",
        "--boxes",
        tmp_path / "boxes.json",
    )
    code, _, err = run("analyse", *words)
    assert code == 2
    assert "takes none" in err


def test_a_large_image_says_which_tile_is_shown(run, ris, tmp_path):
    Image.fromarray(np.zeros((300, 100), dtype=np.uint8)).save(tmp_path / "large.png")
    words = ("analyse", "states", tmp_path / "large.png", "--model", ris, "--out", tmp_path / "s.png", "--steps", 1)
    code, _, err = run(*words, "--tile", "2")
    assert (code, err) == (0, "tile 2 of 2; another with --tile N\n")
    code, _, err = run(*words, "--tile", "3")
    assert code == 2
    assert "the image has 2" in err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("states", "IMAGE", "--model", "MODEL", "--out", "TMP/s.gif"), 2),
        (("states", "IMAGE", "--model", "MODEL", "--out", "TMP/none/s.png"), 2),
        (("states", "IMAGE", "--model", "nowhere", "--out", "TMP/s.png"), 2),
        (("states", "TMP/none.png", "--model", "MODEL", "--out", "TMP/s.png"), 1),
        (("states", "--model", "MODEL", "--out", "TMP/s.png"), 2),
        (("states", "IMAGE", "--gallery", "--data", "folder:DATA", "--model", "MODEL", "--out", "TMP/s.png"), 2),
        (("states", "--gallery", "--model", "MODEL", "--out", "TMP/s.png"), 2),
        (("states", "IMAGE", "--crf", "--model", "MODEL", "--out", "TMP/s.png"), 2),
        (("states", "--gallery", "--data", "folder:DATA", "--tile", "1", "--model", "MODEL", "--out", "TMP/s.png"), 2),
        (("failures", "--data", "folder:DATA", "--out", "TMP/o"), 2),
        (("failures", "--data", "folder:DATA", "--out", "TMP/o", "--model", "MODEL", "--predictions", "x"), 2),
        (("failures", "--data", "folder:DATA", "--out", "IMAGE", "--model", "MODEL"), 2),
        (("failures", "--data", "folder:TMP/none", "--out", "TMP/o", "--model", "MODEL"), 1),
        (("failures", "--data", "folder:DATA", "--out", "TMP/o", "--predictions", "TMP"), 1),
        (("failures", "--data", "folder:DATA", "--out", "TMP/o", "--predictions", "TMP/none.json"), 1),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_no_figure(run, words, code, images, ris, data, tmp_path):
    names = {"IMAGE": images / "a.png", "MODEL": ris, "DATA": data, "TMP": tmp_path}
    for name, path in names.items():
        words = [word.replace(name, str(path)) for word in words]
    done, out, err = run("analyse", *words)
    assert (done, out, err.count("\n")) == (code, "", 1)
    assert not list(tmp_path.glob("**/s.*"))
    assert not list(tmp_path.glob("**/failures.*"))


def test_a_gallery_shows_images_by_their_number_of_objects(run, data, ris, tmp_path):
    words = ("analyse", "states", "--gallery", "--data", f"folder:{data}", "--model", ris, "--out", tmp_path / "g.png")
    code, out, _ = run(*words, "--crf", "--json", tmp_path / "g.json")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["image", "one", "two"]
    with Image.open(tmp_path / "g.png") as figure:
        assert figure.width > 800
    [group] = json.loads((tmp_path / "g.json").read_text())["groups"]
    assert (group["fewest"], group["num_images"], len(group["images"])) == (2, 2, 2)
    assert {"found", "sbd", "found_crf", "sbd_crf"} < set(group["images"][0])


def test_perfect_predictions_have_no_failures(run, data, tmp_path):
    out_folder = tmp_path / "o"
    words = ("--data", f"folder:{data}", "--predictions", data / "labels", "--out", out_folder)
    code, out, _ = run("analyse", "failures", *words)
    assert code == 0
    assert ["right", "4", "(100.0", "%)", "4", "(100.0", "%)"] in [line.split() for line in out.splitlines()]
    told = json.loads((out_folder / "failures.json").read_text())
    assert told["targets"]["right"] == told["predictions"]["right"] == 4
    assert not any(told["cases"].values())
    assert sorted(path.name for path in out_folder.iterdir()) == ["failures.json", "failures.png"]


def test_failures_are_named_with_image_and_box(run, data, tmp_path):
    folder = tmp_path / "found"
    folder.mkdir()
    found = np.zeros((40, 60), dtype=np.uint16)
    found[2:35, 2:55] = 1
    for name in ("one", "two"):
        Image.fromarray(found).save(folder / f"{name}.labels.png")
    words = ("--data", f"folder:{data}", "--predictions", folder, "--out", tmp_path / "o", "--limit", "1")
    assert run("analyse", "failures", *words)[0] == 0
    told = json.loads((tmp_path / "o" / "failures.json").read_text())
    [image] = told["images"]
    assert image["cases"] == [{"kind": "joined", "box": [2, 2, 35, 55], "targets": [1, 2], "predictions": [1]}]


def test_coco_results_that_segment_wrote_are_judged_as_its_label_maps(run, data, ris, tmp_path):
    results = tmp_path / "results"
    assert run("segment", data / "images", "--model", ris, "--out", results, "--formats", "coco,labels")[0] == 0
    told = []
    for name, predictions in (("a", results), ("b", results / "instances.json"), ("c", ris)):
        option = "--model" if predictions == ris else "--predictions"
        words = ("--data", f"folder:{data}", option, predictions, "--out", tmp_path / name)
        assert run("analyse", "failures", *words)[0] == 0
        told.append(json.loads((tmp_path / name / "failures.json").read_text()))
    assert told[1]["predictions"] != dict.fromkeys(told[1]["predictions"], 0)
    assert told[0]["images"] == told[1]["images"] == told[2]["images"]


@pytest.fixture
def coco(tmp_path):
    """Two images with a square each, and a list of results in which a later one overlaps the first."""
    images, annotations = [], []
    for number, name in ((1, "one"), (2, "two")):
        Image.fromarray(np.zeros((40, 60), dtype=np.uint8)).save(tmp_path / f"{name}.png")
        images.append({"id": number, "file_name": f"{name}.png", "height": 40, "width": 60})
        annotations.append(result(5, 5, 15, 15, number) | {"id": number, "iscrowd": 0})
    categories = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    found = [result(5, 5, 15, 15, 2, 0.25), result(5, 5, 15, 30, 2, 0.75), result(30, 40, 35, 50, 1, 0.5)]
    (tmp_path / "found.json").write_text(json.dumps(found))
    return tmp_path


def result(y0, x0, y1, x1, image, score=1.0):
    outline = [x0, y0, x1, y0, x1, y1, x0, y1]
    return {"image_id": image, "category_id": 1, "segmentation": [outline], "score": score}


def test_coco_results_are_judged_with_the_earlier_one_in_front(run, coco):
    words = ("--data", f"coco:{coco / 'truth.json'}", "--predictions", coco / "found.json", "--out", coco / "o")
    code, out, _ = run("analyse", "failures", *words)
    assert (code, out.splitlines()[0]) == (0, f"2 images of coco:{coco / 'truth.json'}")
    told = json.loads((coco / "o" / "failures.json").read_text())
    assert told["predictions"] == {
        "right": 1,
        "joined": 0,
        "split": 0,
        "duplicated": 0,
        "inexact": 0,
        "hallucinated": 2,
    }
    [one, two] = told["images"]
    assert [case["kind"] for case in one["cases"]] == ["missed", "hallucinated"]
    assert two["cases"] == [{"kind": "hallucinated", "box": [5, 15, 15, 30], "targets": [], "predictions": [2]}]


def test_coco_results_keep_to_the_part_of_the_data_that_is_taken(run, coco):
    recipe = coco / "small.toml"
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
    words = ("--data", f"coco:{coco / 'truth.json'}", "--predictions", coco / "found.json", "--recipe", recipe)
    right = {"one": 0, "two": 1}
    names = []
    for part in ("training", "test"):
        assert run("analyse", "failures", *words, "--part", part, "--out", coco / part)[0] == 0
        told = json.loads((coco / part / "failures.json").read_text())
        [image] = told["images"]
        assert told["part"] == part
        assert told["predictions"]["right"] == right[image["name"]]
        names.append(image["name"])
    assert sorted(names) == ["one", "two"]


def test_predictions_of_others_are_judged_without_torch(coco, source_folder):
    program = (
        "import sys; from seriatim.cli.main import main; code = main(sys.argv[1:]); "
        "assert code == 0 and 'torch' not in sys.modules, code"
    )
    words = ("--data", f"coco:{coco / 'truth.json'}", "--predictions", coco / "found.json", "--out", coco / "o")
    done = subprocess.run(
        [sys.executable, "-c", program, "analyse", "failures", *map(str, words)],
        cwd=source_folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_a_model_is_judged_the_same_way_every_time(run, data, ris, tmp_path):
    for name in ("a", "b"):
        words = ("--data", f"folder:{data}", "--model", ris, "--out", tmp_path / name)
        assert run("analyse", "failures", *words)[0] == 0
    assert (tmp_path / "a" / "failures.png").read_bytes() == (tmp_path / "b" / "failures.png").read_bytes()
    told, again = (json.loads((tmp_path / name / "failures.json").read_text()) for name in ("a", "b"))
    assert told.pop("provenance")["command"].startswith("seriatim analyse failures --data")
    assert again.pop("provenance")
    assert told == again
    assert sum(told["targets"].values()) == 4
    assert sum(told["predictions"].values()) > 0


@pytest.mark.parametrize("words", [("analyse", "--help"), ("analyse", "states", "--help")])
def test_help_imports_neither_torch_nor_matplotlib(words, source_folder):
    program = (
        "import sys; from seriatim.cli.main import main; main(sys.argv[1:]); "
        "assert not {'torch', 'matplotlib', 'numpy'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=source_folder, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "analyse" in done.stdout
