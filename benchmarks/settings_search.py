"""Which test-time settings suit a model: scores on the validation images of its recipe, one setting after another.

    python benchmarks/settings_search.py leaves --data folder:PATH/TO/rosettes        800 plants, `seriatim data make`; 3 minutes
    python benchmarks/settings_search.py leaves-ris --data folder:PATH/TO/rosettes    7 minutes
    python benchmarks/settings_search.py nuclei-ris --data folder:PATH/TO/nuclei      12 minutes
    python benchmarks/settings_search.py scenes                                       10 minutes
    python benchmarks/settings_search.py nuclei --data folder:PATH/TO/nuclei          20 minutes

Greedy: each group of settings is tried on top of the best of the groups before it, beginning with the defaults of the network. Only
validation images are used, so that the choice does not touch the scores on test images. For RIS the settings of the dense CRF are searched
too: the images are segmented once with the model's own settings, then their outlines are refined under each setting. `--model RUN` searches
for a new run instead of the zoo model.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from measuring import make_parser, parse, save

from seriatim.core.instances import Instances
from seriatim.core.provenance import Start
from seriatim.data.preparation import prepare
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.evaluation.evaluate import evaluate_model, make_example
from seriatim.inference.config import CRFConfig
from seriatim.inference.model_folder import change_settings, read_model_folder
from seriatim.inference.predictor import Predictor, load
from seriatim.inference.refinement import refine_instances
from seriatim.inference.zoo import find_model_folder
from seriatim.metrics import evaluate
from seriatim.models import catalogue
from seriatim.training.recipe import load_recipe
from seriatim.training.splits import open_splits


@dataclass(frozen=True)
class Search:
    """What is tried for a model.

    Attributes:
        protocol: of the scores.
        stop: values of `stop_threshold`.
        seed: values of `seed_threshold`.
        recipe_settings: laid over the recipe of the model's name.
        num_crf_images: images for the search of the settings of the CRF; 0 for no such search.
    """

    protocol: str
    stop: tuple[float, ...]
    seed: tuple[float, ...]
    recipe_settings: tuple[str, ...] = ()
    num_crf_images: int = 0


SEARCHES = {
    "nuclei": Search("nuclei", (0.6, 0.7, 0.8), (0.4, 0.5)),
    "nuclei-ris": Search("nuclei", (0.3, 0.7, 0.8), (0.4, 0.6), num_crf_images=30),
    "leaves": Search("cvppp", (0.3, 0.4), (0.1, 0.2)),
    "leaves-ris": Search("cvppp", (0.3, 0.4, 0.6, 0.7), (0.2, 0.4, 0.5), num_crf_images=12),
    "scenes": Search("coco", (0.1,), (0.1, 0.2), ("data.validation=scenes:100@900",)),
}
DEFAULTS = (
    "model.config.stop_threshold=",
    "model.config.guidance.seed_threshold=",
    "model.config.mask_threshold=",
    "inference.solid=false",
    "inference.max_hidden=",
)
CRF_GROUPS: tuple[tuple[dict[str, float], ...], ...] = (
    ({},),
    tuple({"theta_beta": value} for value in (5.0, 20.0)),
    tuple({"theta_alpha": value} for value in (0.15, 0.25, 1.0)),
    tuple({"reach": value} for value in (0.1, 0.15)),
    tuple({"certainty": value} for value in (0.7, 0.9, 0.95)),
    tuple({"theta_gamma": value} for value in (0.05, 0.2)),
    tuple({"bilateral_weight": value} for value in (2.0, 8.0)),
    tuple({"num_mean_field_iterations": value} for value in (2, 10)),
)


def groups(search: Search) -> list[list[dict[str, Any]]]:
    """Settings in the order in which they are tried."""
    return [
        [{}, {"inference.solid": True}],
        [{"model.config.stop_threshold": value} for value in search.stop],
        [{"model.config.guidance.seed_threshold": value} for value in search.seed],
        [{"model.config.mask_threshold": value} for value in (0.3, 0.4, 0.6, 0.7)],
        [{"inference.max_hidden": 0.3}],
    ]


def greedy(
    groups: Sequence[Sequence[Mapping[str, Any]]],
    score: Callable[[dict[str, Any]], dict[str, float]],
    value_of: Callable[[Mapping[str, float]], float],
) -> dict[str, Any]:
    """The settings that were tried with their scores, and the best."""
    best: dict[str, Any] = {}
    best_value, rows = float("-inf"), []
    for group in groups:
        winner = best
        for settings in group:
            tried, started = {**best, **settings}, time.perf_counter()
            scores = score(tried)
            rows.append({"settings": tried, **scores, "seconds": round(time.perf_counter() - started, 1)})
            print(rows[-1], flush=True)
            if value_of(scores) > best_value:
                best_value, winner = value_of(scores), tried
        best = winner
    return {"chosen": best, "tried": rows}


def score_settings(model: Path, settings: Sequence[str], source: Source, protocol: str) -> dict[str, float]:
    """Scores of the model's weights under other settings."""
    network, description = read_model_folder(model)
    description = change_settings(description, settings)
    rebuilt = catalogue.build(description.model.name, description.model.config, seed=0)
    rebuilt.load_state_dict(network.state_dict())
    return summary(evaluate_model(Predictor(rebuilt, description), source, [protocol])[protocol], protocol)


