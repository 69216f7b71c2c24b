"""What it brings that numbers below the smallest normal one count as zero (`core/platform.py`), at the newest checkpoint of a run.

    python benchmarks/denormals.py --run runs/scenes --threads 1 --repeats 5 --json benchmarks/results/NAME.json

Each pair of times is taken in turns (A B A B ...) in one process, on the same crops with the same weights; a ratio is the median time without
over the median time with. The largest difference between the masks of the two says what else changes.

    predict   encode, and as many steps as the network takes, for each crop of a batch
    gradient  forward, loss and backward of the batch; gradients that vanish over the steps become such numbers
    update    the optimizer's step; so do the moments of weights without a gradient
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from thresholds import command_line
from torch import Tensor

from seriatim.core.platform import avoid_matrix_tiles, denormals_as_zero
from seriatim.data.batches import Crops, batches
from seriatim.models import catalogue
from seriatim.models.interface import TrainingContext
from seriatim.training.checkpoint import load_newest
from seriatim.training.recipe import load_recipe
from seriatim.training.run_folder import RunFolder
from seriatim.training.splits import open_splits
from seriatim.training.stages import make_optimizer, resolve_stages


def in_turns(run: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Median times of a call without and with, and their ratio."""
    contexts: dict[str, Callable[[], AbstractContextManager[None]]] = {
        "without": nullcontext,
        "with": denormals_as_zero,
    }
    times: dict[str, list[float]] = {name: [] for name in contexts}
    for repeat in range(repeats + 1):
        for name, context in contexts.items():
            with context():
                started = time.perf_counter()
                run()
                if repeat:  # the first of each warms up
                    times[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(taken) for name, taken in times.items()}
    return {
        **{f"seconds_{name}": time for name, time in medians.items()},
        "ratio": medians["without"] / medians["with"],
    }


def measure(run: Path, repeats: int) -> dict[str, Any]:
    folder = RunFolder(run)
    recipe = load_recipe(str(run / "config.toml"))
    network = catalogue.build(recipe.model.name, recipe.model.config, seed=recipe.seed, encoder_weights=False)
    optimizer = make_optimizer(network, recipe)
    state = load_newest(folder.checkpoints, network, optimizer)
    if state is None:
        raise SystemExit(f"{run}: holds no checkpoint")
    stage = resolve_stages(recipe)[min(state.stage, len(recipe.stages) - 1)]
    crops = Crops(open_splits(recipe.data).training, recipe.preparation, stage.augmentation, recipe.seed)
    batch = next(batches(crops, stage.batch_size, state.crops_drawn, 1))

    @torch.inference_mode()
    def predict() -> list[Tensor]:
        network.eval()
        return [found.probs for crop in batch.images.split(1) for found in network.detect(crop)]

    def gradient() -> None:
        network.train()
        optimizer.zero_grad()
        terms = network.losses(batch, stage.weights, TrainingContext(torch.Generator().manual_seed(0)))
        torch.stack(list(terms.values())).sum().backward()

    plain = predict()
    with denormals_as_zero():
        flushed = predict()
    difference = max(float((one - other).abs().max()) for one, other in zip(plain, flushed, strict=True))
    results = {
        "iteration": state.iteration,
        "largest_difference": difference,
        "predict": in_turns(predict, repeats),
        "gradient": in_turns(gradient, repeats),
    }
    for group in optimizer.param_groups:
        group["lr"] = 0.0  # the weights stay, the moments move
    moments = {key: value.clone() for key, value in enumerate_moments(optimizer)}

    def update() -> None:
        for key, value in enumerate_moments(optimizer):
            value.copy_(moments[key])
        optimizer.step()

    return {**results, "update": in_turns(update, repeats)}


def enumerate_moments(optimizer: torch.optim.Optimizer) -> list[tuple[tuple[int, str], Tensor]]:
    """Every tensor of the optimizer's state, with a key."""
    return [
        ((place, name), value)
        for place, moments in enumerate(optimizer.state.values())
        for name, value in moments.items()
        if isinstance(value, Tensor)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    avoid_matrix_tiles()
    torch.set_num_threads(arguments.threads)
    results = measure(arguments.run, arguments.repeats)
    facts = {"command": command_line(), "torch": torch.__version__, "machine": platform.machine(), **results}
    text = json.dumps(facts, indent=1) + "\n"
    print(text, end="")
    if arguments.json is not None:
        arguments.json.write_text(text)


if __name__ == "__main__":
    main()
