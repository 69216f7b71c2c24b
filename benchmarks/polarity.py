"""How well the rules of `data/preparation.py` tell images apart: bright background or dark, stained brown or not.

    python benchmarks/polarity.py --data folder:PATH/TO/nuclei --json benchmarks/results/NAME.json

The truth about polarity comes from the label maps: whether objects are brighter than the rest on average.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import skimage.data

from seriatim.data.catalogue import open_source
from seriatim.data.images import to_float_image
from seriatim.data.preparation import brown_share, is_bright_background, to_channels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="folder:../shared/data/nuclei")
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()
    source = open_source(arguments.data)
    right, wrong, brown = 0, [], []
    for index in range(len(source)):
        sample = source.read(index)
        grey = to_channels(sample.image, 1)
        objects_are_dark = bool(grey[0][sample.labels > 0].mean() < grey[0][sample.labels == 0].mean())
        if is_bright_background(grey) == objects_are_dark:
            right += 1
        else:
            wrong.append(sample.name)
        brown.append(brown_share(sample.image))
    facts = {
        "command": "python benchmarks/polarity.py --data folder:PATH/TO/nuclei --json ...",
        "images": len(source),
        "polarity_right": right,
        "polarity_wrong": wrong,
        "largest_brown_share": float(np.max(brown)),
        "brown_share_of_immunohistochemistry": brown_share(to_float_image(skimage.data.immunohistochemistry())),
    }
    arguments.json.write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
