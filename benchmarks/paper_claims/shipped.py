"""The claims that trained models test, judged from what `models.py` measured: each a line of `CLAIMS`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from paper_claims.measures import MEASURES
from paper_claims.models import CONDITIONS, Models, Rows, rows_of
from paper_claims.rules import Interval, Relation, combine, describe, edges, interval_over_seeds, judge

from seriatim.analysis.order import ORDERS

NUM_BINS = 10
"""Of the reliability diagram."""

COUNT_BINS = ((0, 9), (10, 13), (14, 17), (18, 99))
"""Plants by their number of leaves."""

MAX_UNSATURATED, MAX_UNSATURATED_INSIDE = 0.05, 0.5
"""Shares of the pixels of a mask's image, and of those with a probability of at least 0.1, that may lie between 0.1 and 0.9."""

MAX_CONTESTED = 0.05
"""Share of the pixels of all masks that may belong to several."""

MIN_TAU = 0.1
"""A mean tau beyond it counts as a pattern."""

MAX_COUNT_CHANGE = 0.1
"""By how much |DiC| may change where the count is kept."""

MAX_CALIBRATION_ERROR = 0.1
"""Of stop probabilities that are reliable."""


@dataclass(frozen=True)
class Finding:
    """A number with its interval and what is claimed of it."""

    text: str
    measure: str
    value: float
    interval: Interval
    relation: Relation = "better"
    margin: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """As the comparisons of the trainings are written."""
        return {
            "text": self.text,
            "measure": self.measure,
            "claimed": describe(self.relation, self.margin),
            "difference": round(self.value, 4),
            "interval": [round(edge, 4) for edge in self.interval],
            "verdict": judge(self.interval, self.relation, self.margin),
        }


def paired(text: str, measure: str, differences: np.ndarray, **relation: Any) -> Finding:
    """A finding about the mean of a number of every plant."""
    return Finding(text, measure, float(differences.mean()), interval_over_seeds(differences[None]), **relation)


def resampled(text: str, measure: str, rows: Rows, number: Callable[[Rows], float], **relation: Any) -> Finding:
    """A finding about a number of a whole set of plants, computed anew of each draw."""
    random = np.random.default_rng(0)
    draws = [number([rows[index] for index in random.integers(0, len(rows), len(rows))]) for _ in range(500)]
    return Finding(text, measure, number(rows), edges(np.array(draws)), **relation)


def of(rows: Rows, condition: str, measure: str) -> np.ndarray:
    """A measure of every plant under a condition."""
    return np.array([row[condition][measure] for row in rows], dtype=np.float64)


def share(rows: Rows, part: str, whole: str) -> float:
    """The sum of one count over the sum of another."""
    return sum(row[part] for row in rows) / max(sum(row[whole] for row in rows), 1)


def calibration_error(rows: Rows) -> float:
    """Mean distance of probability and frequency over the bins of the reliability diagram, weighted by their steps."""
    bins = reliability(rows)
    total = sum(one["steps"] for one in bins)
    return sum(one["steps"] * abs(one["probability"] - one["frequency"]) for one in bins) / max(total, 1)


def reliability(rows: Rows) -> list[dict[str, Any]]:
    """The bins of the stop probability that hold steps: their number, mean probability, and how often an object was left."""
    pairs = np.array([pair for row in rows for pair in row["stop"]], dtype=np.float64).reshape(-1, 2)
    places = np.minimum((pairs[:, 0] * NUM_BINS).astype(int), NUM_BINS - 1)
    return [
        {
            "bin": f"{place / NUM_BINS:.1f} to {(place + 1) / NUM_BINS:.1f}",
            "steps": int((places == place).sum()),
            "probability": round(float(pairs[places == place, 0].mean()), 4),
            "frequency": round(float(pairs[places == place, 1].mean()), 4),
        }
        for place in range(NUM_BINS)
        if (places == place).any()
    ]


def mean_tau(rows: Rows, *keys: str) -> float:
    """The mean of a tau over the plants with at least two objects; 0 without any."""
    found = []
    for row in rows:
        value: Any = row
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            found.append(value)
    return float(np.mean(found)) if found else 0.0


def stop_counts(name: str, rows: Rows) -> list[Finding]:
    """The stop signal against a count that is the same for all plants, and its calibration."""
    true, wrong = of(rows, "undisturbed", "true"), of(rows, "undisturbed", "-|DiC|")
    constant = -np.abs(true - np.median(true))
    return [
        paired(f"{name} - the median count of these plants for all of them", "-|DiC|", wrong - constant),
        resampled(
            f"{name}: calibration error of the stop probability less {MAX_CALIBRATION_ERROR:g}",
            "error",
            rows,
            lambda drawn: calibration_error(drawn) - MAX_CALIBRATION_ERROR,
            relation="not better",
        ),
    ]


