"""Kills training runs with SIGKILL at random moments, also while they write a file, and resumes each.

    python benchmarks/kill_resume.py --kills 20

Every killed and resumed run must end with the weights, the optimizer's moments, the counters and the log of an undisturbed run, bit for bit; it
may lose at most one save interval, and must leave no temporary file. A tiny network on the CPU; about 4 minutes for 20 kills. The exit code is 0
if all of this held, 1 if not.
"""

import json
import multiprocessing
import random
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from measuring import make_parser, parse, save
from PIL import Image

from seriatim.core.provenance import Start
from seriatim.core.tensor_files import load_tensors
from seriatim.training.checkpoint import checkpoints
from seriatim.training.loop import train
from seriatim.training.recipe import Recipe

KILLS_A_RUN = 5
NUM_ITERATIONS = 40
SAVE_EVERY = 2
MEMORY_DISK = Path("/dev/shm")


def make_data(folder: Path) -> None:
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows, columns = np.indices((48, 48))
    for number in range(6):
        labels = np.zeros((48, 48), dtype=np.uint16)
        for label in range(1, 4):
            row, column = generator.integers(8, 40, size=2)
            labels[(rows - row) ** 2 + (columns - column) ** 2 < 64] = label
        Image.fromarray((labels * 60 + 30).astype(np.uint8)).save(folder / "images" / f"{number}.png")
        Image.fromarray(labels).save(folder / "labels" / f"{number}.png")


