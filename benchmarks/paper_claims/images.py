"""The images of the small trainings, 64 x 64: drawn plants with few leaves (`few`) and with many (`many`), drawn scenes with few objects (`scenes`), and
drawn scenes of three classes with as many objects as come (`three classes`).

Trainings take seeds from 1000 on, tests those below.
"""

from pathlib import Path

import numpy as np

from seriatim.data.catalogue import open_source
from seriatim.data.images import to_float_image
from seriatim.data.readers.folder import write_folder
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.data.subsets import Subset
from seriatim.data.synthetic.rosettes import make_rosette
from seriatim.data.synthetic.sources import RosetteSource, ScenesSource

SIDE = 64
"""Pixels of a side."""

NUM_TRAINING, NUM_TEST = 400, 64
FIRST_TRAINING_SEED = 1000
LEAVES = {"few": (2, 4), "many": (8, 12)}
"""Fewest and most leaves of the plants of a set."""

SCENE_OBJECTS = (2, 4)
MIN_AREA = 50
"""Pixels of the smallest object of a scene."""


class Plants(RosetteSource):
    """Plants whose number of leaves follows from the seed, each number as often."""

    def __init__(self, leaves: tuple[int, int], count: int, seed: int = 0) -> None:
        """
        Args:
            leaves: fewest and most.
            count: number of images.
            seed: of the first.
        """
        super().__init__(count, seed)
        self.leaves = leaves

    def read(self, index: int) -> Sample:
        """The plant and its leaves."""
        fewest, most = self.leaves
        seed = self.seed + index
        plant = make_rosette(seed, SIDE, SIDE, fewest + seed % (most - fewest + 1))
        return Sample.of_one_class(self.name(index), to_float_image(plant.image), plant.labels)


def scenes_with_few_objects(count: int, seed: int) -> Source:
    """The first `count` scenes from `seed` on that show 2 to 4 objects, none of them tiny."""
    scenes = ScenesSource(30 * count, seed, size=(SIDE, SIDE))
    chosen: list[int] = []
    for index in range(len(scenes)):
        areas = np.bincount(scenes.read(index).labels.ravel())[1:]
        if SCENE_OBJECTS[0] <= len(areas) <= SCENE_OBJECTS[1] and areas.min() >= MIN_AREA:
            chosen.append(index)
        if len(chosen) == count:
            break
    return Subset(scenes, chosen)


def generated(name: str, count: int, seed: int) -> str | None:
    """The `KIND:PATH` of a set whose classes training needs, which a folder would lose, so that it is drawn when it is read; None for another set."""
    return f"scenes:{count}@{seed},classes=3,size={SIDE}x{SIDE}" if name == "three classes" else None


def images_of(name: str, count: int, seed: int) -> Source:
    """`count` images of a set, from a seed on."""
    spec = generated(name, count, seed)
    if spec is not None:
        return open_source(spec)
    return scenes_with_few_objects(count, seed) if name == "scenes" else Plants(LEAVES[name], count, seed)


def fresh_images(name: str, count: int) -> Source:
    """Test images of a set."""
    return images_of(name, count, 0)


def training_source(name: str, work: Path, count: int) -> str:
    """The `KIND:PATH` of the training images of a set."""
    return generated(name, count, FIRST_TRAINING_SEED) or f"folder:{training_folder(name, work, count)}"


def training_folder(name: str, work: Path, count: int) -> Path:
    """The folder with the training images of a set, drawn where it is missing."""
    folder = work / "images" / f"{name}-{count}"
    if not (folder / "drawn").exists():
        write_folder(images_of(name, count, FIRST_TRAINING_SEED), folder)
        (folder / "drawn").touch()
    return folder
