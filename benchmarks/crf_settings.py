"""Which settings of the dense CRF suit a model's masks: scores on the validation images of its recipe, one setting after another.

    python benchmarks/crf_settings.py --model runs/nuclei-ris --recipe nuclei-ris --data folder:PATH/TO/nuclei --json benchmarks/results/NAME.json

The images are segmented once; then their outlines are refined under every setting. Greedy: each group of settings is tried on top of the best
of the groups before it. Only validation images are looked at.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from thresholds import command_line

from seriatim.core.instances import Instances
from seriatim.data.preparation import prepare
from seriatim.data.samples import Sample
from seriatim.data.subsets import Subset
from seriatim.inference.config import CRFConfig
from seriatim.inference.predictor import Predictor, load
from seriatim.inference.refinement import refine_instances
from seriatim.metrics import Example, evaluate
from seriatim.training.recipe import load_recipe
from seriatim.training.splits import open_splits

GROUPS: list[list[dict[str, float]]] = [
    [{}],
    [{"theta_beta": value} for value in (5.0, 20.0)],
    [{"theta_alpha": value} for value in (0.15, 0.25, 1.0)],
    [{"reach": value} for value in (0.1, 0.15)],
    [{"certainty": value} for value in (0.7, 0.9, 0.95)],
    [{"theta_gamma": value} for value in (0.05, 0.2)],
    [{"bilateral_weight": value} for value in (2.0, 8.0)],
    [{"num_mean_field_iterations": value} for value in (2, 10)],
]


def value_of(scores: Mapping[str, float], without: Mapping[str, float]) -> float:
    """What is maximised: SBD; or the mean AP, less three times what AP at 0.5 falls, since outlines must not cost objects."""
    if "SBD" in scores:
        return scores["SBD"]
    return scores["AP mean"] - 3 * max(0.0, without["AP 0.5"] - scores["AP 0.5"])


def scores_of(samples: list[Sample], found: list[Instances], protocol: str) -> dict[str, float]:
    examples = [
        Example.from_label_maps(
            sample.labels, one.label_map(), one.scores, one.class_ids, target_classes=sample.classes
        )
        for sample, one in zip(samples, found, strict=True)
    ]
    result = evaluate(examples, protocol)
    if protocol == "nuclei":
        thresholds = {f"AP {key}": value for key, value in result["AP"].items()}
        return thresholds | {"AP mean": float(np.mean(list(thresholds.values()))), "absDiC": result["absDiC"]}
    return {"SBD": result["SBD"]["mean"], "absDiC": result["absDiC"]["mean"]}


def refined(
    predictor: Predictor, samples: list[Sample], found: list[Instances], settings: dict[str, Any]
) -> list[Instances]:
    inference = predictor.description.inference
    config = CRFConfig.parse(inference.crf.model_dump() | settings)
    pairs = zip(samples, found, strict=True)
    return [
        refine_instances(prepare(sample.image, predictor.description.preparation), one, config, inference.solid)
        for sample, one in pairs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--protocol", default="nuclei", choices=("nuclei", "cvppp"))
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    data = load_recipe(arguments.recipe).data.model_copy(update={"source": arguments.data})
    source = open_splits(data).validation
    images = Subset(source, range(min(arguments.limit, len(source))))
    samples = [images.read(index) for index in range(len(images))]
    predictor = load(arguments.model, "cpu")
    found = [predictor.predict_values(sample.image) for sample in samples]
    without = scores_of(samples, found, arguments.protocol)
    print(json.dumps({"without": without}), flush=True)
    best: dict[str, Any] = {}
    best_value, rows = float("-inf"), []
    for group in GROUPS:
        winner = best
        for settings in group:
            tried, started = best | settings, time.perf_counter()
            scores = scores_of(samples, refined(predictor, samples, found, tried), arguments.protocol)
            rows.append({"settings": tried, **scores, "seconds": round(time.perf_counter() - started, 1)})
            print(json.dumps(rows[-1]), flush=True)
            value = value_of(scores, without)
            if value > best_value:
                best_value, winner = value, tried
        best = winner
    facts = {
        "command": command_line(),
        "images": len(samples),
        "without": without,
        "chosen": best,
        "tried": rows,
    }
    arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
