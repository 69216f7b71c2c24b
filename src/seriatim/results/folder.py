"""The folder of results of one call: every image is written when it is done, the files of the whole call at the end."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from seriatim.core.errors import ConfigError, FormatLimitError
from seriatim.core.files import make_folder, write_atomically
from seriatim.core.instances import Instances
from seriatim.results.formats import load_format
from seriatim.results.interface import Call, File, Result, SegmentedImage


def make_result_folder(folder: Path) -> None:
    """Make a folder for results if it is missing.

    Raises:
        ConfigError: if it is a file.
        FileWriteError: if it cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; results need a folder")
    make_folder(folder)


class ResultFolder:
    """The files of one call."""

    def __init__(self, folder: Path, formats: Sequence[str], class_names: Sequence[str]) -> None:
        """
        Args:
            folder: made if missing.
            formats: names of formats.
            class_names: names of the classes, from class 1.

        Raises:
            ConfigError: if `folder` is a file.
            FileWriteError: if the folder cannot be made.
        """
        make_result_folder(folder)
        self.folder = folder
        self.class_names = class_names
        self.results: list[Result] = []
        self._formats = {name: load_format(name) for name in formats}

    def add(self, file: str, stem: str, pixels: np.ndarray, instances: Instances, seconds: float) -> None:
        """Write the files of one image and remember it for the files of the call.

        Args:
            file: the image, as it was given.
            stem: how the names of its files begin.
            pixels: of the image, as stored.
            instances: found in it.
            seconds: time of the segmentation.

        Raises:
            FileWriteError: if the disk does not take a file.
            FormatLimitError: if a format cannot hold these objects; the other formats are still written.
        """
        image = SegmentedImage(file, stem, self.folder, pixels, instances, self.class_names)
        kept, refused = {}, []
        for name, format_ in self._formats.items():
            try:
                self._write(format_.image(image) if format_.image else ())
            except FormatLimitError as error:
                refused.append(f"format {name!r}: {error}")
            if format_.keep:
                kept[name] = format_.keep(image)
        self.results.append(Result(file, instances.size, len(instances), seconds, kept))
        if refused:
            raise FormatLimitError(f"{file}: {'; '.join(refused)}")

    def finish(self) -> None:
        """Write the files of the call, for the images added so far.

        Raises:
            FileWriteError: if the disk does not take a file.
        """
        for name, format_ in self._formats.items():
            if format_.call:
                kept = [result.kept.get(name) for result in self.results]
                self._write(format_.call(Call(self.results, kept, self.class_names)))

    def _write(self, files: Iterable[File]) -> None:
        for name, data in files:
            path = self.folder / name
            make_folder(path.parent)
            write_atomically(path, data)
