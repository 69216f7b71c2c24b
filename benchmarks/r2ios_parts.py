"""The time of each part of R2-IOS without its proposals: the maps of the image, one look at all proposals (masks, then boxes), four looks, and the objects.

    python benchmarks/r2ios_parts.py --recipe scenes-r2ios

The parts of one image take turns, so that a busy machine slows all alike; wall and processor time are medians. Weights are random, but every proposal moves, so
that the time is the largest. About 2 minutes.
"""

import statistics

import torch
from measuring import in_turns, make_parser, parse, save
from torch.nn import functional as F

from seriatim.core.batch import Prompts
from seriatim.core.provenance import Start
from seriatim.models import catalogue
from seriatim.models.r2ios import R2IOS
from seriatim.training.recipe import load_recipe


def image_with_boxes(channels: int, side: int, count: int) -> tuple[torch.Tensor, Prompts]:
    """A smooth random image and boxes of a twentieth to a quarter of its side."""
    generator = torch.Generator().manual_seed(0)
    image = F.interpolate(torch.rand(1, channels, 20, 20, generator=generator), size=(side, side), mode="bilinear")
    extents = side * (0.05 + 0.2 * torch.rand(count, 2, generator=generator))
    corners = (side - extents) * torch.rand(count, 2, generator=generator)
    boxes = torch.cat((corners, corners + extents), dim=1)
    none = torch.zeros(count, dtype=torch.long)
    return image[0], Prompts(boxes, torch.rand(count, generator=generator), none, torch.zeros(0, 2))


def measure(network: R2IOS, side: int, count: int, repeats: int) -> dict[str, dict[str, float]]:
    """Name of a part -> medians of its wall and processor time in seconds."""
    image, prompts = image_with_boxes(network.config.input_channels, side, count)
    maps = network.encode(image[None])
    groups = prompts.boxes.split(network.config.proposals_at_once)

    def look_for_masks() -> list[torch.Tensor]:
        return [network.mask_head(maps.masks, boxes, _zeros(boxes)) for boxes in groups]

    def look_for_boxes() -> None:
        for boxes, masks in zip(groups, mask_logits, strict=True):
            network.refinement_head(maps.boxes, boxes, _zeros(boxes), masks)

    mask_logits = look_for_masks()
    times = in_turns(
        {
            "maps": lambda: network.encode(image[None]),
            "masks, one look": look_for_masks,
            "boxes, one look": look_for_boxes,
            "all looks": lambda: network.trace(image, prompts),
            "whole": lambda: list(network.detect(image[None], [prompts])),
        },
        repeats,
    )
    return {
        name: {
            "wall": statistics.median(one.wall for one in of_part),
            "processor": statistics.median(one.processor for one in of_part),
        }
        for name, of_part in times.items()
    }


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--recipe", default="scenes-r2ios", help="whose network is taken (%(default)s)")
    parser.add_argument("--side", type=int, default=256, help="of the image in pixels (%(default)s)")
    parser.add_argument("--proposals", type=int, nargs="+", default=[10, 50, 300, 2000], metavar="N")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="of each part (%(default)s)")
    options = parse(parser)
    started, rows = Start(), []
    config = {**load_recipe(options.recipe).model.config, "max_proposals": max(options.proposals)}
    network = catalogue.build("r2ios", config, seed=0, encoder_weights=False).eval()
    assert isinstance(network, R2IOS)
    with torch.inference_mode():
        network.refinement_head.class_head.bias[1:] += 5.0
        for count in options.proposals:
            rows.append({"proposals": count, "parts": measure(network, options.side, count, options.repeats)})
            for name, seconds in rows[-1]["parts"].items():
                print(f"{count:>4} proposals  {name:<18}{seconds['wall']:>9.3f} s{seconds['processor']:>9.3f} s")
    save("r2ios_parts", {"recipe": options.recipe, "side": options.side, "rows": rows}, started, options.json)


def _zeros(boxes: torch.Tensor) -> torch.Tensor:
    return torch.zeros(len(boxes), dtype=torch.long)


if __name__ == "__main__":
    main()
