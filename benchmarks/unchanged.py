"""Whether a change of the code changed a number: hashes of what every zoo model finds, and the first losses of the recipes.

    python benchmarks/unchanged.py --nuclei PATH/TO/nuclei --json before.json                            (in the checkout before the change)
    python benchmarks/unchanged.py --nuclei PATH/TO/nuclei --before before.json --json benchmarks/results/NAME.json      (after it)

With `--before` it exits with 1 where anything differs. Models: label maps, scores and steps of 20 images each. Recipes: `seriatim train` with one
thread and a fixed seed; the paper's recipes with a small encoder, crops and batch, 7 iterations a stage, so that each loss of each stage is met.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import seriatim

NUM_IMAGES = 20
MODELS = {
    "nuclei": "nuclei",
    "nuclei-ris": "nuclei",
    "leaves": "rosettes",
    "leaves-ris": "rosettes",
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nuclei", type=Path, required=True, help="folder with images/ and labels/")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    measured = measure(arguments.nuclei.resolve())
    arguments.json.write_text(json.dumps(measured, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
