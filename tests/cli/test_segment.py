import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from seriatim.data.images import read_label_map
from seriatim.inference.predictor import Predictor, load
from seriatim.results.formats import FORMATS


def test_every_image_gets_its_files_and_the_call_its_own(run, images, model, tmp_path):
    out = tmp_path / "out"
    code, stdout, stderr = run("segment", images, "--model", model, "--out", out)
    assert code == 0
    assert stdout == ""
    assert "a.png: 2 objects" in stderr or "a.png: 1 object" in stderr
    names = sorted(path.name for path in out.iterdir())
    expected = [f"{stem}.{kind}.png" for stem in "abc" for kind in ("labels", "overlay")]
    assert names == sorted([*expected, "counts.csv", "instances.json"])


def test_the_table_counts_what_the_label_maps_hold(run, images, model, tmp_path):
    run("segment", images, "--model", model, "--out", tmp_path / "out")
    header, *rows = (tmp_path / "out" / "counts.csv").read_text().splitlines()
    assert header == "file,count,seconds"
    assert len(rows) == 3
    coco = json.loads((tmp_path / "out" / "instances.json").read_text())
    for number, row in enumerate(rows, start=1):
        file, count, seconds = row.split(",")
        stem = file.rsplit("/", 1)[1].removesuffix(".png")
        labels = read_label_map(tmp_path / "out" / f"{stem}.labels.png")
        assert (
            len(np.unique(labels[labels > 0]))
            == int(count)
            == sum(one["image_id"] == number for one in coco["annotations"])
        )
        assert float(seconds) > 0


def test_label_maps_are_those_of_the_python_face(run, images, model, tmp_path):
    run("segment", images / "a.png", "--model", model, "--out", tmp_path / "out", "--device", "cpu")
    expected = load(model, device="cpu").predict(images / "a.png").label_map()
    assert np.array_equal(read_label_map(tmp_path / "out" / "a.labels.png"), expected)


def test_json_goes_to_stdout(run, images, model, tmp_path):
    code, stdout, _ = run("segment", images, "--model", model, "--out", tmp_path / "out", "--json")
    assert code == 0
    said = json.loads(stdout)
    assert [one["file"] for one in said["files"]] == [str(images / f"{stem}.png") for stem in "abc"]
    assert said["failed"] == []


def test_settings_are_laid_over_those_of_the_model(run, images, model, tmp_path):
    words = ("segment", images / "a.png", "--model", model, "--out", tmp_path / "out", "--json", "--formats", "coco")
    counts = [
        json.loads(run(*words, "--set", f"model.config.max_steps={steps}", "--set", "inference.overlaps=keep")[1])
        for steps in (1, 3)
    ]
    assert [one["files"][0]["count"] for one in counts] == [1, 3]


def test_only_the_formats_asked_for_are_written(run, images, model, tmp_path):
    run("segment", images / "a.png", "--model", model, "--out", tmp_path / "out", "--formats", "labels")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.labels.png"]


def test_bad_files_are_named_and_the_others_done(run, images, model, tmp_path):
    (images / "b.png").write_bytes((images / "b.png").read_bytes()[:60])
    (images / "d.jpg").write_text("no image")
    code, stdout, stderr = run(
        "segment", images, images / "gone.png", "--model", model, "--out", tmp_path / "out", "--json"
    )
    assert code == 3
    said = json.loads(stdout)
    assert [one["file"].rsplit("/", 1)[1] for one in said["files"]] == ["a.png", "c.png"]
    assert [one["file"].rsplit("/", 1)[1] for one in said["failed"]] == ["b.png", "d.jpg", "gone.png"]
    for name in ("b.png", "d.jpg", "gone.png"):
        assert name in stderr
    assert "no such file" in stderr
    assert "3 of 5 images could not be segmented" in stderr
    assert len((tmp_path / "out" / "counts.csv").read_text().splitlines()) == 3


def test_if_all_fail_it_is_a_failure(run, model, tmp_path):
    (tmp_path / "bad.png").write_text("no image")
    code, _, stderr = run("segment", tmp_path / "bad.png", "--model", model, "--out", tmp_path / "out")
    assert code == 1
    assert "bad.png" in stderr


def test_a_folder_without_images_is_a_failure(run, model, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, stderr = run("segment", tmp_path / "empty", "--model", model, "--out", tmp_path / "out")
    assert code == 1
    assert "holds no images" in stderr


def test_without_a_model_it_says_what_it_takes_and_how_to_choose(run, images, tmp_path, monkeypatch, model):
    from seriatim.inference import zoo

    monkeypatch.setattr(zoo, "ZOO", tmp_path / "zoo")
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "nuclei").symlink_to(model)
    code, stdout, stderr = run("segment", images / "a.png", "--out", tmp_path / "out")
    assert code == 0
    assert stdout == ""
    assert "'nuclei'" in stderr
    assert "--model" in stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("--model", "nowhere"),
        ("--formats", "labls"),
        ("--device", "gpu"),
        ("--threads", "0"),
        ("--model", "nowhere", "--debug"),
    ],
)
def test_wrong_settings_are_exit_code_2_before_anything_is_written(run, images, model, tmp_path, wrong):
    code, _, stderr = run("segment", images, "--model", model, "--out", tmp_path / "out", *wrong)
    assert code == 2
    assert stderr
    assert not (tmp_path / "out").exists()


