"""Every command of the README and of the pages in docs/ runs, in a folder with tiny images; a block that cannot says why in a comment before it."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from seriatim.cli.main import VERBS
from seriatim.data.synthetic.rosettes import make_rosette

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^\n]+?) -->\n)?^```(?P<language>[a-z]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SHELLS = ("sh", "console")


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    line: int
    language: str
    code: str
    reason: str | None

    @property
    def commands(self) -> str:
        """The code; of a console only what stands behind the prompt."""
        if self.language != "console":
            return self.code
        return "\n".join(line.removeprefix("$ ") for line in self.code.splitlines() if line.startswith("$ "))


def blocks_of(page: str, text: str) -> list[Block]:
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found["language"], found["code"], found["reason"])
        for found in BLOCK.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page, (ROOT / page).read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def workplaces(tmp_path_factory):
    """Page -> a folder with the names that the pages use: images/, photo.png, plants/. The blocks of a page share it, in their order."""
    return {page: make_workplace(tmp_path_factory.mktemp("page")) for page in PAGES}


def make_workplace(folder: Path) -> Path:
    rows, columns = np.mgrid[:96, :96]
    spots = sum(np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 60) for y, x in ((25, 25), (60, 30), (45, 70)))
    photo = Image.fromarray((200 * np.minimum(spots, 1)).astype(np.uint8))
    (folder / "images").mkdir()
    photo.save(folder / "photo.png")
    photo.save(folder / "images" / "photo.png")
    for part in ("images", "labels"):
        (folder / "plants" / part).mkdir(parents=True)
    for seed in range(2):
        plant = make_rosette(seed, 96, 96, num_leaves=5)
        Image.fromarray(plant.image).save(folder / "plants" / "images" / f"{seed}.png")
        Image.fromarray(plant.labels.astype(np.uint16)).save(folder / "plants" / "labels" / f"{seed}.png")
    return folder


def run(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    """The block as a user would run it, with the commands of this environment."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "2")}
    words = (
        [sys.executable, "-c", block.code]
        if block.language == "python"
        else ["bash", "-euo", "pipefail", "-c", block.commands]
    )
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.reason is None and block.language in (*SHELLS, "python")],
    ids=lambda block: f"{block.page}:{block.line}",
)
def test_every_block_runs(block, workplaces):
    done = run(block, workplaces[block.page])
    assert done.returncode == 0, f"{block.page}, line {block.line}:\n{block.code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: f"{block.page}:{block.line}")
def test_every_block_names_its_language(block):
    assert block.language in (*SHELLS, "python", "toml", "text"), f"{block.page}, line {block.line}"


def test_commands_that_are_not_run_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for block in BLOCKS:
        if block.reason is None or block.language not in SHELLS:
            continue
        for line in block.commands.splitlines():
            program, word = line.split()[:2]
            known = {"make": targets, "seriatim": list(VERBS), "python": [word] if (ROOT / word).is_file() else []}
            assert word in known[program], f"{block.page}, line {block.line}: {line}"


RECIPE_FILES = [f"src/seriatim/recipes/{path.name}" for path in (ROOT / "src/seriatim/recipes").glob("*.toml")]


def scored_after_training(text: str) -> list[str]:
    """The `evaluate` commands that score a run on the data that it trains on, without a recipe that says which part is kept back."""
    commands = re.sub(r"\\\n#?", " ", text)
    runs = re.findall(r"seriatim train \S+ --out (\S+) .*?data\.source=(\S+)", commands)
    return [
        line
        for line in commands.splitlines()
        if "seriatim evaluate" in line
        and not re.search(r"--recipe .*--part (test|validation)", line)
        and any(f"--data {data} " in f"{line} " and f"--model {out} " in f"{line} " for out, data in runs)
    ]


@pytest.mark.parametrize("page", [*PAGES, *RECIPE_FILES])
def test_no_command_scores_the_images_of_the_training(page):
    assert not scored_after_training((ROOT / page).read_text(encoding="utf-8"))


def test_a_command_that_scores_the_images_of_the_training_would_be_seen():
    train = "seriatim train leaves --out run \\\n  --set data.source=folder:a\n"
    score = "seriatim evaluate --data folder:a --model run"
    assert scored_after_training(train + score) == [score]
    assert not scored_after_training(train + score + " --recipe run/config.toml --part test")
    assert not scored_after_training(train + score.replace("folder:a", "folder:b"))
    assert not scored_after_training(train + score.replace("run", "leaves"))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


@pytest.mark.parametrize(
    "page", [*PAGES, "CHANGELOG.md", "CITATION.cff", "Makefile", "constraints.txt", "pyproject.toml"]
)
def test_pages_name_no_host_and_no_path_of_a_machine(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not re.findall(r"https?://|(?<![\w.])/(?:work|home|root|usr|opt|tmp)/", text)


def test_a_failing_block_would_be_seen(tmp_path):
    [block] = blocks_of("page", "text\n```sh\nfalse\ntrue\n```\n")
    assert run(block, tmp_path).returncode != 0
    [console] = blocks_of("page", "```console\n$ exit 7\noutput\n```\n")
    assert run(console, tmp_path).returncode == 7
    [told] = blocks_of("page", "<!-- not run: why -->\n```sh\nfalse\n```\n")
    assert told.reason == "why"
