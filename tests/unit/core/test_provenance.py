import json
import os
import shutil
import subprocess
import sys

import pytest

from seriatim.core import provenance
from seriatim.core.provenance import (
    Start,
    command_line,
    environment,
    source_tree,
    with_provenance,
    without_machine_paths,
    write_result,
)


def test_a_result_file_holds_the_numbers_and_how_they_were_made(tmp_path):
    path = tmp_path / "new" / "speed.json"
    written = write_result(path, {"images": 3, "AP": {0.5: 0.25}}, Start(), ["benchmarks/speed.py", "--threads", "1"])
    read = json.loads(path.read_text())
    assert read["images"] == 3
    assert read["AP"] == {"0.5": 0.25}
    assert list(read) == list(written) == ["provenance", "images", "AP"]
    facts = read["provenance"]
    assert facts["command"] == "python benchmarks/speed.py --threads 1"
    assert facts["seconds"] >= 0
    assert facts["cores"] == os.cpu_count()
    assert facts["processor"]
    assert facts["packages"]["numpy"]
    assert facts["date"].endswith("+00:00")
    assert {"load_before", "load_after", "python", "commit", "tree_differs", "changed_files"} <= set(facts)


def test_numbers_cannot_replace_the_provenance():
    with pytest.raises(ValueError, match="provenance"):
        with_provenance({"provenance": {}}, Start())


@pytest.mark.not_quick
def test_threads_are_those_of_torch_where_it_is_in_use():
    code = "import torch; torch.set_num_threads(3); from seriatim.core.provenance import *; print(provenance(Start())['torch_threads'])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "3"


def test_torch_is_not_imported_to_ask_for_its_threads():
    code = "import sys; from seriatim.core.provenance import *; provenance(Start()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("--limit=3", "--limit=3"),
        ("scenes:40@900", "scenes:40@900"),
        ("benchmarks/results/a.json", "benchmarks/results/a.json"),
        ("/data/nuclei", "PATH/TO/nuclei"),
        ("/data/nuclei/", "PATH/TO/nuclei"),
        ("folder:/data/nuclei", "folder:PATH/TO/nuclei"),
        ("--data=voc:/data/VOC2012@val", "--data=voc:PATH/TO/VOC2012@val"),
        ("data.source=folder:/my data/nuclei", "data.source=folder:PATH/TO/nuclei"),
        ("../other/nuclei", "PATH/TO/nuclei"),
        ("~/nuclei", "PATH/TO/nuclei"),
        ('x=["/a/b", "/c/d"]', 'x=["PATH/TO/b", "PATH/TO/d"]'),
        ("augmentation.scale=[0.8, 1.2]", "augmentation.scale=[0.8, 1.2]"),
        ("a/b:c=d", "a/b:c=d"),
    ],
)
def test_paths_of_this_machine_are_not_shown(word, shown):
    assert without_machine_paths(word) == shown


def test_paths_in_the_working_folder_are_shown_relative_to_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert without_machine_paths(f"folder:{tmp_path}/data/nuclei") == "folder:data/nuclei"
    assert without_machine_paths(f"../{tmp_path.name}/run") == "run"


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        ("/opt/env/bin/seriatim", "seriatim"),
        ("/opt/env/lib/seriatim/__main__.py", "seriatim"),
        ("/opt/env/lib/pytest/__main__.py", "python -m pytest"),
        ("/elsewhere/speed.py", "python PATH/TO/speed.py"),
        ("-c", "python -c"),
    ],
)
def test_the_program_is_shown_as_a_person_types_it(program, shown):
    assert command_line([program]) == shown


def test_words_with_spaces_are_quoted():
    assert command_line(["seriatim", "train", "--set", "a=[1, 2]"]) == "seriatim train --set 'a=[1, 2]'"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit in which this module seems to lie."""
    module = tmp_path / "src" / "seriatim" / "core" / "provenance.py"
    module.parent.mkdir(parents=True)
    module.touch()
    (tmp_path / "a file").touch()
    _git(tmp_path, "init", "-q")
    _git(tmp_path, "add", "-A")
    _git(tmp_path, "commit", "-qm", "first")
    monkeypatch.setattr(provenance, "__file__", str(module))
    return tmp_path


def _git(folder, *words):
    names = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@needs_git
def test_a_clean_tree_is_its_commit(checkout):
    head = _git(checkout, "rev-parse", "HEAD")[:12]
    assert source_tree() == {"commit": head, "tree_differs": False, "changed_files": []}


@needs_git
def test_changed_and_new_files_are_named(checkout):
    (checkout / "a file").write_text("changed")
    (checkout / "src" / "new.py").touch()
    found = source_tree()
    assert found["tree_differs"]
    assert found["changed_files"] == ["a file", "src/new.py"]


@needs_git
def test_new_result_files_do_not_change_the_source(checkout):
    (checkout / "benchmarks" / "results").mkdir(parents=True)
    (checkout / "benchmarks" / "results" / "speed.json").touch()
    assert not source_tree()["tree_differs"]


@needs_git
def test_a_package_installed_within_another_repository_has_no_commit(checkout, monkeypatch):
    installed = checkout / "env" / "seriatim" / "core" / "provenance.py"
    installed.parent.mkdir(parents=True)
    installed.touch()
    monkeypatch.setattr(provenance, "__file__", str(installed))
    assert source_tree() == {"commit": None, "tree_differs": None, "changed_files": []}


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert source_tree()["commit"] is None


def test_the_environment_names_every_package():
    assert {"numpy", "torch", "pytest"} <= set(environment()["packages"])
