"""The demonstration runs from beginning to end, and needs no download."""

import re
import runpy
from pathlib import Path

import pytest
import skimage.data

ROOT = Path(__file__).parents[2]


@pytest.fixture
def demo():
    return runpy.run_path(str(ROOT / "examples" / "demo.py"))


def test_the_demonstration_prints_counts_and_where_the_images_are(demo, tmp_path, capfd):
    assert demo["main"](["--out", str(tmp_path)]) == 0
    told = capfd.readouterr().out
    for stem, _, _ in demo["SCENES"]:
        overlay = tmp_path / "results" / stem / f"{stem}.overlay.png"
        assert overlay.is_file()
        assert re.search(rf"\d+ objects  {re.escape(str(overlay))}", told), told


def test_a_failure_of_the_demonstration_is_its_exit_code(demo, tmp_path, capfd):
    assert (
        demo["seriatim"]("segment", str(tmp_path / "none.png"), "--model", "no-such-model", "--out", str(tmp_path)) == 2
    )
    assert "no-such-model" in capfd.readouterr().err


def test_sample_images_come_with_the_package():
    folder = Path(skimage.data.__file__).parent
    assert (folder / "ihc.png").is_file()
    assert (folder / "coins.png").is_file()