def tiny_recipe(data: Path) -> Recipe:
    config = {
        "encoder": "test_resnet",
        "encoder_depth": 3,
        "levels": 3,
        "width": 8,
        "input_channels": 1,
        "max_steps": 4,
    }
    return Recipe.parse(
        {
            "data": {"source": f"folder:{data}", "num_validation": 2},
            "preparation": {"channels": 1},
            "augmentation": {"crop_size": [32, 32], "min_area": 4},
            "model": {"name": "rsis", "config": {**config, "extensions": {"pyramid_channels": 8}, "guidance": {}}},
            "stages": [
                {"name": "masks", "iterations": NUM_ITERATIONS // 2, "weights": {"mask": 1.0, "maps": 1.0}},
                {"name": "all", "iterations": NUM_ITERATIONS // 2, "weights": {"mask": 1.0, "stop": 0.5, "maps": 1.0}},
            ],
            "validation": {"every": 7, "num_batches": 1, "num_images": 1},
            "runtime": {"batch_size": 2, "save_every": SAVE_EVERY, "threads": 1},
        }
    )


def carry_out(recipe_values: dict, run: str, resume: bool) -> None:
    train(Recipe.parse(recipe_values), Path(run), resume=resume, device="cpu")


def start(recipe: Recipe, run: Path) -> multiprocessing.Process:
    process = multiprocessing.get_context("forkserver").Process(
        target=carry_out, args=(recipe.model_dump(mode="json"), str(run), (run / "config.toml").exists())
    )
    process.start()
    return process


def half_written(run: Path) -> list[Path]:
    return list(run.rglob(".*.part")) if run.exists() else []


def last_logged(run: Path) -> int:
    """The last iteration in the log; its last line may be incomplete."""
    log = run / "metrics.jsonl"
    if not log.exists():
        return 0
    lines = log.read_bytes().split(b"\n")[:-1]
    return max((json.loads(line)["iteration"] for line in lines), default=0)


def last_saved(run: Path) -> int:
    for path in reversed(checkpoints(run / "checkpoints")):
        return json.loads(load_tensors(path)[1]["state"])["iteration"]
    return 0


def kill_once(
    recipe: Recipe, run: Path, generator: random.Random, whole_seconds: float, while_writing: bool
) -> dict | None:
    """Start or resume the run, and kill it; None if it ended before."""
    process = start(recipe, run)
    begun = time.monotonic()
    wait = generator.uniform(0.0, whole_seconds / KILLS_A_RUN)
    while process.is_alive():
        waited = time.monotonic() - begun
        if waited >= wait and (not while_writing or half_written(run)):
            process.kill()
            break
        if not while_writing:
            time.sleep(0.0005)
    process.join()
    if process.exitcode != -9:
        if process.exitcode:
            raise RuntimeError(f"{run}: the run itself failed with exit {process.exitcode}")
        return None
    saved, logged = last_saved(run), last_logged(run)
    return {
        "seconds_after_start": round(time.monotonic() - begun, 3),
        "iteration": logged,
        "iterations_lost": logged - saved,
        "while_writing": [str(path.relative_to(run)) for path in half_written(run)],
        "file_system": "memory" if MEMORY_DISK in run.parents else "disk",
    }


def differences(first: Path, second: Path) -> list[str]:
    (ours, state), (theirs, other_state) = (
        load_tensors(checkpoints(run / "checkpoints")[-1]) for run in (first, second)
    )
    names = [
        name
        for name in {*ours, *theirs}
        if name not in ours or name not in theirs or not torch.equal(ours[name], theirs[name])
    ]
    found = [f"{len(names)} tensors of the last checkpoint"] if names else []
    found += [] if state == other_state else ["counters"]
    found += [
        name
        for name in ("metrics.jsonl", "images.json", "config.toml", "model/model.safetensors", "model/config.json")
        if (first / name).read_bytes() != (second / name).read_bytes()
    ]
    return found


def measure(folder: Path, memory_folder: Path, num_kills: int, seed: int) -> dict:
    generator = random.Random(seed)
    make_data(folder / "data")
    recipe = tiny_recipe(folder / "data")
    begun = time.monotonic()
    process = start(recipe, folder / "whole")
    process.join()
    if process.exitcode:
        raise RuntimeError("the undisturbed run failed")
    whole_seconds = time.monotonic() - begun
    kills: list[dict] = []
    equal = left_temporary_files = num_started = num_runs = 0
    different: list[str] = []
    while len(kills) < num_kills:
        num_started += 1
        run = (memory_folder if num_started % 2 else folder) / f"run{num_started}"
        kills_before = len(kills)
        for _ in range(min(KILLS_A_RUN, num_kills - len(kills))):
            kill = kill_once(recipe, run, generator, whole_seconds, while_writing=len(kills) % 2 == 1)
            if kill is None:
                break
            kills.append({"run": num_started, **kill})
        if len(kills) == kills_before:
            continue
        num_runs += 1
        process = start(recipe, run)
        process.join()
        found = [f"exit {process.exitcode}"] if process.exitcode else differences(folder / "whole", run)
        different += [f"run {num_started}: {one}" for one in found]
        equal += not found
        left_temporary_files += bool(half_written(run))
    return {
        "kills": len(kills),
        "runs": num_runs,
        "runs_bit_equal": equal,
        "different": different,
        "runs_with_temporary_files": left_temporary_files,
        "kills_while_writing": sum(bool(kill["while_writing"]) for kill in kills),
        "max_iterations_lost": max(kill["iterations_lost"] for kill in kills),
        "save_every": SAVE_EVERY,
        "iterations": NUM_ITERATIONS,
        "seconds_of_the_undisturbed_run": round(whole_seconds, 1),
        "each": kills,
    }


def main() -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="draws the moments")
    options = parse(parser)
    started = Start()
    multiprocessing.set_forkserver_preload(["seriatim.training.loop"])
    memory = str(MEMORY_DISK) if MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir=memory) as memory_folder:
        result = measure(Path(folder), Path(memory_folder), options.kills, options.seed)
    save("kill_resume", result, started, options.json)
    held = (
        result["runs_bit_equal"] == result["runs"]
        and not result["runs_with_temporary_files"]
        and result["max_iterations_lost"] <= result["save_every"]
    )
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
