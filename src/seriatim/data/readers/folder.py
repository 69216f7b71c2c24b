"""Kind `folder:DIR`: images in `images/` and label maps of the same stem in `labels/`."""

from pathlib import Path

import numpy as np

from seriatim.core.errors import DataError, ImageError
from seriatim.data.images import SUFFIXES, read_label_map, read_pixels, to_float_image
from seriatim.data.samples import Sample, without_gaps


class FolderSource:
    """Images and label maps of one folder, in the order of their names."""

    class_names: tuple[str, ...] = ("object",)

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: holds `images/` and `labels/`.

        Raises:
            DataError: if either is missing, empty, or a image has no label map or two.
        """
        self.folder = folder
        for part in ("images", "labels"):
            if not (folder / part).is_dir():
                raise DataError(f"{folder}: expected a folder with images/ and labels/, found no {part}/")
        images = sorted(path for path in (folder / "images").iterdir() if path.suffix.lower() in SUFFIXES)
        labels: dict[str, Path] = {}
        for path in sorted((folder / "labels").iterdir()):
            if path.suffix.lower() in (".png", ".tif", ".tiff"):
                if path.stem in labels:
                    raise DataError(
                        f"{path}: a second label map of the stem {path.stem!r} beside {labels[path.stem].name}"
                    )
                labels[path.stem] = path
        if not images:
            raise DataError(f"{folder / 'images'}: holds no images")
        missing = [path.name for path in images if path.stem not in labels]
        if missing:
            raise DataError(
                f"{folder / 'labels'}: no label map for {', '.join(missing[:5])}"
                + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
            )
        self.pairs = [(path, labels[path.stem]) for path in images]

    def __len__(self) -> int:
        return len(self.pairs)

    def name(self, index: int) -> str:
        """The stem of the image's file."""
        return self.pairs[index][0].stem

    def read(self, index: int) -> Sample:
        """The image and its objects.

        Raises:
            DataError: naming the file that is damaged, or both where their sizes differ.
        """
        image_path, label_path = self.pairs[index]
        try:
            image = to_float_image(read_pixels(image_path), str(image_path))
        except ImageError as error:
            raise DataError(str(error)) from None
        labels = without_gaps(read_label_map(label_path))
        if labels.shape != image.shape[1:]:
            raise DataError(
                f"{label_path}: is {labels.shape[0]} x {labels.shape[1]} pixels, its image {image.shape[1]} x {image.shape[2]}"
            )
        return Sample(self.name(index), image, labels, np.ones(int(labels.max(initial=0)), dtype=np.int64))
