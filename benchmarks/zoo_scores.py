"""How good, how fast and how large every zoo model is: scores with bootstrap intervals, counts, images per second and bytes of weights on its test images.

    python benchmarks/zoo_scores.py --data folder:PATH/TO/nuclei

| set | images | systems |
|---|---|---|
| nuclei | the 64 test images of the recipe `nuclei` (`nuclei-ris`, `nuclei-din` and `detector-nuclei` keep back the same ones) | RSIS, the same with steps in the whole tile, RIS, RIS with CRF, DIN, R2-IOS |
| leaves | 64 new synthetic plants, `rosettes:64` | RSIS, RIS, RIS with CRF; the papers' own RSIS and RIS, and RIS with CRF (`*-plain`) |
| scenes | 200 new synthetic scenes of five classes, `scenes:200` | RSIS, DIN |

A model that starts from boxes gets those of its detector (`inference.detector`), whose time and size count as its own; beside it stand these boxes alone, each the
mask of an object. A model that does not ship is left out. Others are named by the option, run folders too:

    python benchmarks/zoo_scores.py --sets scenes --models scenes-din=RUN --detectors scenes-din=RUN

Each image goes through all systems of its set in turn before the next image, so that a busy machine slows all of them alike. Reading the image
and scoring are not part of the speed. About 13 minutes with one thread; `--sets` chooses.
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from measuring import make_parser, parse, save

from seriatim.core.errors import ConfigError
from seriatim.core.instances import Instances
from seriatim.core.provenance import Start
from seriatim.data.catalogue import open_source
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.evaluation.evaluate import evaluate_predictions
from seriatim.inference.model_folder import read_description
from seriatim.inference.predictor import Predictor, load
from seriatim.inference.zoo import WEIGHTS_NAME, find_model_folder, zoo_names
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
            "nuclei-din": ("nuclei-din", False, ()),
            "nuclei-r2ios": ("nuclei-r2ios", False, ()),
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
    "scenes": TestSet(
        "scenes",
        ("coco", "sds", "nuclei", "din"),
        {"scenes": ("scenes", False, ()), "scenes-din": ("scenes-din", False, ())},
    ),
}

BOXES_ALONE = "{}: boxes alone"
"""Name of the row of a system's detector."""

BOX_PROTOCOL = "coco_boxes"
"""Beside those of the set, for boxes alone."""


@dataclass(frozen=True)
class Named:
    """Models that take the place of those that ship.

    Attributes:
        models: name of a model of the sets -> a zoo name, run folder or model folder.
        detectors: the same for the detector of that model; it takes the place of `inference.detector`.
    """

    models: Mapping[str, str] = field(default_factory=dict)
    detectors: Mapping[str, str] = field(default_factory=dict)

    def load(self, name: str, crf: bool = False, settings: Sequence[str] = ()) -> Predictor | None:
        """The model of a name; None if it does not ship and none was named.

        Raises:
            ConfigError: if there is no such model, or it takes boxes and has no detector.
            CheckpointError: if the model is damaged.
        """
        model = self.models.get(name, name)
        if name not in self.models and name not in zoo_names():
            return None
        detector = [f"inference.detector={self.detectors[name]}"] if name in self.detectors else []
        predictor = load(model, "cpu", crf, [*settings, *detector])
        if predictor.network.takes_boxes and predictor.detector is None:
            raise ConfigError(f"{name}: takes boxes and has no detector; name one with --detectors {name}=MODEL")
        return predictor

    def size(self, name: str) -> int:
        """Bytes of the weights of a model, its detector's among them."""
        return sum((find_model_folder(one) / WEIGHTS_NAME).stat().st_size for one in self._parts(name))

    def size_of_detector(self, name: str) -> int:
        """Those of its detector."""
        return (find_model_folder(self._parts(name)[1]) / WEIGHTS_NAME).stat().st_size

    def _parts(self, name: str) -> list[str]:
        model = self.models.get(name, name)
        detector = self.detectors.get(name, read_description(find_model_folder(model)).inference.detector)
        return [model] if detector is None else [model, detector]


@dataclass
class System:
    """A model, what it found and how long that took; gives its predictions as a `PredictionSource`.

    Attributes:
        predictor: the model.
        num_bytes: of its weights.
        protocols: under which it is scored.
    """

    predictor: Predictor
    num_bytes: int
    protocols: tuple[str, ...]
    found: list[Instances] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.predictor.class_names)

    def predict(self, sample: Sample) -> None:
        started = time.perf_counter()
        self.found.append(self.look(sample))
        self.seconds += time.perf_counter() - started

    def look(self, sample: Sample) -> Instances:
        return self.predictor.predict_values(sample.image)

    def find(self, index: int, sample: Sample) -> Instances:
        del sample
        return self.found[index]


