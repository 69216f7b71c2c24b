"""The catalogue of the kinds of data."""

import pytest

from seriatim.core.errors import ConfigError
from seriatim.data import catalogue


def test_a_kind_and_its_path_open_a_source():
    assert len(catalogue.open_source("rosettes:5")) == 5


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
        catalogue.open_source(spec)
