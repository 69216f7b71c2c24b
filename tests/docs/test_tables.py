"""Every table of measured numbers is what the result files say."""

import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
FACTS = {
    "command": "python benchmarks/a.py",
    "commit": "0123456789ab",
    "tree_differs": False,
    "processor": "P",
    "torch_threads": 1,
}


@pytest.fixture(scope="module")
def tables():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks"))
        yield runpy.run_path(str(ROOT / "benchmarks" / "fill_tables.py"), run_name="fill_tables")


def test_every_table_is_what_the_result_files_say(tables):
    differing = [str(page.relative_to(ROOT)) for page, _ in tables["differing"]()]
    assert not differing, f"run `make tables`: {', '.join(differing)}"


def test_every_table_of_the_script_stands_on_a_page(tables):
    texts = "\n".join(page.read_text(encoding="utf-8") for page in tables["pages"]())
    used = {found["name"] for found in tables["BLOCK"].finditer(texts)}
    assert used == set(tables["TABLES"])
    assert len(re.findall("<!-- table:", texts)) == len(tables["BLOCK"].findall(texts))


PAGE = "text\n<!-- table: polarity from benchmarks/results/polarity_cpu_*.json -->\nold\n<!-- end -->\nmore\n"


@pytest.fixture
def results(tmp_path):
    """Writes a result file of `polarity` and gives the root above it."""

    def write(date, right):
        folder = tmp_path / "benchmarks" / "results"
        folder.mkdir(parents=True, exist_ok=True)
        numbers = {
            "provenance": FACTS,
            "images": 10,
            "polarity_right": right,
            "largest_brown_share": 0.06,
            "brown_share_of_immunohistochemistry": 0.5,
        }
        (folder / f"polarity_cpu_{date}.json").write_text(json.dumps(numbers))
        return tmp_path

    return write


def test_a_block_gets_the_numbers_of_the_newest_file_and_their_origin(tables, results):
    results("2026-01-31", 8)
    filled = tables["fill"](PAGE, results("2026-02-01", 9))
    assert "9 of 10" in filled
    assert "old" not in filled
    assert "`python benchmarks/a.py`, commit 0123456789ab, P, 1 thread (`polarity_cpu_2026-02-01.json`)." in filled
    assert filled.startswith("text\n<!-- table: ")
    assert filled.endswith("<!-- end -->\nmore\n")


def test_a_filled_page_stays_as_it_is_and_a_changed_number_is_seen(tables, results):
    root = results("2026-02-01", 9)
    filled = tables["fill"](PAGE, root)
    assert tables["fill"](filled, root) == filled
    assert tables["fill"](filled.replace("9 of 10", "10 of 10"), root) == filled


def test_without_a_result_file_a_block_says_so(tables, tmp_path):
    assert "-->\nNot measured.\n<!-- end -->" in tables["fill"](PAGE, tmp_path)


def test_an_unknown_table_is_refused(tables, tmp_path):
    with pytest.raises(ValueError, match="polarty: unknown"):
        tables["fill"](PAGE.replace("polarity from", "polarty from"), tmp_path)


def problem_of(result):
    """What a result file lacks, or None."""
    facts = result.get("provenance", {})
    command, commit = facts.get("command") or "", facts.get("commit") or ""
    if not command.startswith(("python benchmarks/", "seriatim ")):
        return f"no command: {command!r}"
    if not re.fullmatch("[0-9a-f]{12}", commit):
        return f"no commit: {commit!r}"
    if any(word.startswith(("/", "..", "~")) for word in re.split(r"[\s:=]", command)):
        return f"a path of a machine: {command!r}"
    return None


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_result_file_names_its_command_and_commit(path):
    assert problem_of(json.loads(path.read_text())) is None
    assert re.fullmatch(r"[\w-]+_(cpu|cuda)_\d{4}-\d\d-\d\d", path.stem)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"command": "python benchmarks/a.py", "commit": None},
        {"command": "python benchmarks/a.py", "commit": "0123456789ab+"},
        {"command": "python -c", "commit": "0123456789ab"},
        {"command": "python benchmarks/a.py --data folder:/data/nuclei", "commit": "0123456789ab"},
    ],
)
def test_a_result_file_without_them_would_be_seen(facts):
    assert problem_of({"provenance": facts}) is not None
    assert problem_of({"provenance": FACTS}) is None


def test_a_measurement_has_one_result_file():
    names = [path.stem.rpartition("_")[0] for path in RESULTS]
    assert len(set(names)) == len(names)
