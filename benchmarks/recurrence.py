"""Which sequential models of the zoo are recurrent: scores and counts with the state, the canvas or the stop taken away at every step (`analysis/recurrence.py`).

    python benchmarks/recurrence.py --sets leaves scenes --limit 24       4 minutes
    python benchmarks/recurrence.py --data folder:PATH/TO/nuclei          with the nuclei more than 20: a tile without its canvas runs to its last step

The images are those of `zoo_scores.py`, at most 64 of a set. Every condition is compared with the undisturbed model image by image, with a
bootstrap interval of the change. Minutes are for one thread.
"""

from typing import Any

from zoo_scores import SETS, Named, measure_sets

from seriatim.analysis.recurrence import collect_recurrence
from seriatim.data.source import Source
from seriatim.models.sequential import SequentialModel


def measure(name: str, source: Source, named: Named) -> dict[str, Any]:
    """The report of every sequential model of a set, under the set's first protocol."""
    models = sorted({model for model, *_ in SETS[name].systems.values()})
    predictors = {model: named.load(model) for model in models}
    return {
        model: collect_recurrence(predictor, source, SETS[name].protocols[0]).as_json()
        for model, predictor in predictors.items()
        if predictor is not None and isinstance(predictor.network, SequentialModel)
    }


def main() -> None:
    measure_sets("recurrence", __doc__, 64, measure)


if __name__ == "__main__":
    main()
