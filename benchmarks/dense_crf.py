"""The dense CRF beside pydensecrf2: one mean-field iteration, the error against brute force, and memory.

    pip install pydensecrf2
    python benchmarks/dense_crf.py

Each number of threads is measured in its own process, in which single iterations of both take turns; the ratios are of medians.
pydensecrf2 always uses one thread. The time of our iteration is that of a call with six iterations less that of a call with one, divided
by five. The image is the stained tissue that scikit-image ships, as it is and with added noise, which makes the lattice several times
larger. pydensecrf2 is not a dependency of seriatim. About 4 minutes; leave both cores idle.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from measuring import in_turns, make_parser, median_wall, parse, save
from skimage import data

from seriatim.core.provenance import Start
from seriatim.nn import DenseCRF, PermutohedralLattice
from seriatim.nn.crf.dense_crf import Smoothness

SETTINGS = [(49.0, 5.0, 3.0), (160.0, 3.0, 3.0), (80.0, 13.0, 3.0)]
LABELS, SIZE = 21, 500
WEIGHTS = (4.0, 3.0)


def photo(size: int, noise: float, top: int = 0) -> np.ndarray:
    pixels = np.tile(data.immunohistochemistry()[:500, :500], (2, 2, 1))[top : top + size, top : top + size].astype(
        np.float32
    )
    pixels += noise * np.random.default_rng(0).standard_normal(pixels.shape, dtype=np.float32)
    return np.ascontiguousarray(pixels.clip(0, 255).round().astype(np.uint8))


def to_tensor(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def scores(shape: tuple[int, ...]) -> np.ndarray:
    return 2 * np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def their_crf(pixels: np.ndarray, unary: np.ndarray, thetas: tuple[float, float, float]):
    try:
        import pydensecrf.densecrf as pydensecrf
    except ImportError:
        sys.exit(
            "this benchmark compares with pydensecrf2, which is no dependency of seriatim: pip install pydensecrf2"
        )
    height, width = pixels.shape[:2]
    crf = pydensecrf.DenseCRF2D(width, height, len(unary))
    crf.setUnaryEnergy(np.ascontiguousarray(-unary.reshape(len(unary), -1)))
    after = pydensecrf.NORMALIZE_AFTER
    crf.addPairwiseGaussian(sxy=thetas[2], compat=WEIGHTS[1], normalization=after)
    crf.addPairwiseBilateral(sxy=thetas[0], srgb=thetas[1], rgbim=pixels, compat=WEIGHTS[0], normalization=after)
    return crf


def time_setting(thetas: tuple[float, float, float], noise: float, repeats: int) -> dict[str, object]:
    pixels, unary = photo(SIZE, noise), scores((LABELS, SIZE, SIZE))
    image, logits = to_tensor(pixels), torch.from_numpy(unary)
    crf = DenseCRF(*thetas, *WEIGHTS).requires_grad_(False)

    def refine(iterations: int) -> object:
        crf.num_mean_field_iterations = iterations
        return crf.refine(logits, kernels)

    kernels = crf.prepare(image)
    refine(1)
    setups = in_turns(
        {"theirs": lambda: their_crf(pixels, unary, thetas), "ours": lambda: crf.prepare(image)}, 3, warm_ups=0
    )
    theirs = their_crf(pixels, unary, thetas)
    state = theirs.startInference()
    calls = {f"ours {number}": partial(refine, number) for number in (1, 6, 5)}
    steps = in_turns({"theirs": lambda: theirs.stepInference(*state), **calls}, repeats)
    our_steps = [(six.wall - one.wall) / 5 for one, six in zip(steps["ours 1"], steps["ours 6"], strict=True)]
    ours, other = statistics.median(our_steps), median_wall(steps["theirs"])
    return {
        "thetas": thetas,
        "noise": noise,
        "vertices": kernels.appearance[0].num_vertices,
        "iteration_ms": round(1000 * ours, 1),
        "pydensecrf_iteration_ms": round(1000 * other, 1),
        "times_faster": round(other / ours, 2),
        "five_iterations_ms": round(1000 * median_wall(steps["ours 5"]), 1),
        "setup_ms": round(1000 * median_wall(setups["ours"]), 1),
        "pydensecrf_setup_ms": round(1000 * median_wall(setups["theirs"]), 1),
        "iteration_ms_all": [round(1000 * each, 1) for each in our_steps],
        "pydensecrf_iteration_ms_all": [round(1000 * each.wall, 1) for each in steps["theirs"]],
    }


def time_smoothness(repeats: int) -> dict[str, object]:
    """The separable Gaussian beside a lattice of two dimensions, both compiled: time of one filter and error against the exact one."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    places = torch.from_numpy(np.stack((rows, columns), axis=-1).reshape(-1, 2) / 3.0).float()
    values = torch.from_numpy(scores((SIZE * SIZE, LABELS)))
    filters = {"separable": Smoothness((SIZE, SIZE), 3.0, True), "lattice": PermutohedralLattice(places)}
    exact = torch.exp(-((torch.arange(SIZE)[:, None] - torch.arange(SIZE)).double() ** 2) / 18)
    exact = (exact / exact.sum(dim=1, keepdim=True)).float()
    truth = torch.einsum("ab,bcl,dc->adl", exact, values.view(SIZE, SIZE, LABELS), exact).reshape(values.shape)
    times = in_turns({name: partial(smoother.filter, values) for name, smoother in filters.items()}, repeats)
    return {
        name: {
            "filter_ms": round(1000 * median_wall(times[name]), 1),
            "relative_error": round(float((smoother.filter(values) - truth).norm() / truth.norm()), 5),
        }
        for name, smoother in filters.items()
    }


