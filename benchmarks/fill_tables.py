"""Writes the tables of README, docs and cards from the result files, so that no number is copied by hand.

    make tables                                  rewrite every block
    python benchmarks/fill_tables.py --check     exit code 1 where a block is not what the result files say

A block stands between two comments; NAME is a function of `TABLES`, and * in the file name takes the newest date:

    <!-- table: NAME from benchmarks/results/FILE_cpu_*.json -->
    <!-- end -->
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from cells import Numbers, fixed, markdown
from paper_claims import tables as claims

from seriatim.core.files import write_atomically
from seriatim.evaluation.score_table import headline_rows

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"(?P<head><!-- table: (?P<name>\w+) from (?P<pattern>benchmarks/results/\S+\.json) -->\n)(?P<body>.*?)(?P<tail><!-- end -->)",
    re.DOTALL,
)
NOT_MEASURED = "Not measured.\n"


def pages() -> list[Path]:
    """The files that may hold blocks."""
    return [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("src/seriatim/zoo/*/card.md"))]


def fill(text: str, root: Path = ROOT) -> str:
    """The text with every block written anew.

    Args:
        text: of a page.
        root: holds benchmarks/results.

    Raises:
        ValueError: for a table that is unknown.
    """
    return BLOCK.sub(
        lambda block: block["head"] + table_text(block["name"], block["pattern"], root) + block["tail"], text
    )


def table_text(name: str, pattern: str, root: Path) -> str:
    """A table and the line that says where it comes from; "Not measured." where there is no result."""
    if name not in TABLES:
        raise ValueError(f"table {name}: unknown; known: {', '.join(TABLES)}")
    files = sorted(root.glob(pattern))
    if not files:
        return NOT_MEASURED
    numbers = json.loads(files[-1].read_bytes())
    lines = TABLES[name](numbers)
    return "\n".join([*lines, "", source_line(files[-1].name, numbers["provenance"]), ""]) if lines else NOT_MEASURED


def source_line(file: str, facts: Numbers) -> str:
    """Where the numbers of a table come from."""
    commit = facts["commit"] + (" with changes" if facts["tree_differs"] else "")
    threads = {None: "", 1: ", 1 thread"}.get(facts["torch_threads"], f", {facts['torch_threads']} threads")
    return f"`{facts['command']}`, commit {commit}, {facts['processor']}{threads} (`{file}`)."


Column = tuple[str, str, str, int]
"""Of a table of scores: title, protocol, headline number, digits."""

NUCLEI_COLUMNS: tuple[Column, ...] = (
    *((f"AP 0.{digit}", "nuclei", f"AP 0.{digit}", 3) for digit in (5, 6, 7, 8, 9)),
    ("PQ", "nuclei", "PQ", 3),
    ("|DiC|", "nuclei", "absDiC", 2),
    ("DiC", "nuclei", "DiC", 2),
    ("SBD", "cvppp", "SBD", 3),
    ("box AP50", "coco_boxes", "AP50", 3),
)
LEAVES_COLUMNS: tuple[Column, ...] = (
    ("SBD", "cvppp", "SBD", 3),
    ("|DiC|", "cvppp", "absDiC", 2),
    ("DiC", "cvppp", "DiC", 2),
    ("FGBGDice", "cvppp", "FGBGDice", 3),
    ("AP 0.5", "nuclei", "AP 0.5", 3),
    ("AP 0.7", "nuclei", "AP 0.7", 3),
    ("AP 0.9", "nuclei", "AP 0.9", 3),
)
SCENES_COLUMNS: tuple[Column, ...] = (
    ("AP50", "coco", "AP50", 3),
    ("AP", "coco", "AP", 3),
    ("AP75", "coco", "AP75", 3),
    ("AR100 below 32 x 32 pixels", "coco", "AR_small", 3),
    ("AR100 above", "coco", "AR_medium", 3),
    ("|DiC|", "nuclei", "absDiC", 2),
    ("AP^r 0.5", "din", "mAP 0.5", 3),
    ("AP^r vol", "din", "AP_vol", 3),
    ("box AP50", "coco_boxes", "AP50", 3),
)


def scores_table(numbers: Numbers, name: str, columns: Sequence[Column]) -> list[str]:
    """Two lines for each system of a set: the scores, and their 95 % intervals; without the columns of which no system has the protocol."""
    if name not in numbers["sets"]:
        return []
    systems = numbers["sets"][name]["systems"]
    columns = [column for column in columns if any(column[1] in result for result in systems.values())]
    has_sizes = any("bytes" in result for result in systems.values())
    rows = []
    for system, result in systems.items():
        values, intervals = score_rows(result, columns)
        counts = f"{result['predictions']} / {result['targets']}"
        size = [f"{result['bytes'] / 1e6:.1f}"] if has_sizes else []
        rows.append([f"`{system}`", *values, counts, f"{result['images_per_second']:.2f}", *size])
        rows.append(["95 % interval", *intervals, "", "", *[""] * has_sizes])
    titles = ["objects predicted / true", "images a second", *["MB"] * has_sizes]
    return markdown(["model", *(title for title, *_ in columns), *titles], rows)


def score_rows(result: Numbers, columns: Sequence[Column]) -> tuple[list[str], list[str]]:
    """The scores of one model, and their 95 % intervals; dashes for a protocol under which it was not scored."""
    protocols = {protocol for _, protocol, *_ in columns if protocol in result}
    scores = {protocol: {row.name: row for row in headline_rows(result[protocol])} for protocol in protocols}
    found = [(scores[protocol][key] if protocol in scores else None, digits) for _, protocol, key, digits in columns]
    return [fixed(None if row is None else row.value, digits) for row, digits in found], [
        "-" if row is None or row.interval is None else f"{row.interval[0]:.{digits}f} to {row.interval[1]:.{digits}f}"
        for row, digits in found
    ]


def one_model(numbers: Numbers, columns: Sequence[Column]) -> list[str]:
    """Two lines for the model of a file of `seriatim evaluate --json`."""
    values, intervals = score_rows(numbers, columns)
    name = f"`{Path(numbers['model']).name}`"
    return markdown(["model", *(title for title, *_ in columns)], [[name, *values], ["95 % interval", *intervals]])


def zoo_summary(numbers: Numbers) -> list[str]:
    """The main numbers of every model."""
    images = {
        "nuclei": "test images of the Data Science Bowl 2018",
        "leaves": "new drawn plants",
        "scenes": "new drawn scenes of five classes",
    }
    rows = []
    for name, test_set in numbers["sets"].items():
        for system, result in test_set["systems"].items():
            rows.append([f"`{system}`", f"{test_set['images']} {images[name]}", *summary_of(name, result)])
    return markdown(["model", "images", "protocol", "scores"], rows)


def summary_of(name: str, result: Numbers) -> tuple[str, str]:
    """Protocol and main numbers of a system."""
    match name:
        case "nuclei":
            scores = result["nuclei"]
            precisions = " / ".join(f"{value:.3f}" for value in scores["AP"].values())
            return "`nuclei`", f"AP {precisions} at IoU {' / '.join(scores['AP'])}, mean |DiC| {scores['absDiC']:.2f}"
        case "leaves":
            scores = result["cvppp"]
            return "`cvppp`", f"SBD {scores['SBD']['mean']:.3f}, mean |DiC| {scores['absDiC']['mean']:.2f}"
        case _:
            scores = result["coco"]
            return "`coco`", f"AP50 {scores['AP50']:.3f}, AP {scores['AP']:.3f}"


def scenes_classes(numbers: Numbers) -> list[str]:
    """The numbers of every class of the scenes."""
    if "scenes" not in numbers["sets"]:
        return []
    result = numbers["sets"]["scenes"]["systems"]["scenes"]
    columns = ("AP50", "AP", "AP75", "AR100")
    rows = [
        [result["class_names"][int(number) - 1], *(fixed(scores[column], 3) for column in columns)]
        for number, scores in result["coco"]["per_class"].items()
        if scores is not None
    ]
    return markdown(["class", *columns], rows)


def settings(numbers: Numbers) -> list[str]:
    """What a search of test-time settings began with, what it chose, and what ships."""
    first = numbers["tried"][0]
    chosen = next(row for row in numbers["tried"] if row["settings"] == numbers["chosen"])
    columns = [key for key in first if key not in ("settings", "seconds")]
    rows = [
        ["the defaults", *numbers_of(first, columns)],
        [f"chosen: {settings_text(numbers['chosen'])}", *numbers_of(chosen, columns)],
        ["the model that ships", *numbers_of(numbers["shipped"], columns)],
    ]
    if "crf" in numbers:
        crf = numbers["crf"]
        best = next(row for row in crf["tried"] if row["settings"] == crf["chosen"])
        rows.append([f"the same on {crf['images']} images", *numbers_of(crf["without"], columns)])
        rows.append([f"and CRF, chosen: {settings_text(crf['chosen'])}", *numbers_of(best, columns)])
    return markdown([f"settings, {numbers['images']} validation images", *columns], rows)


def numbers_of(row: Numbers, columns: Sequence[str]) -> list[str]:
    """The cells of a row; a dash for a number that it does not have."""
    return [fixed(row.get(column), 3) for column in columns]


def settings_text(settings: Numbers) -> str:
    """The settings in one cell.

    >>> settings_text({"inference.solid": True, "model.config.stop_threshold": 0.3})
    '`solid` true, `stop_threshold` 0.3'
    """
    words = [f"`{key.rpartition('.')[2]}` {str(value).lower()}" for key, value in settings.items()]
    return ", ".join(words) or "the defaults"


def rsis_speed(numbers: Numbers) -> list[str]:
    """Ratios of the plain implementation's time to ours."""
    results = numbers["results"]
    batches = [key for key in results if key.startswith("inference_batch_")]
    names = {
        "decoder_float32": "decoder, float32",
        "projected_decoder_float32": "decoder with its projections, float32",
        "whole_float32": "whole network, float32",
        "whole_bfloat16_beside_float32": "whole network, ours in bfloat16, plain in float32",
        "whole_bfloat16_beside_bfloat16": "whole network, both in bfloat16",
    }
    rows = [[title, *(ratio(results[batch][key]) for batch in batches)] for key, title in names.items()]
    rows.append(
        [
            f"a training iteration of {results['training']['batch']} images",
            ratio(results["training"]),
            *[""] * (len(batches) - 1),
        ]
    )
    costs = results["costs"]
    rows.append(
        [
            f"cost matrix of {costs['steps']} steps and {costs['objects']} objects",
            ratio(costs),
            *[""] * (len(batches) - 1),
        ]
    )
    differences = [results[batch]["whole_float32"]["largest_difference"] for batch in batches]
    rows.append(["largest difference of the outputs, float32", *(f"{one:.1e}" for one in differences)])
    return markdown(["what", *(f"batch {batch.rpartition('_')[2]}" for batch in batches)], rows)


