"""Kind `folder:DIR`: images in `images/` and label maps of the same stem in `labels/`; read, and written as PNG of 8 and 16 bits."""

from pathlib import Path

from seriatim.core.errors import DataError
from seriatim.core.files import write_atomically
from seriatim.core.progress import Progress
from seriatim.data.encoding import MAX_16_BIT, encode_image, encode_label_map, make_parts, samples_to_write
from seriatim.data.images import SUFFIXES
from seriatim.data.problems import Problems
from seriatim.data.readers.files import LabelMapSource, Pair
from seriatim.data.samples import Sample
from seriatim.data.source import Source

LABEL_SUFFIXES = frozenset({".png", ".tif", ".tiff"})
"""Of files that can hold label maps."""


class FolderSource(LabelMapSource):
    """Images and label maps of one folder, in the order of their names, which are the stems of the files.

    Its `problems` are label maps without an image.
    """

    class_names: tuple[str, ...] = ("object",)

    def __init__(self, folder: Path, strict: bool = False) -> None:
        """
        Args:
            folder: holds `images/` and `labels/`.
            strict: refuse data with problems.

        Raises:
            DataError: if either is missing, empty, or an image has no label map or two.
        """
        self.folder = folder
        self.problems = Problems(strict)
        for part in ("images", "labels"):
            if not (folder / part).is_dir():
                raise DataError(f"{folder}: expected a folder with images/ and labels/, found no {part}/")
        images = sorted(path for path in (folder / "images").iterdir() if path.suffix.lower() in SUFFIXES)
        labels: dict[str, Path] = {}
        for path in sorted((folder / "labels").iterdir()):
            if path.suffix.lower() in LABEL_SUFFIXES:
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
        for stem in sorted(labels.keys() - {path.stem for path in images}):
            self.problems.note(labels[stem], "", "has no image; left out")
        self.entries = [Pair(path.stem, path, labels[path.stem]) for path in images]


def write_folder(source: Source, folder: Path, progress: Progress | None = None) -> None:
    """Write every sample as a data set of kind `folder:`; the same sample is written to the same bytes.

    Args:
        source: what to write; classes, pixels to ignore and covered pixels are lost.
        folder: gets `images/` and `labels/`.
        progress: called with the number done and the number of all.

    Raises:
        DataError: if a sample cannot be read, or holds more objects than 16 bits can number.
        FileWriteError: if the disk does not take a file.
    """
    make_parts(folder, ("images", "labels"))
    for stem, sample in samples_to_write(source, progress):
        write_label_map(sample, folder, stem)
        write_atomically(folder / "images" / f"{stem}.png", encode_image(sample.image))


def write_label_map(sample: Sample, folder: Path, stem: str) -> None:
    """Write the label map of one image into `labels/` of a folder.

    Raises:
        DataError: if it holds more objects than 16 bits can number.
        FileWriteError: if the disk does not take the file.
    """
    if len(sample.classes) > MAX_16_BIT:
        raise DataError(f"{sample.name}: {len(sample.classes)} objects are more than a 16-bit label map can number")
    _, encoded = encode_label_map(sample.labels)
    write_atomically(folder / "labels" / f"{stem}.png", encoded)