def test_a_damaged_model_is_a_failure(run, images, model, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in model.iterdir():
        (broken / path.name).write_bytes(path.read_bytes()[:-1])
    code, _, stderr = run("segment", images, "--model", broken, "--out", tmp_path / "out")
    assert code == 1
    assert "config.json" in stderr or "model.safetensors" in stderr
    assert stderr.count("\n") == 1


def test_two_images_of_one_stem_both_get_their_files(run, images, model, tmp_path):
    with Image.open(images / "a.png") as image:
        image.save(images / "a.bmp")
    code, _, _ = run("segment", images, "--model", model, "--out", tmp_path / "out", "--formats", "labels")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.labels.png",
        "a.png.labels.png",
        "b.labels.png",
        "c.labels.png",
    ]


def test_results_may_lie_beside_the_images_and_a_second_call_takes_the_same_images(run, images, model):
    before = {path.name: path.read_bytes() for path in images.iterdir()}
    first = run("segment", images, "--model", model, "--out", images, "--json")[1]
    second = run("segment", images, "--model", model, "--out", images, "--json")[1]
    names = [[one["file"] for one in json.loads(said)["files"]] for said in (first, second)]
    assert names[0] == names[1]
    assert len(names[0]) == 3
    assert all((images / name).read_bytes() == data for name, data in before.items())


@pytest.fixture
def sigint_raises():
    """Python's handler, also where the parent ignores SIGINT, as a shell does for a background job."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("sigint_raises")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_call_with_what_is_done_written(run, images, model, tmp_path, monkeypatch, number, code):
    predict = Predictor.predict_values

    def stopped_at_the_third(self, image, progress=None, boxes=None):
        stopped_at_the_third.calls += 1
        if stopped_at_the_third.calls == 3:
            signal.raise_signal(number)
        return predict(self, image, progress, boxes)

    stopped_at_the_third.calls = 0
    monkeypatch.setattr(Predictor, "predict_values", stopped_at_the_third)
    got, _, stderr = run("segment", images, "--model", model, "--out", tmp_path / "out")
    assert got == code
    assert "Traceback" not in stderr
    assert len((tmp_path / "out" / "counts.csv").read_text().splitlines()) == 3
    assert len(json.loads((tmp_path / "out" / "instances.json").read_text())["images"]) == 2
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith((".", "c."))]


def test_a_real_sigterm_ends_a_real_process(images, model, tmp_path):
    for number in range(200):
        (images / f"copy{number:03d}.png").write_bytes((images / "a.png").read_bytes())
    command = [
        sys.executable,
        "-m",
        "seriatim",
        "segment",
        str(images),
        "--model",
        str(model),
        "--out",
        str(tmp_path / "out"),
        "--threads",
        "1",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out").glob("*.labels.png"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.terminate()
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "Traceback" not in stderr
    done = len((tmp_path / "out" / "counts.csv").read_text().splitlines()) - 1
    assert 1 <= done < 203
    assert not list((tmp_path / "out").glob(".*"))


def test_a_full_disk_is_a_failure_that_names_file_and_bytes(run, images, model, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, _, stderr = run("segment", images, "--model", model, "--out", tmp_path / "out")
    assert code == 1
    assert "could not write" in stderr
    assert "No space left on device" in stderr
    assert not list((tmp_path / "out").iterdir())


def test_an_image_of_several_pages_warns_on_stderr(run, images, model, tmp_path):
    frames = [Image.fromarray(np.full((40, 60), value, dtype=np.uint8)) for value in (10, 200)]
    frames[0].save(images / "pages.tif", save_all=True, append_images=frames[1:])
    code, _, stderr = run("segment", images / "pages.tif", "--model", model, "--out", tmp_path / "out")
    assert code == 0
    assert "pages.tif: has 2 pages; the first is taken" in stderr


def test_the_help_lists_the_formats(run):
    code, stdout, _ = run("segment", "--help")
    assert code == 0
    for name in FORMATS:
        assert f"{name} (" in " ".join(stdout.split()).replace("voc- border", "voc-border")


def test_every_format_is_written_at_once_and_by_its_name(run, images, model, tmp_path):
    code, _, _ = run(
        "segment", images / "a.png", "--model", model, "--out", tmp_path / "out", "--formats", ",".join(FORMATS)
    )
    assert code == 0
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    masks = {name for name in names if name.startswith("cityscapes/masks/a/")}
    assert masks
    assert names - masks == {
        "a.labels.png",
        "a.overlay.png",
        "instances.json",
        "counts.csv",
        "measurements.csv",
        "a.rois.zip",
        "a.geojson",
        "labelme/a.json",
        "yolo/data.yaml",
        "yolo/labels/a.txt",
        "voc/SegmentationObject/a.png",
        "voc/SegmentationClass/a.png",
        "voc-border/SegmentationObject/a.png",
        "voc-border/SegmentationClass/a.png",
        "cityscapes/a.txt",
    }


def test_a_second_call_beside_the_images_takes_the_same_images_whatever_was_written(run, images, model):
    for _ in range(2):
        said = run(
            "segment", images, "--model", model, "--out", images, "--json", "--formats", "voc,cityscapes,labels"
        )[1]
        assert [one["file"].rsplit("/", 1)[1] for one in json.loads(said)["files"]] == ["a.png", "b.png", "c.png"]


def test_objects_that_a_format_cannot_hold_are_named_and_the_rest_is_written(run, images, model, tmp_path, monkeypatch):
    monkeypatch.setattr("seriatim.results.voc.VOID", 1)
    Image.fromarray(np.zeros((40, 60), dtype=np.uint8)).save(images / "b.png")
    code, _, stderr = run("segment", images, "--model", model, "--out", tmp_path / "out", "--formats", "labels,voc")
    assert code in (1, 3)
    assert "a.png: format 'voc': " in stderr
    assert len(list((tmp_path / "out").glob("*.labels.png"))) == 3
