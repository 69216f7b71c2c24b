"""The rules by which a claim is judged, written before the runs; and the intervals that they look at.

    better        first - second: holds if its 95 % interval lies above 0, does not hold here if it lies below 0
    not better    does not hold here if the interval lies above 0; holds if it ends at or below the margin
    equal         holds if the interval lies within the margin on either side of 0, does not hold here if it lies outside
    anything else is undecided

Where neither of two arms reaches a score of 0.05, the trainings have learned too little to be compared: undecided, whatever the interval says.
A claim with several comparisons holds if all of them hold, and does not hold here if one of them does not. Every number is oriented so that larger is
better: |DiC| enters with a minus.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float64

Relation = Literal["better", "not better", "equal"]
Verdict = Literal["holds", "does not hold here", "undecided", "not measured"]
Interval = tuple[float, float]

FLOOR = 0.05
"""The score that one of two trainings must reach to be compared."""

NUM_RESAMPLES = 2000
"""Draws of images, and of seeds where there are several."""


def judge(interval: Interval, relation: Relation, margin: float = 0.0) -> Verdict:
    """What an interval of a difference says.

    >>> judge((0.01, 0.2), "better"), judge((-0.1, 0.2), "better"), judge((-0.1, 0.01), "not better", 0.02)
    ('holds', 'undecided', 'holds')
    """
    low, high = interval
    match relation:
        case "better":
            return "holds" if low > 0 else "does not hold here" if high < 0 else "undecided"
        case "not better":
            return "does not hold here" if low > 0 else "holds" if high <= margin else "undecided"
        case "equal":
            if low > margin or high < -margin:
                return "does not hold here"
            return "holds" if -margin <= low and high <= margin else "undecided"


def combine(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict of a claim from those of its comparisons.

    >>> combine(["holds", "undecided"]), combine(["holds", "does not hold here", "undecided"]), combine(["holds", "holds"])
    ('undecided', 'does not hold here', 'holds')
    """
    for verdict in ("not measured", "does not hold here", "undecided"):
        if verdict in verdicts:
            return verdict
    return "holds"


def describe(relation: Relation, margin: float) -> str:
    """The relation in words, for the table."""
    return {"better": "> 0", "not better": f"<= {margin:g}", "equal": f"within {margin:g} of 0"}[relation]


def interval_over_seeds(values: Float64[np.ndarray, "seeds images"]) -> Interval:
    """The 95 % percentile bootstrap interval of the mean, over draws with replacement of the images and of the seeds.

    For a paired difference, give the difference of each image of each seed. With one seed only the images are drawn. Three seeds are few: the interval
    is then too narrow for what another training would give.

    >>> interval_over_seeds(np.full((3, 5), 0.25))
    (0.25, 0.25)
    """
    seeds, images = values.shape
    random = np.random.default_rng(0)
    means = np.empty(NUM_RESAMPLES)
    for number in range(NUM_RESAMPLES):
        rows = random.integers(0, seeds, seeds)
        columns = random.integers(0, images, images)
        means[number] = values[rows][:, columns].mean()
    return edges(means)


def interval_over_draws(values: Float64[np.ndarray, "seeds resamples"]) -> Interval:
    """The same interval where a number is one of all images: each column is a draw of the images, and seeds are drawn beside it.

    >>> interval_over_draws(np.full((3, 5), 0.25))
    (0.25, 0.25)
    """
    seeds, resamples = values.shape
    rows = np.random.default_rng(0).integers(0, seeds, (seeds, resamples))
    return edges(values[rows, np.arange(resamples)].mean(axis=0))


def edges(drawn: Float64[np.ndarray, " resamples"]) -> Interval:
    """From the 2.5th to the 97.5th percentile of what the draws gave."""
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)
