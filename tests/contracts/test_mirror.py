"""Tests lie where the module lies: `src/seriatim/<room>/<module>.py` is tested in `tests/unit/<room>/test_<module>.py`, a verb in `tests/cli`."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "seriatim"
UNIT = ROOT / "tests" / "unit"

COVERED_BY = {
    "version.py": "contracts/test_contracts.py",
    "cli/options.py": "cli/test_main.py",
    "cli/progress.py": "cli/test_segment.py",
    "cli/segment_call.py": "cli/test_segment.py",
    "cli/tables.py": "cli/test_sequences.py",
    "cli/talk.py": "cli/test_segment.py",
    "core/batch.py": "unit/models/test_interface.py",
    "core/progress.py": "unit/data/readers/test_folder.py",
    "core/shapes.py": "unit/core/test_instances.py",
    "data/problems.py": "unit/data/readers/test_voc.py",
    "data/samples.py": "unit/data/test_source.py",
    "data/readers/files.py": "unit/data/readers/test_voc.py",
    "data/synthetic/rosette_geometry.py": "unit/data/synthetic/test_rosettes.py",
    "data/synthetic/rosette_rendering.py": "unit/data/synthetic/test_rosettes.py",
    "data/synthetic/scene_rendering.py": "unit/data/synthetic/test_scenes.py",
    "data/synthetic/shapes_living.py": "unit/data/synthetic/test_scene_classes.py",
    "data/synthetic/shapes_objects.py": "unit/data/synthetic/test_scene_classes.py",
    "inference/config.py": "unit/inference/test_predictor.py",
    "inference/scale.py": "unit/inference/test_predictor.py",
    "inference/zoo.py": "zoo/test_zoo.py",
    "models/catalogue.py": "unit/models/test_interface.py",
    "models/sequential.py": "unit/models/test_interface.py",
    "nn/crf/crf_kernels.py": "unit/nn/crf/test_dense_crf.py",
    "results/counts.py": "unit/results/test_folder.py",
    "results/interface.py": "unit/results/test_folder.py",
    "results/tables.py": "unit/results/test_measurements.py",
    "training/zoo_entry.py": "cli/test_models.py",
}
"""Module without a test file of its own -> the file below `tests/` that runs it."""


def expected_file(module: str) -> Path:
    """Where the tests of a module belong."""
    room, _, name = module.rpartition("/")
    return (ROOT / "tests" / "cli" if room == "cli" else UNIT / room) / f"test_{name}"


MODULES = [
    str(path.relative_to(SOURCE)) for path in sorted(SOURCE.rglob("*.py")) if path.stem not in ("__init__", "__main__")
]
TESTS = [str(path.relative_to(UNIT)) for path in sorted(UNIT.rglob("test_*.py"))]


@pytest.mark.parametrize("test", TESTS)
def test_every_unit_test_has_the_module_that_it_names(test):
    module = str(Path(test).with_name(Path(test).name.removeprefix("test_")))
    assert module in MODULES, f"tests/unit/{test} names no module: there is no src/seriatim/{module}; move the tests"


@pytest.mark.parametrize("module", MODULES)
def test_every_module_is_tested_in_the_file_of_its_name_or_one_listed_here(module):
    own = expected_file(module)
    if module in COVERED_BY:
        assert not own.exists(), f"{module} has {own.relative_to(ROOT)}; remove its line of COVERED_BY"
        assert (ROOT / "tests" / COVERED_BY[module]).exists(), f"{module}: there is no tests/{COVERED_BY[module]}"
    else:
        assert own.exists(), (
            f"{module}: expected {own.relative_to(ROOT)}, or a line of COVERED_BY that says what tests it"
        )


def test_the_list_names_only_modules_that_exist():
    assert set(COVERED_BY) <= set(MODULES)
