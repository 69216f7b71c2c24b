"""From a finished run to a model that ships: the run's own pick of weights, stored in 16 bits, with the settings chosen on validation images.

    python benchmarks/zoo_folder.py --run runs/nuclei-ris --name nuclei-ris --class-names nucleus \\
        --settings benchmarks/results/thresholds_nuclei-ris_cpu_DATE.json --crf benchmarks/results/crf_nuclei-ris_cpu_DATE.json

Writes model.safetensors and config.json into src/seriatim/zoo/NAME; card.md is written by hand from the result files.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from thresholds import changed

from seriatim.inference.model_folder import read_model_folder, write_model_folder
from seriatim.inference.zoo import find_model_folder

ZOO = Path(__file__).parents[1] / "src" / "seriatim" / "zoo"


def chosen_settings(settings: Path | None, crf: Path | None) -> dict[str, Any]:
    """The settings that `thresholds.py` and `crf_settings.py` chose, as the former names them."""
    chosen = {} if settings is None else json.loads(settings.read_text())["chosen"]
    if crf is not None:
        chosen = chosen | {"inference.crf": json.loads(crf.read_text())["chosen"]}
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--class-names", nargs="+")
    parser.add_argument("--settings", type=Path)
    parser.add_argument("--crf", type=Path)
    parser.add_argument(
        "--set", action="append", default=[], help="such as inference.solid=true, over the chosen settings"
    )
    parser.add_argument("--out", type=Path, default=ZOO)
    arguments = parser.parse_args()
    network, description = read_model_folder(find_model_folder(arguments.run))
    settings = chosen_settings(arguments.settings, arguments.crf)
    settings |= {key: json.loads(value) for key, _, value in (one.partition("=") for one in arguments.set)}
    description = changed(description, settings)
    if arguments.class_names:
        description = description.model_copy(update={"class_names": tuple(arguments.class_names)})
    write_model_folder(arguments.out / arguments.name, network, description, half=True)


if __name__ == "__main__":
    main()