@dataclass
class BoxesAlone(System):
    """A detector whose boxes count as masks, as many of them as the model behind it looks at."""

    min_score: float = 0.0

    def look(self, sample: Sample) -> Instances:
        found = self.predictor.predict_values(sample.image)
        boxes = [replace(one, mask=np.ones_like(one.mask)) for one in found if one.score >= self.min_score]
        return Instances(found.size, sorted(boxes, key=lambda one: -one.score))


def systems_of(name: str, named: Named) -> dict[str, System]:
    """The systems of a set that there are; behind each that has a detector, its boxes alone."""
    protocols = SETS[name].protocols
    systems: dict[str, System] = {}
    for key, (model, crf, settings) in SETS[name].systems.items():
        predictor = named.load(model, crf, settings)
        if predictor is None:
            print(f"{model}: does not ship; left out", flush=True)
            continue
        systems[key] = System(predictor, named.size(model), protocols)
        if predictor.detector is not None:
            systems[BOXES_ALONE.format(key)] = BoxesAlone(
                predictor.detector,
                named.size_of_detector(model),
                (*protocols, BOX_PROTOCOL),
                min_score=getattr(predictor.network.config, "min_detection_score", 0.0),
            )
    return systems


def test_images(name: str, data: str | None) -> Source:
    """The images of a set; `data` is where those of nuclei are."""
    config = load_recipe(SETS[name].recipe).data
    if config.test is not None:
        return open_source(config.test)
    assert data is not None, "main has checked it"
    return open_splits(config.model_copy(update={"source": data})).test


def measure(name: str, source: Source, named: Named) -> dict[str, Any]:
    """Scores, counts, speed and size of every system of a set."""
    systems = systems_of(name, named)
    for system in systems.values():
        system.look(source.read(0))  # compiles the kernels and warms up
    for index in range(len(source)):
        sample = source.read(index)
        for system in systems.values():
            system.predict(sample)
    return {"images": len(source), "systems": {key: score(source, system) for key, system in systems.items()}}


def score(source: Source, system: System) -> dict[str, Any]:
    """The result of every protocol with its intervals, without the numbers of single images."""
    found = evaluate_predictions(system, source, system.protocols, NUM_RESAMPLES)
    scores = {
        protocol: {key: value for key, value in result.items() if key != "per_image"}
        for protocol, result in found.scores.items()
    }
    return {
        "images_per_second": round(len(source) / system.seconds, 4),
        "bytes": system.num_bytes,
        "targets": sum(found.num_targets),
        "predictions": sum(found.num_preds),
        "class_names": list(found.class_names),
        **scores,
    }


def pairs(text: str) -> tuple[str, str]:
    """NAME=MODEL of an option, where NAME is a model of the sets.

    Raises:
        argparse.ArgumentTypeError: if it is none.
    """
    name, sign, model = text.partition("=")
    known = sorted({model for one in SETS.values() for model, *_ in one.systems.values()})
    if not sign or name not in known:
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=MODEL with NAME one of {', '.join(known)}")
    return name, model


def measure_sets(
    what: str, description: str | None, limit: int, measure_one: Callable[[str, Source, Named], Any], **facts: Any
) -> None:
    """Read the options of a call, measure the sets that it chooses, and write the result file.

    Args:
        what: first part of the file's name.
        description: docstring of the script.
        limit: default of --limit.
        measure_one: gives the result of a set from its name, its images and the models that were named.
        facts: that stand beside the sets in the file.
    """
    parser = make_parser(description, data="the nuclei images; needed for the set nuclei")
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=list(SETS), metavar="SET")
    parser.add_argument("--limit", type=int, default=limit, metavar="N", help="first images of a set (%(default)s)")
    parser.add_argument(
        "--models", nargs="+", type=pairs, default=[], metavar="NAME=MODEL", help="a run folder, say, in place of NAME"
    )
    parser.add_argument(
        "--detectors", nargs="+", type=pairs, default=[], metavar="NAME=MODEL", help="whose boxes NAME takes"
    )
    options = parse(parser)
    if "nuclei" in options.sets and options.data is None:
        parser.error("the set nuclei needs --data KIND:PATH; or choose others with --sets leaves scenes")
    started, named = Start(), Named(dict(options.models), dict(options.detectors))
    sets = {}
    for name in options.sets:
        source = test_images(name, options.data)
        sets[name] = measure_one(name, Subset(source, range(min(options.limit, len(source)))), named)
        print(name, "done", flush=True)
    save(what, {**facts, "sets": sets}, started, options.json)


def main() -> None:
    measure_sets("zoo_scores", __doc__, 1000, measure, bootstrap={"resamples": NUM_RESAMPLES, "seed": 0})


if __name__ == "__main__":
    main()
