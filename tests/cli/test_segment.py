import errno
import json
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from seriatim.core.locks import locked
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
    assert names == sorted([*expected, "counts.csv", "instances.json", "seriatim.jsonl"])


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
    words = ("segment", images / "a.png", "--model", model, "--json", "--formats", "coco")
    counts = [
        json.loads(
            run(
                *words, "--out", tmp_path / str(steps),
                "--set", f"model.config.max_steps={steps}", "--set", "inference.overlaps=keep",
            )[1]
        )
        for steps in (1, 3)
    ]  # fmt: skip
    assert [one["files"][0]["count"] for one in counts] == [1, 3]


def test_only_the_formats_asked_for_are_written(run, images, model, tmp_path):
    run("segment", images / "a.png", "--model", model, "--out", tmp_path / "out", "--formats", "labels")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.labels.png", "seriatim.jsonl"]


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
        "seriatim.jsonl",
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
def signals_heard():
    """The handlers of a terminal, also where the parent ignores SIGINT, as a shell does for a background job, or SIGHUP, as nohup does."""
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals_heard")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
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


KILLED = """
import os, signal, sys
from seriatim.cli.main import main
from seriatim.inference.predictor import Predictor

predict, calls = Predictor.predict_values, iter(range(1, 1000))

def stop(self, *rest):
    if next(calls) == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return predict(self, *rest)

Predictor.predict_values = stop
main(sys.argv[2:])
"""


def killed_after(number, words):
    """Carry out a command line in a process that SIGKILL ends within image `number`, counted from 1 among those that it does."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(number), *map(str, words)], capture_output=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL


def without_times(folder):
    """Every file of a folder and its content, with the seconds of a segmentation taken out."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found["counts.csv"] = re.sub(rb",[0-9.]+\n", b"\n", found["counts.csv"])
    found["seriatim.jsonl"] = re.sub(rb'"seconds":[0-9.e-]+', b"", found["seriatim.jsonl"])
    return found


def test_a_call_that_is_killed_twice_and_repeated_ends_with_the_files_of_an_undisturbed_one(
    run, images, model, tmp_path
):
    for number in range(6):
        (images / f"d{number}.png").write_bytes((images / "abc"[number % 3]).with_suffix(".png").read_bytes())
    (images / "bad.png").write_text("no image")
    words = ("segment", images, "--model", model, "--formats", "labels,coco,counts,measurements,cityscapes")
    assert run(*words, "--out", tmp_path / "undisturbed")[0] == 3
    out = tmp_path / "out"
    for number, rows in ((4, 3), (3, 5)):
        killed_after(number, (*words, "--out", out))
        assert len((out / "counts.csv").read_text().splitlines()) == 1 + rows
    code, _, stderr = run(*words, "--out", out, "--resume")
    assert code == 3
    assert "5 of 10 images were done by an earlier call" in stderr
    assert without_times(out) == without_times(tmp_path / "undisturbed")


def test_a_call_that_fails_at_its_first_image_empties_nothing(run, images, model, tmp_path):
    words = ("--model", model, "--out", tmp_path / "out")
    run("segment", images, *words)
    before = without_times(tmp_path / "out")
    (tmp_path / "bad.png").write_text("no image")
    assert run("segment", tmp_path / "bad.png", *words)[0] == 1
    assert without_times(tmp_path / "out") == before


def test_only_what_is_missing_or_changed_is_done_again(run, images, model, tmp_path, monkeypatch):
    words = ("segment", images, "--model", model, "--out", tmp_path / "out", "--json")
    first = json.loads(run(*words)[1])
    calls = []
    predict = Predictor.predict_values
    monkeypatch.setattr(Predictor, "predict_values", lambda *given: calls.append(1) or predict(*given))
    assert json.loads(run(*words)[1]) == first
    assert not calls
    (tmp_path / "out" / "a.overlay.png").unlink()
    (images / "b.png").write_bytes((images / "c.png").read_bytes())
    said = json.loads(run(*words)[1])
    assert len(calls) == 2
    counts = [one["count"] for one in said["files"]]
    assert counts[1] == counts[2]
    assert len((tmp_path / "out" / "counts.csv").read_text().splitlines()) == 4
    assert (tmp_path / "out" / "a.overlay.png").exists()


