"""The memory that DIN takes, in use and in training, by the number of detections on an image of 500 x 500 pixels.

    python benchmarks/din_memory.py

Each number of detections is measured in its own process: the largest resident memory of the process, with Python, torch and the compiled kernels. The network is
a small pyramid, so that what is measured is the CRFs and terms, not the encoder. About 5 minutes.
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
from seriatim.models.din_training import DINObjectiveConfig
from seriatim.models.interface import TrainingContext

SIDE, CLASSES = 500, 2
CONFIG = {
    "fcn": "pyramid",
    "encoder": "resnet10t",
    "encoder_depth": 3,
    "pyramid_channels": 16,
    "num_classes": CLASSES,
    "templates_per_bin": 10,
}


def image_with_boxes(count: int) -> tuple[torch.Tensor, Prompts]:
    """A smooth random image and boxes of 20 to 120 pixels."""
    generator = torch.Generator().manual_seed(0)
    image = F.interpolate(torch.rand(1, 3, 25, 25, generator=generator), size=(SIDE, SIDE), mode="bilinear")
    corners = SIDE * torch.rand(count, 2, generator=generator)
    boxes = torch.cat((corners, corners + 20 + 100 * torch.rand(count, 2, generator=generator)), dim=1)
    classes = torch.randint(1, CLASSES + 1, (count,), generator=generator)
    return image, Prompts(boxes, torch.rand(count, generator=generator), classes, torch.zeros(0, 2))


def measure(task: str, count: int) -> int:
    """Bytes of the largest resident memory of this process after one image."""
    network = catalogue.build("din", CONFIG, seed=0)
    image, prompts = image_with_boxes(count)
    if task == "prediction":
        with torch.inference_mode():
            for _ in network.eval().detect(image, [prompts]):
                pass
    else:
        labels = torch.zeros(1, SIDE, SIDE, dtype=torch.long)
        labels[0, 50:150, 50:150], labels[0, 200:320, 220:300] = 1, 2
        batch = Batch(image, labels, torch.tensor([[1, 2]]), prompts=(prompts,))
        terms = network.losses(batch, DINObjectiveConfig(semantic=1.0), TrainingContext(torch.Generator()))
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
    for task, counts in (("prediction", (1, 20, 100, 300)), ("training", (1, 20, 100))):
        for count in counts:
            words = [sys.executable, __file__, "--one", task, str(count), "--threads", str(options.threads)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            rows.append({"task": task, "detections": count, "bytes": int(done.stdout.split()[-1])})
            print(json.dumps(rows[-1]), flush=True)
    save("din_memory", {"side": SIDE, "rows": rows}, started, options.json)


if __name__ == "__main__":
    main()
