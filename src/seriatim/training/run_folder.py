"""A run folder: config.toml environment.json images.json metrics.jsonl checkpoints/ samples/ model/."""

import contextlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from seriatim.core.config import first_difference, read_toml, to_toml
from seriatim.core.errors import ConfigError, DataError, FileWriteError
from seriatim.core.files import make_folder, remove_temporary_files, write_atomically
from seriatim.core.provenance import command_line, environment
from seriatim.training.recipe import Recipe
from seriatim.training.splits import LeftOut, Splits, check_images, without


class RunFolder:
    """Paths of a run and its log."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: of the folder.
        """
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self.model = path / "model"
        self.log_path = path / "metrics.jsonl"
        self.images_path = path / "images.json"

    def create(self, recipe: Recipe) -> None:
        """Make the folder and write the resolved recipe, the command and the environment.

        Raises:
            ConfigError: if a run is there already.
        """
        if (self.path / "config.toml").exists():
            raise ConfigError(
                f"{self.path}: holds a run already; continue it with --resume, or choose another folder with --out"
            )
        for folder in (self.checkpoints, self.samples):
            make_folder(folder)
        facts = {"command": command_line(), **environment()}
        write_atomically(self.path / "environment.json", json.dumps(facts, indent=1).encode())
        self.log_path.touch()
        write_atomically(self.path / "config.toml", to_toml(recipe.model_dump(mode="json")).encode())

    def discard(self) -> None:
        """Remove what `create` and `usable_images` wrote, of a run that could not begin: it must not hinder the corrected command."""
        for name in ("config.toml", "environment.json", self.log_path.name, self.images_path.name):
            with contextlib.suppress(OSError):
                (self.path / name).unlink()
        for folder in (self.checkpoints, self.samples):
            with contextlib.suppress(OSError):
                folder.rmdir()

    def check_resumable(self, recipe: Recipe) -> None:
        """Refuse to resume with another recipe than the run was started with.

        Raises:
            ConfigError: naming the first setting that differs.
        """
        if not (self.path / "config.toml").exists():
            raise ConfigError(f"{self.path}: holds no run to resume")
        begun = Recipe.parse(read_toml(self.path / "config.toml"), str(self.path / "config.toml"))
        difference = first_difference(begun.model_dump(mode="json"), recipe.model_dump(mode="json"))
        if difference:
            raise ConfigError(f"{self.path}: was started with another recipe: {difference}")

    def remove_temporary_files(self) -> None:
        """Remove the temporary files of a killed process from the whole run folder."""
        for folder in (self.path, self.checkpoints, self.samples, self.model):
            remove_temporary_files(folder)

    def usable_images(self, splits: Splits) -> Splits:
        """The parts without unusable images, which are listed in images.json once and left out again when the run is resumed.

        Raises:
            DataError: if too many are damaged, none holds an object, or the data have changed since the run was started.
        """
        counts = {"training": len(splits.training), "validation": len(splits.validation)}
        if not self.images_path.exists():
            left_out = [asdict(one) for one in check_images(splits)]
            write_atomically(self.images_path, (json.dumps({**counts, "left_out": left_out}, indent=1) + "\n").encode())
        try:
            known = json.loads(self.images_path.read_bytes())
            left_out = [LeftOut(**one) for one in known["left_out"]]
            begun = {part: known[part] for part in counts}
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{self.images_path}: is damaged ({error}); delete it to have the images checked again"
            ) from None
        if begun != counts:
            raise DataError(f"{self.path}: was started with other data: {begun} images then, {counts} now")
        return without(splits, left_out)

    def truncate_log(self, num_bytes: int) -> None:
        """Remove what was logged after the checkpoint that the run resumes from."""
        if self.log_path.exists() and self.log_path.stat().st_size > num_bytes:
            os.truncate(self.log_path, num_bytes)

    def log(self, record: dict[str, Any]) -> int:
        """Append a line to metrics.jsonl; returns the log's length in bytes."""
        line = (json.dumps(record) + "\n").encode()
        try:
            with open(self.log_path, "ab") as file:
                file.write(line)
                return file.tell()
        except OSError as error:
            raise FileWriteError(
                f"{self.log_path}: could not write {len(line)} bytes: {error.strerror or error}"
            ) from error
