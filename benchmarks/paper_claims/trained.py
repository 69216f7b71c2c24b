"""The claims that small trainings test: each a record. To add one, add a record to `CLAIMS`.

A comparison names two arms, VARIANT or VARIANT / CONDITION, and how the first is said to stand to the second.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from paper_claims.measures import VOTES_ALONE, scores_over
from paper_claims.rules import (
    FLOOR,
    Interval,
    Relation,
    combine,
    describe,
    interval_over_draws,
    interval_over_seeds,
    judge,
)
from paper_claims.runs import FULL, Size, Variant, known

from seriatim.analysis.recurrence import TRUE_COUNT, UNDISTURBED

NOT_BETTER = 0.02
"""By how much AP50 or IoU may be higher for "not better"."""

AS_GOOD = 0.03
"""By how much they may differ for "similar"."""


@dataclass(frozen=True)
class Comparison:
    """Two arms of a claim and how they are said to compare.

    Attributes:
        first: VARIANT, or VARIANT / CONDITION.
        second: the same.
        relation: of the first to the second.
        measure: that is compared.
        margin: of the relation.
        share: the second arm counts this many times: 0.5 asks whether the first is above half of the second.
        less: another comparison, whose difference is taken from this one's: does something help more here than there?
    """

    first: str
    second: str
    relation: Relation = "better"
    measure: str = "AP50"
    margin: float = 0.0
    share: float = 1.0
    less: "Comparison | None" = None

    @property
    def arms(self) -> tuple[str, ...]:
        """All that it looks at."""
        return self.first, self.second, *(() if self.less is None else self.less.arms)

    @property
    def text(self) -> str:
        """The difference in words, with its measure."""
        share = "" if self.share == 1 else f"{self.share:g} x "
        own = f"{self.first} - {share}{self.second}"
        if self.less is None:
            return own
        less = self.less.text + ("" if self.less.measure == self.measure else f", {self.less.measure}")
        return f"({own}) - ({less})"


@dataclass(frozen=True)
class Claim:
    """A sentence of a paper that trainings test.

    Attributes:
        name: for `--only`.
        source: paper, section and table.
        says: the sentence, in the paper's words or shortened.
        variants: name -> training; a training that several claims name is made once.
        comparisons: that decide.
        note: how the test differs from the paper's.
    """

    name: str
    source: str
    says: str
    variants: dict[str, Variant]
    comparisons: tuple[Comparison, ...]
    note: str = ""


RSIS = Variant("rsis", "few", conditions=(TRUE_COUNT, "state zeroed", "10 proposals", "50 proposals"))
RIS = Variant("ris", "few", conditions=(TRUE_COUNT, "state zeroed"))
GUIDED = Variant("guided", "many", conditions=(TRUE_COUNT, "state zeroed", "canvas zeroed", "stop forced", VOTES_ALONE))


def rsis(*settings: str) -> Variant:
    """RSIS on plants with few leaves, with these settings."""
    return Variant("rsis", "few", settings)


def leaves(*settings: str) -> Variant:
    """RSIS on plants with many leaves, with these settings."""
    return Variant("rsis", "many", settings)


DEEPEST = "in images of 64 pixels the deepest level has 2 x 2 cells, in the paper's of 256 pixels 8 x 8"
CURRICULUM = ("stages.0.curriculum.start=2", "stages.0.curriculum.patience=1")
LONGER = ("stages.0.iterations=400", "stages.1.iterations=400", "stages.2.iterations=200")
AT_ONCE = ("stages.0.weights.stop=0.5", "stages.1.weights.stop=0.5")
TABLE_5 = "RSIS Sec. 4.6, Table 5"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "skips-help",
        TABLE_5,
        "completely removing skip connections causes a drop of performance",
        {"concat": RSIS, "none": rsis("model.config.skip_mode=none")},
        (Comparison("concat", "none"),),
    ),
    Claim(
        "levels-help",
        TABLE_5,
        "a decrease in performance as we remove layers from the decoder (5 against 1)",
        {"5 levels": RSIS, "1 level": rsis("model.config.levels=1")},
        (Comparison("5 levels", "1 level"),),
        DEEPEST,
    ),
    Claim(
        "curriculum-helps-many",
        "RSIS Sec. 4.2",
        "curriculum learning is effective where images have many objects",
        {"curriculum": leaves(*CURRICULUM), "all objects from the start": leaves()},
        (Comparison("curriculum", "all objects from the start"),),
        "both take the same 450 iterations, the first 200 of them under the curriculum, which starts at two objects and adds one at a plateau",
    ),
    Claim(
        "ris-depth",
        "RIS Sec. 3.1, 4.1",
        "stack two ConvLSTM units with the aim of learning more complex relationships",
        {"2 ConvLSTMs": RIS, "1 ConvLSTM": Variant("ris", "few", ("model.config.depth=1",))},
        (Comparison("2 ConvLSTMs", "1 ConvLSTM"),),
    ),
    Claim(
        "ris-log-likelihood",
        "RIS Sec. 5",
        "log-likelihood in place of the IoU: results not better",
        {"IoU": RIS, "log-likelihood": Variant("ris", "few", ("stages.0.weights.similarity=log_likelihood",))},
        (Comparison("log-likelihood", "IoU", "not better", margin=NOT_BETTER),),
    ),
    Claim(
        "ris-masks-fed-back",
        "RIS Sec. 5",
        "the sum of the prediction masks as an extra input into the recurrent unit: results not better",
        {"as the paper": RIS, "masks fed back": Variant("ris", "few", ("model.config.feed_back_masks=true",))},
        (Comparison("masks fed back", "as the paper", "not better", margin=NOT_BETTER),),
    ),
    Claim(
        "recurrent",
        "RSIS Sec. 1, 3.2; RIS Sec. 3, 5",
        "predictions depend on what has been found, which the state keeps",
        {"RSIS": RSIS, "RIS": RIS},
        (Comparison("RSIS", "RSIS / state zeroed"), Comparison("RIS", "RIS / state zeroed")),
        "the state is set to zero before every step of the trained model",
    ),
    Claim(
        "few-proposals",
        "RSIS Sec. 4.5, Table 4",
        "10 proposals recall nearly as much as 50 (there 0.96 of it; here at least 0.9)",
        {"RSIS": RSIS},
        (Comparison("RSIS / 10 proposals", "RSIS / 50 proposals", measure="recall", share=0.9),),
        "the other methods of Table 4 are not tried",
    ),
    Claim(
        "staged-losses",
        "RSIS Sec. 4.2",
        "adding penalty terms one at a time facilitates convergence",
        {"masks, then stop": RSIS, "all at once": rsis(*AT_ONCE)},
        (Comparison("masks, then stop", "all at once"),),
        "one class, so that the mask and the stop loss alone are staged",
    ),
    Claim(
        "curriculum-unnecessary",
        "RSIS Sec. 4.2",
        "curriculum learning is unnecessary where images have few objects",
        {"curriculum": rsis(*CURRICULUM), "all objects from the start": RSIS},
        (Comparison("curriculum", "all objects from the start", "not better", margin=NOT_BETTER),),
    ),
    Claim(
        "skip-concat-best",
        TABLE_5,
        "little difference between skip modes, concatenation has better performance",
        {
            "concat": RSIS,
            "sum": rsis("model.config.skip_mode=sum"),
            "mult": rsis("model.config.skip_mode=mult"),
        },
        (Comparison("concat", "sum"), Comparison("concat", "mult")),
    ),
    Claim(
        "levels-each",
        TABLE_5,
        "a decrease in performance as we remove layers from the decoder (5 against 4, 3 and 2)",
        {"5 levels": RSIS, **{f"{number} levels": rsis(f"model.config.levels={number}") for number in (4, 3, 2)}},
        tuple(Comparison("5 levels", f"{number} levels") for number in (4, 3, 2)),
        DEEPEST,
    ),
    Claim(
        "no-skips-like-one-level",
        TABLE_5,
        "5 ConvLSTM layers without skip connections perform similarly to a single layer",
        {"none": rsis("model.config.skip_mode=none"), "1 level": rsis("model.config.levels=1")},
        (Comparison("none", "1 level", "equal", margin=AS_GOOD),),
        DEEPEST,
    ),
    Claim(
        "deeper-encoder",
        TABLE_5,
        "a deeper encoder yields better performance",
        {
            "resnet10t": RSIS,
            "resnet18": rsis("model.config.encoder=resnet18"),
            "resnet34": rsis("model.config.encoder=resnet34"),
        },
        (Comparison("resnet18", "resnet10t"), Comparison("resnet34", "resnet18")),
        "all from random weights; the paper's encoders had learned ImageNet",
    ),
    Claim(
        "curriculum-unnecessary-scenes",
        "RSIS Sec. 4.2",
        "curriculum learning is unnecessary where images have few objects (Pascal VOC)",
        {
            "curriculum": Variant("rsis", "scenes", (*CURRICULUM, *LONGER)),
            "all objects from the start": Variant("rsis", "scenes", LONGER),
        },
        (Comparison("curriculum", "all objects from the start", "not better", margin=NOT_BETTER),),
        "scenes are learned slowly: more than twice the iterations",
    ),
)
"""In the order in which their runs are made."""

GUIDANCE = "docs/rsis.md: the guidance, our extension"

GUIDANCE_CLAIMS: tuple[Claim, ...] = (
    Claim(
        "guidance-pathway",
        GUIDANCE,
        "the top-down pathway helps by itself, without guidance",
        {"pathway": leaves("model.config.extensions.pyramid_channels=32"), "plain": leaves()},
        (Comparison("pathway", "plain"),),
    ),
    Claim(
        "guidance-whole",
        GUIDANCE,
        "guidance with its teacher separates more leaves than the Hungarian assignment with the same pathway",
        {"guided": GUIDED, "pathway": leaves("model.config.extensions.pyramid_channels=32")},
        (Comparison("guided", "pathway"),),
        "the teacher cannot be taken away from the guidance: both come together",
    ),
    Claim(
        "guidance-dense-loss",
        GUIDANCE,
        "the dense loss of the maps is what the guidance needs",
        {"guided": GUIDED, "without dense loss": Variant("guided", "many", ("stages.0.weights.maps=0.0",))},
        (Comparison("guided", "without dense loss"),),
    ),
    Claim(
        "guidance-recurrence",
        GUIDANCE,
        "a guided model keeps at least 0.9 of its AP50 when its state is zeroed, so that it hardly is recurrent",
        {"guided": GUIDED},
        (Comparison("guided / state zeroed", "guided", share=0.9),),
    ),
    Claim(
        "guidance-canvas",
        GUIDANCE,
        "what has been found stands on the occupancy map",
        {"guided": GUIDED},
        (Comparison("guided", "guided / canvas zeroed"),),
        "the canvas is emptied before every step",
    ),
    Claim(
        "guidance-votes",
        GUIDANCE,
        "the sequence adds to what the votes alone reach",
        {"guided": GUIDED},
        (Comparison("guided", f"guided / {VOTES_ALONE}"),),
    ),
)
"""Of the extension; they are not the papers'."""


