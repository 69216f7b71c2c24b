"""The time of each part of DIN without its detector: semantic network, semantic CRF, terms and instance CRF, by the number of detections.

    python benchmarks/din_parts.py --recipe scenes-din

The parts of one image take turns, so that a busy machine slows all alike; wall and processor time are medians. Weights are random, which changes no time. About 2
minutes.
"""

import statistics

import torch
from measuring import in_turns, make_parser, parse, save
from torch.nn import functional as F

from seriatim.core.batch import Prompts
from seriatim.core.provenance import Start
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


def measure(network: DIN, side: int, count: int, repeats: int) -> dict[str, dict[str, float]]:
    """Name of a part -> medians of its wall and processor time in seconds."""
    image, prompts = image_with_boxes(network.config.input_channels, side, count, network.num_classes)
    detections = read_detections(prompts, (side, side), network.num_classes)
    logits = network.semantic_logits(image[None])[0]
    crf = network.semantic_crf
    field = None if crf is None else crf(logits, crf.dense.prepare(image), detections)
    probs = (logits if field is None else field.logits).softmax(dim=0)
    unary = network.terms(probs, detections.scores, detections)
    calls = {
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


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--recipe", default="scenes-din", help="whose network is taken (%(default)s)")
    parser.add_argument("--side", type=int, default=256, help="of the image in pixels (%(default)s)")
    parser.add_argument("--detections", type=int, nargs="+", default=[5, 20, 100], metavar="N")
    parser.add_argument("--repeats", type=int, default=7, metavar="N", help="of each part (%(default)s)")
    options = parse(parser)
    started, rows = Start(), []
    network = catalogue.build("din", load_recipe(options.recipe).model.config, seed=0, encoder_weights=False).eval()
    assert isinstance(network, DIN)
    with torch.inference_mode():
        for count in options.detections:
            rows.append({"detections": count, "parts": measure(network, options.side, count, options.repeats)})
            for name, seconds in rows[-1]["parts"].items():
                print(f"{count:>4} detections  {name:<18}{seconds['wall']:>9.3f} s{seconds['processor']:>9.3f} s")
    save("din_parts", {"recipe": options.recipe, "side": options.side, "rows": rows}, started, options.json)


if __name__ == "__main__":
    main()
