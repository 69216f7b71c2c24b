"""The claims of the DIN paper that small trainings test: each a record, written before the runs. To add one, add a record to `CLAIMS`.

The trainings of a seed share one semantic network: it is trained first, alone (`SEMANTIC`), and all others begin with its weights, its CRF and its shape
templates. Boxes are those of the true objects, moved and with false ones among them, in training as in the test.
"""

from paper_claims.boxes import BOXES_ALONE
from paper_claims.runs import Variant
from paper_claims.trained import Claim, Comparison

IMAGES = "three classes"
NONE_FALSE = "0 false"
FALSE = ("1 false", "2 false", "4 false")
"""False boxes for each true one: a half, two thirds and four fifths of all boxes."""

KEPT = 0.9
"""Of its score without false boxes, a network that ignores them keeps more than this share."""

_ALONE = ("stages.0.weights.instance=0.0", "stages.0.weights.semantic=1.0")
_FROZEN = tuple(f"optimizer.group_learning_rates.{group}=0.0" for group in ("encoder", "head", "semantic_crf"))
_GLOBAL = ("model.config.use_shape=false", "optimizer.group_learning_rates.templates=")
_BOX = ("model.config.use_global=false", *_GLOBAL)

SEMANTIC = Variant(
    "din",
    IMAGES,
    (
        *_ALONE,
        "stages.0.iterations=500",
        "runtime.batch_size=8",
        "optimizer.learning_rate=3e-3",
        "optimizer.group_learning_rates.semantic_crf=1e-2",
    ),
    conditions=(),
)
"""The semantic network, trained alone."""


def din(*settings: str, conditions: tuple[str, ...] = ()) -> Variant:
    """A training that begins with the semantic network, with these settings."""
    return Variant("din", IMAGES, settings, conditions, SEMANTIC)


ALL_CONDITIONS = (NONE_FALSE, *FALSE, *(f"{name}{BOXES_ALONE}" for name in (NONE_FALSE, *FALSE)))
WHOLE = din(conditions=ALL_CONDITIONS)
"""Box, global and shape terms, end to end."""

BOX, BOX_GLOBAL = din(*_BOX), din(*_GLOBAL)
BOX_PIECEWISE, BOX_GLOBAL_PIECEWISE, WHOLE_PIECEWISE = din(*_BOX, *_FROZEN), din(*_GLOBAL, *_FROZEN), din(*_FROZEN)

END_TO_END = {"box": BOX, "box+global": BOX_GLOBAL, "box+global+shape": WHOLE}
PIECEWISE = {
    "box, piecewise": BOX_PIECEWISE,
    "box+global, piecewise": BOX_GLOBAL_PIECEWISE,
    "box+global+shape, piecewise": WHOLE_PIECEWISE,
}
TABLE_1 = "DIN Sec. 4.3, Table 1"
VOLUME, MATCHING, LOW, HIGH = "AP^r vol", "Matching IoU", "AP^r low", "AP^r 0.9"