def ratio(result: Numbers) -> str:
    """The ratio with both times."""
    return f"{result['ratio']:.2f} ({result['plain_ms']:.0f} / {result['ours_ms']:.0f} ms)"


def dense_crf_speed(numbers: Numbers) -> list[str]:
    """Times of a mean-field iteration beside those of pydensecrf2."""
    one, two = numbers["iteration"]["1 threads"], numbers["iteration"]["2 threads"]
    rows = [
        [
            f"({', '.join(f'{theta:g}' for theta in single['thetas'])}){', with noise' if single['noise'] else ''}",
            f"{single['vertices']:,}",
            *(crf_ratio(result) for result in (single, double)),
            f"{single['setup_ms']:.0f} and {single['pydensecrf_setup_ms']:.0f} ms",
        ]
        for single, double in zip(one, two, strict=True)
    ]
    columns = [
        "(theta_alpha, theta_beta, theta_gamma)",
        "vertices",
        "one thread",
        "two threads",
        "setup, ours and theirs",
    ]
    return markdown(columns, rows)


def crf_ratio(result: Numbers) -> str:
    """How many times faster an iteration is, with both times."""
    return f"{result['times_faster']:.2f} ({result['pydensecrf_iteration_ms']:.0f} / {result['iteration_ms']:.0f} ms)"


