import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image


def test_the_order_of_objects_is_a_table_and_json(run, data, tmp_path):
    labels = np.zeros((40, 60), dtype=np.uint16)
    labels[5:15, 5:15] = 1
    Image.fromarray(labels).save(data / "labels" / "two.png")
    words = ("analyse", "order", "--data", f"folder:{data}", "--predictions", data / "labels")
    code, out, _ = run(*words, "--json", tmp_path / "order.json")
    assert code == 0
    assert [line.split()[-2:] for line in out.splitlines()[2:]] == [["-1.0000", "-"]] * 3
    told = json.loads((tmp_path / "order.json").read_text())
    numbers = {"right_to_left": -1.0, "bottom_to_top": -1.0, "large_to_small": -1.0}
    kept = {"data": "folder:PATH/TO/data", "predictions": "PATH/TO/labels"}
    assert told.pop("provenance")["command"].startswith("seriatim analyse order --data")
    assert told.pop("pairs")["all pairs"]["left_to_right"] == 100.0
    assert told == {**kept, **numbers, "interval": dict.fromkeys(numbers), "num_images": 1, "num_left_out": 1}
    code, out, _ = run(*words, "--limit", 1, "--json", "-")
    assert (code, json.loads(out)["num_left_out"]) == (0, 0)


def test_the_order_of_predictions_is_drawn_without_torch(data, source_folder, tmp_path):
    program = (
        "import sys; from seriatim.cli.main import main; code = main(sys.argv[1:]); "
        "assert code == 0 and 'torch' not in sys.modules, code"
    )
    words = ("--data", f"folder:{data}", "--predictions", data / "labels", "--out", tmp_path / "o")
    done = subprocess.run(
        [sys.executable, "-c", program, "analyse", "order", *map(str, words)],
        cwd=source_folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    names = ["order.csv", "order.json", "order.png", "pairs.csv", "pairs.png"]
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == names
    assert (tmp_path / "o" / "order.csv").read_text().splitlines()[1] == "right to left,-1.0000,-1.0000 to -1.0000"
    assert (tmp_path / "o" / "pairs.csv").read_text().splitlines()[1].startswith("all pairs,2,0.0,100.0,")


def test_the_order_of_a_model_is_that_of_its_masks_as_emitted(run, data, model):
    """The model's two masks cover each other almost wholly: with the rule for overlaps the second is dropped and there is no order."""
    code, out, _ = run("analyse", "order", "--data", f"folder:{data}", "--model", model, "--json", "-")
    told = json.loads(out)
    assert code == 0
    assert (told["num_images"], told["num_left_out"]) == (2, 0)


def test_activations_become_a_figure_a_table_and_json(run, data, model, tmp_path):
    words = ("analyse", "activations", "--data", f"folder:{data}", "--model", model, "--out", tmp_path / "o")
    code, out, _ = run(*words, "--seed", 5, "--absolute")
    assert code == 0
    assert "before training: random weights of seed 5" in out
    assert [line.split()[0] for line in out.splitlines()[3:]] == ["f1", "f0"]
    told = json.loads((tmp_path / "o" / "activations.json").read_text())
    assert (told["num_images"], told["mean_of"]) == (2, "absolute activations")
    assert set(told["levels"]["f0"]) == {"before", "before_interval", "after", "after_interval", "change_interval"}
    assert (tmp_path / "o" / "activations.csv").read_text().startswith("level,before,")
    with Image.open(tmp_path / "o" / "activations.png") as figure:
        assert figure.width > 800


def test_interventions_become_figures_a_table_and_json(run, data, model, tmp_path):
    words = ("analyse", "recurrence", "--data", f"folder:{data}", "--model", model, "--out", tmp_path / "o")
    code, out, _ = run(*words, "--protocol", "sds")
    assert code == 0
    assert "AP" in out.splitlines()[1]
    names = ["memory.png", "recurrence.csv", "recurrence.json", "recurrence.png"]
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == names
    told = json.loads((tmp_path / "o" / "recurrence.json").read_text())
    assert list(told["conditions"]) == ["undisturbed", "state zeroed", "stop forced", "true count"]
    assert told["conditions"]["undisturbed"]["absDiC"]["change_interval"] is None
    assert len(told["conditions"]["state zeroed"]["absDiC"]["change_interval"]) == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("order", "--data", "folder:DATA"), 2),
        (("order", "--data", "folder:DATA", "--model", "MODEL", "--predictions", "x"), 2),
        (("order", "--data", "folder:DATA", "--predictions", "TMP"), 1),
        (("order", "--data", "folder:DATA", "--model", "MODEL", "--out", "FILE"), 2),
        (("activations", "--data", "folder:DATA", "--model", "nowhere", "--out", "TMP/o"), 2),
        (("recurrence", "--data", "folder:DATA", "--model", "MODEL", "--out", "TMP/o", "--protocol", "x"), 2),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_no_figure(run, words, code, images, model, data, tmp_path):
    names = {"FILE": images / "a.png", "MODEL": model, "DATA": data, "TMP": tmp_path}
    for name, path in names.items():
        words = [word.replace(name, str(path)) for word in words]
    done, out, err = run("analyse", *words)
    assert (done, out, err.count("\n")) == (code, "", 1)
    assert not list(tmp_path.glob("o/*"))