def _each_term(names: tuple[str, ...], measures: tuple[str, ...]) -> tuple[Comparison, ...]:
    """Each row of the table above the one before it."""
    steps = zip(names[1:], names, strict=False)
    return tuple(Comparison(after, before, measure=measure) for after, before in steps for measure in measures)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "din-terms",
        TABLE_1,
        "each unary potential improves results, end to end (AP^r vol 56.2, 56.7, 57.5; Matching IoU 46.9, 47.1, 48.3)",
        END_TO_END,
        _each_term(tuple(END_TO_END), (VOLUME, MATCHING)),
    ),
    Claim(
        "din-terms-piecewise",
        TABLE_1,
        "the Matching IoU rises with each potential, piecewise too (42.6, 43.0, 44.8)",
        PIECEWISE,
        _each_term(tuple(PIECEWISE), (MATCHING,)),
        "of AP^r vol the paper's own table says 54.9, 54.6, 55.2",
    ),
    Claim(
        "din-end-to-end",
        TABLE_1,
        "end-to-end training improves results (AP^r vol by 1.3, 2.1, 2.3; Matching IoU by 4.3, 4.1, 3.5)",
        {**END_TO_END, **PIECEWISE},
        tuple(
            Comparison(name, f"{name}, piecewise", measure=measure)
            for name in END_TO_END
            for measure in (VOLUME, MATCHING)
        ),
        "both make the same number of iterations from the same semantic network",
    ),
    Claim(
        "din-end-to-end-gains",
        TABLE_1,
        "training end to end gains more with the global and shape terms (AP^r vol 2.1 and 2.3) than with the box term alone (1.3)",
        {**END_TO_END, **PIECEWISE},
        tuple(
            Comparison(
                name,
                f"{name}, piecewise",
                measure=VOLUME,
                less=Comparison("box", "box, piecewise", measure=VOLUME),
            )
            for name in ("box+global", "box+global+shape")
        ),
    ),
    Claim(
        "din-global-high",
        TABLE_1,
        "the global term shows particular improvement at AP^r 0.9 (21.2 to 23.4 piecewise, 24.6 to 25.5 end to end)",
        {
            name: {**END_TO_END, **PIECEWISE}[name]
            for name in ("box", "box+global", "box, piecewise", "box+global, piecewise")
        },
        tuple(
            comparison
            for after, before in (("box+global", "box"), ("box+global, piecewise", "box, piecewise"))
            for comparison in (
                Comparison(after, before, measure=HIGH),
                Comparison(after, before, measure=HIGH, less=Comparison(after, before, measure=VOLUME)),
            )
        ),
    ),
    Claim(
        "din-shape-low",
        TABLE_1,
        "the shape term's improvement is primarily at low thresholds (here 0.1 to 0.3, against 0.9)",
        {name: END_TO_END[name] for name in ("box+global", "box+global+shape")},
        (
            Comparison("box+global+shape", "box+global", measure=LOW),
            Comparison(
                "box+global+shape",
                "box+global",
                measure=LOW,
                less=Comparison("box+global+shape", "box+global", measure=HIGH),
            ),
        ),
        "end to end",
    ),
    Claim(
        "din-semantic",
        "DIN Sec. 4.6, Table 4",
        "finetuning for instances improves the semantic segmentation (mean IoU 74.2 to 75.1)",
        {"instances": WHOLE, "before": SEMANTIC, "as long on the classes": din(*_ALONE)},
        (
            Comparison("instances", "before", measure="semantic IoU"),
            Comparison("instances", "as long on the classes", measure="semantic IoU"),
        ),
        "the second comparison is ours: training longer on the loss of the classes might do the same",
    ),
    Claim(
        "din-cross-entropy",
        "DIN Sec. 3.4",
        "the cross entropy performs better than the approximate IoU loss",
        {"cross entropy": WHOLE, "IoU": din("stages.0.weights.instance=0.0", "stages.0.weights.iou=1.0")},
        tuple(Comparison("cross entropy", "IoU", measure=measure) for measure in (VOLUME, MATCHING)),
    ),
    Claim(
        "din-batch-1",
        "DIN Sec. 3.5",
        "decreasing the batch size to 1 gives better results",
        {"batch 1": WHOLE, "batch 8": din("runtime.batch_size=8", "stages.0.iterations=100")},
        (Comparison("batch 1", "batch 8", measure=VOLUME),),
        "both see as many images, so that batch 1 makes eight times the iterations, at the same rates; the encoder has no batch normalisation",
    ),
    Claim(
        "din-false-boxes",
        "DIN Sec. 1, 3.6, Fig. 3",
        "robust to false-positive detections: the score falls less than that of the boxes alone, and keeps 0.9 with as many false boxes as true ones",
        {"DIN": WHOLE},
        (
            Comparison(f"DIN / {FALSE[0]}", f"DIN / {NONE_FALSE}", measure=VOLUME, share=KEPT),
            *(
                Comparison(
                    f"DIN / {number}",
                    f"DIN / {NONE_FALSE}",
                    measure=measure,
                    less=Comparison(
                        f"DIN / {number}{BOXES_ALONE}", f"DIN / {NONE_FALSE}{BOXES_ALONE}", measure=measure
                    ),
                )
                for number in FALSE
                for measure in (VOLUME, MATCHING)
            ),
        ),
        "false boxes have the size of a true one, and a class, a place and a score of 0..1 that are drawn",
    ),
)
"""In the order in which their runs are made."""
