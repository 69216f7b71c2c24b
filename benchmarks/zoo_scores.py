"""How good and how fast every zoo model is: scores with bootstrap intervals, counts and images per second on its test images.

    python benchmarks/zoo_scores.py --data folder:PATH/TO/nuclei

| set | images | systems |
|---|---|---|
| nuclei | the 64 test images of the recipe `nuclei` (`nuclei-ris` keeps back the same ones) | RSIS, the same with steps in the whole tile, RIS, RIS with CRF |
| leaves | 64 new synthetic plants, `rosettes:64` | RSIS, RIS, RIS with CRF; the papers' own RSIS and RIS, and RIS with CRF (`*-plain`) |
| scenes | 200 new synthetic scenes of five classes, `scenes:200` | RSIS |

Each image goes through all systems of its set in turn before the next image, so that a busy machine slows all of them alike. Reading the image
and scoring are not part of the speed. About 13 minutes with one thread; `--sets` chooses.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from measuring import make_parser, parse, save

from seriatim.core.instances import Instances
from seriatim.core.provenance import Start
from seriatim.data.catalogue import open_source
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.evaluation.evaluate import evaluate_predictions
from seriatim.inference.predictor import Predictor, load
from seriatim.training.recipe import load_recipe
from seriatim.training.splits import open_splits

NUM_RESAMPLES = 1000


@dataclass(frozen=True)
class TestSet:
    """Models that are scored on the same images.

    Attributes:
        recipe: keeps back the test images.
        protocols: of the scores.
        systems: name -> model, whether the CRF refines, and settings laid over the model's own.
    """

    recipe: str
    protocols: tuple[str, ...]
    systems: dict[str, tuple[str, bool, tuple[str, ...]]]


SETS = {
    "nuclei": TestSet(
        "nuclei",
        ("nuclei", "cvppp"),
        {
            "nuclei": ("nuclei", False, ()),
            "nuclei without windows": ("nuclei", False, ("model.config.guidance.window=0",)),
            "nuclei-ris": ("nuclei-ris", False, ()),
            "nuclei-ris --crf": ("nuclei-ris", True, ()),
        },
    ),
    "leaves": TestSet(
        "leaves",
        ("cvppp", "nuclei"),
        {
            "leaves": ("leaves", False, ()),
            "leaves-ris": ("leaves-ris", False, ()),
            "leaves-ris --crf": ("leaves-ris", True, ()),
            "leaves-rsis-plain": ("leaves-rsis-plain", False, ()),
            "leaves-ris-plain": ("leaves-ris-plain", False, ()),
            "leaves-ris-plain --crf": ("leaves-ris-plain", True, ()),
        },
    ),
    "scenes": TestSet("scenes", ("coco", "sds", "nuclei"), {"scenes": ("scenes", False, ())}),
}


@dataclass
class System:
    """A model, what it found and how long that took; gives its predictions as a `PredictionSource`."""

    predictor: Predictor
    found: list[Instances] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.predictor.class_names)

    def predict(self, sample: Sample) -> None:
        started = time.perf_counter()
        self.found.append(self.predictor.predict_values(sample.image))
        self.seconds += time.perf_counter() - started

    def find(self, index: int, sample: Sample) -> Instances:
        del sample
        return self.found[index]


def test_images(name: str, data: str | None) -> Source:
    """The images of a set; `data` is where those of nuclei are."""
    config = load_recipe(SETS[name].recipe).data
    if config.test is not None:
        return open_source(config.test)
    assert data is not None, "main has checked it"
    return open_splits(config.model_copy(update={"source": data})).test


def measure(name: str, source: Source) -> dict[str, Any]:
    """Scores, counts and speed of every system of a set."""
    systems = {
        key: System(load(model, "cpu", crf, settings)) for key, (model, crf, settings) in SETS[name].systems.items()
    }
    for system in systems.values():
        system.predictor.predict_values(source.read(0).image)  # compiles the kernels and warms up
    for index in range(len(source)):
        sample = source.read(index)
        for system in systems.values():
            system.predict(sample)
    return {"images": len(source), "systems": {key: score(name, source, system) for key, system in systems.items()}}


def score(name: str, source: Source, system: System) -> dict[str, Any]:
    """The result of every protocol with its intervals, without the numbers of single images."""
    found = evaluate_predictions(system, source, SETS[name].protocols, NUM_RESAMPLES)
    scores = {
        protocol: {key: value for key, value in result.items() if key != "per_image"}
        for protocol, result in found.scores.items()
    }
    return {
        "images_per_second": round(len(source) / system.seconds, 4),
        "targets": sum(found.num_targets),
        "predictions": sum(found.num_preds),
        "class_names": list(found.class_names),
        **scores,
    }


def measure_sets(
    what: str, description: str | None, limit: int, measure_one: Callable[[str, Source], Any], **facts: Any
) -> None:
    """Read the options of a call, measure the sets that it chooses, and write the result file.

    Args:
        what: first part of the file's name.
        description: docstring of the script.
        limit: default of --limit.
        measure_one: gives the result of a set from its name and images.
        facts: that stand beside the sets in the file.
    """
    parser = make_parser(description, data="the nuclei images; needed for the set nuclei")
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=list(SETS), metavar="SET")
    parser.add_argument("--limit", type=int, default=limit, metavar="N", help="first images of a set (%(default)s)")
    options = parse(parser)
    if "nuclei" in options.sets and options.data is None:
        parser.error("the set nuclei needs --data KIND:PATH; or choose others with --sets leaves scenes")
    started = Start()
    sets = {}
    for name in options.sets:
        source = test_images(name, options.data)
        sets[name] = measure_one(name, Subset(source, range(min(options.limit, len(source)))))
        print(name, "done", flush=True)
    save(what, {**facts, "sets": sets}, started, options.json)


def main() -> None:
    measure_sets("zoo_scores", __doc__, 1000, measure, bootstrap={"resamples": NUM_RESAMPLES, "seed": 0})


if __name__ == "__main__":
    main()
