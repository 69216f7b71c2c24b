"""`seriatim data inspect` and `convert`, as a user calls them."""

import json

import numpy as np
import pytest
from PIL import Image

from seriatim.cli.main import main
from seriatim.data.images import read_label_map


@pytest.fixture
def cells(tmp_path):
    """Two images of kind `folder:`."""
    for part in ("images", "labels"):
        (tmp_path / "cells" / part).mkdir(parents=True)
    for number in range(2):
        labels = np.zeros((20, 30), dtype=np.uint16)
        labels[2:9, 3:12] = 1
        labels[11:18, 15:28] = 2
        Image.fromarray(labels).save(tmp_path / "cells" / "labels" / f"{number}.png")
        Image.fromarray((labels * 90).astype(np.uint8)).save(tmp_path / "cells" / "images" / f"{number}.png")
    return tmp_path / "cells"


def test_inspect_prints_the_facts_and_writes_a_sheet(cells, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "inspect", f"folder:{cells}"]) == 0
    printed = capsys.readouterr()
    assert "objects              4" in printed.out
    with Image.open(tmp_path / "folder-cells.sheet.png") as sheet:
        assert sheet.size[0] > 400
    assert "folder-cells.sheet.png" in printed.err


def test_inspect_gives_the_same_as_json(cells, tmp_path, capsys):
    assert (
        main(["data", "inspect", f"folder:{cells}", "--sheet", str(tmp_path / "s.png"), "--json", "-", "--limit", "1"])
        == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert (found["num_images"], found["num_objects"], found["problems"]) == (1, 2, [])


def test_a_limit_on_the_images_hides_no_problem_of_the_file(cells, tmp_path, capsys):
    """So a broken annotation of the second image is reported although only the first is looked at."""
    coco = tmp_path / "coco" / "instances.json"
    assert main(["data", "convert", f"folder:{cells}", f"coco:{coco}"]) == 0
    content = json.loads(coco.read_text())
    content["annotations"][-1]["segmentation"] = []
    coco.write_text(json.dumps(content))
    found = []
    for limit in ([], ["--limit", "1"]):
        capsys.readouterr()
        arguments = ["data", "inspect", f"coco:{coco}", "--sheet", str(tmp_path / "s.png"), "--json", "-", *limit]
        assert main(arguments) == 3
        found.append(json.loads(capsys.readouterr().out)["problems"])
    assert len(found[0]) == 1
    assert found[0] == found[1]


@pytest.mark.parametrize("verb", ["inspect", "convert"])
def test_strict_refuses_a_label_map_without_an_image(cells, tmp_path, capsys, verb):
    (cells / "labels" / "stray.png").write_bytes((cells / "labels" / "0.png").read_bytes())
    more = ["--sheet", str(tmp_path / "s.png")] if verb == "inspect" else [f"yolo:{tmp_path / 'new'}"]
    assert main(["data", verb, f"folder:{cells}", *more, "--strict"]) == 1
    assert "stray.png: has no image" in capsys.readouterr().err
    assert main(["data", verb, f"folder:{cells}", *more]) == 3


def test_inspect_lists_what_is_wrong_and_says_so_in_its_exit_code(cells, tmp_path, capsys):
    (cells / "images" / "1.png").write_bytes(b"no image")
    assert main(["data", "inspect", f"folder:{cells}", "--sheet", str(tmp_path / "s.png")]) == 3
    printed = capsys.readouterr().out
    assert "1.png" in printed
    assert "unreadable           1" in printed


def test_strict_inspection_stops_at_the_first_problem(cells, tmp_path, capsys):
    (cells / "images" / "1.png").write_bytes(b"no image")
    assert main(["data", "inspect", f"folder:{cells}", "--sheet", str(tmp_path / "s.png"), "--strict"]) == 1
    assert "1.png" in capsys.readouterr().err
    assert not (tmp_path / "s.png").exists()


def test_convert_writes_what_other_programs_read(cells, tmp_path, capsys):
    target = tmp_path / "coco" / "cells.json"
    assert main(["data", "convert", f"folder:{cells}", f"coco:{target}"]) == 0
    content = json.loads(target.read_text())
    assert (len(content["images"]), len(content["annotations"])) == (2, 4)
    assert "where the data have them, not kept by coco: ignored pixels" in capsys.readouterr().err
    assert main(["data", "convert", f"coco:{target}", f"folder:{tmp_path / 'back'}"]) == 0
    again, before = (read_label_map(folder / "labels" / "0.png") for folder in (tmp_path / "back", cells))
    assert np.array_equal(again > 0, before > 0)


def test_convert_never_writes_into_what_is_there(cells, capsys):
    assert main(["data", "convert", f"folder:{cells}", f"folder:{cells}"]) == 1
    assert "exists already" in capsys.readouterr().err
