"""Whether a change of the code changed a number: hashes of what every zoo model finds, and the first losses of the recipes.

    python benchmarks/unchanged.py --data folder:PATH/TO/nuclei --json before.json      in the checkout before the change
    python benchmarks/unchanged.py --data folder:PATH/TO/nuclei --before before.json    after it

With `--before` the result file holds both hashes of each model, whether everything is identical, and what differs; the exit code is 1 if
anything does. Models: label maps, scores and steps of 20 images each. Recipes: `seriatim train` with one thread and a fixed seed, every logged
loss compared bit for bit; the paper's recipes with a small encoder, crops and batch, 7 iterations a stage, so that each loss of each stage is
computed. About 10 minutes.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import make_parser, parse, save
from PIL import Image

import seriatim
from seriatim.core.provenance import Start

NUM_IMAGES = 20
MODELS = {
    "nuclei": "nuclei",
    "nuclei-ris": "nuclei",
    "leaves": "rosettes",
    "leaves-ris": "rosettes",
    "leaves-ris-plain": "rosettes",
    "leaves-rsis-plain": "rosettes",
    "scenes": "scenes",
}
PAPER = (
    "data.validation=",
    "data.test=",
    "data.num_test=",
    "data.num_validation=1",
    "model.config.encoder_weights=",
    "runtime.batch_size=2",
    "runtime.num_workers=0",
    "preparation.size=",
    "preparation.longest_side=64",
    "augmentation.crop_size=[64, 64]",
)
RSIS = (*PAPER, "model.config.encoder=resnet10t", "model.config.width=32")
RECIPES: dict[str, tuple[str, ...]] = {
    "nuclei": (),
    "nuclei-ris": (),
    "leaves": ("data.source=rosettes:40", "data.num_validation=2", "data.test="),
    "scenes": ("data.source=scenes:40@1000", "data.validation=scenes:2@900", "data.test="),
    "rsis-cvppp": (*RSIS, "data.source=rosettes:8"),
    "rsis-voc": (*RSIS, "data.source=scenes:8", "model.config.num_classes=5"),
    "rsis-voc-skip-mult": (*RSIS, "data.source=scenes:8", "model.config.num_classes=5"),
    "rsis-cityscapes": (*RSIS, "data.source=scenes:8", "model.config.num_classes=5"),
    "ris-cvppp": (*PAPER, "data.source=rosettes:8", "runtime.batch_size=1"),
    "ris-people-voc": (
        *PAPER,
        "data.source=scenes:8",
        "data.classes=",
        "model.config.fc_channels=32",
        "augmentation.crop_size=[96, 96]",
    ),
}
STAGES = {
    "rsis-cvppp": 3,
    "rsis-voc": 3,
    "rsis-voc-skip-mult": 3,
    "rsis-cityscapes": 3,
    "ris-cvppp": 2,
    "ris-people-voc": 2,
}


def draw(kind: str, folder: Path) -> list[Path]:
    """The files of `NUM_IMAGES` drawn images."""
    run("data", "make", kind, "--count", str(NUM_IMAGES), "--seed", "4242", "--out", str(folder))
    return sorted((folder / "images").iterdir())


def run(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "seriatim", *words], check=True, stdout=subprocess.DEVNULL)


def hash_of_found(model: str, files: list[Path]) -> dict[str, Any]:
    """One hash over the label maps, scores and steps of all images."""
    torch.set_num_threads(1)
    predictor = seriatim.load(model, "cpu")
    digest, count = hashlib.sha256(), 0
    for file in files:
        found = predictor.predict(np.asarray(Image.open(file)))
        for part in (
            found.label_map(),
            np.array([one.score for one in found], dtype=np.float64),
            np.array([one.step for one in found]),
        ):
            digest.update(np.ascontiguousarray(part).tobytes())
        count += len(found)
    return {"objects": count, "sha256": digest.hexdigest()}


def losses_of(recipe: str, nuclei: Path, folder: Path) -> list[dict[str, float]]:
    """The terms of the loss of the first iterations, and the loss on validation crops at the end."""
    settings = [
        "runtime.threads=1",
        *RECIPES[recipe],
        *(f"stages.{stage}.iterations=7" for stage in range(STAGES.get(recipe, 0))),
    ]
    if recipe not in STAGES:
        settings += ["stages.0.iterations=20"]
    if recipe.startswith("nuclei"):
        settings += [f"data.source=folder:{nuclei}"]
    settings += ["validation.every=1000", "validation.num_images=0", "validation.num_batches=1"]
    run(
        "train", recipe, "--out", str(folder), "--device", "cpu", *(word for one in settings for word in ("--set", one))
    )
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def measure(nuclei: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = {
            "nuclei": sorted((nuclei / "images").iterdir())[:: 564 // NUM_IMAGES][:NUM_IMAGES],
            "rosettes": draw("rosettes", folder / "rosettes"),
            "scenes": draw("scenes", folder / "scenes"),
        }
        found = {model: hash_of_found(model, files[data]) for model, data in MODELS.items()}
        losses = {recipe: losses_of(recipe, nuclei, folder / recipe) for recipe in RECIPES}
    return {"found": found, "losses": losses}


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What the result file of a comparison holds."""
    differences = [
        *(f"model {one}" for one in MODELS if before["found"].get(one) != after["found"][one]),
        *(
            difference
            for recipe in RECIPES
            for difference in differing_losses(recipe, before["losses"].get(recipe, []), after["losses"][recipe])
        ),
    ]
    found = {
        model: {
            "identical": before["found"].get(model) == after["found"][model],
            "before": before["found"].get(model),
            "after": after["found"][model],
        }
        for model in MODELS
    }
    losses = {
        recipe: {
            "identical": before["losses"].get(recipe) == after["losses"][recipe],
            "iterations": max(line["iteration"] for line in after["losses"][recipe]),
            "last": after["losses"][recipe][-1],
        }
        for recipe in RECIPES
    }
    return {"identical": not differences, "differences": differences, "found": found, "losses": losses}


def differing_losses(recipe: str, before: list[dict[str, float]], after: list[dict[str, float]]) -> list[str]:
    """The first line of the log that differs, with each number that does; JSON keeps every bit of a float."""
    if len(before) != len(after):
        return [f"recipe {recipe}: {len(before)} lines in the log before, {len(after)} after"]
    for old, new in zip(before, after, strict=True):
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if keys:
            numbers = ", ".join(f"{key} {old.get(key)!r} before, {new.get(key)!r} after" for key in keys)
            return [f"recipe {recipe}: iteration {new['iteration']}: {numbers}"]
    return []


def main() -> int:
    parser = make_parser(__doc__, data="folder:PATH of the nuclei images, with images/ and labels/", threads=None)
    parser.add_argument("--before", type=Path, metavar="FILE", help="the result of the checkout before the change")
    parser.add_argument("--before-commit", metavar="SHA", help="of that checkout, where the file does not name it")
    options = parse(parser)
    if options.data is None or not options.data.startswith("folder:"):
        parser.error("needs --data folder:PATH")
    if options.before is None and options.json is None:
        parser.error("without --before it needs --json FILE")
    before = None if options.before is None else json.loads(options.before.read_bytes())
    started = Start()
    measured = measure(Path(options.data.removeprefix("folder:")).resolve())
    if before is None:
        save("unchanged", measured, started, options.json)
        return 0
    result = compare(before, measured)
    result["before"] = before.get("provenance", {"commit": options.before_commit})
    save("unchanged", result, started, options.json)
    print("\n".join(result["differences"]) or "identical")
    return 0 if result["identical"] else 1


if __name__ == "__main__":
    sys.exit(main())
