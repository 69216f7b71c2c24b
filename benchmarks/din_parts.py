"""The time of each part of DIN and of its detector: detector, semantic network, semantic CRF, terms and instance CRF, by the number of detections.

    python benchmarks/din_parts.py --recipe scenes-din --detector MODEL

The parts of one image take turns, so that a busy machine slows all alike; wall and processor time are medians. The weights of DIN are random, which changes no
time. The detector is that of `--detector`, with its preparation and as many boxes as it finds, which the other parts do not use: they get as many as the table says.
Without `--detector` it is the untrained one of the recipe `detector-scenes`, whose boxes are many and of no use. About 2 minutes.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

import torch
from measuring import in_turns, make_parser, parse, save
from torch.nn import functional as F

from seriatim.core.batch import Prompts
from seriatim.core.provenance import Start
from seriatim.inference.model_folder import ModelDescription, ModelSettings
from seriatim.inference.predictor import Predictor, load
from seriatim.models import catalogue
from seriatim.models.din import DIN
from seriatim.nn.detections import read_detections
from seriatim.training.recipe import load_recipe


def image_with_boxes(channels: int, side: int, count: int, num_classes: int) -> tuple[torch.Tensor, Prompts]:
    """A smooth random image and boxes of a twentieth to a quarter of its side."""
    generator = torch.Generator().manual_seed(0)
    image = F.interpolate(torch.rand(1, channels, 20, 20, generator=generator), size=(side, side), mode="bilinear")
    extents = side * (0.05 + 0.2 * torch.rand(count, 2, generator=generator))
    corners = (side - extents) * torch.rand(count, 2, generator=generator)
    classes = torch.randint(1, num_classes + 1, (count,), generator=generator)
    boxes = torch.cat((corners, corners + extents), dim=1)
    return image[0], Prompts(boxes, torch.rand(count, generator=generator), classes, torch.zeros(0, 2))


UNTRAINED = "detector-scenes"
"""Recipe of the detector where none is named."""


def detector_of(model: str | None) -> Predictor:
    """A detector by its zoo name, run folder or model folder; None for the untrained one."""
    if model is not None:
        return load(model, "cpu")
    recipe = load_recipe(UNTRAINED)
    network = catalogue.build(recipe.model.name, recipe.model.config, seed=0, encoder_weights=False)
    settings = ModelSettings(name=recipe.model.name, config=recipe.model.config)
    names = tuple(f"class {number}" for number in range(1, network.config.num_classes + 1))
    description = ModelDescription(
        model=settings, preparation=recipe.preparation, inference=recipe.inference, class_names=names
    )
    return Predictor(network.eval().to(memory_format=torch.channels_last), description)


def measure(network: DIN, detector: Predictor, side: int, count: int, repeats: int) -> dict[str, dict[str, float]]:
    """Name of a part -> medians of its wall and processor time in seconds."""
    image, prompts = image_with_boxes(network.config.input_channels, side, count, network.num_classes)
    detections = read_detections(prompts, (side, side), network.num_classes)
    logits = network.semantic_logits(image[None])[0]
    crf = network.semantic_crf
    field = None if crf is None else crf(logits, crf.dense.prepare(image), detections)
    probs = (logits if field is None else field.logits).softmax(dim=0)
    unary = network.terms(probs, detections.scores, detections)
    pixels = image.numpy()
    calls = {
        "detector": lambda: detector.predict_values(pixels),
        "semantic network": lambda: network.semantic_logits(image[None]),
        "terms": lambda: network.terms(probs, detections.scores, detections),
        "instance CRF": lambda: network.instance_crf.refine(unary, network.instance_crf.prepare(image)),
        "whole": lambda: list(network.detect(image[None], [prompts])),
    }
    if crf is not None:
        calls["semantic CRF"] = lambda: crf(logits, crf.dense.prepare(image), detections)
    times = in_turns(calls, repeats)
    return {
        name: {
            "wall": statistics.median(one.wall for one in of_part),
            "processor": statistics.median(one.processor for one in of_part),
        }
        for name, of_part in times.items()
    }


def main(words: Sequence[str] | None = None) -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--recipe", default="scenes-din", help="whose network is taken (%(default)s)")
    parser.add_argument("--detector", metavar="MODEL", help=f"without it the untrained one of recipe {UNTRAINED}")
    parser.add_argument("--side", type=int, default=256, help="of the image in pixels (%(default)s)")
    parser.add_argument("--detections", type=int, nargs="+", default=[5, 20, 100], metavar="N")
    parser.add_argument("--repeats", type=int, default=7, metavar="N", help="of each part (%(default)s)")
    options = parse(parser, words)
    started, rows = Start(), []
    network = catalogue.build("din", load_recipe(options.recipe).model.config, seed=0, encoder_weights=False).eval()
    assert isinstance(network, DIN)
    detector = detector_of(options.detector)
    if options.detector is None:
        print(f"detector: untrained, of recipe {UNTRAINED}; name a trained one with --detector MODEL")
    with torch.inference_mode():
        for count in options.detections:
            parts = measure(network, detector, options.side, count, options.repeats)
            rows.append({"detections": count, "parts": parts})
            for name, seconds in parts.items():
                print(f"{count:>4} detections  {name:<18}{seconds['wall']:>9.3f} s{seconds['processor']:>9.3f} s")
    facts = {
        "recipe": options.recipe,
        "side": options.side,
        "detector": f"untrained, of recipe {UNTRAINED}" if options.detector is None else Path(options.detector).name,
    }
    save("din_parts", {**facts, "rows": rows}, started, options.json)


if __name__ == "__main__":
    main()