def saturation(name: str, rows: Rows) -> list[Finding]:
    """How few pixels lie between 0.1 and 0.9."""
    return [
        resampled(
            f"{name}: share of all pixels between 0.1 and 0.9, less {MAX_UNSATURATED:g}",
            "share",
            rows,
            lambda drawn: share(drawn, "unsaturated", "pixels") - MAX_UNSATURATED,
            relation="not better",
        ),
        resampled(
            f"{name}: share of the pixels from 0.1 on that lie below 0.9, less {MAX_UNSATURATED_INSIDE:g}",
            "share",
            rows,
            lambda drawn: share(drawn, "unsaturated", "inside") - MAX_UNSATURATED_INSIDE,
            relation="not better",
        ),
    ]


def contested(name: str, rows: Rows) -> list[Finding]:
    """How few pixels belong to several masks."""
    return [
        resampled(
            f"{name}: share of the pixels of all masks that several claim, less {MAX_CONTESTED:g}",
            "share",
            rows,
            lambda drawn: share(drawn, "contested", "claimed") - MAX_CONTESTED,
            relation="not better",
        )
    ]


def zeroed(name: str, rows: Rows) -> list[Finding]:
    """Half of the score against the score with the state zeroed."""
    difference = 0.5 * of(rows, "undisturbed", "SBD") - of(rows, "state zeroed", "SBD")
    return [paired(f"0.5 x {name} - {name} with its state zeroed", "SBD", difference)]


def strongest_order(name: str, rows: Rows) -> list[Finding]:
    """The plain order that the model follows or reverses most."""
    if not levels_of(rows):
        return []
    best = max(ORDERS, key=lambda order: abs(mean_tau(rows, "order", order)))
    sign = np.sign(mean_tau(rows, "order", best))
    direction = "" if sign >= 0 else "reversed "
    return [
        resampled(
            f"{name}: tau with {direction}{best.replace('_', ' ')}, less {MIN_TAU:g}",
            "tau",
            rows,
            lambda drawn: sign * mean_tau(drawn, "order", best) - MIN_TAU,
        )
    ]


def deepest_activations(name: str, rows: Rows) -> list[Finding]:
    """|tau| with the deepest level after training against before."""
    if not levels_of(rows):
        return []
    return [
        resampled(
            f"{name}: |tau| with f0 after training - before",
            "tau",
            rows,
            lambda drawn: (
                abs(mean_tau(drawn, "levels", "after", "f0")) - abs(mean_tau(drawn, "levels", "before", "f0"))
            ),
        )
    ]


def deepest_most(name: str, rows: Rows) -> list[Finding]:
    """|tau| with the deepest level against the largest of the others, after training."""
    if not levels_of(rows):
        return []
    others = [level for level in levels_of(rows) if level != "f0"]
    return [
        resampled(
            f"{name}: |tau| with f0 - the largest of the other levels",
            "tau",
            rows,
            lambda drawn: (
                abs(mean_tau(drawn, "levels", "after", "f0"))
                - max(abs(mean_tau(drawn, "levels", "after", level)) for level in others)
            ),
        )
    ]


def levels_of(rows: Rows) -> list[str]:
    """The levels whose activations were measured; none where no plant had two objects found."""
    return next((list(row["levels"]["after"]) for row in rows if "levels" in row), [])


Test = Callable[[Rows, Rows], list[Finding]]
"""From what was measured of RSIS and of RIS to the findings that decide; none where the models found too little."""


class ModelClaim(NamedTuple):
    """A claim about models that are trained already.

    Attributes:
        source: the paper's section and table.
        says: what it claims.
        needs: the models that decide, of `rsis` and `ris`.
        test: gives the findings; a model that the claim does not need may have no rows.
    """

    source: str
    says: str
    needs: tuple[str, ...]
    test: Test


