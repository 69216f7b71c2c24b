"""Segment three images that need no download: stained tissue and coins, as scikit-image ships them, and a generated plant.

    python examples/demo.py --out demo

Images are written to demo/input, results to demo/results. The same can be done with `seriatim data make` and `seriatim segment`.
"""

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import skimage.data
from PIL import Image

SCENES = (
    ("immunohistochemistry", "nuclei", "cell nuclei in stained colon tissue"),
    ("coins", "nuclei", "Greek coins: no nuclei, but round objects on a darker background; not in the training data"),
    ("rosette-000000", "leaves", "a plant seen from above, like those in the training data, but new"),
)
"""Stem of the image, the model that segments it, and what it shows."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder of images and results")
    parser.add_argument("--threads", type=int, help="number of threads for arithmetic")
    chosen = parser.parse_args(arguments)
    images = make_images(chosen.out / "input")
    threads = [] if chosen.threads is None else ["--threads", str(chosen.threads)]
    rows = []
    for stem, model, what in SCENES:
        results = chosen.out / "results" / stem
        if code := seriatim("segment", str(images[stem]), "--model", model, "--out", str(results), *threads):
            return code
        with (results / "counts.csv").open(newline="") as file:
            count = next(csv.DictReader(file))["count"]
        rows.append(f"{count:>5} objects  {results / f'{stem}.overlay.png'}  (model {model}; {what})")
    print("\nObjects found, outlined in the overlays:\n" + "\n".join(rows))
    return 0


def make_images(folder: Path) -> dict[str, Path]:
    """Stem -> file of each image, written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name in ("immunohistochemistry", "coins"):
        paths[name] = folder / f"{name}.png"
        Image.fromarray(getattr(skimage.data, name)()).save(paths[name])
    if code := seriatim("data", "make", "rosettes", "--count", "1", "--seed", "0", "--out", str(folder / "rosettes")):
        raise SystemExit(code)
    paths["rosette-000000"] = folder / "rosettes" / "images" / "rosette-000000.png"
    return paths


def seriatim(*words: str) -> int:
    """Run the command line as a user would, and return its exit code."""
    print("$ seriatim", *words, flush=True)
    program = "import sys; from seriatim.cli.main import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", program, *words], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
