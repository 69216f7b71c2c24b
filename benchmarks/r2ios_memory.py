"""The memory that R2-IOS takes, by the number of proposals on an image of 500 x 500 pixels looked at 4 times, and in training.

    python benchmarks/r2ios_memory.py

Each number of proposals is measured in its own process: the largest resident memory of the process, with Python and torch. Masks have the paper's 40 x 40 cells
and its autoencoder; the trunk is a small pyramid, so that what is measured is the proposals, not the encoder. About 5 minutes.
"""

import argparse
import json
import resource
import subprocess
import sys

import torch
from measuring import make_parser, parse, save
from torch.nn import functional as F

from seriatim.core.batch import Batch, Prompts
from seriatim.core.provenance import Start
from seriatim.models import catalogue
from seriatim.models.interface import TrainingContext
from seriatim.models.r2ios_objective import R2IOSObjectiveConfig

SIDE, CLASSES = 500, 20
CONFIG = {
    "trunk": "pyramid",
    "encoder": "resnet10t",
    "pyramid_channels": 64,
    "num_classes": CLASSES,
    "fc_channels": 512,
    "mask_channels": 64,
}


def image_with_boxes(count: int) -> tuple[torch.Tensor, Prompts]:
    """A smooth random image and boxes of 20 to 120 pixels."""
    generator = torch.Generator().manual_seed(0)
    image = F.interpolate(torch.rand(1, 3, 25, 25, generator=generator), size=(SIDE, SIDE), mode="bilinear")
    extents = 20 + 100 * torch.rand(count, 2, generator=generator)
    corners = (SIDE - extents) * torch.rand(count, 2, generator=generator)
    boxes = torch.cat((corners, corners + extents), dim=1)
    none = torch.zeros(count, dtype=torch.long)
    return image, Prompts(boxes, torch.rand(count, generator=generator), none, torch.zeros(0, 2))


def measure(task: str, count: int) -> int:
    """Bytes of the largest resident memory of this process after one image; every proposal moves, which costs the most."""
    network = catalogue.build("r2ios", CONFIG, seed=0)
    image, prompts = image_with_boxes(count)
    if task == "prediction":
        with torch.inference_mode():
            network.refinement_head.class_head.bias[1:] += 5.0
            for _ in network.eval().detect(image, [prompts]):
                pass
    else:
        labels = torch.zeros(1, SIDE, SIDE, dtype=torch.long)
        labels[0, 50:150, 50:150], labels[0, 200:320, 220:300] = 1, 2
        weights = R2IOSObjectiveConfig(
            boxes="truth", box_copies=count, box_jitter=0.1, proposals=count, foreground_fraction=1.0
        )
        batch = Batch(image, labels, torch.tensor([[1, 2]]))
        terms = network.losses(batch, weights, TrainingContext(torch.Generator()))
        torch.stack(list(terms.values())).sum().backward()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--one", nargs=2, metavar=("TASK", "COUNT"), help=argparse.SUPPRESS)
    options = parse(parser)
    if options.one:
        print(measure(options.one[0], int(options.one[1])))
        return
    started, rows = Start(), []
    for task, counts in (("prediction", (1, 128, 500, 2000)), ("training", (1, 64, 128))):
        for count in counts:
            words = [sys.executable, __file__, "--one", task, str(count), "--threads", str(options.threads)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            rows.append({"task": task, "proposals": count, "bytes": int(done.stdout.split()[-1])})
            print(json.dumps(rows[-1]), flush=True)
    save("r2ios_memory", {"side": SIDE, "rows": rows}, started, options.json)


if __name__ == "__main__":
    main()
