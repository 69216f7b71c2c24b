"""Which zoo models are recurrent: scores and counts with the state, the canvas or the stop taken away at every step (`analysis/recurrence.py`).

    python benchmarks/recurrence.py --sets leaves scenes --limit 24       4 minutes
    python benchmarks/recurrence.py --data folder:PATH/TO/nuclei          with the nuclei over 30: a tile without its canvas runs to its last step

The images are those of `zoo_scores.py`, at most 64 of a set. Every condition is compared with the undisturbed model image by image, with a
bootstrap interval of the change. Minutes are for one thread.
"""

from typing import Any

from measuring import make_parser, parse, save
from zoo_scores import SETS, test_images

from seriatim.analysis.recurrence import collect_recurrence
from seriatim.core.provenance import Start
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.inference.predictor import load


def measure(name: str, source: Source) -> dict[str, Any]:
    """The report of every model of a set, under the set's first protocol."""
    models = sorted({model for model, _ in SETS[name].systems.values()})
    protocol = SETS[name].protocols[0]
    return {model: collect_recurrence(load(model, "cpu"), source, protocol).as_json() for model in models}


def main() -> None:
    parser = make_parser(__doc__, data="the nuclei images; needed for the set nuclei")
    parser.add_argument("--sets", nargs="+", choices=tuple(SETS), default=list(SETS), metavar="SET")
    parser.add_argument("--limit", type=int, default=64, metavar="N", help="take the first N images of each set")
    options = parse(parser)
    if "nuclei" in options.sets and options.data is None:
        parser.error("the set nuclei needs --data KIND:PATH; or choose others with --sets leaves scenes")
    started = Start()
    sets = {}
    for name in options.sets:
        source = test_images(name, options.data)
        sets[name] = measure(name, Subset(source, range(min(options.limit, len(source)))))
        print(name, "done", flush=True)
    save("recurrence", {"sets": sets}, started, options.json)


if __name__ == "__main__":
    main()
