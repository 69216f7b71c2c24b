"""How fast `sds` and `coco` together are beside pycocotools alone on `coco`, on the same masks in one run.

    python benchmarks/metrics.py

Two starting points, since users have either: masks as bool planes with the truth as a label map (pycocotools then has to encode the planes),
and ready run-length codes. Runs take turns, and every number is given as wall and as processor time of the fastest and the median round.
About 3 minutes.
"""

import contextlib
import io
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from measuring import in_turns, make_parser, median_wall, parse, save
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from seriatim.core.provenance import Start
from seriatim.metrics import Example, evaluate


def make_images(num_images: int, num_objects: int, side: int, num_classes: int) -> list[dict[str, Any]]:
    """Discs that do not overlap as truth; predictions moved, grown or shrunk a little, one in five somewhere else."""
    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side]
    images = []
    for _ in range(num_images):
        labels = np.zeros((side, side), dtype=np.int32)
        planes = np.zeros((num_objects, side, side), dtype=bool)
        cells = generator.permutation(16)[:num_objects]
        for number, cell in enumerate(cells):
            y, x = (cell // 4 + 0.5) * side / 4, (cell % 4 + 0.5) * side / 4
            radius = generator.uniform(0.04, 0.12) * side
            labels[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = number + 1
            if generator.random() < 0.2:
                y, x = generator.uniform(0.1, 0.9, 2) * side
            dy, dx = generator.normal(0, 0.08 * radius, 2)
            size = radius * generator.uniform(0.85, 1.15)
            planes[number] = (rows - y - dy) ** 2 + (columns - x - dx) ** 2 <= size**2
        classes = generator.integers(1, num_classes + 1, num_objects)
        images.append(
            {"labels": labels, "classes": classes, "planes": planes, "scores": generator.random(num_objects).round(3)}
        )
    return images


def encode(planes: np.ndarray) -> list[dict[str, Any]]:
    return mask_api.encode(np.asfortranarray(planes.transpose(1, 2, 0).astype(np.uint8)))


def truth_planes(image: dict[str, Any]) -> np.ndarray:
    return image["labels"] == np.arange(1, len(image["classes"]) + 1)[:, None, None]


def ours_from_planes(images: list[dict[str, Any]]) -> float:
    examples = [
        Example(
            image["labels"],
            image["classes"],
            pred_masks=image["planes"],
            pred_scores=image["scores"],
            pred_classes=image["classes"],
        )
        for image in images
    ]
    return ours(examples)


def ours_from_codes(images: list[dict[str, Any]]) -> float:
    examples = [
        Example(
            target_masks=image["target_codes"],
            target_classes=image["classes"],
            pred_masks=image["codes"],
            pred_scores=image["scores"],
            pred_classes=image["classes"],
        )
        for image in images
    ]
    return ours(examples)


def ours(examples: list[Example]) -> float:
    """AP of `coco`, after `sds` on the same examples."""
    evaluate(examples, "sds")
    return evaluate(examples, "coco")["AP"]


def theirs(images: list[dict[str, Any]], codes: list[tuple[list[Any], list[Any]]]) -> float:
    ids = sorted({int(number) for image in images for number in image["classes"]})
    common = {
        "images": [
            {"id": index, "height": image["labels"].shape[0], "width": image["labels"].shape[1]}
            for index, image in enumerate(images, start=1)
        ],
        "categories": [{"id": number} for number in ids],
    }
    targets, preds = [], []
    for index, (image, (target_codes, pred_codes)) in enumerate(zip(images, codes, strict=True), start=1):
        for number, code in zip(image["classes"].tolist(), target_codes, strict=True):
            area = int(mask_api.area(code))
            targets.append(
                {
                    "id": len(targets) + 1,
                    "image_id": index,
                    "category_id": number,
                    "segmentation": code,
                    "area": area,
                    "iscrowd": 0,
                }
            )
        for number, code, score in zip(image["classes"].tolist(), pred_codes, image["scores"].tolist(), strict=True):
            preds.append({"image_id": index, "category_id": number, "segmentation": code, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {**common, "annotations": targets, "info": {}}
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(preds), "segm")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return float(evaluator.stats[0])


def theirs_from_planes(images: list[dict[str, Any]]) -> float:
    return theirs(images, [(encode(truth_planes(image)), encode(image["planes"])) for image in images])


def theirs_from_codes(images: list[dict[str, Any]]) -> float:
    return theirs(images, [(image["target_codes"], image["codes"]) for image in images])


RUNS: dict[str, Callable[[list[dict[str, Any]]], float]] = {
    "ours sds+coco, from planes": ours_from_planes,
    "pycocotools coco, from planes": theirs_from_planes,
    "ours sds+coco, from codes": ours_from_codes,
    "pycocotools coco, from codes": theirs_from_codes,
}


def main() -> None:
    parser = make_parser(__doc__, threads=None)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--objects", type=int, default=10)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--classes", type=int, nargs="*", default=[1, 3])
    parser.add_argument("--rounds", type=int, default=5)
    options = parse(parser)
    started = Start()
    results: dict[str, Any] = {}
    for num_classes in options.classes:
        images = make_images(options.images, options.objects, options.side, num_classes)
        for image in images:
            image["target_codes"], image["codes"] = encode(truth_planes(image)), encode(image["planes"])
        scores: dict[str, float] = {}

        def run(name: str, images: list[dict[str, Any]] = images, scores: dict[str, float] = scores) -> None:
            scores[name] = RUNS[name](images)

        times = in_turns({name: partial(run, name) for name in RUNS}, options.rounds, warm_ups=0)
        assert max(scores.values()) - min(scores.values()) < 1e-9, scores
        results[f"{num_classes} classes"] = {
            name: {
                "AP": scores[name],
                "wall_min": round(min(one.wall for one in taken), 3),
                "wall_median": round(median_wall(taken), 3),
                "processor_min": round(min(one.processor for one in taken), 3),
                "processor_median": round(median(one.processor for one in taken), 3),
            }
            for name, taken in times.items()
        }
    sizes = {name: getattr(options, name) for name in ("images", "objects", "side", "rounds")}
    save("metrics", {**sizes, "results": results}, started, options.json)


if __name__ == "__main__":
    main()