def variants_of(claims: Sequence[Claim]) -> list[tuple[str, Variant]]:
    """The trainings of some claims, each once for the whole of its conditions, in their order."""
    found: dict[tuple[Any, ...], tuple[str, Variant]] = {}
    for claim in claims:
        for name, variant in claim.variants.items():
            title = f"{claim.name}: {name}"
            needed = [] if variant.begin is None else [(f"{title}, what it begins with", variant.begin)]
            for title_of_one, one in (*needed, (title, variant)):
                what = (one.base, one.images, one.settings, one.begin)
                if what in found and set(one.conditions) <= set(found[what][1].conditions):
                    continue
                found[what] = (title_of_one, one)
    return list(found.values())


def conclude(claim: Claim, seeds: int, work: Path, size: Size = FULL) -> dict[str, Any]:
    """What the runs of a claim say: the scores of its arms, the comparisons with their intervals, and the verdict.

    Args:
        claim: see `Claim`.
        seeds: how many of each variant are needed.
        work: folder of the runs.
        size: of the trainings.
    """
    runs = {
        name: [found for seed in range(seeds) if (found := known(variant, seed, work, size)) is not None]
        for name, variant in claim.variants.items()
    }
    facts = {"source": claim.source, "says": claim.says, "note": claim.note}
    num_done = sum(map(len, runs.values()))
    if num_done < seeds * len(runs):
        return {**facts, "verdict": "not measured", "runs_done": num_done, "runs_needed": seeds * len(runs)}
    comparisons = [compare(one, runs) for one in claim.comparisons]
    named = {arm for one in claim.comparisons for arm in one.arms}
    return {
        **facts,
        "verdict": combine([one["verdict"] for one in comparisons]),
        "images": claim_images(claim),
        "seeds": seeds,
        "comparisons": comparisons,
        "arms": {
            arm: scores
            for name, of_seeds in runs.items()
            for arm, scores in arms_of(name, of_seeds).items()
            if arm in named or arm in (name, f"{name} / {TRUE_COUNT}")
        },
        "runs": {
            name: {key: [one[key] for one in of_seeds] for key in ("iterations", "seconds", "commit")}
            for name, of_seeds in runs.items()
        },
    }


