"""What holds for the whole package: its rooms, its public names, what an import costs, and that shipped files can be used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import seriatim
from seriatim.models import catalogue
from seriatim.training.recipe import load_recipe, names

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "seriatim").rglob("*.py"))
HEAVY = ("torch", "timm", "torchvision", "matplotlib", "fastapi", "lightning_fabric", "scipy", "skimage")


def test_rooms_import_only_rooms_below_them():
    tool = Path(sys.executable).with_name("lint-imports")
    if not tool.exists():
        pytest.fail("import-linter is not installed; it is part of the dev extra")
    done = subprocess.run([str(tool)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_the_public_names_are_these():
    assert seriatim.__all__ == ["Instance", "Instances", "Predictor", "__version__", "load", "models"]
    assert dir(seriatim) == sorted(seriatim.__all__)
    for name in seriatim.__all__:
        assert getattr(seriatim, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = seriatim.lod


def modules_after(*arguments):
    """What is imported by `python ARGUMENTS`, as -X importtime tells."""
    done = subprocess.run([sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.split(".")[0] for line in lines}, done.stdout


def test_importing_the_package_imports_nothing_heavy():
    modules, _ = modules_after(
        "-c", "import seriatim, seriatim.models; print(seriatim.__version__, seriatim.models.names())"
    )
    assert "seriatim" in modules
    assert modules.isdisjoint(HEAVY)
    assert "numpy" not in modules


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["segment", "--help"], ["--version"]])
def test_asking_for_help_imports_nothing_heavy(arguments):
    program = "import sys; from seriatim.cli.main import main; sys.argv[0] = 'seriatim'; sys.exit(main())"
    modules, text = modules_after("-c", program, *arguments)
    assert "seriatim" in modules
    assert modules.isdisjoint(HEAVY)
    assert text.strip()


@pytest.mark.parametrize("name", names())
def test_every_shipped_recipe_can_be_used(name):
    recipe = load_recipe(name)
    entry = catalogue.entry(recipe.model.name)
    entry.config.parse(recipe.model.config)
    for stage in recipe.stages:
        entry.objective_config.parse(stage.weights)
    assert recipe.model.config.get("input_channels", 3) == recipe.preparation.channels


@pytest.mark.parametrize("name", names())
def test_every_shipped_recipe_says_in_its_header_how_it_is_run(name):
    header = (ROOT / "src" / "seriatim" / "recipes" / f"{name}.toml").read_text().split("\n\n")[0]
    for word in ("# command", "# data", "# hardware", "# score"):
        assert word in header


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT / "src" / "seriatim")))
def test_every_module_begins_with_a_docstring_and_keeps_the_house_rules(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "no docstring"
    assert path.stem not in ("utils", "misc", "helpers", "common")
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [node for node in imports if node.module == "__future__"]
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not [call for call in calls if isinstance(call, ast.Name) and call.id in ("print", "quit", "exit")]
    handlers = [node for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler)]
    assert not [node for node in handlers if node.type is None], "a bare except"
    unsafe = [
        word
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for word in call.keywords
        if word.arg == "weights_only"
    ]
    assert all(isinstance(word.value, ast.Constant) and word.value.value is True for word in unsafe)


def test_the_list_of_models_is_the_catalogue_without_the_detector():
    assert seriatim.models.names() == tuple(sorted(set(catalogue.CATALOGUE) - {"detector"}))
