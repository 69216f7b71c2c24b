"""What each extension of RSIS brings: the `nuclei` recipe, shortened, with and without them, scored on the same validation crops.

    python benchmarks/extensions.py --data folder:PATH/TO/nuclei --iterations 300 --json benchmarks/results/NAME.json

All variants see the same crops in the same order for the same number of iterations from the same seed. They are scored on crops of the
validation images at the scale they were trained on, so that no variant needs the estimate of the diameter.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from seriatim.data.batches import Crops
from seriatim.data.preparation import PreparationConfig
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.evaluation.evaluate import evaluate_model
from seriatim.inference.model_folder import read_model_folder
from seriatim.inference.predictor import Predictor
from seriatim.training.loop import train
from seriatim.training.recipe import Recipe, load_recipe
from seriatim.training.splits import open_splits

EXTENSIONS = "model.config.extensions"
VARIANTS = {
    "paper": [f"{EXTENSIONS}.pyramid_channels=0", f"{EXTENSIONS}.gaze=false"],
    "pathway and coordinates": [f"{EXTENSIONS}.coordinates=true", f"{EXTENSIONS}.gaze=false"],
    "pathway and gaze": [],
}


class CropSource(Source):
    """The first validation crops, as a data set."""

    class_names = ("object",)

    def __init__(self, source: Source, recipe: Recipe, count: int) -> None:
        self.crops = Crops(source, recipe.preparation, recipe.augmentation, recipe.seed)
        self.count = count

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        return f"crop-{index}"

    def read(self, index: int) -> Sample:
        crop = self.crops[index]
        labels = np.maximum(crop.labels, 0).astype(np.int32)
        return Sample(self.name(index), crop.image, labels, crop.classes, ignore=crop.labels < 0)


def measure(overrides: list[str], iterations: int, data: str, threads: int, num_crops: int) -> dict[str, object]:
    recipe = load_recipe(
        "nuclei", [f"data.source={data}", f"runtime.threads={threads}", "validation.num_images=0", *overrides]
    )
    gaze = recipe.model.config["extensions"]["gaze"]
    weights = recipe.stages[0].weights | ({} if gaze else {"maps": 0.0})
    stage = recipe.stages[0].model_copy(update={"iterations": iterations, "weights": weights})
    config = (
        recipe.model.config
        | {"stop_threshold": 0.5, "seed_threshold": 0.3}
        | ({} if gaze else {"max_steps": 24, "stop_policy": "first", "seed_threshold": 0.0})
    )
    recipe = recipe.model_copy(
        update={
            "stages": [stage],
            "model": recipe.model.model_copy(update={"config": config}),
            "preparation": recipe.preparation.model_copy(update={"diameter": None}),
            "validation": recipe.validation.model_copy(update={"every": iterations}),
            "runtime": recipe.runtime.model_copy(update={"save_every": iterations}),
        }
    )
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        run = train(recipe, Path(folder) / "run", device="cpu")
        seconds = time.perf_counter() - started
        network, description = read_model_folder(run.model)
    predictor = Predictor(network, description.model_copy(update={"preparation": PreparationConfig(channels=1)}))
    crops = CropSource(open_splits(recipe.data).validation, recipe, num_crops)
    result = evaluate_model(predictor, crops, ["nuclei"])["nuclei"]
    return {"AP": result["AP"], "PQ": result["PQ"], "absDiC": result["absDiC"], "seconds": round(seconds)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="folder:../shared/data/nuclei")
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--crops", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--json", type=Path, required=True, help="results of variants that it holds already are kept")
    arguments = parser.parse_args()
    results = json.loads(arguments.json.read_text())["variants"] if arguments.json.exists() else {}
    for name in arguments.variants:
        results[name] = measure(
            VARIANTS[name], arguments.iterations, arguments.data, arguments.threads, arguments.crops
        )
        print(name, json.dumps(results[name]), flush=True)
    command = f"python benchmarks/extensions.py --iterations {arguments.iterations} --crops {arguments.crops} --threads {arguments.threads} --json ..."
    facts = {"command": command, "iterations": arguments.iterations, "crops": arguments.crops, "variants": results}
    arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
