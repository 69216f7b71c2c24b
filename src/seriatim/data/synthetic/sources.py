"""The data kinds `rosettes:N` and `scenes:N`, optionally with `@SEED`: N synthetic plants or scenes, generated when they are read.

Image number i of seed S is `make_rosette(S + i)` or `make_scene(S + i)`; without a seed they start at 0, and this project never trains on
seeds below 1000. Scenes take settings after commas: `scenes:200@1000,classes=8,size=192x256`.
"""

import re

from seriatim.core.errors import ConfigError, did_you_mean
from seriatim.data.images import to_float_image
from seriatim.data.samples import Sample
from seriatim.data.source import Source
from seriatim.data.synthetic.rosettes import make_rosette
from seriatim.data.synthetic.scene_classes import CLASS_NAMES
from seriatim.data.synthetic.scenes import check_scene, make_scene

_SETTINGS = {"classes": r"(\d{1,3})", "size": r"(\d{1,5})x(\d{1,5})"}


def _count_and_seed(spec: str, message: str) -> tuple[int, int]:
    """Parse `N` or `N@SEED`; raise ConfigError with the message if it is neither."""
    found = re.fullmatch(r"(\d+)(?:@(\d+))?", spec)
    if not found or int(found[1]) < 1:
        raise ConfigError(message)
    return int(found[1]), int(found[2] or 0)


class GeneratedSource(Source):
    """Images that are made when they are read, each from a seed of its own."""

    generated = True
    kind: str

    def __init__(self, count: int, seed: int = 0) -> None:
        """
        Args:
            count: number of images.
            seed: of the first; each following one has the next seed.
        """
        self.count = count
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def name(self, index: int) -> str:
        """The kind and the seed in six digits."""
        return f"{self.kind}-{self.seed + index:06d}"


class RosetteSource(GeneratedSource):
    """Synthetic plants seen from above, with their leaves."""

    class_names: tuple[str, ...] = ("leaf",)
    kind = "rosette"

    @classmethod
    def parse(cls, spec: str) -> "RosetteSource":
        """The source of `N` or `N@SEED`.

        Raises:
            ConfigError: if `spec` is neither.
        """
        return cls(
            *_count_and_seed(spec, f"rosettes:{spec}: expected rosettes:N or rosettes:N@SEED, such as rosettes:64")
        )

    def read(self, index: int) -> Sample:
        """The plant and its leaves."""
        plant = make_rosette(self.seed + index)
        return Sample.of_one_class(self.name(index), to_float_image(plant.image), plant.labels)


class ScenesSource(GeneratedSource):
    """Synthetic scenes of several classes, with the visible masks of their objects, from the nearest to the farthest."""

    kind = "scene"

    def __init__(self, count: int, seed: int = 0, num_classes: int = 5, size: tuple[int, int] = (256, 256)) -> None:
        """
        Args:
            count: as for `GeneratedSource`.
            seed: likewise.
            num_classes: 3 to 8.
            size: (height, width) in pixels, each at least 64.

        Raises:
            ConfigError: if there can be no such scenes.
        """
        check_scene(seed, num_classes, size)
        super().__init__(count, seed)
        self.size = size
        self.class_names = CLASS_NAMES[:num_classes]

    @classmethod
    def parse(cls, spec: str) -> "ScenesSource":
        """The source of `N`, `N@SEED`, or either with `,classes=C` and `,size=HxW` after it.

        Raises:
            ConfigError: if `spec` is none of these, or there can be no such scenes.
        """
        first, *settings = spec.split(",")
        expected = f"scenes:{spec}: expected scenes:N or scenes:N@SEED, such as scenes:64@1000,classes=8"
        count, seed = _count_and_seed(first, expected)
        num_classes, size = 5, (256, 256)
        for setting in settings:
            name, _, value = setting.partition("=")
            if name not in _SETTINGS:
                raise ConfigError(f"scenes:{spec}: unknown setting {name!r}{did_you_mean(name, _SETTINGS)}")
            numbers = re.fullmatch(_SETTINGS[name], value)
            if not numbers:
                raise ConfigError(
                    f"scenes:{spec}: expected classes=C or size=HxW, such as size=192x256, got {setting!r}"
                )
            if name == "classes":
                num_classes = int(numbers[1])
            else:
                size = (int(numbers[1]), int(numbers[2]))
        return cls(count, seed, num_classes, size)

    def read(self, index: int) -> Sample:
        """The scene and the visible parts of its objects."""
        scene = make_scene(self.seed + index, len(self.class_names), self.size)
        return Sample(self.name(index), to_float_image(scene.image), scene.labels, scene.objects.class_ids)
