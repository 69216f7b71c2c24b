"""Which test-time settings suit a trained model: scores on the validation images of its recipe, one setting after another.

    python benchmarks/thresholds.py --model runs/nuclei --recipe nuclei --data folder:PATH/TO/nuclei --json benchmarks/results/NAME.json

Greedy: each group of settings is tried on top of the best of the groups before it. Only validation images are looked at, so that the
numbers that are reported, on the test images, stay untouched by the choice.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.evaluation.evaluate import evaluate_model
from seriatim.inference.model_folder import ModelDescription, read_model_folder
from seriatim.inference.predictor import Predictor, find_model_folder
from seriatim.models import catalogue
from seriatim.training.recipe import load_recipe
from seriatim.training.splits import open_splits


def command_line() -> str:
    """The command as it was called; of paths outside the working folder only the last part, since it is of this machine alone."""
    return " ".join(
        [
            "python",
            *(
                re.sub(r"/\S*/", "", word) if "=/" in word or word.startswith("/") or ":/" in word else word
                for word in sys.argv
            ),
        ]
    )


def groups(stop: list[float], seed: list[float]) -> list[list[Mapping[str, Any]]]:
    """Settings of `model.config` and of `inference`, in the order in which they are tried."""
    return [
        [{}, {"inference.solid": True}],
        [{"config.stop_threshold": value} for value in stop],
        [{"config.seed_threshold": value} for value in seed],
        [{"config.mask_threshold": value} for value in (0.3, 0.4, 0.6, 0.7)],
        [{"inference.max_hidden": 0.3}],
    ]


def changed(description: ModelDescription, settings: Mapping[str, Any]) -> ModelDescription:
    config, inference = dict(description.model.config), description.inference.model_dump()
    for key, value in settings.items():
        part, name = key.split(".")
        (config if part == "config" else inference)[name] = value
    return description.model_copy(
        update={
            "model": description.model.model_copy(update={"config": config}),
            "inference": type(description.inference).parse(inference),
        }
    )


def score(model: Path, settings: Mapping[str, Any], source: Source, protocol: str) -> dict[str, float]:
    network, description = read_model_folder(model)
    description = changed(description, settings)
    rebuilt = catalogue.build(description.model.name, description.model.config, seed=0)
    rebuilt.load_state_dict(network.state_dict())
    result = evaluate_model(Predictor(rebuilt, description), source, [protocol])[protocol]
    if protocol == "nuclei":
        return {f"AP {t}": result["AP"][t] for t in result["AP"]} | {"PQ": result["PQ"], "absDiC": result["absDiC"]}
    if protocol == "coco":
        return {key: result[key] for key in ("AP", "AP50", "AP75", "AR100")}
    return {"SBD": result["SBD"]["mean"], "absDiC": result["absDiC"]["mean"]}


def worth(scores: Mapping[str, float], protocol: str) -> float:
    """By what the settings are compared; larger is better."""
    match protocol:
        case "nuclei":
            return scores["AP 0.5"] + scores["AP 0.7"]
        case "coco":
            return scores["AP50"]
        case _:
            return scores["SBD"] - 0.1 * scores["absDiC"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", help="instead of the recipe's data.source")
    parser.add_argument("--protocol", default="nuclei", choices=("nuclei", "cvppp", "coco"))
    parser.add_argument("--stop", type=float, nargs="*", default=[0.3, 0.4, 0.6, 0.7])
    parser.add_argument("--seed", type=float, nargs="*", default=[0.1, 0.2, 0.4])
    parser.add_argument("--set", action="append", default=[], help="a setting of the recipe, as for seriatim train")
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    overrides = [*arguments.set, *([f"data.source={arguments.data}"] if arguments.data else [])]
    validation = open_splits(load_recipe(arguments.recipe, overrides).data).validation
    source = Subset(validation, range(min(arguments.limit, len(validation))))
    model = find_model_folder(arguments.model)
    best: dict[str, Any] = {}
    best_value, rows = float("-inf"), []
    for group in groups(arguments.stop, arguments.seed):
        winner = best
        for settings in group:
            tried = best | settings
            scores = score(model, tried, source, arguments.protocol)
            value = worth(scores, arguments.protocol)
            rows.append({"settings": tried, **scores})
            print(json.dumps(rows[-1]), flush=True)
            if value > best_value:
                best_value, winner = value, tried
        best = winner
    command = command_line()
    facts = {"command": command, "images": len(source), "chosen": best, "tried": rows}
    arguments.json.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
