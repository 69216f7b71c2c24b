"""Data sets by their specification, KIND:PATH, as the command line and recipes name them."""

from collections.abc import Callable
from pathlib import Path

from seriatim.core.errors import ConfigError, did_you_mean
from seriatim.data.readers.cellpose import CellposeSource
from seriatim.data.readers.cityscapes import CityscapesSource
from seriatim.data.readers.coco import CocoSource
from seriatim.data.readers.cvppp import CvpppSource
from seriatim.data.readers.dsb2018 import Dsb2018Source
from seriatim.data.readers.files import split_part
from seriatim.data.readers.folder import FolderSource
from seriatim.data.readers.labelme import LabelmeSource
from seriatim.data.readers.sbd import SbdSource
from seriatim.data.readers.voc import VocSource
from seriatim.data.readers.yolo import YoloSource
from seriatim.data.source import Source
from seriatim.data.synthetic.sources import RosetteSource, ScenesSource

KINDS: dict[str, Callable[[str, bool], Source]] = {
    "cellpose": lambda path, strict: CellposeSource(Path(path), strict),
    "cityscapes": lambda path, strict: CityscapesSource(*split_part(path), strict),
    "coco": lambda path, strict: CocoSource(Path(path), strict),
    "cvppp": lambda path, strict: CvpppSource.parse(path, strict),
    "dsb2018": lambda path, strict: Dsb2018Source(Path(path), strict),
    "folder": lambda path, strict: FolderSource(Path(path), strict),
    "labelme": lambda path, strict: LabelmeSource(Path(path), strict),
    "rosettes": lambda path, strict: RosetteSource.parse(path),  # nothing can be wrong with what is generated
    "sbd": lambda path, strict: SbdSource.parse(path, strict),
    "scenes": lambda path, strict: ScenesSource.parse(path),
    "voc": lambda path, strict: VocSource(*split_part(path), strict),
    "yolo": lambda path, strict: YoloSource(Path(path), strict),
}
"""Kind of data -> what opens it, from the path and whether to refuse data with problems."""


def open_source(spec: str, strict: bool = False) -> Source:
    """The data set that `spec` names, such as `folder:plants` or `rosettes:64`.

    Args:
        spec: KIND:PATH.
        strict: refuse data with problems that otherwise are left out and listed in `problems`.

    Raises:
        ConfigError: if the kind is unknown.
        DataError: if the data are missing or damaged.
    """
    kind, colon, path = spec.partition(":")
    if not colon or not path:
        raise ConfigError(f"{spec}: expected KIND:PATH, with a kind of {', '.join(sorted(KINDS))}")
    if kind not in KINDS:
        raise ConfigError(f"{spec}: unknown kind of data {kind!r}{did_you_mean(kind, KINDS)}")
    return KINDS[kind](path, strict)
