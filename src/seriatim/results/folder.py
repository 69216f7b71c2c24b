"""The folder of results: every image is written and noted when it is done, the files of the whole call at the end.

A later call with the same settings adds to the folder; `results.manifest` knows what is there already.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seriatim.core.errors import ConfigError, FileWriteError, FormatLimitError
from seriatim.core.files import append, make_folder, remove_temporary_files, write_atomically
from seriatim.core.instances import Instances
from seriatim.results.formats import load_format
from seriatim.results.inputs import OWN_SUBFOLDERS
from seriatim.results.interface import Call, File, Format, OverlayStyle, SegmentedImage
from seriatim.results.manifest import MANIFEST_NAME, Entry, Manifest, image_key


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
    """The files of one call, and of earlier calls with the same settings."""

    def __init__(
        self,
        folder: Path,
        formats: Sequence[str],
        class_names: Sequence[str],
        settings: Mapping[str, Any] | None = None,
        overlay: OverlayStyle = "outline",
    ) -> None:
        """
        Args:
            folder: made if missing; kept from other processes by the caller (`core.locks`).
            formats: names of formats.
            class_names: names of the classes, from class 1.
            settings: what else the results depend on, as JSON values.
            overlay: style of the overlays.

        Raises:
            ConfigError: if `folder` is a file, or holds results of other settings, or tables that no manifest lists.
            DataError: if its manifest is damaged.
            FileWriteError: if the disk does not take a file.
        """
        make_result_folder(folder)
        self.folder = folder
        self.class_names = class_names
        self.overlay: OverlayStyle = overlay
        self._formats = {name: load_format(name) for name in formats}
        if not (folder / MANIFEST_NAME).exists():
            self._check_no_tables()
        for subfolder in (folder, *(folder / name for name in OWN_SUBFOLDERS)):
            remove_temporary_files(subfolder)
        facts = {"formats": sorted(formats), "class_names": list(class_names), "overlay": overlay}
        self.manifest = Manifest(folder, {**facts, **(settings or {})})
        self._write_growing_files()

    def done(self, file: Path, sha256: str) -> Entry | None:
        """What is known of an image that is done already with all its files; None if it must be segmented.

        Args:
            file: the image, as it is given now.
            sha256: of its content; if it has changed, it must be segmented again.
        """
        entry = self.manifest.entries.get(image_key(file, self.folder))
        if entry is None or entry.sha256 != sha256 or not all((self.folder / name).exists() for name in entry.files):
            return None
        if entry.file != str(file):
            entry = entry.model_copy(update={"file": str(file)})
            self.manifest.entries[entry.image] = entry
        return entry

    def stems(self) -> dict[str, str]:
        """`Entry.image` -> how the names of its files begin, for every image in the folder."""
        return {image: entry.stem for image, entry in self.manifest.entries.items()}

    def add(
        self,
        file: str,
        stem: str,
        pixels: np.ndarray,
        instances: Instances,
        seconds: float,
        sha256: str = "",
        num_pages: int = 1,
    ) -> Entry:
        """Write the files of one image and note it for the files of the call; those of an earlier version of the image are replaced.

        Args:
            file: the image, as it was given.
            stem: how the names of its files begin.
            pixels: of the image, as stored.
            instances: found in it.
            seconds: time of the segmentation.
            sha256: of the image file.
            num_pages: pages or frames of the file.

        Returns:
            What the manifest says of it.

        Raises:
            FileWriteError: if the disk does not take a file.
            FormatLimitError: if a format cannot hold these objects; the other formats are still written.
        """
        image = SegmentedImage(file, stem, self.folder, pixels, instances, self.class_names, self.overlay)
        kept, refused = {}, []
        files: list[str] = []
        for name, format_ in self._formats.items():
            try:
                self._write(format_.image(image) if format_.image else (), files)
            except FormatLimitError as error:
                refused.append(f"format {name!r}: {error}")
            if format_.keep:
                kept[name] = format_.keep(image)
        entry = Entry(
            image=image_key(Path(file), self.folder),
            file=file,
            stem=stem,
            sha256=sha256,
            size=instances.size,
            count=len(instances),
            seconds=seconds,
            num_too_small=instances.num_too_small,
            num_pages=num_pages,
            files=tuple(files),
            refused=f"{file}: {'; '.join(refused)}" if refused else None,
            kept=kept,
        )
        before = self.manifest.entries.get(entry.image)
        self.manifest.add(entry)
        if before is None:
            self._grow(entry)
        else:
            self._remove(set(before.files) - set(files))
            self._write_growing_files()
        if entry.refused:
            raise FormatLimitError(entry.refused)
        return entry

    def finish(self, order: Iterable[str] = ()) -> None:
        """Write the files of the call, for all images in the folder.

        Args:
            order: `Entry.image` of the images that come last, in this order; images of earlier calls come before them.

        Raises:
            FileWriteError: if the disk does not take a file.
        """
        self.manifest.rewrite(order)
        for name, format_ in self._formats.items():
            self._write_call(name, format_)

    def _check_no_tables(self) -> None:
        for format_ in self._formats.values():
            for name, _ in format_.call(Call([], [], self.class_names)) if format_.call else ():
                if (self.folder / name).exists():
                    raise ConfigError(
                        f"{self.folder / name}: is there already, and no {MANIFEST_NAME} beside it says of which images and settings; "
                        "choose another folder with --out, or move the file away"
                    )

    def _write_growing_files(self) -> None:
        for name, format_ in self._formats.items():
            if format_.grow:
                self._write_call(name, format_)

    def _grow(self, entry: Entry) -> None:
        for format_ in self._formats.values():
            if format_.grow:
                name, row = format_.grow(entry)
                append(self.folder / name, row)

    def _write_call(self, name: str, format_: Format) -> None:
        if format_.call:
            results = list(self.manifest.entries.values())
            kept = [result.kept.get(name) for result in results]
            self._write(format_.call(Call(results, kept, self.class_names)))

    def _write(self, files: Iterable[File], names: list[str] | None = None) -> None:
        """Write files, and add the name of each to `names` as soon as it is written."""
        for name, data in files:
            path = self.folder / name
            make_folder(path.parent)
            write_atomically(path, data)
            if names is not None:
                names.append(name)

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise FileWriteError(
                    f"{self.folder / name}: could not be removed: {error.strerror or error}"
                ) from error