def claim_images(claim: Claim) -> str:
    """The sets of images that a claim uses."""
    return ", ".join(sorted({variant.images for variant in claim.variants.values()}))


def arms_of(name: str, of_seeds: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Arm -> its mean scores, for every condition that all seeds were measured under."""
    conditions = [key for key in of_seeds[0]["conditions"] if all(key in one["conditions"] for one in of_seeds)]
    return {
        name if condition == UNDISTURBED else f"{name} / {condition}": scores_over(
            [one["conditions"][condition] for one in of_seeds]
        )
        for condition in conditions
    }


def compare(comparison: Comparison, runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """The difference of two arms, paired by seed and image, with its interval and verdict."""
    first, second = (values_of(arm, comparison.measure, runs) for arm in (comparison.first, comparison.second))
    learned = max(first.numbers.mean(), second.numbers.mean()) >= FLOOR
    found = difference_of(comparison, runs)
    return {
        "text": comparison.text,
        "measure": comparison.measure,
        "claimed": describe(comparison.relation, comparison.margin),
        "difference": round(float(found.numbers.mean()), 4),
        "interval": [round(edge, 4) for edge in found.interval],
        "of_seeds": [round(float(one), 4) for one in found.numbers],
        "verdict": judge(found.interval, comparison.relation, comparison.margin) if learned else "undecided",
    }


@dataclass(frozen=True, eq=False)
class Values:
    """A measure of an arm, or a difference of measures.

    Attributes:
        numbers: (seeds,).
        spread: (seeds, images), whose mean over the images `numbers` is; or (seeds, draws), numbers of other draws of the images.
        is_pooled: whether these are draws.
    """

    numbers: np.ndarray
    spread: np.ndarray
    is_pooled: bool

    def minus(self, other: "Values", share: float = 1.0) -> "Values":
        """This less `share` times the other, of the same seeds and images."""
        numbers, spread = self.numbers - share * other.numbers, self.spread - share * other.spread
        return Values(numbers, spread, self.is_pooled)

    @property
    def interval(self) -> Interval:
        """Of the mean over the seeds."""
        return interval_over_draws(self.spread) if self.is_pooled else interval_over_seeds(self.spread)


def difference_of(comparison: Comparison, runs: dict[str, list[dict[str, Any]]]) -> Values:
    """What a comparison looks at, seed by seed."""
    first, second = (values_of(arm, comparison.measure, runs) for arm in (comparison.first, comparison.second))
    found = first.minus(second, comparison.share)
    return found if comparison.less is None else found.minus(difference_of(comparison.less, runs))


def values_of(arm: str, measure: str, runs: dict[str, list[dict[str, Any]]]) -> Values:
    """The measure of an arm."""
    name, _, condition = arm.partition(" / ")
    of_seeds = [one["conditions"][condition or UNDISTURBED][measure] for one in runs[name]]
    if isinstance(of_seeds[0], dict):
        numbers = np.array([one["value"] for one in of_seeds], dtype=np.float64)
        return Values(numbers, np.array([one["drawn"] for one in of_seeds], dtype=np.float64), is_pooled=True)
    spread = np.array(of_seeds, dtype=np.float64)
    return Values(spread.mean(axis=1), spread, is_pooled=False)
