"""RSIS, RIS and RIS+CRF side by side: scores and images a second on the same images, in one run.

    python benchmarks/compare_models.py --nuclei folder:PATH/TO/nuclei --json benchmarks/results/NAME.json

Nuclei: the test images of the recipe `nuclei` (the recipe `nuclei-ris` keeps back the same ones), protocol `nuclei`. Leaves: fresh synthetic plants, `rosettes:64`,
protocol `cvppp`. Every image goes through all systems in turn before the next one, so that a busy machine slows all of them alike.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from thresholds import command_line

from seriatim.data.catalogue import open_source
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.inference.predictor import load
from seriatim.metrics import Example, evaluate
from seriatim.training.recipe import load_recipe
from seriatim.training.splits import open_splits

PROTOCOLS = ("nuclei", "cvppp")


def compare(source: Source, systems: dict[str, tuple[str, bool]], threads: int) -> dict[str, Any]:
    """Scores and speed of every system.

    Args:
        source: the images.
        systems: name -> model and whether the CRF refines.
        threads: of arithmetic.
    """
    torch.set_num_threads(threads)
    predictors = {name: load(model, "cpu", crf) for name, (model, crf) in systems.items()}
    for predictor in predictors.values():
        predictor.predict_values(source.read(0).image)  # compiles and warms
    seconds = dict.fromkeys(systems, 0.0)
    examples: dict[str, list[Example]] = {name: [] for name in systems}
    for index in range(len(source)):
        sample = source.read(index)
        for name, predictor in predictors.items():
            started = time.perf_counter()
            found = predictor.predict_values(sample.image)
            seconds[name] += time.perf_counter() - started
            examples[name].append(
                Example.from_label_maps(
                    sample.labels, found.label_map(), found.scores, found.class_ids, target_classes=sample.classes
                )
            )
    rows = {}
    for name in systems:
        nuclei, leaves = (evaluate(examples[name], protocol) for protocol in PROTOCOLS)
        rows[name] = {
            "AP": {str(key): round(value, 4) for key, value in nuclei["AP"].items()},
            "PQ": round(nuclei["PQ"], 4),
            "absDiC": round(leaves["absDiC"]["mean"], 4),
            "DiC": round(leaves["DiC"]["mean"], 4),
            "SBD": round(leaves["SBD"]["mean"], 4),
            "images_per_second": round(len(source) / seconds[name], 4),
        }
        print(name, json.dumps(rows[name]), flush=True)
    return {"images": len(source), "threads": threads, "systems": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nuclei", help="KIND:PATH of the nuclei images; left out without it")
    parser.add_argument("--num-plants", type=int, default=64)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    facts: dict[str, Any] = {"command": command_line()}
    if arguments.num_plants:
        leaves = {"RSIS": ("leaves", False), "RIS": ("leaves-ris", False), "RIS+CRF": ("leaves-ris", True)}
        facts["leaves"] = compare(open_source(f"rosettes:{arguments.num_plants}"), leaves, arguments.threads)
    if arguments.nuclei:
        data = load_recipe("nuclei").data.model_copy(update={"source": arguments.nuclei})
        test = open_splits(data).test
        nuclei = {"RSIS": ("nuclei", False), "RIS": ("nuclei-ris", False), "RIS+CRF": ("nuclei-ris", True)}
        facts["nuclei"] = compare(Subset(test, range(min(arguments.limit, len(test)))), nuclei, arguments.threads)
    arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