def dense_crf_smoothness(numbers: Numbers) -> list[str]:
    """The separable Gaussian beside a lattice of two dimensions."""
    rows = [
        [name, f"{result['filter_ms']:.0f} ms", f"{100 * result['relative_error']:.2f} %"]
        for name, result in numbers["smoothness"].items()
    ]
    return markdown(["smoothness kernel, theta_gamma 3", "one filter", "error"], rows)


def dense_crf_accuracy(numbers: Numbers) -> list[str]:
    """The lattice beside full matrices."""
    rows = [
        [
            f"{result['size']} x {result['size']}",
            f"({', '.join(f'{theta:g}' for theta in result['thetas'])})",
            f"{100 * result['filter_error']:.1f} %",
            f"{100 * result['label_agreement']:.1f} %",
        ]
        for result in numbers["brute_force"]
    ]
    return markdown(["pixels", "thetas", "error of the filter", "equal labels after five iterations"], rows)


def dense_crf_memory(numbers: Numbers) -> list[str]:
    """Memory of five iterations."""
    rows = [
        [
            f"({', '.join(f'{theta:g}' for theta in result['thetas'])}){', with noise' if result['noise'] else ''}",
            f"{result['size']} x {result['size']}",
            f"{result['vertices']:,}",
            f"{result['added_mb']} MB",
            f"{result['peak_mb']} MB",
        ]
        for result in numbers["memory"]
    ]
    return markdown(["thetas", "pixels", "vertices", "added by the CRF", "whole process"], rows)


