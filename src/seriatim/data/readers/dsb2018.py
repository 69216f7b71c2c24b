"""Kind `dsb2018:DIR`: the training images of the Data Science Bowl 2018, `ID/images/ID.png` with `ID/masks/*.png`, one mask an object.

DIR is `stage1_train`, or holds it. The images come as RGBA and are read as RGB. Where masks overlap, the smaller object lies on top in the
label map (of equal ones that whose file comes first by name); `objects` holds all of them whole.

Source: Caicedo et al., "Nucleus segmentation across imaging experiments: the 2018 Data Science Bowl", Nature Methods 2019.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool

from seriatim.core.errors import DataError, ImageError
from seriatim.core.instances import Instance
from seriatim.data.images import read_pixels
from seriatim.data.masks.overlaps import lay_objects
from seriatim.data.problems import Problems
from seriatim.data.readers.files import FileSource, Pair, check_folder, check_size, read_image
from seriatim.data.samples import Sample


class Dsb2018Source(FileSource[Pair]):
    """Images of nuclei, in the order of their names, which are the IDs.

    Its `problems` are images left out because files are missing, and masks left out because they are empty or wholly covered.
    """

    class_names: tuple[str, ...] = ("nucleus",)

    def __init__(self, folder: Path, strict: bool = False) -> None:
        """
        Args:
            folder: `stage1_train`, or what holds it.
            strict: refuse data with problems.

        Raises:
            DataError: if no image with masks is there.
        """
        check_folder(folder)
        self.folder = folder / "stage1_train" if (folder / "stage1_train").is_dir() else folder
        self.problems = Problems(strict)
        folders = [path for path in sorted(self.folder.iterdir()) if path.is_dir() and path.name[0] not in "._"]
        self.entries = [pair for path in folders if (pair := self._pair(path)) is not None]
        if not self.entries:
            reason = self.problems[0] if self.problems else "it holds no folders"
            raise DataError(
                f"{self.folder}: expected folders ID with images/ID.png and masks/*.png, as in stage1_train: {reason}"
            )

    def _pair(self, folder: Path) -> Pair | None:
        """The image of a folder ID and its folder of masks; None if it cannot be used."""
        image_files = sorted((folder / "images").glob("*.png"))
        if len(image_files) != 1:
            self.problems.note(folder, "", f"expected one image in images/, found {len(image_files)}; left out")
        elif not (folder / "masks").is_dir():
            self.problems.note(folder, "", "has no masks/; left out")
        else:
            return Pair(folder.name, image_files[0], folder / "masks")
        return None

    def read_entry(self, entry: Pair) -> Sample:
        """The image and its objects, in the order of the names of their masks."""
        image = read_image(entry.image_file, channels=3)
        found: list[Instance] = []
        files: list[Path] = []
        for file in sorted(entry.annotation.glob("*.png")):
            mask = _read_mask(file)
            check_size(file, mask, entry.image_file, image)
            instance = Instance.from_mask(mask, class_id=1)
            if instance is None:
                self.problems.note(file, "", "the mask is empty; left out")
                continue
            found.append(instance)
            files.append(file)
        sample, covered = lay_objects(entry.name, image, found)
        for position in covered:
            self.problems.note(files[position], "", "smaller masks cover all its pixels; left out")
        return sample


def _read_mask(file: Path) -> Bool[np.ndarray, "height width"]:
    """Where the image is not black."""
    try:
        pixels = read_pixels(file)
    except ImageError as error:
        raise DataError(str(error)) from None
    return np.asarray(pixels > 0 if pixels.ndim == 2 else (pixels[..., :3] > 0).any(axis=-1))
