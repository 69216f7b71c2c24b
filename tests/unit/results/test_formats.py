import pytest

from seriatim.core.errors import ConfigError
from seriatim.results.formats import DEFAULT_FORMATS, FORMATS, load_format, parse_formats


def test_formats_are_checked_by_name():
    assert parse_formats("labels,overlay,coco,counts") == DEFAULT_FORMATS
    with pytest.raises(ConfigError, match="did you mean 'labels'"):
        parse_formats("label")
    with pytest.raises(ConfigError, match="no format given"):
        parse_formats(" , ")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_the_table_can_be_loaded_and_writes_something(name):
    found = load_format(name)
    assert found.image or found.call


def test_the_default_formats_are_in_the_table():
    assert set(DEFAULT_FORMATS) <= FORMATS.keys()