def memory_by(counted: str, numbers: Numbers) -> list[str]:
    """Largest memory of a process by the number of what is counted in its image."""
    columns = [counted, "in use", "in training"]
    tasks = {(row["task"], row[counted]): f"{row['bytes'] / 1e9:.2f} GB" for row in numbers["rows"]}
    counts = sorted({count for _, count in tasks})
    rows = [
        [str(count), *(tasks.get((task, count), "not measured") for task in ("prediction", "training"))]
        for count in counts
    ]
    return markdown(columns, rows)


def parts_by(counted: str, parts: Sequence[str], numbers: Numbers) -> list[str]:
    """Seconds of each part of a model by the number of what is counted in the image."""
    rows = [[str(row[counted]), *(f"{row['parts'][part]['wall']:.3f} s" for part in parts)] for row in numbers["rows"]]
    return markdown([counted, *parts], rows)


def din_parts(numbers: Numbers) -> list[str]:
    """Seconds of each part of DIN by the number of detections, beside its detector."""
    known = ("detector", "semantic network", "semantic CRF", "terms", "instance CRF", "whole")
    parts = [part for part in known if part in numbers["rows"][0]["parts"]]
    rows = [
        [str(row["detections"]), *(f"{row['parts'][part]['wall']:.3f} s" for part in parts)] for row in numbers["rows"]
    ]
    origin = ["", f"Detector: {numbers['detector']}."] if "detector" in numbers else []
    return [*markdown(["detections", *parts], rows), *origin]


def metrics_speed(numbers: Numbers) -> list[str]:
    """Processor times of our protocols beside pycocotools."""
    rows = []
    for classes, results in numbers["results"].items():
        for start in ("planes", "codes"):
            ours, theirs = (results[f"{name}, from {start}"] for name in ("ours sds+coco", "pycocotools coco"))
            times = (theirs["processor_median"], ours["processor_median"])
            kind = "run-length codes" if start == "codes" else "bool planes"
            rows.append([classes, kind, *(f"{time:.2f} s" for time in times), f"{times[0] / times[1]:.1f}"])
    size = f"{numbers['images']} images of {numbers['objects']} objects"
    return markdown([size, "masks as", "pycocotools, `coco`", "ours, `sds` and `coco`", "ratio"], rows)


def polarity(numbers: Numbers) -> list[str]:
    """How often the rules of the preparation are right."""
    rows = [
        [
            "images whose background is judged rightly as dark or bright",
            f"{numbers['polarity_right']} of {numbers['images']}",
        ],
        ["largest share of brown pixels in these images", f"{100 * numbers['largest_brown_share']:.0f} %"],
        [
            "share of brown pixels in scikit-image's `immunohistochemistry`",
            f"{100 * numbers['brown_share_of_immunohistochemistry']:.0f} %",
        ],
    ]
    return markdown(["what", "measured"], rows)


