"""The claims of R2-IOS: the nine rows of its Table 2 as small trainings on scenes, and what the paper says about them.

Each test image has proposals that are the same for all rows (`measures.py`). The rows without the gate train as many iterations as the others.
"""

from paper_claims.runs import Variant
from paper_claims.trained import Claim, Comparison

NO_GATE = ("model.config.gate=false", "stages.1.weights.gate=false")
TABLE_2 = "R2-IOS Sec. 4.3, Table 2"


def row(*settings: str) -> Variant:
    """A row of Table 2."""
    return Variant("r2ios", "scenes", settings, conditions=())


def recursive(count: int) -> Variant:
    """So many looks, without the gate."""
    return row(f"model.config.num_refinements={count}", *NO_GATE)


ALL = row()
RECURSIVE = {f"recursive {count}": recursive(count) for count in (1, 2, 3, 4)}

R2IOS_CLAIMS: tuple[Claim, ...] = (
    Claim(
        "r2ios-recursive",
        TABLE_2,
        "four iterations are better than one (there 65.2 against 59.6 AP^r)",
        {name: RECURSIVE[name] for name in ("recursive 4", "recursive 1")},
        (Comparison("recursive 4", "recursive 1"),),
    ),
    Claim(
        "r2ios-gate",
        TABLE_2,
        "the reversible gate is better than the last iteration of all (there 66.7 against 65.2)",
        {"R2-IOS": ALL, "recursive 4": RECURSIVE["recursive 4"]},
        (Comparison("R2-IOS", "recursive 4"),),
    ),
    Claim(
        "r2ios-autoencoder",
        TABLE_2,
        "the autoencoder is better than none (there 66.7 against 54.2)",
        {"R2-IOS": ALL, "without autoencoder": row("model.config.rebuilding=none")},
        (Comparison("R2-IOS", "without autoencoder"),),
    ),
    Claim(
        "r2ios-each-iteration",
        TABLE_2,
        "every iteration improves on the one before (there 59.6, 62.8, 64.7, 65.2)",
        RECURSIVE,
        tuple(Comparison(f"recursive {count + 1}", f"recursive {count}") for count in (1, 2, 3)),
    ),
    Claim(
        "r2ios-trained-recursion",
        TABLE_2,
        "recursion in training and test is better than in the test alone (there 65.2 against 61.9)",
        {
            "recursive 4": RECURSIVE["recursive 4"],
            "recursive only testing": row("model.config.training_refinements=1", *NO_GATE),
        },
        (Comparison("recursive 4", "recursive only testing"),),
    ),
    Claim(
        "r2ios-fully-connected",
        TABLE_2,
        "the autoencoder is better than two fully connected layers (there 66.7 against 63.6)",
        {"R2-IOS": ALL, "fully without autoencoder": row("model.config.rebuilding=fully_connected")},
        (Comparison("R2-IOS", "fully without autoencoder"),),
    ),
    Claim(
        "r2ios-segmentation-aware",
        TABLE_2,
        "segmentation-aware features are better than those of the boxes alone (there 66.7 against 63.4)",
        {"R2-IOS": ALL, "without segmentation-aware": row("model.config.segmentation_aware=false")},
        (Comparison("R2-IOS", "without segmentation-aware"),),
    ),
)
"""In the order in which their runs are made."""
