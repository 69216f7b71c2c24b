"""Data sets by their specification, KIND:PATH."""

import pytest
from PIL import Image

from seriatim.core.errors import ConfigError
from seriatim.data.catalogue import open_source
from seriatim.data.readers.folder import FolderSource


def test_a_kind_and_its_path_open_a_source(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        Image.new("L", (4, 4)).save(tmp_path / part / "a.png")
    assert isinstance(open_source(f"folder:{tmp_path}"), FolderSource)
    assert len(open_source("rosettes:5")) == 5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("plants", "expected KIND:PATH, with a kind of"),
        ("folder:", "expected KIND:PATH"),
        ("foldr:x", "unknown kind of data 'foldr'; did you mean 'folder'"),
        ("C:/x", "unknown kind of data 'C'"),
    ],
)
def test_a_specification_that_cannot_be_used_says_why(spec, message):
    with pytest.raises(ConfigError, match=message):
        open_source(spec)