def kill_resume(numbers: Numbers) -> list[str]:
    """What kills did to training runs."""
    rows = [
        ["kills (of these while a file was written)", f"{numbers['kills']} ({numbers['kills_while_writing']})"],
        ["runs that ended bit for bit as an undisturbed one", f"{numbers['runs_bit_equal']} of {numbers['runs']}"],
        ["runs that left a temporary file", str(numbers["runs_with_temporary_files"])],
        [
            f"iterations lost, with a checkpoint every {numbers['save_every']}",
            f"at most {numbers['max_iterations_lost']}",
        ],
    ]
    return markdown(["what", "measured"], rows)


MAIN_SCORES = {"cvppp": "SBD", "nuclei": "AP 0.5", "coco": "AP50"}
"""Protocol -> the headline number of a table with one score."""


def recurrence(numbers: Numbers, sets: Sequence[str]) -> list[str]:
    """What becomes of the models of some sets without their state, canvas or stop."""
    rows = []
    for models in (numbers["sets"].get(name, {}) for name in sets):
        for model, report in models.items():
            score = MAIN_SCORES[report["protocol"]]
            for condition, result in report["conditions"].items():
                cells = (result["scores"][score], result["predicted_over_true"], result["absDiC"])
                values = (with_change(cell, digits) for cell, digits in zip(cells, (3, 2, 2), strict=True))
                rows.append([f"`{model}`", condition, score, *values])
    columns = ["model", "condition", "score", "value (95 % interval of the change)", "predicted / true", "|DiC|"]
    return markdown(columns, rows) if rows else []


def with_change(cell: Numbers, digits: int) -> str:
    """A value and, where it is compared with another, the interval of the change."""
    change = cell["change_interval"]
    interval = "" if change is None else f" ({change[0]:+.{digits}f} to {change[1]:+.{digits}f})"
    return fixed(cell["value"], digits) + interval


TABLES: dict[str, Callable[[Numbers], list[str]]] = {
    "zoo_summary": zoo_summary,
    "nuclei_scores": lambda numbers: scores_table(numbers, "nuclei", NUCLEI_COLUMNS),
    "leaf_network": lambda numbers: one_model(numbers, LEAVES_COLUMNS),
    "leaves_scores": lambda numbers: scores_table(numbers, "leaves", LEAVES_COLUMNS),
    "scenes_scores": lambda numbers: scores_table(numbers, "scenes", SCENES_COLUMNS),
    "scenes_classes": scenes_classes,
    "settings": settings,
    "rsis_speed": rsis_speed,
    "dense_crf_speed": dense_crf_speed,
    "dense_crf_smoothness": dense_crf_smoothness,
    "dense_crf_accuracy": dense_crf_accuracy,
    "dense_crf_memory": dense_crf_memory,
    "din_memory": partial(memory_by, "detections"),
    "din_parts": din_parts,
    "r2ios_memory": partial(memory_by, "proposals"),
    "r2ios_parts": partial(parts_by, "proposals", ("maps", "masks, one look", "boxes, one look", "all looks", "whole")),
    "metrics_speed": metrics_speed,
    "polarity": polarity,
    "kill_resume": kill_resume,
    "recurrence": lambda numbers: recurrence(numbers, ("leaves", "nuclei", "scenes")),
    "recurrence_leaves": lambda numbers: recurrence(numbers, ("leaves",)),
    "claims": claims.claims,
    "claims_trainings": claims.trainings,
    "claims_guidance": claims.guidance,
    "claims_guidance_trainings": claims.guidance_trainings,
    "claims_din": claims.din,
    "claims_din_trainings": claims.din_trainings,
    "claims_models": claims.models,
    "claims_reliability": claims.reliability,
    "claims_counts": claims.counts,
    "claims_order": claims.order,
}
"""Name -> the lines of the table; none where the result file lacks its numbers."""


def differing() -> Iterator[tuple[Path, str]]:
    """The pages that are not what the result files say, with the text that they should have."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        filled = fill(text)
        if filled != text:
            yield page, filled


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where a block differs")
    options = parser.parse_args(words)
    pages = list(differing())
    for page, filled in pages:
        print(page.relative_to(ROOT))
        if not options.check:
            write_atomically(page, filled.encode())
    return 1 if options.check and pages else 0


if __name__ == "__main__":
    sys.exit(main())