CLAIMS: dict[str, ModelClaim] = {
    "crf-raises-sbd": ModelClaim(
        "RIS Sec. 4.3, Table 2",
        "the CRF raises SBD (56.8 to 66.6)",
        ("ris",),
        lambda rsis, ris: [paired("RIS+CRF - RIS", "SBD", of(ris, "CRF", "SBD") - of(ris, "undisturbed", "SBD"))],
    ),
    "crf-keeps-count": ModelClaim(
        "RIS Sec. 4.3, Table 2",
        "the CRF leaves the count as it is (|DiC| 1.1 and 1.1)",
        ("ris",),
        lambda rsis, ris: [
            paired(
                "RIS+CRF - RIS",
                "-|DiC|",
                of(ris, "CRF", "-|DiC|") - of(ris, "undisturbed", "-|DiC|"),
                relation="equal",
                margin=MAX_COUNT_CHANGE,
            )
        ],
    ),
    "rsis-above-ris": ModelClaim(
        "RSIS Sec. 4.3, Table 1",
        "RSIS outperforms RIS on leaves (SBD 70.6, RIS+CRF 66.6)",
        ("rsis", "ris"),
        lambda rsis, ris: [
            paired("RSIS - RIS", "SBD", of(rsis, "undisturbed", "SBD") - of(ris, "undisturbed", "SBD")),
            paired("RSIS - RIS+CRF", "SBD", of(rsis, "undisturbed", "SBD") - of(ris, "CRF", "SBD")),
        ],
    ),
    "stop-rsis": ModelClaim(
        "RSIS Sec. 3.2, 5",
        "the stop signal ends the sequence once all objects have been found",
        ("rsis",),
        lambda rsis, ris: stop_counts("RSIS", rsis),
    ),
    "stop-ris": ModelClaim(
        "RIS Sec. 3.3, 4.3",
        "the network learns when to stop, and so counts",
        ("ris",),
        lambda rsis, ris: stop_counts("RIS", ris),
    ),
    "saturated": ModelClaim(
        "RIS Sec. 4.1",
        "the predicted pixel values are usually saturated",
        ("ris",),
        lambda rsis, ris: saturation("RIS", ris),
    ),
    "contested-rare": ModelClaim(
        "RIS Sec. 4.1",
        "it is uncommon that a pixel is assigned to several instances",
        ("ris",),
        lambda rsis, ris: contested("RIS", ris),
    ),
    "recurrent-rsis": ModelClaim(
        "RSIS Sec. 1, 3.2",
        "predictions depend on what has been found, which the state keeps: without it, less than half of SBD is left",
        ("rsis",),
        lambda rsis, ris: zeroed("RSIS", rsis),
    ),
    "recurrent-ris": ModelClaim(
        "RIS Sec. 3.1, 5",
        "the recurrent structure tracks what has been visited: without its state, less than half of SBD is left",
        ("ris",),
        lambda rsis, ris: zeroed("RIS", ris),
    ),
    "order-pattern": ModelClaim(
        "RSIS Sec. 4.7, Table 6",
        "the model follows a consistent pattern (CVPPP: top to bottom, 0.72)",
        ("rsis",),
        lambda rsis, ris: strongest_order("RSIS", rsis),
    ),
    "order-in-encoder": ModelClaim(
        "RSIS Sec. 4.7, Table 7",
        "the order correlates more with the deepest features after training than before (CVPPP: 0.15 to 0.41)",
        ("rsis",),
        lambda rsis, ris: deepest_activations("RSIS", rsis),
    ),
    "order-deepest-most": ModelClaim(
        "RSIS Sec. 4.7, Table 7",
        "the order correlates most with the last block of the encoder",
        ("rsis",),
        lambda rsis, ris: deepest_most("RSIS", rsis),
    ),
}
"""Name -> claim."""


def conclude(work: Path, models: Models) -> dict[str, Any]:
    """Claim -> what was found and the verdict."""
    rows = rows_of(work, models)
    return {name: conclude_one(claim, rows) for name, claim in CLAIMS.items()}


def conclude_one(claim: ModelClaim, rows: Mapping[str, Rows | None]) -> dict[str, Any]:
    """What a claim's findings say."""
    facts = {"source": claim.source, "says": claim.says, "note": ""}
    needed = [rows[name] for name in claim.needs]
    if any(one is None for one in needed):
        return {**facts, "verdict": "not measured"}
    comparisons = [finding.as_json() for finding in claim.test(rows["rsis"] or [], rows["ris"] or [])]
    return {
        **facts,
        "verdict": combine([one["verdict"] for one in comparisons]) if comparisons else "undecided",
        "images": "rosettes",
        "num_images": len(needed[0] or []),
        "comparisons": comparisons,
    }


def tables(work: Path, models: Models) -> dict[str, Any]:
    """Of each model that was measured: scores under every condition, the reliability diagram, scores and errors of the count by number of leaves, and the taus."""
    return {name: tables_of(rows) for name, rows in rows_of(work, models).items() if rows is not None}


def tables_of(rows: Rows) -> dict[str, Any]:
    """The numbers of a model behind the verdicts."""
    conditions = [condition for condition in (*CONDITIONS, "CRF") if condition in rows[0]]
    by_count = {}
    for fewest, most in COUNT_BINS:
        part = [row for row in rows if fewest <= row["undisturbed"]["true"] <= most]
        if part:
            by_count[f"{fewest} to {most}"] = {"plants": len(part), **scores(part, "undisturbed")}
    levels = levels_of(rows)
    return {
        "plants": len(rows),
        "arms": {condition: scores(rows, condition) for condition in conditions},
        "reliability": reliability(rows),
        "counts": sorted([int(row["undisturbed"]["true"]), int(row["undisturbed"]["predicted"])] for row in rows),
        "by_count": by_count,
        "order": {order: round(mean_tau(rows, "order", order), 4) for order in ORDERS},
        "levels": {
            when: {level: round(mean_tau(rows, "levels", when, level), 4) for level in levels}
            for when in ("before", "after")
        },
    }


def scores(rows: Rows, condition: str) -> dict[str, float]:
    """The mean of every measure under a condition."""
    return {measure: round(float(of(rows, condition, measure).mean()), 4) for measure in MEASURES}