def summary(result: Mapping[str, Any], protocol: str) -> dict[str, float]:
    """The numbers of a protocol that settings are judged by."""
    match protocol:
        case "nuclei":
            thresholds = {f"AP {threshold}": value for threshold, value in result["AP"].items()}
            return {**thresholds, "PQ": result["PQ"], "absDiC": result["absDiC"]}
        case "coco":
            return {key: result[key] for key in ("AP", "AP50", "AP75", "AR100")}
        case _:
            return {"SBD": result["SBD"]["mean"], "absDiC": result["absDiC"]["mean"]}


def worth(scores: Mapping[str, float]) -> float:
    """By what settings are compared; larger is better."""
    if "SBD" in scores:
        return scores["SBD"] - 0.1 * scores["absDiC"]
    return scores["AP50"] if "AP50" in scores else scores["AP 0.5"] + scores["AP 0.7"]


def worth_of_outlines(scores: Mapping[str, float], without: Mapping[str, float]) -> float:
    """By what settings of the CRF are compared: SBD; or the mean AP less three times the loss of AP at 0.5, since outlines must not cost objects."""
    if "SBD" in scores:
        return scores["SBD"]
    mean = fmean(value for key, value in scores.items() if key.startswith("AP "))
    return mean - 3 * max(0.0, without["AP 0.5"] - scores["AP 0.5"])


def search_crf(model: Path, source: Source, protocol: str) -> dict[str, Any]:
    """The settings of the CRF, on masks that the model finds with its own settings."""
    predictor = load(str(model), "cpu")
    inference = predictor.description.inference
    samples = [source.read(index) for index in range(len(source))]
    found = [predictor.predict_values(sample.image) for sample in samples]
    without = score_found(samples, found, protocol)

    def refined(settings: dict[str, Any]) -> dict[str, float]:
        config = CRFConfig.parse(settings)
        outlines = [
            refine_instances(prepare(sample.image, predictor.description.preparation), one, config, inference.solid)
            for sample, one in zip(samples, found, strict=True)
        ]
        return score_found(samples, outlines, protocol)

    result = greedy(CRF_GROUPS, refined, lambda scores: worth_of_outlines(scores, without))
    return {"images": len(samples), "without": without, **result}


def score_found(samples: Sequence[Sample], found: Sequence[Instances], protocol: str) -> dict[str, float]:
    examples = [make_example(sample, one, None) for sample, one in zip(samples, found, strict=True)]
    return summary(evaluate(examples, protocol), protocol)


def main() -> None:
    parser = make_parser(__doc__, data="instead of the source of the recipe")
    parser.add_argument("name", choices=tuple(SEARCHES), help="the zoo model, and the recipe of the same name")
    parser.add_argument("--model", metavar="RUN", help="a run or model folder instead of the zoo model")
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="take the first N validation images")
    options = parse(parser)
    started = Start()
    search = SEARCHES[options.name]
    overrides = [*search.recipe_settings, *([f"data.source={options.data}"] if options.data else [])]
    validation = open_splits(load_recipe(options.name, overrides).data).validation
    source = Subset(validation, range(min(options.limit, len(validation))))
    model = find_model_folder(options.model or options.name)

    def score(settings: dict[str, Any]) -> dict[str, float]:
        words = [f"{key}={str(value).lower()}" for key, value in settings.items()]
        return score_settings(model, [*DEFAULTS, *words], source, search.protocol)

    numbers = {
        "model": options.name,
        "images": len(source),
        "protocol": search.protocol,
        "shipped": score_settings(model, (), source, search.protocol),
        **greedy(groups(search), score, worth),
    }
    if search.num_crf_images:
        crf_images = Subset(source, range(min(search.num_crf_images, len(source))))
        numbers["crf"] = search_crf(model, crf_images, search.protocol)
    save(f"settings_{options.name}", numbers, started, options.json)


if __name__ == "__main__":
    main()
