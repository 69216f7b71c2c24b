"""How well the rules of `data/preparation.py` tell images apart: bright background or dark, stained brown or not.

    python benchmarks/polarity.py --data folder:PATH/TO/nuclei

The truth about polarity comes from the label maps: whether objects are brighter than the rest on average. Shows the numbers behind
`is_bright_background` and `brown_share`; about 1 minute for 564 images.
"""

import numpy as np
import skimage.data
from measuring import make_parser, parse, save

from seriatim.core.provenance import Start
from seriatim.data.catalogue import open_source
from seriatim.data.images import to_float_image
from seriatim.data.preparation import brown_share, is_bright_background, to_channels


def main() -> None:
    parser = make_parser(__doc__, data="images of bright and of dark background, with label maps", threads=None)
    parser.set_defaults(data="folder:../shared/data/nuclei")
    options = parse(parser)
    started = Start()
    source = open_source(options.data)
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
    numbers = {
        "images": len(source),
        "polarity_right": right,
        "polarity_wrong": wrong,
        "largest_brown_share": float(np.max(brown)),
        "brown_share_of_immunohistochemistry": brown_share(to_float_image(skimage.data.immunohistochemistry())),
    }
    save("polarity", numbers, started, options.json)


if __name__ == "__main__":
    main()
