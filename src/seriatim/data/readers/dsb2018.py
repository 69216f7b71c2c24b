"""Kind `dsb2018:DIR`: the training pictures of the Data Science Bowl 2018, `ID/images/ID.png` with `ID/masks/*.png`, one mask an object.

DIR is `stage1_train`, or holds it. The pictures come as RGBA and are read as RGB. Where masks overlap, the smaller object lies on top in the
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
from seriatim.data.readers.reading import check_size, read_rgb
from seriatim.data.samples import Sample


class Dsb2018Source:
    """Pictures of nuclei, in the order of their names.

    Attributes:
        problems: pictures left out because files are missing, and masks left out because they are empty or wholly covered.
    """

    class_names: tuple[str, ...] = ("nucleus",)

    def __init__(self, folder: Path, strict: bool = False) -> None:
        """
        Args:
            folder: `stage1_train`, or what holds it.
            strict: refuse data with problems.

        Raises:
            DataError: if no picture with masks is there.
        """
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder")
        self.folder = folder / "stage1_train" if (folder / "stage1_train").is_dir() else folder
        self.problems = Problems(strict)
        entries = [path for path in sorted(self.folder.iterdir()) if path.is_dir() and path.name[0] not in "._"]
        self.pictures = [picture for path in entries if (picture := self._picture(path)) is not None]
        if not self.pictures:
            reason = self.problems[0] if self.problems else "it holds no folders"
            raise DataError(
                f"{self.folder}: expected folders ID with images/ID.png and masks/*.png, as in stage1_train: {reason}"
            )

    def _picture(self, folder: Path) -> Path | None:
        """The picture of a folder ID; None if it cannot be used."""
        pictures = sorted((folder / "images").glob("*.png"))
        if len(pictures) != 1:
            self.problems.note(folder, "", f"expected one picture in images/, found {len(pictures)}; left out")
        elif not (folder / "masks").is_dir():
            self.problems.note(folder, "", "has no masks/; left out")
        else:
            return pictures[0]
        return None

    def __len__(self) -> int:
        return len(self.pictures)

    def name(self, index: int) -> str:
        """The ID."""
        return self.pictures[index].parent.parent.name

    def read(self, index: int) -> Sample:
        """The picture and its objects, in the order of the names of their masks.

        Raises:
            DataError: naming the picture or mask that is damaged, or both where their sizes differ.
        """
        picture = self.pictures[index]
        image = read_rgb(picture)
        found: list[Instance] = []
        files: list[Path] = []
        for file in sorted((picture.parent.parent / "masks").glob("*.png")):
            mask = _read_mask(file)
            check_size(file, mask, picture, image)
            instance = Instance.from_mask(mask, class_id=1)
            if instance is None:
                self.problems.note(file, "", "the mask is empty; left out")
                continue
            found.append(instance)
            files.append(file)
        sample, covered = lay_objects(self.name(index), image, found)
        for position in covered:
            self.problems.note(files[position], "", "smaller masks cover all its pixels; left out")
        return sample


def _read_mask(file: Path) -> Bool[np.ndarray, "height width"]:
    """Where the picture is not black."""
    try:
        pixels = read_pixels(file)
    except ImageError as error:
        raise DataError(str(error)) from None
    return np.asarray(pixels > 0 if pixels.ndim == 2 else (pixels[..., :3] > 0).any(axis=-1))
