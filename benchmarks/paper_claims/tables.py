"""The tables of `docs/claims.md` from the result file of `claims.py`."""

from collections.abc import Iterator, Sequence

from cells import Numbers, fixed, markdown

NAMES = {"rsis": "RSIS", "ris": "RIS"}
SCORES = (("AP50", 3), ("IoU", 3), ("recall", 3), ("SBD", 3))


def claims(numbers: Numbers) -> list[str]:
    """Every claim of the papers with its verdict."""
    return _verdicts(numbers["claims"])


def guidance(numbers: Numbers) -> list[str]:
    """Every claim about the guidance with its verdict."""
    return _verdicts(numbers["guidance"])


def trainings(numbers: Numbers) -> list[str]:
    """The scores of the trainings behind the claims of the papers."""
    return _arms(numbers["claims"])


def guidance_trainings(numbers: Numbers) -> list[str]:
    """The same of the guidance."""
    return _arms(numbers["guidance"])


def din(numbers: Numbers) -> list[str]:
    """Every claim of the DIN paper with its verdict; none where the file is older than they are."""
    return _verdicts(numbers["din"]) if "din" in numbers else []


def din_trainings(numbers: Numbers) -> list[str]:
    """The scores of the trainings behind them."""
    claims_of_din = numbers.get("din", {})
    measures = list(
        dict.fromkeys(key for one in claims_of_din.values() for arm in one.get("arms", {}).values() for key in arm)
    )
    rows = []
    for name, claim in claims_of_din.items():
        first = f"`{name}`"
        for arm, scores in claim.get("arms", {}).items():
            rows.append([first, arm, str(claim["seeds"]), *(fixed(scores.get(key), 3) for key in measures)])
            first = ""
    return markdown(["claim", "variant / boxes", "seeds", *measures], rows) if rows else []


def models(numbers: Numbers) -> list[str]:
    """The scores of the plain leaf models under every condition."""
    rows = [
        [f"{NAMES[name]}, {condition}", *_scores(scores)]
        for name, one in numbers["models"].items()
        for condition, scores in one["arms"].items()
    ]
    return markdown(["model, condition", *_columns()], rows) if rows else []


def reliability(numbers: Numbers) -> list[str]:
    """How often an object was left where the stop signal said so with a probability."""
    rows = [
        [NAMES[name], one["bin"], str(one["steps"]), fixed(one["probability"], 3), fixed(one["frequency"], 3)]
        for name, model in numbers["models"].items()
        for one in model["reliability"]
    ]
    columns = ["model", "stop probability", "steps", "its mean", "share of steps with an object left"]
    return markdown(columns, rows) if rows else []


def counts(numbers: Numbers) -> list[str]:
    """Scores by the number of leaves, and how far the count was off."""
    rows = []
    for name, model in numbers["models"].items():
        for leaves, scores in model["by_count"].items():
            fewest, most = (int(edge) for edge in leaves.split(" to "))
            errors = [found - true for true, found in model["counts"] if fewest <= true <= most]
            within = [sum(low <= error <= high for error in errors) for low, high in _ERRORS.values()]
            rows.append([NAMES[name], leaves, str(scores["plants"]), *map(str, within), *_scores(scores)])
    return markdown(["model", "leaves", "plants", *_ERRORS, *_columns()], rows) if rows else []


_ERRORS = {
    "4 or more too few": (-99, -4),
    "2 or 3 too few": (-3, -2),
    "1 too few": (-1, -1),
    "right": (0, 0),
    "1 too many": (1, 1),
    "2 or 3 too many": (2, 3),
    "4 or more too many": (4, 99),
}
"""Predicted minus true number of leaves, in words -> its range."""


def order(numbers: Numbers) -> list[str]:
    """Tau of the order with the plain orders, and with the activations of every level before and after training."""
    rows = []
    for name, model in numbers["models"].items():
        rows += [[NAMES[name], key.replace("_", " "), "", fixed(tau, 3)] for key, tau in model["order"].items()]
        levels = model["levels"]
        rows += [
            [NAMES[name], f"activation of {level}", fixed(levels["before"][level], 3), fixed(after, 3)]
            for level, after in levels["after"].items()
        ]
    columns = ["model", "order", "mean tau, untrained encoder", "mean tau"]
    return markdown(columns, rows) if rows else []


def _verdicts(found: Numbers) -> list[str]:
    columns = ["claim", "source", "it says", "measured: difference (95 % interval)", "claimed", "verdict"]
    rows = []
    for name, claim in found.items():
        lines = [*_differences(claim)]
        says = claim["says"] + (f" ({claim['note']})" if claim["note"] else "")
        rows.append([f"`{name}`", claim["source"], says, *lines[0], f"**{claim['verdict']}**"])
        rows += [["", "", "", *line, ""] for line in lines[1:]]
    return markdown(columns, rows)


def _differences(claim: Numbers) -> Iterator[tuple[str, str]]:
    """Measured and claimed, a pair for each comparison; where there is none, how many runs are missing."""
    if "comparisons" not in claim:
        done = f"{claim['runs_done']} of {claim['runs_needed']} runs" if "runs_needed" in claim else "-"
        yield done, ""
        return
    if not claim["comparisons"]:
        yield "too little found", ""
    for one in claim["comparisons"]:
        low, high = one["interval"]
        seeds = f"; of the seeds {', '.join(f'{value:+.3f}' for value in one['of_seeds'])}" if "of_seeds" in one else ""
        text = f"{one['text']}, {one['measure']}: {one['difference']:+.3f} ({low:+.3f} to {high:+.3f}{seeds})"
        yield text, one["claimed"]


def _arms(found: Numbers) -> list[str]:
    """A line for each arm of each claim that is measured."""
    rows = []
    for name, claim in found.items():
        first = f"`{name}`"
        for arm, scores in claim.get("arms", {}).items():
            rows.append([first, arm, claim["images"], str(claim["seeds"]), *_scores(scores, arm.endswith("proposals"))])
            first = ""
    return markdown(["claim", "variant / condition", "images", "seeds", *_columns()], rows) if rows else []


def _columns() -> list[str]:
    return [*(name for name, _ in SCORES), "objects predicted / true, means", "|DiC|"]


def _scores(scores: Numbers, only_recall: bool = False) -> Sequence[str]:
    """The cells of an arm; proposals are judged by their recall alone, since most are meant to be wrong."""
    return [
        *("-" if only_recall and name != "recall" else fixed(scores[name], digits) for name, digits in SCORES),
        f"{scores['predicted']:.2f} / {scores['true']:.2f}",
        "-" if only_recall else fixed(-scores["-|DiC|"] + 0.0, 2),
    ]
