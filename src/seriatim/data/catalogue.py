"""Data sets by their specification, KIND:PATH, as the command line and recipes name them."""

from collections.abc import Callable
from pathlib import Path

from seriatim.core.errors import ConfigError, did_you_mean
from seriatim.data.cvppp import CvpppSource
from seriatim.data.folder import FolderSource
from seriatim.data.samples import Source
from seriatim.data.synthetic import RosetteSource

KINDS: dict[str, Callable[[str, bool], Source]] = {
    "cvppp": lambda path, strict: CvpppSource(Path(path)),
    "folder": lambda path, strict: FolderSource(Path(path)),
    "rosettes": lambda path, strict: RosetteSource.parse(path),
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