def plain_kernel(features: torch.Tensor) -> torch.Tensor:
    squares = (features**2).sum(dim=1)
    distances = (squares[:, None] + squares - 2 * features @ features.T).clamp_(min=0)
    kernel = distances.mul_(-0.5).exp_()
    return kernel.div_(kernel.sum(dim=1, keepdim=True))


def brute_force(size: int, thetas: tuple[float, float, float], labels: int = 8) -> dict[str, object]:
    """Both kernels as full matrices: the error of the lattice, and how many pixels get the same label after five iterations."""
    image = to_tensor(photo(size, 0, top=100))
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    places = torch.stack((rows, columns), dim=-1).reshape(-1, 2).float()
    look = torch.cat((image.flatten(1).T * 255 / thetas[1], places / thetas[0]), dim=1)
    appearance, smoothness = plain_kernel(look), plain_kernel(places / thetas[2])
    levels = torch.bucketize(
        image.mean(0).contiguous(), torch.quantile(image.mean(0), torch.linspace(0, 1, labels + 1)[1:-1])
    )
    parts = torch.nn.functional.one_hot(levels.flatten(), labels).float()
    truth, ours = appearance @ parts, PermutohedralLattice(look).filter(parts)
    unary = 1.5 * parts + torch.from_numpy(scores((size * size, labels))) / 2
    logits = unary
    for _ in range(5):
        probs = logits.softmax(dim=1)
        logits = unary + WEIGHTS[0] * (appearance @ probs) + WEIGHTS[1] * (smoothness @ probs)
    with torch.no_grad():
        refined = DenseCRF(*thetas, *WEIGHTS)(unary.T.reshape(labels, size, size), image)
    agreement = (refined.flatten(1).argmax(0) == logits.argmax(1)).float().mean()
    return {
        "size": size,
        "thetas": thetas,
        "filter_error": round(float((ours - truth).norm() / truth.norm()), 4),
        "label_agreement": round(float(agreement), 4),
    }


def memory(thetas: tuple[float, float, float], noise: float, size: int = 1000) -> dict[str, object]:
    """Peak memory of this process, a child: all of it, and what the CRF added to PyTorch and its own inputs."""
    image, logits = to_tensor(photo(size, noise)), torch.from_numpy(scores((LABELS, size, size)))
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    crf = DenseCRF(*thetas, *WEIGHTS).requires_grad_(False)
    kernels = crf.prepare(image)
    started = time.perf_counter()
    crf.refine(logits, kernels)
    seconds = time.perf_counter() - started
    return {
        "thetas": thetas,
        "noise": noise,
        "size": size,
        "vertices": kernels.appearance[0].num_vertices,
        "peak_mb": resident("VmHWM"),
        "added_mb": resident("VmHWM") - before,
        "before_mb": before,
        "five_iterations_seconds": round(seconds, 2),
    }


def resident(name: str) -> int:
    return int(Path("/proc/self/status").read_text().split(f"{name}:")[1].split()[0]) // 1000


def in_child(task: str, threads: int, repeats: int) -> object:
    """The result of a task of this script in a new process with this number of threads."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, __file__, "--task", task, "--threads", str(threads), "--json", str(path)]
        command += ["--repeats", str(repeats)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        return json.loads(path.read_text())


def run_task(task: str, repeats: int) -> object:
    kind, _, number = task.partition(":")
    if kind == "time":
        return [time_setting(thetas, noise, repeats) for noise in (0.0, 9.0) for thetas in SETTINGS]
    if kind == "smoothness":
        return time_smoothness(repeats)
    if kind == "brute":
        return [brute_force(size, thetas) for size in (48, 96) for thetas in SETTINGS]
    thetas, noise = [(SETTINGS[0], 0.0), (SETTINGS[0], 9.0), (SETTINGS[1], 9.0)][int(number)]
    return memory(thetas, noise)


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--repeats", type=int, default=9, help="iterations of each that take turns (%(default)s)")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parse(parser)
    if options.task:
        options.json.write_text(json.dumps(run_task(options.task, options.repeats)))
        return
    started = Start()
    their_crf(photo(8, 0), scores((2, 8, 8)), SETTINGS[0])  # fails at once where pydensecrf2 is missing
    numbers = {
        "image": f"{SIZE}x{SIZE}, {LABELS} labels",
        "pydensecrf2": version("pydensecrf2"),
        "iteration": {f"{threads} threads": in_child("time", threads, options.repeats) for threads in (1, 2)},
        "smoothness": in_child("smoothness", 1, options.repeats),
        "brute_force": in_child("brute", 1, options.repeats),
        "memory": [in_child(f"memory:{number}", 1, options.repeats) for number in range(3)],
    }
    save("dense_crf", numbers, started, options.json)


if __name__ == "__main__":
    main()