def test_results_of_other_settings_are_never_mixed(run, images, model, tmp_path):
    words = ("segment", images, "--model", model, "--out", tmp_path / "out")
    run(*words)
    before = without_times(tmp_path / "out")
    for other, named in (
        (("--set", "inference.min_area=5"), "inference.min_area was 1, is 5"),
        (("--formats", "labels"), "formats was"),
        (("--crf",), "crf was False, is True"),
    ):
        code, _, stderr = run(*words, *other)
        assert code == 2
        assert named in stderr
        assert "choose another folder with --out" in stderr
    assert without_times(tmp_path / "out") == before


def test_two_calls_into_one_folder_at_once_are_refused(run, images, model, tmp_path):
    child = os.fork()
    if not child:
        with locked(tmp_path / "out", "another call"):
            (tmp_path / "held").touch()
            time.sleep(60)
    try:
        while not (tmp_path / "held").exists():
            time.sleep(0.01)
        code, _, stderr = run("segment", images, "--model", model, "--out", tmp_path / "out")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert code == 2
    assert f"is in use by another call of seriatim (process {child})" in stderr
    assert run("segment", images, "--model", model, "--out", tmp_path / "out")[0] == 0
    assert not list((tmp_path / "out").glob(".*"))


def test_what_cannot_be_read_or_written_is_named_and_the_rest_is_done(run, images, model, tmp_path, monkeypatch):
    (images / "loop").symlink_to(".")
    (images / "self.png").symlink_to("self.png")
    long = "x" * 251 + ".png"
    (images / long).write_bytes((images / "a.png").read_bytes())
    os.mkfifo(images / "pipe.png")
    (images / "closed").mkdir()
    (images / "secret.png").write_bytes((images / "a.png").read_bytes())
    scan, opened = os.scandir, open

    def closed(path, *rest):  # root may read everything, so that permissions would not do
        if str(path).endswith(("closed", "secret.png")):
            raise PermissionError(errno.EACCES, "Permission denied")
        return (scan if not rest else opened)(path, *rest)

    monkeypatch.setattr(os, "scandir", closed)
    monkeypatch.setattr("seriatim.results.manifest.open", closed, raising=False)
    code, stdout, stderr = run("segment", images, "--model", model, "--out", tmp_path / "out", "--json")
    assert code == 3
    said = json.loads(stdout)
    assert [one["file"].rsplit("/", 1)[1] for one in said["files"]] == ["a.png", "b.png", "c.png"]
    reasons = {one["file"].rsplit("/", 1)[1]: one["reason"] for one in said["failed"]}
    assert sorted(reasons) == sorted(["loop", "closed", "self.png", long, "pipe.png", "secret.png"])
    assert "leads back to a folder above it" in reasons["loop"]
    assert "Permission denied" in reasons["closed"]
    assert "Permission denied" in reasons["secret.png"]
    assert "symbolic links" in reasons["self.png"]
    assert "File name too long" in reasons[long]
    assert "is no regular file" in reasons["pipe.png"]
    assert "6 of 9 images could not be segmented" in stderr


def test_a_name_with_control_characters_does_not_reach_the_terminal(run, images, model, tmp_path):
    (images / "a.png").rename(images / "a\x1b]0;owned\x07.png")
    _, _, stderr = run("segment", images, "--model", model, "--out", tmp_path / "out")
    assert "\x1b" not in stderr
    assert "a\\x1b]0;owned\\x07.png: " in stderr


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
    assert "1 image read in part: of several pages or frames the first" in stderr


def test_objects_lost_to_the_least_area_are_counted_and_said_also_by_a_call_that_finds_them_done(
    run, images, model, tmp_path
):
    words = ("segment", images, "--model", model, "--out", tmp_path / "out", "--set", "inference.min_area=100000")
    first, again = run(*words)[2], run(*words)[2]
    line = next(line for line in first.splitlines() if "left out as smaller than inference.min_area = 100000" in line)
    assert re.match(r"[1-6] objects? in [1-3] images?", line)
    assert line in again.splitlines()


def test_the_style_of_the_overlays_is_chosen_and_is_a_setting_of_the_folder(run, images, model, tmp_path):
    words = ("segment", images / "a.png", "--model", model, "--formats", "overlay")
    overlays = []
    for style in ("plain", "filled"):
        assert run(*words, "--out", tmp_path / style, "--overlay", style)[0] == 0
        overlays.append((tmp_path / style / "a.overlay.png").read_bytes())
    assert overlays[0] != overlays[1]
    code, _, stderr = run(*words, "--out", tmp_path / "plain")
    assert code == 2
    assert "overlay was 'plain', is 'outline'" in stderr


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
        "seriatim.jsonl",
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
