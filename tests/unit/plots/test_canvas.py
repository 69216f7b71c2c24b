import ast
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seriatim.core.errors import ConfigError, MissingExtraError
from seriatim.core.instances import Instances
from seriatim.plots.canvas import (
    add_axes,
    check_figure_path,
    draw_image,
    draw_objects,
    draw_outline,
    fit,
    new_figure,
    write_figure,
    write_text,
)

ROOT = Path(__file__).parents[3] / "src" / "seriatim"


def small():
    figure = new_figure(2.0, 1.0)
    write_text(figure, 0.1, 0.1, "κ … ×")
    axes = add_axes(figure, 1.0, 0.25, 0.5, 0.5)
    axes.imshow(np.eye(4))
    draw_outline(axes, np.eye(4, dtype=bool), "red")
    return figure


@pytest.mark.parametrize("ending", [".png", ".pdf"])
def test_the_same_figure_makes_the_same_bytes(tmp_path, ending):
    for name in ("a", "b"):
        write_figure(small(), tmp_path / f"{name}{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{ending}", f"b{ending}"]


def test_inches_are_counted_from_the_upper_left_corner(tmp_path):
    figure = new_figure(2.0, 1.0)
    axes = add_axes(figure, 1.0, 0.2, 0.5, 0.4)
    axes.imshow(np.zeros((2, 2)), cmap="gray", aspect="auto")
    write_figure(figure, tmp_path / "a.png")
    pixels = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    assert pixels.shape == (150, 300)
    rows, columns = np.nonzero(pixels < 10)
    assert (rows.min(), columns.min()) == (30, 150)
    assert (rows.max(), columns.max()) == (89, 224)


def test_outlines_follow_the_borders_and_stay_open_at_the_edge():
    figure = new_figure(2.0, 2.0)
    axes = add_axes(figure, 0.0, 0.0, 2.0, 2.0)
    mask = np.zeros((10, 10), dtype=bool)
    mask[2:5, :4] = True
    draw_outline(axes, mask, "red")
    [drawn] = axes.collections
    [line] = drawn.get_paths()
    assert line.vertices[:, 0].max() == 3.5
    assert (line.vertices[:, 1].min(), line.vertices[:, 1].max()) == (1.5, 4.5)
    assert not np.array_equal(line.vertices[0], line.vertices[-1])


@pytest.mark.parametrize("value", [False, True])
def test_a_mask_that_is_empty_or_fills_its_array_has_no_outline(value):
    axes = add_axes(new_figure(1.0, 1.0), 0.0, 0.0, 1.0, 1.0)
    draw_outline(axes, np.full((3, 3), value), "red")
    assert not axes.collections


def test_paths_that_cannot_be_written_are_refused_early(tmp_path):
    with pytest.raises(ConfigError, match=r"\.png or \.pdf"):
        check_figure_path(tmp_path / "a.jpg")
    with pytest.raises(ConfigError, match="no folder"):
        check_figure_path(tmp_path / "none" / "a.png")


def test_a_figure_too_high_for_png_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="show less"):
        write_figure(new_figure(1.0, 500.0), tmp_path / "a.png")


def test_drawing_leaves_the_global_state_alone(tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    write_figure(small(), tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before


def test_drawing_needs_no_pyplot():
    program = (
        "import sys, seriatim.plots.states, seriatim.plots.failures; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=120)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    for name in [one for one in sys.modules if one.split(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "seriatim.plots.canvas")
    with pytest.raises(MissingExtraError, match=r"pip install 'seriatim\[plots\]'"):
        importlib.import_module("seriatim.plots.canvas")


def test_matplotlib_is_imported_only_here():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            if any(name.split(".")[0] == "matplotlib" for name in names):
                assert path == ROOT / "plots" / "canvas.py"


def test_objects_are_tinted_and_named_in_their_middle():
    axes = add_axes(new_figure(1.0, 1.0), 0.0, 0.0, 1.0, 1.0)
    draw_image(axes, np.zeros((6, 8, 3), dtype=np.uint8))
    labels = np.zeros((6, 8), dtype=np.int32)
    labels[1:4, 2:5] = 1
    draw_objects(axes, Instances.from_label_map(labels), ["#ff0000"], ["7"])
    tint = axes.images[1].get_array()
    assert np.array_equal(tint[..., 3] > 0, labels > 0)
    assert tint[2, 3, :3].tolist() == [1.0, 0.0, 0.0]
    [text] = axes.texts
    assert (text.get_text(), text.get_position()) == ("7", (3.0, 2.0))
    assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, 7.5), (5.5, -0.5))


def test_an_image_is_fitted_by_its_longer_side():
    assert fit((100, 50), 2.0) == (2.0, 1.0)
    assert fit((50, 100), 2.0) == (1.0, 2.0)
